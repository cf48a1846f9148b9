/* channel_norm.c: the VAE's norm per pixel over channels, x / max(|x|_2, 1e-12) * sqrt(C) * gamma, each of the three steps
 * rounded to y's dtype, then SiLU of the rounded result. Source: wan 4.2. */
#include <math.h>

#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_channel_norm_args *a;
    int64_t batch; /* pixels per scratch buffer */
} job;

/* x / max(|x|_2, 1e-12) for n pixels; squares are summed in 8 lanes, then pairwise. */
VG_CPU_BODY normalise_body(float *rows, int64_t n, int64_t d)
{
    for (float *row = rows; row < rows + n * d; row += d) {
        float lanes[8] = {0}, length;
        int64_t c = 0;
        for (; c + 8 <= d; c += 8)
            for (int l = 0; l < 8; l++)
                lanes[l] += row[c + l] * row[c + l];
        for (int l = 0; c < d; c++, l++)
            lanes[l] += row[c] * row[c];
        length = sqrtf(((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
                       ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7])));
        length = length > 1e-12f ? length : 1e-12f;
        for (c = 0; c < d; c++)
            row[c] /= length;
    }
}
VG_CPU_WIDE(normalise, (float *rows, int64_t n, int64_t d), (rows, n, d))

VG_CPU_BODY scale_body(float *row, int64_t d, float factor)
{
    for (int64_t c = 0; c < d; c++)
        row[c] *= factor;
}
VG_CPU_WIDE(scale, (float *row, int64_t d, float factor), (row, d, factor))

VG_CPU_BODY multiply_body(float *rows, int64_t n, int64_t d, const float *gamma)
{
    for (float *row = rows; row < rows + n * d; row += d)
        for (int64_t c = 0; c < d; c++)
            row[c] *= gamma[c];
}
VG_CPU_WIDE(multiply, (float *rows, int64_t n, int64_t d, const float *gamma), (rows, n, d, gamma))

void vg_cpu_norm_pixels(vg_dtype dtype, const float *gamma, bool silu, float *rows, int64_t n,
                        int64_t d)
{
    normalise(rows, n, d);
    vg_cpu_round_to(dtype, rows, n * d);
    scale(rows, n * d, (float)sqrt((double)d));
    vg_cpu_round_to(dtype, rows, n * d);
    multiply(rows, n, d, gamma);
    if (silu) {
        vg_cpu_round_to(dtype, rows, n * d);
        vg_cpu_activate(VG_ACT_SILU, rows, n * d);
    }
}

/* Scratch: `batch` pixels, then gamma. */
static void pixels(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_channel_norm_args *a = j->a;
    int64_t d = a->x->shape[1];
    float *rows = vg_cpu_scratch(j->be, worker);
    const float *gamma = vg_cpu_view(a->gamma, 0, d, rows + vg_cpu_round((size_t)(j->batch * d)));

    for (int64_t i = begin; i < end; i += j->batch) {
        int64_t n = end - i < j->batch ? end - i : j->batch;
        vg_cpu_load(a->x, i * d, n * d, rows);
        vg_cpu_norm_pixels(a->y->dtype, gamma, a->silu, rows, n, d);
        vg_cpu_store(a->y, i * d, n * d, rows);
    }
}

vg_status vg_cpu_channel_norm(vg_backend *be, const vg_channel_norm_args *a, vg_err *err)
{
    int64_t d = a->x->shape[1];
    job j = {be, a, d < 4096 ? 4096 / d : 1};

    VG_TRY(vg_cpu_scratch_reserve(be, vg_cpu_round((size_t)(j.batch * d)) + (size_t)d, err));
    vg_cpu_for(be, a->x->shape[0], 4 * j.batch, pixels, &j);
    return VG_OK;
}
