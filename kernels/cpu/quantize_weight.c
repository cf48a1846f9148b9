/* quantize_weight.c: weights to E4M3 with one scale or one per 128x128 block. Source: modelopt-fp8 3.4, 3.6. */
#include "kernels/cpu/cpu.h"
#include "kernels/base/numeric.h"

#include <math.h>
#include <stdatomic.h>

typedef struct job {
    vg_backend *be;
    const vg_quantize_weight_args *a;
    _Atomic uint32_t
        amax; /* FP32 bits; those of floats >= 0 order as integers, infinity above numbers, NaN above infinity */
} job;

static uint32_t largest(const float *x, int64_t count, uint32_t most)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = vg_f32_bits(fabsf(x[i]));
        if (bits > most)
            most = bits;
    }
    return most;
}

static float scale_of(uint32_t bits)
{
    float amax = vg_f32_from_bits(bits);
    if (!isfinite(amax))
        return NAN;
    return amax > 0 ? amax / VG_E4M3_MAX : 1.0f;
}

static void amax_rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    int64_t k = j->a->w->shape[1];
    float *row = vg_cpu_scratch(j->be, worker);
    uint32_t most = 0;

    for (int64_t r = begin; r < end; r++) {
        vg_cpu_load(j->a->w, r * k, k, row);
        most = largest(row, k, most);
    }
    uint32_t seen = atomic_load(&j->amax);
    while (most > seen && !atomic_compare_exchange_weak(&j->amax, &seen, most))
        ;
}

static void quantize_rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    const job *j = ctx;
    int64_t k = j->a->w->shape[1];
    float *row = vg_cpu_scratch(j->be, worker), scale = *(const float *)j->a->scale->data;

    for (int64_t r = begin; r < end; r++) {
        uint8_t *q = vg_cpu_at(j->a->q, r * k);
        vg_cpu_load(j->a->w, r * k, k, row);
        for (int64_t c = 0; c < k; c++)
            q[c] = vg_f32_to_e4m3(row[c] / scale);
    }
}

static void quantize_block(const job *j, int64_t b, int64_t c, float *rows)
{
    int64_t n = j->a->w->shape[0], k = j->a->w->shape[1], r0 = b * VG_QUANT_GROUP,
            c0 = c * VG_QUANT_GROUP;
    int64_t count = n - r0 < VG_QUANT_GROUP ? n - r0 : VG_QUANT_GROUP,
            width = k - c0 < VG_QUANT_GROUP ? k - c0 : VG_QUANT_GROUP;
    uint32_t most = 0;

    for (int64_t r = 0; r < count; r++) {
        vg_cpu_load(j->a->w, (r0 + r) * k + c0, width, rows + r * width);
        most = largest(rows + r * width, width, most);
    }
    float scale = scale_of(most);
    ((float *)j->a->scale->data)[b * j->a->scale->shape[1] + c] = scale;
    for (int64_t r = 0; r < count; r++) {
        uint8_t *q = vg_cpu_at(j->a->q, (r0 + r) * k + c0);
        for (int64_t i = 0; i < width; i++)
            q[i] = vg_f32_to_e4m3(rows[r * width + i] / scale);
    }
}

static void quantize_block_rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    const job *j = ctx;

    for (int64_t b = begin; b < end; b++)
        for (int64_t c = 0; c < j->a->scale->shape[1]; c++)
            quantize_block(j, b, c, vg_cpu_scratch(j->be, worker));
}

vg_status vg_cpu_quantize_weight(vg_backend *be, const vg_quantize_weight_args *a, vg_err *err)
{
    int64_t n = a->w->shape[0], k = a->w->shape[1];
    job j = {.be = be, .a = a};

    if (a->scale->ndim == 2) {
        VG_TRY(vg_cpu_scratch_reserve(be, (size_t)(VG_QUANT_GROUP * VG_QUANT_GROUP), err));
        vg_cpu_for(be, a->scale->shape[0], 1, quantize_block_rows, &j);
        return VG_OK;
    }
    VG_TRY(vg_cpu_scratch_reserve(be, (size_t)k, err));
    vg_cpu_for(be, n, vg_cpu_grain(k), amax_rows, &j);
    *(float *)a->scale->data = scale_of(atomic_load(&j.amax));
    vg_cpu_for(be, n, vg_cpu_grain(k), quantize_rows, &j);
    return VG_OK;
}
