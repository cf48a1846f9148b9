/* cmd_compare.c: vgen compare. */
#include "app/cli/run_jobs.h"

static int run(vg_args *args)
{
    return vg_run_jobs(args, true);
}

extern const vg_command vg_command_compare;
const vg_command vg_command_compare = {
    .name = "compare",
    .arguments = "[--preset NAME] [--quantization bf16,fp8] [options]",
    .summary = "make the same clip in several precisions and measure the difference",
    .text =
        "Make the same clip, from the same noise, in several precisions; the first is the reference. Prints speed, memory and distance of each, and writes a clip with all side by side. With "
        "--output x.mp4 the comparison is x.mp4 and the variants are x-bf16.mp4, x-fp8.mp4.",
    .examples = "  vgen compare --preset demo\n"
                "  vgen compare --preset demo --quantization bf16,fp8,fp8-block --json\n",
    .settings = "*",
    .specs = vg_run_jobs_specs,
    .run = run,
};
