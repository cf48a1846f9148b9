/* residual_norm.c: the sum of gate_residual, kept, and LayerNorm of it as layer_norm_modulate has it.
 * Source: wan 2.6 steps 6-10. */
#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_residual_norm_args *a;
    vg_layer_norm_modulate_args norm; /* of the sum */
} job;

/* Scratch: x, add, result. */
static void rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_residual_norm_args *a = j->a;
    int64_t d = a->x->shape[1];
    size_t step = vg_cpu_round((size_t)d);
    float *scratch = vg_cpu_scratch(j->be, worker), *row = scratch + 2 * step;
    const float *gate = a->gate ? a->gate->data : NULL;
    vg_dtype dtype = a->y ? a->y->dtype : a->sum->dtype;

    for (int64_t i = begin; i < end; i++) {
        const float *x = vg_cpu_view(a->x, i * d, d, scratch);
        const float *add = vg_cpu_view(a->add, i * d, d, scratch + step);
        for (int64_t c = 0; c < d; c++)
            row[c] = x[c] + (gate ? add[c] * gate[c] : add[c]);
        vg_cpu_store(a->sum, i * d, d, row);
        vg_cpu_round_to(a->sum->dtype, row, d);
        vg_cpu_norm_row(&j->norm, row, d);
        vg_cpu_store_row(a->y, dtype, &a->quant, i, row, d);
    }
}

vg_status vg_cpu_residual_norm(vg_backend *be, const vg_residual_norm_args *a, vg_err *err)
{
    job j = {be, a, {a->sum, a->scale, a->shift, a->w, a->b, a->eps, a->y, a->quant}};
    int64_t d = a->x->shape[1];

    VG_TRY(vg_cpu_scratch_reserve(be, 3 * vg_cpu_round((size_t)d), err));
    vg_cpu_for(be, a->x->shape[0], vg_cpu_grain(d), rows, &j);
    return VG_OK;
}
