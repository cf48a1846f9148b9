/* cmd_work.c: vgen work, the hidden command that a worker process runs. */
#include "app/cli/cli.h"
#include "app/worker/worker.h"

static int run(vg_args *args)
{
    return vg_worker_run(args->words[0], vg_settings_int(&args->settings, VG_OPT_max_steps_run));
}

extern const vg_command vg_command_work;
const vg_command vg_command_work = {
    .name = "work",
    .arguments = "JOBDIR [--max-steps-run N]",
    .summary = "run a job in this process",
    .settings = "max_steps_run",
    .min_args = 1,
    .max_args = 1,
    .hidden = true,
    .run = run,
};
