/* cmd_resume.c: vgen resume. */
#include <unistd.h>
#include "app/cli/attach.h"
#include "app/cli/cmd_job.h"
#include "app/worker/worker.h"

static int resume(vg_args *args, const vg_job *job, vg_snapshot *snapshot)
{
    vg_err err = {0};
    pid_t worker = 0;
    bool json = vg_args_has(args, "json"), running;
    do {
        /* A running job needs no resume: watching it leads to the same end. A finished one only gets outputs that are gone written again. */
        running = vg_job_running(job->dir, NULL);
        for (int i = 0; i < 20 && running && vg_args_has(args, "detach"); i++) {
            usleep(50 * 1000);
            running = vg_job_running(job->dir, NULL);
        }
        if (!running &&
            vg_worker_start(job->dir, vg_settings_int(&args->settings, VG_OPT_max_steps_run),
                            &worker, &err) != VG_OK)
            return vg_cli_fail(args, &err);
        if (vg_args_has(args, "detach")) {
            vg_snapshot_refresh(snapshot, NULL, NULL);
            if (json)
                vg_attach_print_result(snapshot, json);
            else
                printf("%s\n", job->id);
            return VG_EXIT_OK;
        }
        vg_attach_options options = {
            .quiet = vg_args_has(args, "quiet"), .cancel = true, .worker = worker};
        if (!vg_attach(snapshot, &options)) {
            fprintf(stderr, "job %s goes on by itself; vgen attach %s shows it\n", job->id,
                    job->id);
            if (json)
                vg_attach_print_result(snapshot, json);
            return VG_EXIT_CANCELLED;
        }
        /* What ran was a worker in its last moments (it had been killed): now it is our turn. */
    } while (running && snapshot->state == VG_JOB_INTERRUPTED && !snapshot->stopped);
    vg_attach_print_result(snapshot, json);
    int status = vg_attach_exit(snapshot);
    if (status == VG_EXIT_FAILURE) {
        fprintf(stderr, "vgen resume: %s: ", job->id);
        vg_text_print(stderr, snapshot->message[0] ? snapshot->message : "failed");
        fputc('\n', stderr);
    }
    return status;
}

static const vg_arg_spec specs[] = {
    VG_SPEC_JOBS_DIR,
    {"detach", 'd', NULL, "start and return at once"},
    {"json", 0, NULL, "the result as one JSON object on stdout"},
    {"quiet", 'q', NULL, "no progress"},
    {0},
};

extern const vg_command vg_command_resume;
const vg_command vg_command_resume = {
    .name = "resume",
    .arguments = "JOB",
    .summary = "go on with a cancelled, failed or interrupted job",
    .text =
        "Go on from the last finished step; the result is the same, bit for bit, as if nothing had happened. All outputs that the job was asked for are written. A job that runs is "
        "watched; a finished one gets missing outputs written again. " VG_JOB_NAMES,
    .settings = "max_steps_run",
    .specs = specs,
    VG_JOB_COMMAND(resume),
};
