/* cmd_generate.c: vgen generate. */
#include "app/cli/run_jobs.h"

static int run(vg_args *args)
{
    return vg_run_jobs(args, false);
}

extern const vg_command vg_command_generate;
const vg_command vg_command_generate = {
    .name = "generate",
    .arguments = "[--preset NAME] [--prompt TEXT | --prompt-file FILE] [options]",
    .summary = "make a clip from a prompt",
    .text =
        "Make a clip from a prompt. The work is done by a process of its own: Ctrl-C cancels it, a second Ctrl-C or a lost terminal leaves it running. With a preset that "
        "compares several schemes, the first one is made; --quantization bf16,fp8 makes several and compares them.",
    .examples =
        "  vgen generate --preset demo\n"
        "  vgen generate --prompt \"a small green square moving up on a black background\" --seed 7 --output square.mp4\n"
        "  vgen generate --preset wan2.2-t2v-a14b-480p --prompt-file prompts.txt --detach\n",
    .settings = "*",
    .specs = vg_run_jobs_specs,
    .run = run,
};
