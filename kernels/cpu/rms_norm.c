/* rms_norm.c: T5 RMSNorm. The normalised row is rounded to y's dtype before the product with w.
 * Source: transformers UMT5LayerNorm (wan 5.3). */
#include <math.h>

#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_rms_norm_args *a;
} job;

/* Scratch: the row, then w. */
static void rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    int64_t d = j->a->x->shape[1];
    float *row = vg_cpu_scratch(j->be, worker);
    const float *w = vg_cpu_view(j->a->w, 0, d, row + vg_cpu_round((size_t)d));

    for (int64_t i = begin; i < end; i++) {
        float scale;
        vg_cpu_load(j->a->x, i * d, d, row);
        scale = 1.0f / sqrtf(vg_cpu_sum_squares(row, d, 0.0f) / (float)d + j->a->eps);
        for (int64_t c = 0; c < d; c++)
            row[c] *= scale;
        vg_cpu_round_to(j->a->y->dtype, row, d);
        for (int64_t c = 0; c < d; c++)
            row[c] *= w[c];
        vg_cpu_store(j->a->y, i * d, d, row);
    }
}

vg_status vg_cpu_rms_norm(vg_backend *be, const vg_rms_norm_args *a, vg_err *err)
{
    job j = {be, a};
    int64_t d = a->x->shape[1];

    VG_TRY(vg_cpu_scratch_reserve(be, 2 * vg_cpu_round((size_t)d), err));
    vg_cpu_for(be, a->x->shape[0], vg_cpu_grain(d), rows, &j);
    return VG_OK;
}
