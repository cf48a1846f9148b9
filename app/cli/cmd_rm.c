/* cmd_rm.c: vgen rm. */
#include <unistd.h>
#include "app/cli/cmd_job.h"
#include "app/worker/worker.h"

/* Cancel and wait until the worker is gone. */
static int stop(vg_args *args, const vg_job *job)
{
    vg_err err = {0};
    if (!vg_args_has(args, "force")) {
        fprintf(stderr, "vgen rm: %s is running; cancel it first, or use --force\n", job->id);
        return VG_EXIT_FAILURE;
    }
    if (vg_worker_cancel(job->dir, &err) != VG_OK && err.code != VG_E_MISSING)
        return vg_cli_fail(args, &err);
    for (int i = 0; i < 600 && vg_job_running(job->dir, NULL); i++)
        usleep(100 * 1000);
    if (!vg_job_running(job->dir, NULL))
        return VG_EXIT_OK;
    fprintf(stderr, "vgen rm: %s does not stop; try again later\n", job->id);
    return VG_EXIT_FAILURE;
}

static int remove_one(vg_args *args, const char *name)
{
    vg_job job;
    vg_snapshot snapshot;
    vg_err err = {0};
    int status = vg_cmd_job_open(args, name, &job, &snapshot);
    if (status != VG_EXIT_OK)
        return status;
    if (!vg_job_state_is_final(snapshot.state) || vg_job_running(job.dir, NULL))
        status = stop(args, &job);
    if (status == VG_EXIT_OK) {
        if (vg_file_remove_tree(job.dir, &err) != VG_OK)
            status = vg_cli_fail(args, &err);
        else
            printf("removed %s\n", job.id);
    }
    vg_cmd_job_close(&job, &snapshot);
    return status;
}

static int run(vg_args *args)
{
    int result = VG_EXIT_OK;
    for (int i = 0; i < args->words_count; i++) {
        int status = remove_one(args, args->words[i]);
        result = status != VG_EXIT_OK ? status : result;
    }
    return result;
}

static const vg_arg_spec specs[] = {
    {"force", 'f', NULL, "cancel a job that runs, then remove it"}, VG_SPEC_JOBS_DIR, {0}};

extern const vg_command vg_command_rm;
const vg_command vg_command_rm = {
    .name = "rm",
    .arguments = "JOB...",
    .summary = "delete jobs with all that is in their folders",
    .text =
        "Delete jobs: the folder with its frames, latents and clips. Files that were written elsewhere (--output) stay. Nothing is asked; a running job is refused without "
        "--force. " VG_JOB_NAMES,
    .specs = specs,
    .min_args = 1,
    .max_args = 1000,
    .run = run,
};
