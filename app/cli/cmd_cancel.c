/* cmd_cancel.c: vgen cancel. */
#include <unistd.h>
#include "app/cli/cmd_job.h"
#include "app/worker/worker.h"

static int cancel(vg_args *args, const vg_job *job, vg_snapshot *snapshot)
{
    vg_err err = {0};
    if (vg_job_state_is_final(snapshot->state))
        (void)VG_FAIL(&err, VG_E_MISSING, "%s is not running: %s", job->id,
                      vg_job_state_text(snapshot->state));
    else
        (void)vg_worker_cancel(job->dir, &err);
    if (err.code != VG_OK)
        return vg_cli_fail(args, &err);
    /* A block takes a moment; say how it ended rather than that it was asked. */
    for (int i = 0; i < 600 && vg_job_running(job->dir, NULL); i++)
        usleep(100 * 1000);
    vg_snapshot_refresh(snapshot, NULL, NULL);
    printf("%s: %s\n", job->id,
           vg_job_running(job->dir, NULL) ? "asked to stop, still at work"
                                          : vg_job_state_text(snapshot->state));
    return VG_EXIT_OK;
}

static const vg_arg_spec specs[] = {VG_SPEC_JOBS_DIR, {0}};

extern const vg_command vg_command_cancel;
const vg_command vg_command_cancel = {
    .name = "cancel",
    .arguments = "JOB",
    .summary = "stop a running or waiting job; what it did is kept",
    .text =
        "Stop a running or waiting job at its next block. What it did is kept: vgen resume goes on from the last finished step. " VG_JOB_NAMES,
    .specs = specs,
    VG_JOB_COMMAND(cancel),
};
