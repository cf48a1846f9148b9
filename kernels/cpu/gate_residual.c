/* gate_residual.c: out = x + y * gate in FP32, one rounding. Source: wan 2.6 steps 6, 8, 10. */
#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_gate_residual_args *a;
} job;

/* Scratch: x, y, result. */
static void rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_gate_residual_args *a = j->a;
    int64_t d = a->x->shape[1];
    size_t step = vg_cpu_round((size_t)d);
    float *scratch = vg_cpu_scratch(j->be, worker), *out = scratch + 2 * step;
    const float *gate = a->gate ? a->gate->data : NULL;

    for (int64_t i = begin; i < end; i++) {
        const float *x = vg_cpu_view(a->x, i * d, d, scratch);
        const float *y = vg_cpu_view(a->y, i * d, d, scratch + step);
        if (gate)
            for (int64_t c = 0; c < d; c++)
                out[c] = x[c] + y[c] * gate[c];
        else
            for (int64_t c = 0; c < d; c++)
                out[c] = x[c] + y[c];
        vg_cpu_store(a->out, i * d, d, out);
    }
}

vg_status vg_cpu_gate_residual(vg_backend *be, const vg_gate_residual_args *a, vg_err *err)
{
    job j = {be, a};
    int64_t d = a->x->shape[1];

    VG_TRY(vg_cpu_scratch_reserve(be, 3 * vg_cpu_round((size_t)d), err));
    vg_cpu_for(be, a->x->shape[0], vg_cpu_grain(d), rows, &j);
    return VG_OK;
}
