/* frames_to_u8.c: [-1,1] to bytes: x/2 + 1/2, clamped to [0,1], times 255, truncated; NaN becomes 0.
 * Source: diffusers export_to_video (wan 7.4). */
#include "kernels/cpu/cpu.h"

#include <math.h>

#define CHUNK 2048

typedef struct job {
    const vg_frames_to_u8_args *a;
    uint64_t *unfinite; /* or NULL */
} job;

static void range(void *ctx, int64_t begin, int64_t end, int worker)
{
    const job *j = ctx;
    const vg_frames_to_u8_args *a = j->a;
    float buffer[CHUNK];
    uint64_t bad = 0;

    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        int64_t n = end - i < CHUNK ? end - i : CHUNK;
        const float *x = vg_cpu_view(a->x, i, n, buffer);
        uint8_t *y = vg_cpu_at(a->y, i);
        for (int64_t c = 0; c < n; c++) {
            float v = x[c] * 0.5f + 0.5f;
            bad += !isfinite(x[c]);
            v = v > 0.0f ? v : 0.0f;
            v = v < 1.0f ? v : 1.0f;
            y[c] = (uint8_t)(v * 255.0f);
        }
    }
    if (bad && j->unfinite)
        __atomic_fetch_add(j->unfinite, bad, __ATOMIC_RELAXED);
}

vg_status vg_cpu_frames_to_u8(vg_backend *be, const vg_frames_to_u8_args *a, vg_err *err)
{
    job j = {a, be->unfinite};

    (void)err;
    vg_cpu_for(be, vg_tensor_numel(a->x), 8 * CHUNK, range, &j);
    return VG_OK;
}
