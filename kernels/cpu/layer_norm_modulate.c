/* layer_norm_modulate.c: LayerNorm with two-pass statistics (mean first, then squared differences), then the modulation
 * or the affine pair, all FP32, one rounding on store. Source: wan 2.6 steps 1, 7, 9. */
#include <math.h>

#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_layer_norm_modulate_args *a;
} job;

void vg_cpu_norm_row(const vg_layer_norm_modulate_args *a, float *row, int64_t d)
{
    const float *scale = a->scale ? a->scale->data : NULL,
                *shift = a->shift ? a->shift->data : NULL;
    const float *w = a->w ? a->w->data : NULL, *b = a->b ? a->b->data : NULL;
    float mean = vg_cpu_sum(row, d) / (float)d;
    float factor = 1.0f / sqrtf(vg_cpu_sum_squares(row, d, mean) / (float)d + a->eps);

    for (int64_t c = 0; c < d; c++)
        row[c] = (row[c] - mean) * factor;
    if (scale)
        for (int64_t c = 0; c < d; c++)
            row[c] = row[c] * (1.0f + scale[c]) + shift[c];
    else if (w)
        for (int64_t c = 0; c < d; c++)
            row[c] = row[c] * w[c] + b[c];
}

static void rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_layer_norm_modulate_args *a = j->a;
    int64_t d = a->x->shape[1];
    float *row = vg_cpu_scratch(j->be, worker);

    for (int64_t i = begin; i < end; i++) {
        vg_cpu_load(a->x, i * d, d, row);
        vg_cpu_norm_row(a, row, d);
        vg_cpu_store_row(a->y, a->y ? a->y->dtype : a->x->dtype, &a->quant, i, row, d);
    }
}

vg_status vg_cpu_layer_norm_modulate(vg_backend *be, const vg_layer_norm_modulate_args *a,
                                     vg_err *err)
{
    job j = {be, a};
    int64_t d = a->x->shape[1];

    VG_TRY(vg_cpu_scratch_reserve(be, (size_t)d, err));
    vg_cpu_for(be, a->x->shape[0], vg_cpu_grain(d), rows, &j);
    return VG_OK;
}
