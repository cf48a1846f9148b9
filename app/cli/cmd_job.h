/* cmd_job.h: opening the job that a command's first word names. */
#ifndef VG_APP_CLI_CMD_JOB_H
#define VG_APP_CLI_CMD_JOB_H

#include "app/cli/cli.h"
#include "app/job/snapshot.h"

#define VG_SPEC_JOBS_DIR                                                                           \
    {                                                                                              \
        "jobs-dir", 0, "DIR", "where the job folders are [~/.local/state/vgen/jobs]"               \
    }
#define VG_JOB_NAMES                                                                               \
    "JOB is a folder's name, a beginning or an end of it that only one job has, \"last\", or a path."

/* Find, open and look at a job. On failure prints the reason; the exit status comes back, VG_EXIT_OK when good. */
int vg_cmd_job_open(vg_args *args, const char *name, vg_job *job, vg_snapshot *snapshot);
/* Deinitialise both after a vg_cmd_job_open that was good. */
void vg_cmd_job_close(vg_job *job, vg_snapshot *snapshot);
/* Open the job that the first word names, let the command's `job` do its work, close it. Returns the exit status. */
int vg_cmd_job_run(vg_args *args);
/* The members of a command on one job. */
#define VG_JOB_COMMAND(act) .min_args = 1, .max_args = 1, .job = (act)
#endif
