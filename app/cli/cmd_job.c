/* cmd_job.c: see cmd_job.h. */
#include "app/cli/cmd_job.h"

#include <stdlib.h>
#include "app/settings/paths.h"

int vg_cmd_job_open(vg_args *args, const char *name, vg_job *job, vg_snapshot *snapshot)
{
    vg_err err = {0};
    char *jobs = vg_paths_jobs(vg_args_get(args, "jobs-dir")), *dir = NULL;
    *job = (vg_job){0};
    vg_status status = vg_job_find(jobs, name, &dir, &err);
    if (status == VG_OK)
        status = vg_job_open(dir, job, &err);
    free(jobs);
    free(dir);
    if (status != VG_OK)
        return vg_cli_fail(args, &err);
    vg_snapshot_init(snapshot, job);
    vg_snapshot_refresh(snapshot, NULL, NULL);
    return VG_EXIT_OK;
}

void vg_cmd_job_close(vg_job *job, vg_snapshot *snapshot)
{
    vg_snapshot_deinit(snapshot);
    vg_job_deinit(job);
}

int vg_cmd_job_run(vg_args *args)
{
    vg_job job;
    vg_snapshot snapshot;
    int status = vg_cmd_job_open(args, args->words[0], &job, &snapshot);
    if (status != VG_EXIT_OK)
        return status;
    status = args->command->job(args, &job, &snapshot);
    vg_cmd_job_close(&job, &snapshot);
    return status;
}
