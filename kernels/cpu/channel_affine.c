/* channel_affine.c: [C,T,H,W] <-> [T,H,W,C] with a per-channel factor (or divisor) and offset. FP32, one rounding. */
#include "kernels/cpu/cpu.h"

#define BLOCK 64 /* pixels transposed at a time */

typedef struct job {
    vg_backend *be;
    const vg_channel_affine_args *a;
    int64_t channels, pixels;
} job;

static void transform(const vg_channel_affine_args *a, int64_t c, const float *from,
                      int64_t from_step, float *to, int64_t to_step, int64_t n)
{
    float scale = a->scale ? ((const float *)a->scale->data)[c] : 1.0f;
    float shift = a->shift ? ((const float *)a->shift->data)[c] : 0.0f;

    for (int64_t i = 0; i < n; i++) {
        float v = from[i * from_step];
        if (a->scale)
            v = a->divide ? v / scale : v * scale;
        to[i * to_step] = a->shift ? v + shift : v;
    }
}

/* Scratch: BLOCK pixels of all channels, then BLOCK values of one channel. */
static void blocks(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_channel_affine_args *a = j->a;
    float *tile = vg_cpu_scratch(j->be, worker),
          *line = tile + vg_cpu_round((size_t)(BLOCK * j->channels));

    for (int64_t p = begin; p < end; p += BLOCK) {
        int64_t n = end - p < BLOCK ? end - p : BLOCK;
        if (a->to_channels_last) {
            for (int64_t c = 0; c < j->channels; c++)
                transform(a, c, vg_cpu_view(a->x, c * j->pixels + p, n, line), 1, tile + c,
                          j->channels, n);
            vg_cpu_store(a->y, p * j->channels, n * j->channels, tile);
        } else {
            const float *from = vg_cpu_view(a->x, p * j->channels, n * j->channels, tile);
            for (int64_t c = 0; c < j->channels; c++) {
                transform(a, c, from + c, j->channels, line, 1, n);
                vg_cpu_store(a->y, c * j->pixels + p, n, line);
            }
        }
    }
}

vg_status vg_cpu_channel_affine(vg_backend *be, const vg_channel_affine_args *a, vg_err *err)
{
    const int64_t *s = a->x->shape;
    int64_t channels = a->to_channels_last ? s[0] : s[3];
    job j = {be, a, channels, vg_tensor_numel(a->x) / channels};

    VG_TRY(vg_cpu_scratch_reserve(be, vg_cpu_round((size_t)(BLOCK * channels)) + BLOCK, err));
    vg_cpu_for(be, j.pixels, 16 * BLOCK, blocks, &j);
    return VG_OK;
}
