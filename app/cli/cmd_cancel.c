/* cmd_cancel.c: vgen cancel. */
#include <stdlib.h>
#include "app/cli/cmd_job.h"
#include "app/worker/worker.h"

static int cancel(vg_args *args, const vg_job *job, vg_snapshot *snapshot)
{
    vg_err err = {0};
    double grace = VG_WORKER_GRACE_S;
    bool killed = false;
    const char *given = vg_args_get(args, "grace");
    if (given) {
        char *end;
        grace = strtod(given, &end);
        if (end == given || *end || !(grace >= 0 && grace <= 86400))
            return vg_cli_usage(
                args, "--grace: \"%s\" is not right: it needs a number of seconds from 0 to 86400",
                given);
    }
    if (vg_job_state_is_final(snapshot->state))
        (void)VG_FAIL(&err, VG_E_MISSING, "%s is not running: %s", job->id,
                      vg_job_state_text(snapshot->state));
    else
        (void)vg_worker_stop(job->dir, grace, &killed, &err);
    if (err.code != VG_OK)
        return vg_cli_fail(args, &err);
    vg_snapshot_refresh(snapshot, NULL, NULL);
    printf("%s: %s%s\n", job->id, vg_job_state_text(snapshot->state),
           killed ? " (it did not answer and was killed)" : "");
    return VG_EXIT_OK;
}

static const vg_arg_spec specs[] = {
    {"grace", 0, "SECONDS", "how long it may take to stop by itself before it is killed [30]"},
    VG_SPEC_JOBS_DIR,
    {0}};

extern const vg_command vg_command_cancel;
const vg_command vg_command_cancel = {
    .name = "cancel",
    .arguments = "JOB [--grace SECONDS]",
    .summary = "stop a running or waiting job; what it did is kept",
    .text =
        "Stop a running or waiting job at its next block; a worker that does not stop is killed. What it did is kept either way: vgen resume goes on from the last finished step. " VG_JOB_NAMES,
    .specs = specs,
    VG_JOB_COMMAND(cancel),
};
