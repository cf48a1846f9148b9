/* export_quantise.c: see export_impl.h. Source of the roundings: modelopt-fp8 0, 3.6; checked against nvidia-modelopt in test_export. */
#include "engine/quantize/export_impl.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "kernels/base/numeric.h"
#include "kernels/op/ops.h"

typedef struct work {
    float *w;
    int64_t n, k, groups;
    bool block, compat;
    float *scales;
    uint8_t *codes;
    atomic_uint amax; /* bits of the largest magnitude: they are ordered as the values are */
    atomic_bool bad;
} work;

static void raise_to(atomic_uint *most, float value)
{
    unsigned bits = vg_f32_bits(value), seen = atomic_load_explicit(most, memory_order_relaxed);
    while (bits > seen && !atomic_compare_exchange_weak(most, &seen, bits))
        continue;
}

/* Rows: largest magnitude, and with compat rounding. */
static void look_at_rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    work *a = ctx;
    float most = 0;
    bool bad = false;
    (void)worker;
    for (int64_t i = begin * a->k; i < end * a->k; i++) {
        if (a->compat)
            a->w[i] = vg_round_bf16(a->w[i]);
        float v = fabsf(a->w[i]);
        bad = bad || !isfinite(v);
        most = v > most ? v : most;
    }
    if (bad)
        atomic_store(&a->bad, true);
    raise_to(&a->amax, most);
}

static float scale_of(float amax)
{
    return amax > 0 ? amax / VG_E4M3_MAX : 1.0f;
}

static void code_rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    work *a = ctx;
    float scale = a->compat ? vg_round_bf16(a->scales[0]) : a->scales[0];
    (void)worker;
    for (int64_t i = begin * a->k; i < end * a->k; i++) {
        float q = a->w[i] / scale;
        a->codes[i] = vg_f32_to_e4m3(a->compat ? vg_round_bf16(q) : q);
    }
}

/* One row of tiles at a time; the quotient is FP32 in both forms. */
static void code_tiles(void *ctx, int64_t begin, int64_t end, int worker)
{
    work *a = ctx;
    (void)worker;
    for (int64_t t = begin; t < end; t++) {
        int64_t last = (t + 1) * VG_QUANT_GROUP < a->n ? (t + 1) * VG_QUANT_GROUP : a->n;
        float *scales = a->scales + t * a->groups;
        for (int64_t g = 0; g < a->groups; g++)
            scales[g] = 0;
        for (int64_t r = t * VG_QUANT_GROUP; r < last; r++)
            for (int64_t c = 0; c < a->k; c++)
                scales[c / VG_QUANT_GROUP] =
                    fmaxf(scales[c / VG_QUANT_GROUP], fabsf(a->w[r * a->k + c]));
        for (int64_t g = 0; g < a->groups; g++)
            scales[g] = scale_of(scales[g]);
        for (int64_t r = t * VG_QUANT_GROUP; r < last; r++)
            for (int64_t c = 0; c < a->k; c++)
                a->codes[r * a->k + c] =
                    vg_f32_to_e4m3(a->w[r * a->k + c] / scales[c / VG_QUANT_GROUP]);
    }
}

bool vg_export_quantise(vg_threads *pool, float *w, int64_t n, int64_t k, vg_precision precision,
                        bool compat, float *scales, uint8_t *codes)
{
    work a = {.w = w,
              .n = n,
              .k = k,
              .groups = vg_quant_groups(k),
              .block = precision == VG_PRECISION_BLOCK,
              .compat = compat,
              .scales = scales,
              .codes = codes};
    vg_parallel_for(pool, n, 16, look_at_rows, &a);
    if (atomic_load(&a.bad))
        return false;
    if (a.block) {
        vg_parallel_for(pool, vg_quant_groups(n), 1, code_tiles, &a);
        return true;
    }
    scales[0] = scale_of(vg_f32_from_bits(atomic_load(&a.amax)));
    vg_parallel_for(pool, n, 16, code_rows, &a);
    return true;
}
