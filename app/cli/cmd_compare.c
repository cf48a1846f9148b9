/* cmd_compare.c: vgen compare. */
#include "app/cli/run_jobs.h"

static int run(vg_args *args)
{
    return vg_run_jobs(args, true);
}

extern const vg_command vg_command_compare;
const vg_command vg_command_compare = {
    .name = "compare",
    .arguments = "[--preset NAME] [--quantization bf16,fp8] [--variant TEXT]... [options]",
    .summary = "make the same clip in several ways and measure the difference",
    .text =
        "Make the same clip several times, alike but for one thing, and measure how far apart they are: in several precisions (--quantization bf16,fp8), or in whatever --variant says: "
        "another seed, other sampling, another attention kernel, another checkpoint of the same shape. The first is the reference: the settings without any variant. A variant that changes nothing "
        "names it. Prints speed, memory and distance of each, and writes a clip with all side by side. With --output x.mp4 the comparison is x.mp4 and the variants are x-bf16.mp4, x-fp8.mp4, x-other-seed.mp4. "
        "Settings that say the shape of the clip, where it runs or where it is written are of all variants.",
    .examples =
        "  vgen compare --preset demo\n"
        "  vgen compare --preset demo --quantization bf16,fp8,fp8-block --json\n"
        "  vgen compare --preset demo --variant \"other seed: seed=43\" --variant \"fp8: quantization=fp8\"\n"
        "  vgen compare --model ./wan-bf16 --prompt fox --variant \"exported: model=./wan-fp8,quantization=fp8\"\n",
    .settings = "*",
    .specs = vg_run_jobs_specs,
    .run = run,
};
