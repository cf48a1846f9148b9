/* test_cli_small.h: a job small enough to be run many times, its outputs, and a reference run to compare them with. */
#ifndef VG_TESTS_APP_TEST_CLI_SMALL_H
#define VG_TESTS_APP_TEST_CLI_SMALL_H

#include "tests/app/test_cli.h"

#include <time.h>

static inline double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* The small job of these tests; what it writes goes to cli_dir/NAME-<scheme>.*. */
#define SMALL                                                                                      \
    "--preset", "demo", "--height", "32", "--width", "48", "--num-frames", "5",                    \
        "--num-inference-steps", "6"

typedef struct outputs {
    char latents[320], frames[320], clip[320];
} outputs;

static inline outputs outputs_of(const char *name)
{
    outputs o;
    snprintf(o.latents, sizeof o.latents, "%s/%s.latents.safetensors", cli_dir, name);
    snprintf(o.frames, sizeof o.frames, "%s/%s.frames.safetensors", cli_dir, name);
    snprintf(o.clip, sizeof o.clip, "%s/%s.mp4", cli_dir, name);
    return o;
}

static const char *const schemes[] = {"bf16", "fp8", "fp8-block"};

static inline void expect_same(const char *a, const char *b)
{
    static const char *const endings[] = {".latents-%s.safetensors", ".frames-%s.safetensors",
                                          "-%s.mp4"};
    for (size_t s = 0; s < 3; s++) {
        for (size_t e = 0; e < 3; e++) {
            char x[400], y[400], end[64];
            snprintf(end, sizeof end, "%.*s%s%s", (int)(strstr(endings[e], "%s") - endings[e]),
                     endings[e], schemes[s], strstr(endings[e], "%s") + 2);
            snprintf(x, sizeof x, "%s/%s%s", cli_dir, a, end);
            snprintf(y, sizeof y, "%s/%s%s", cli_dir, b, end);
            if (!vg_file_exists(x) || !vg_file_exists(y) || !cli_same_file(x, y))
                fail_msg("%s and %s differ, or are not there", x, y);
        }
    }
}

static double reference_s; /* how long the reference run took */

static inline void run_reference(void)
{
    if (reference_s > 0)
        return;
    outputs o = outputs_of("reference");
    double begin = now_s();
    CLI_EXPECT(0, "compare", SMALL, "--quantization", "bf16,fp8,fp8-block", "--output", o.clip,
               "--save-latents", o.latents, "--save-frames", o.frames, "-q");
    reference_s = now_s() - begin;
}
#endif
