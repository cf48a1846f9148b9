/* quantize.c: activations to E4M3. Source: modelopt-fp8 6.5 (per tensor: times the reciprocal), 6.6 (groups: divided). */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/base/numeric.h"

typedef struct job {
    vg_backend *be;
    const vg_quantize_args *a;
} job;

static float absmax(const float *x, int64_t n)
{
    float most = 0.0f;

    for (int64_t i = 0; i < n; i++) {
        float v = fabsf(x[i]);
        most = v > most
                   ? v
                   : most; /* a NaN is passed over: it becomes the E4M3 NaN whatever the scale */
    }
    return most;
}

/* Scratch: one row, then for DYNAMIC nothing more. */
static void amax_rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    int64_t k = j->a->x->shape[1];
    float *scratch = vg_cpu_scratch(j->be, worker);

    /* The first float of a worker's scratch carries its maximum; a maximum does not depend on the order. */
    for (int64_t row = begin; row < end; row++) {
        float most = absmax(vg_cpu_view(j->a->x, row * k, k, scratch + 16), k);
        if (most > scratch[0])
            scratch[0] = most;
    }
}

void vg_cpu_quantize_row(vg_quant_kind kind, const vg_tensor *scale, int64_t row, const float *x,
                         int64_t k, const vg_tensor *q)
{
    uint8_t *codes = vg_cpu_at(q, row * k);
    float *scales = scale->data;

    if (kind != VG_QUANT_GROUP_DYNAMIC) {
        float reciprocal = 1.0f / scales[0];
        for (int64_t i = 0; i < k; i++)
            codes[i] = vg_f32_to_e4m3(x[i] * reciprocal);
        return;
    }
    for (int64_t from = 0, group = 0; from < k; from += VG_QUANT_GROUP, group++) {
        int64_t n = k - from < VG_QUANT_GROUP ? k - from : VG_QUANT_GROUP;
        float most = absmax(x + from, n);
        float divisor = (most > VG_QUANT_AMAX_MIN ? most : VG_QUANT_AMAX_MIN) / VG_E4M3_MAX;
        scales[group * scale->shape[1] + row] = divisor;
        for (int64_t i = from; i < from + n; i++)
            codes[i] = vg_f32_to_e4m3(x[i] / divisor);
    }
}

void vg_cpu_store_row(const vg_tensor *y, vg_dtype dtype, const vg_quant_out *quant, int64_t row,
                      float *row_values, int64_t k)
{
    if (y)
        vg_cpu_store(y, row * k, k, row_values);
    if (quant->kind == VG_QUANT_NONE)
        return;
    vg_cpu_round_to(dtype, row_values, k);
    vg_cpu_quantize_row(quant->kind, quant->scale, row, row_values, k, quant->q);
}

static void quantize_rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    int64_t k = j->a->x->shape[1];
    float *scratch = vg_cpu_scratch(j->be, worker);

    for (int64_t row = begin; row < end; row++)
        vg_cpu_quantize_row(j->a->kind, j->a->scale, row, vg_cpu_view(j->a->x, row * k, k, scratch),
                            k, j->a->q);
}

vg_status vg_cpu_quantize(vg_backend *be, const vg_quantize_args *a, vg_err *err)
{
    job j = {be, a};
    int64_t rows = a->x->shape[0], k = a->x->shape[1], grain = vg_cpu_grain(k);

    VG_TRY(vg_cpu_scratch_reserve(be, (size_t)k + 16, err));
    if (a->kind == VG_QUANT_TENSOR_DYNAMIC) {
        float most = 0.0f;
        for (int i = 0; i < vg_cpu(be)->threads; i++)
            vg_cpu_scratch(be, i)[0] = 0.0f;
        vg_cpu_for(be, rows, grain, amax_rows, &j);
        for (int i = 0; i < vg_cpu(be)->threads; i++)
            if (vg_cpu_scratch(be, i)[0] > most)
                most = vg_cpu_scratch(be, i)[0];
        *(float *)a->scale->data = most > 0.0f ? most / VG_E4M3_MAX : 1.0f;
    }
    vg_cpu_for(be, rows, grain, quantize_rows, &j);
    return VG_OK;
}
