/* cmd_attach.c: vgen attach and vgen wait. */
#include "app/attach.h"
#include "app/cmd_job.h"

static int watch(vg_args *args, bool quiet)
{
    vg_job job;
    vg_job_view view;
    int status = vg_cmd_job_open(args, args->words[0], &job, &view);
    if (status != VG_EXIT_OK)
        return status;
    vg_attach_options options = {.quiet = quiet};
    bool ended = vg_attach(&view, &options);
    if (ended)
        vg_attach_print_result(&view, vg_args_has(args, "json"));
    status = ended ? vg_attach_exit(&view) : VG_EXIT_CANCELLED;
    vg_cmd_job_close(&job, &view);
    return status;
}

static int run_attach(vg_args *args)
{
    return watch(args, false);
}

static int run_wait(vg_args *args)
{
    return watch(args, true);
}

static const vg_arg_spec specs[] = {VG_SPEC_JOBS_DIR, {"json", 0, NULL, "the result as one JSON object on stdout"}, {0}};

extern const vg_command vg_command_attach;
const vg_command vg_command_attach = {
    .name = "attach",
    .arguments = "JOB",
    .summary = "watch a running job",
    .text = "Watch a running job until it ends, then print its result; Ctrl-C stops watching and leaves the job alone. The exit status is the job's. " VG_JOB_NAMES,
    .specs = specs,
    .min_args = 1,
    .max_args = 1,
    .run = run_attach,
};

extern const vg_command vg_command_wait;
const vg_command vg_command_wait = {
    .name = "wait",
    .arguments = "JOB",
    .summary = "wait for a job without a word of progress",
    .text = "Wait until a job ends, then print its result. The exit status is the job's. " VG_JOB_NAMES,
    .specs = specs,
    .min_args = 1,
    .max_args = 1,
    .run = run_wait,
};
