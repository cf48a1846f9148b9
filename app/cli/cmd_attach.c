/* cmd_attach.c: vgen attach and vgen wait. */
#include "app/cli/attach.h"
#include "app/cli/cmd_job.h"

static int watch(vg_args *args, vg_snapshot *snapshot, bool silent)
{
    vg_attach_options options = {.quiet = silent};
    bool json = vg_args_has(args, "json");
    if (!vg_attach(snapshot, &options)) {
        if (!silent)
            fprintf(stderr, "job %s goes on by itself\n", snapshot->job->id);
        if (json)
            vg_attach_print_result(snapshot, json);
        return VG_EXIT_CANCELLED;
    }
    if (json || !silent)
        vg_attach_print_result(snapshot, json);
    return vg_attach_exit(snapshot);
}

static int attach(vg_args *args, const vg_job *job, vg_snapshot *snapshot)
{
    (void)job;
    return watch(args, snapshot, false);
}

static int wait_for(vg_args *args, const vg_job *job, vg_snapshot *snapshot)
{
    (void)job;
    return watch(args, snapshot, true);
}

static const vg_arg_spec specs[] = {
    VG_SPEC_JOBS_DIR, {"json", 0, NULL, "the result as one JSON object on stdout"}, {0}};

extern const vg_command vg_command_attach;
const vg_command vg_command_attach = {
    .name = "attach",
    .arguments = "JOB",
    .summary = "watch a running job",
    .text =
        "Watch a running job until it ends, then print its result; Ctrl-C stops watching and leaves the job alone. The exit status is the job's. " VG_JOB_NAMES,
    .specs = specs,
    VG_JOB_COMMAND(attach),
};

extern const vg_command vg_command_wait;
const vg_command vg_command_wait = {
    .name = "wait",
    .arguments = "JOB",
    .summary = "wait for a job without a word",
    .text =
        "Wait until a job ends, without a word; --json prints its result. The exit status is the job's: 0 done, 1 failed or interrupted, 130 cancelled. " VG_JOB_NAMES,
    .specs = specs,
    VG_JOB_COMMAND(wait_for),
};
