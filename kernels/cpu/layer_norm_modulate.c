/* layer_norm_modulate.c: LayerNorm with two-pass statistics (mean first, then squared differences), then the modulation
 * or the affine pair, all FP32, one rounding on store. Source: wan 2.6 steps 1, 7, 9. */
#include <math.h>

#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_layer_norm_modulate_args *a;
} job;

static void rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_layer_norm_modulate_args *a = j->a;
    int64_t d = a->x->shape[1];
    float *row = vg_cpu_scratch(j->be, worker);
    const float *scale = a->scale ? a->scale->data : NULL,
                *shift = a->shift ? a->shift->data : NULL;
    const float *w = a->w ? a->w->data : NULL, *b = a->b ? a->b->data : NULL;

    for (int64_t i = begin; i < end; i++) {
        float mean, factor;
        vg_cpu_load(a->x, i * d, d, row);
        mean = vg_cpu_sum(row, d) / (float)d;
        factor = 1.0f / sqrtf(vg_cpu_sum_squares(row, d, mean) / (float)d + a->eps);
        for (int64_t c = 0; c < d; c++)
            row[c] = (row[c] - mean) * factor;
        if (scale)
            for (int64_t c = 0; c < d; c++)
                row[c] = row[c] * (1.0f + scale[c]) + shift[c];
        else if (w)
            for (int64_t c = 0; c < d; c++)
                row[c] = row[c] * w[c] + b[c];
        vg_cpu_store(a->y, i * d, d, row);
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
