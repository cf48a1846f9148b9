/* quant.c: see quant.h. Work is split by rows, so results do not depend on the number of threads. */
#include "engine/quant.h"

#include "kernels/numeric.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

vg_status vg_host_to_f32(const vg_tensor *t, int64_t begin, int64_t count, float *out, vg_err *err)
{
    const uint8_t *bytes = (const uint8_t *)t->data + (size_t)begin * vg_dtype_size(t->dtype);
    switch (t->dtype) {
    case VG_F32:
        memcpy(out, bytes, (size_t)count * 4);
        return VG_OK;
    case VG_BF16:
    case VG_F16:
        for (int64_t i = 0; i < count; i++) {
            uint16_t h;
            memcpy(&h, bytes + 2 * i, 2);
            out[i] = t->dtype == VG_BF16 ? vg_bf16_to_f32(h) : vg_f16_to_f32(h);
        }
        return VG_OK;
    case VG_E4M3:
        for (int64_t i = 0; i < count; i++)
            out[i] = vg_e4m3_to_f32(bytes[i]);
        return VG_OK;
    default:
        return VG_FAIL(err, VG_E_DTYPE, "%s values cannot be used as weights",
                       vg_dtype_name(t->dtype));
    }
}

typedef struct quant_job {
    const vg_tensor *w;
    bool block;
    uint8_t *q;
    float *scales;
    _Atomic uint32_t amax; /* FP32 bits; non-negative floats order as unsigned integers */
    atomic_int bad, nomem;
} quant_job;

static float amax_of(const float *x, int64_t count)
{
    float m = 0;
    for (int64_t i = 0; i < count; i++) {
        float a = fabsf(x[i]);
        if (!(a <= m)) /* keeps NaN */
            m = a;
    }
    return m;
}

static void amax_rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    quant_job *job = ctx;
    int64_t k = job->w->shape[1];
    float *row = malloc((size_t)k * sizeof *row);
    if (!row) {
        atomic_store(&job->nomem, 1);
        return;
    }
    float m = 0;
    for (int64_t r = begin; r < end; r++) {
        vg_host_to_f32(job->w, r * k, k, row, NULL);
        float a = amax_of(row, k);
        if (!isfinite(a))
            atomic_store(&job->bad, 1);
        else if (a > m)
            m = a;
    }
    uint32_t bits = vg_f32_bits(m), seen = atomic_load(&job->amax);
    while (bits > seen && !atomic_compare_exchange_weak(&job->amax, &seen, bits))
        ;
    free(row);
}

static float scale_of(float amax)
{
    return amax > 0 ? amax / VG_E4M3_MAX : 1.0f;
}

static void quantise_rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    quant_job *job = ctx;
    int64_t k = job->w->shape[1];
    float *row = malloc((size_t)k * sizeof *row);
    if (!row) {
        atomic_store(&job->nomem, 1);
        return;
    }
    float scale = job->scales[0];
    for (int64_t r = begin; r < end; r++) {
        vg_host_to_f32(job->w, r * k, k, row, NULL);
        for (int64_t c = 0; c < k; c++)
            job->q[r * k + c] = vg_f32_to_e4m3(row[c] / scale);
    }
    free(row);
}

/* One row of blocks: 128 weight rows by all columns. */
static void quantise_block_rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    quant_job *job = ctx;
    int64_t n = job->w->shape[0], k = job->w->shape[1],
            kb = (k + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
    float *rows = malloc((size_t)(VG_QUANT_GROUP * k) * sizeof *rows);
    if (!rows) {
        atomic_store(&job->nomem, 1);
        return;
    }
    for (int64_t b = begin; b < end; b++) {
        int64_t r0 = b * VG_QUANT_GROUP, count = n - r0 < VG_QUANT_GROUP ? n - r0 : VG_QUANT_GROUP;
        vg_host_to_f32(job->w, r0 * k, count * k, rows, NULL);
        for (int64_t j = 0; j < kb; j++) {
            int64_t c0 = j * VG_QUANT_GROUP,
                    width = k - c0 < VG_QUANT_GROUP ? k - c0 : VG_QUANT_GROUP;
            float m = 0;
            for (int64_t r = 0; r < count; r++) {
                float a = amax_of(rows + r * k + c0, width);
                if (!(a <= m))
                    m = a;
            }
            if (!isfinite(m)) {
                atomic_store(&job->bad, 1);
                m = 0;
            }
            float scale = scale_of(m);
            job->scales[b * kb + j] = scale;
            for (int64_t r = 0; r < count; r++)
                for (int64_t c = c0; c < c0 + width; c++)
                    job->q[(r0 + r) * k + c] = vg_f32_to_e4m3(rows[r * k + c] / scale);
        }
    }
    free(rows);
}

vg_status vg_quantise_weight(vg_threads *pool, const vg_tensor *w, bool block, uint8_t *q,
                             float *scales, vg_err *err)
{
    if (w->ndim != 2 || (w->dtype != VG_F32 && w->dtype != VG_BF16 && w->dtype != VG_F16))
        return VG_FAIL(err, VG_E_DTYPE, "only F32, BF16 and F16 matrices can be made FP8");
    quant_job job = {.w = w, .block = block, .q = q, .scales = scales};
    if (block) {
        vg_parallel_for(pool, (w->shape[0] + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP, 1,
                        quantise_block_rows, &job);
    } else {
        vg_parallel_for(pool, w->shape[0], 64, amax_rows, &job);
        scales[0] = scale_of(vg_f32_from_bits(atomic_load(&job.amax)));
        vg_parallel_for(pool, w->shape[0], 64, quantise_rows, &job);
    }
    if (atomic_load(&job.nomem))
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a row of %lld weights",
                       (long long)w->shape[1]);
    if (atomic_load(&job.bad))
        return VG_FAIL(err, VG_E_FORMAT, "weights hold NaN or infinity");
    return VG_OK;
}

typedef struct dequant_job {
    const vg_tensor *q, *scale;
    vg_tensor *out;
} dequant_job;

static void dequantise_rows(void *ctx, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const dequant_job *job = ctx;
    int64_t k = job->q->shape[1], kb = (k + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP,
            count = vg_tensor_numel(job->scale);
    const uint8_t *q = job->q->data;
    const float *scale = job->scale->data;
    for (int64_t r = begin; r < end; r++)
        for (int64_t c = 0; c < k; c++) {
            float s = scale[0];
            if (job->scale->ndim == 2)
                s = scale[r / VG_QUANT_GROUP * kb + c / VG_QUANT_GROUP];
            else if (count > 1)
                s = scale[r];
            float v = vg_e4m3_to_f32(q[r * k + c]) * s;
            if (job->out->dtype == VG_F32)
                ((float *)job->out->data)[r * k + c] = v;
            else
                ((uint16_t *)job->out->data)[r * k + c] = vg_f32_to_bf16(v);
        }
}

vg_status vg_dequantise_weight(vg_threads *pool, const vg_tensor *q, const vg_tensor *scale,
                               vg_tensor *out, vg_err *err)
{
    if (q->dtype != VG_E4M3 || q->ndim != 2 || (out->dtype != VG_F32 && out->dtype != VG_BF16))
        return VG_FAIL(err, VG_E_DTYPE, "dequantisation goes from E4M3 to F32 or BF16");
    dequant_job job = {.q = q, .scale = scale, .out = out};
    vg_parallel_for(pool, q->shape[0], 64, dequantise_rows, &job);
    return VG_OK;
}
