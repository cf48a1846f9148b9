/* dequantize_weight.c: E4M3 weights times their scales, in FP32, rounded once. Source: modelopt-fp8 3.6. */
#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_dequantize_weight_args *a;
} job;

static void dequantize_rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    const job *j = ctx;
    const vg_tensor *s = j->a->scale;
    const float *scale = s->data;
    int64_t k = j->a->q->shape[1];
    float *row = vg_cpu_scratch(j->be, worker);

    for (int64_t r = begin; r < end; r++) {
        vg_cpu_load(j->a->q, r * k, k, row);
        for (int64_t c = 0; c < k; c++)
            row[c] *= s->ndim == 2 ? scale[r / VG_QUANT_GROUP * s->shape[1] + c / VG_QUANT_GROUP]
                                   : scale[s->shape[0] > 1 ? r : 0];
        vg_cpu_store(j->a->y, r * k, k, row);
    }
}

vg_status vg_cpu_dequantize_weight(vg_backend *be, const vg_dequantize_weight_args *a, vg_err *err)
{
    int64_t k = a->q->shape[1];

    VG_TRY(vg_cpu_scratch_reserve(be, (size_t)k, err));
    vg_cpu_for(be, a->q->shape[0], vg_cpu_grain(k), dequantize_rows, &(job){be, a});
    return VG_OK;
}
