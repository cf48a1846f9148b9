/* cmd_rm.c: vgen rm. */
#include <stdlib.h>
#include "app/cli/cmd_job.h"
#include "app/settings/paths.h"
#include "app/worker/worker.h"

/* By its folder alone: what job.json says, and whether it can be read, does not matter. */
static int remove_one(vg_args *args, const char *name)
{
    char *jobs = vg_paths_jobs(vg_args_get(args, "jobs-dir")), *dir = NULL, *id = NULL;
    vg_err err = {0};
    vg_status status = vg_job_find_any(jobs, name, &dir, &err);
    if (status == VG_OK) {
        id = vg_job_id_of(dir);
        if (vg_args_has(args, "force") && vg_job_running(dir, NULL))
            status = vg_worker_stop(dir, VG_WORKER_GRACE_S, NULL, &err);
        if (status == VG_OK || !vg_job_running(dir, NULL)) /* it may have ended by itself */
            status = vg_job_remove(dir, &err);
        if (status == VG_E_BUSY)
            status = VG_FAIL(&err, VG_E_BUSY, "%s is running; cancel it first, or use --force", id);
    }
    if (status == VG_OK) {
        fputs("removed ", stdout);
        vg_text_print(stdout, id);
        putchar('\n');
    }
    free(jobs);
    free(dir);
    free(id);
    return status == VG_OK ? VG_EXIT_OK : vg_cli_fail(args, &err);
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
