/* rms_norm_rope.c: RMSNorm over all heads together (one rounding), then rotation of interleaved pairs (one more).
 * Source: wan 2.4, 2.6 steps 3-4. */
#include <math.h>

#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_rms_norm_rope_args *a;
} job;

void vg_cpu_norm_rope_row(const vg_rms_norm_rope_args *a, vg_dtype dtype, const float *w, int64_t i,
                          float *row)
{
    int64_t d = a->x->shape[1], pairs = d / a->heads / 2;
    const float *cosine, *sine;
    float scale;

    vg_cpu_load(a->x, i * d, d, row);
    scale = 1.0f / sqrtf(vg_cpu_sum_squares(row, d, 0.0f) / (float)d + a->eps);
    for (int64_t c = 0; c < d; c++)
        row[c] = row[c] * scale * w[c];
    if (!a->rope_cos)
        return;
    cosine = (const float *)a->rope_cos->data + i * pairs;
    sine = (const float *)a->rope_sin->data + i * pairs;
    vg_cpu_round_to(dtype, row, d);
    for (int64_t h = 0; h < a->heads; h++) {
        float *x = row + h * 2 * pairs;
        for (int64_t p = 0; p < pairs; p++) {
            float even = x[2 * p], odd = x[2 * p + 1];
            x[2 * p] = even * cosine[p] - odd * sine[p];
            x[2 * p + 1] = even * sine[p] + odd * cosine[p];
        }
    }
}

/* Scratch: the row, then w. */
static void rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_rms_norm_rope_args *a = j->a;
    int64_t d = a->x->shape[1];
    float *row = vg_cpu_scratch(j->be, worker);
    const float *w = vg_cpu_view(a->w, 0, d, row + vg_cpu_round((size_t)d));

    for (int64_t i = begin; i < end; i++) {
        vg_cpu_norm_rope_row(a, a->y->dtype, w, i, row);
        vg_cpu_store(a->y, i * d, d, row);
    }
}

vg_status vg_cpu_rms_norm_rope(vg_backend *be, const vg_rms_norm_rope_args *a, vg_err *err)
{
    job j = {be, a};
    int64_t d = a->x->shape[1];

    VG_TRY(vg_cpu_scratch_reserve(be, 2 * vg_cpu_round((size_t)d), err));
    vg_cpu_for(be, a->x->shape[0], vg_cpu_grain(d), rows, &j);
    return VG_OK;
}
