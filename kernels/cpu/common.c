/* common.c: row conversions, vectorisable exponentials, fixed-order sums and the door to the BLAS. */
#include "kernels/cpu/cpu.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu/blas.h"
#include "kernels/cpu/math.h"
#include "kernels/base/numeric.h"

VG_CPU_BODY load_bf16_body(const uint16_t *from, int64_t n, float *to)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = vg_bf16_to_f32(from[i]);
}
VG_CPU_WIDE(load_bf16, (const uint16_t *from, int64_t n, float *to), (from, n, to))

VG_CPU_BODY store_bf16_body(uint16_t *to, int64_t n, const float *from)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = vg_f32_to_bf16(from[i]);
}
VG_CPU_WIDE(store_bf16, (uint16_t * to, int64_t n, const float *from), (to, n, from))

VG_CPU_BODY round_bf16_body(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = vg_round_bf16(x[i]);
}
VG_CPU_WIDE(round_bf16, (float *x, int64_t n), (x, n))

/* vg_e4m3_to_f32 without a branch. */
VG_CPU_BODY load_e4m3_body(const uint8_t *from, int64_t n, float *to)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t q = from[i], sign = (q & 0x80u) << 24, rest = q & 0x7fu;
        uint32_t value = vg_f32_bits(vg_f32_from_bits(rest << 20) * 0x1p120f);
        to[i] = vg_f32_from_bits(sign | (rest == 0x7fu ? 0x7fc00000u : value));
    }
}
VG_CPU_WIDE(load_e4m3, (const uint8_t *from, int64_t n, float *to), (from, n, to))

void vg_cpu_load(const vg_tensor *t, int64_t offset, int64_t n, float *to)
{
    const void *from = vg_cpu_at(t, offset);

    switch (t->dtype) {
    case VG_F32:
        memcpy(to, from, (size_t)n * sizeof(float));
        return;
    case VG_BF16:
        load_bf16(from, n, to);
        return;
    case VG_E4M3:
        load_e4m3(from, n, to);
        return;
    case VG_F16:
        for (int64_t i = 0; i < n; i++)
            to[i] = vg_f16_to_f32(((const uint16_t *)from)[i]);
        return;
    default:
        assert(!"vg_cpu_load: dtype was not checked");
    }
}

void vg_cpu_store(const vg_tensor *t, int64_t offset, int64_t n, const float *from)
{
    void *to = vg_cpu_at(t, offset);

    switch (t->dtype) {
    case VG_F32:
        if (to != (const void *)from)
            memcpy(to, from, (size_t)n * sizeof(float));
        return;
    case VG_BF16:
        store_bf16(to, n, from);
        return;
    case VG_E4M3:
        for (int64_t i = 0; i < n; i++)
            ((uint8_t *)to)[i] = vg_f32_to_e4m3(from[i]);
        return;
    default:
        assert(!"vg_cpu_store: dtype was not checked");
    }
}

void vg_cpu_round_to(vg_dtype dtype, float *x, int64_t n)
{
    if (dtype == VG_BF16)
        round_bf16(x, n);
}

VG_CPU_BODY silu_body(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = x[i] / (1.0f + vg_cpu_expf(-x[i]));
}
VG_CPU_WIDE(silu, (float *x, int64_t n), (x, n))

/* 0.5 (1 + tanh u) = 1 / (1 + e^-2u): without the cancellation for negative u, and one exponential. */
VG_CPU_BODY gelu_tanh_body(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float v = x[i], u = 0.79788456080286536f * (v + 0.044715f * v * v * v);
        x[i] = v / (1.0f + vg_cpu_expf(-2.0f * u));
    }
}
VG_CPU_WIDE(gelu_tanh, (float *x, int64_t n), (x, n))

VG_CPU_BODY exp_minus_body(float *x, int64_t n, float shift)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = vg_cpu_expf(x[i] - shift);
}
VG_CPU_WIDE(exp_minus, (float *x, int64_t n, float shift), (x, n, shift))

void vg_cpu_exp_minus(float *x, int64_t n, float shift)
{
    exp_minus(x, n, shift);
}

void vg_cpu_activate(vg_act act, float *x, int64_t n)
{
    switch (act) {
    case VG_ACT_SILU:
        silu(x, n);
        return;
    case VG_ACT_GELU_TANH:
        gelu_tanh(x, n);
        return;
    case VG_ACT_GELU_ERF:
        for (int64_t i = 0; i < n; i++)
            x[i] = x[i] * 0.5f * (1.0f + erff(x[i] * 0.70710678118654752f));
        return;
    case VG_ACT_NONE:
    case VG_ACT_COUNT:
        return;
    }
}

#define LANES 32

VG_CPU_BODY sum_lanes_body(const float *x, int64_t n, float *lanes)
{
    float s[LANES] = {0};

    for (int64_t i = 0; i < n; i += LANES)
        for (int j = 0; j < LANES; j++)
            s[j] += x[i + j];
    memcpy(lanes, s, sizeof s);
}
VG_CPU_WIDE(sum_lanes, (const float *x, int64_t n, float *lanes), (x, n, lanes))

VG_CPU_BODY square_lanes_body(const float *x, int64_t n, float mean, float *lanes)
{
    float s[LANES] = {0};

    for (int64_t i = 0; i < n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            float d = x[i + j] - mean;
            s[j] += d * d;
        }
    memcpy(lanes, s, sizeof s);
}
VG_CPU_WIDE(square_lanes, (const float *x, int64_t n, float mean, float *lanes),
            (x, n, mean, lanes))

static float add_lanes(float *lanes)
{
    for (int half = LANES / 2; half >= 1; half /= 2)
        for (int j = 0; j < half; j++)
            lanes[j] += lanes[j + half];
    return lanes[0];
}

float vg_cpu_sum(const float *x, int64_t n)
{
    float lanes[LANES];
    int64_t whole = n / LANES * LANES;

    sum_lanes(x, whole, lanes);
    for (int64_t i = whole; i < n; i++)
        lanes[i - whole] += x[i];
    return add_lanes(lanes);
}

float vg_cpu_sum_squares(const float *x, int64_t n, float mean)
{
    float lanes[LANES];
    int64_t whole = n / LANES * LANES;

    square_lanes(x, whole, mean, lanes);
    for (int64_t i = whole; i < n; i++) {
        float d = x[i] - mean;
        lanes[i - whole] += d * d;
    }
    return add_lanes(lanes);
}

void vg_cpu_gemm_nt(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
                    int64_t ldb, bool add, float *c, int64_t ldc)
{
    vg_blas.sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)k, 1.0f, a,
                  (int)lda, b, (int)ldb, add ? 1.0f : 0.0f, c, (int)ldc);
}

void vg_cpu_gemm_nn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
                    int64_t ldb, bool add, float *c, int64_t ldc)
{
    vg_blas.sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, (int)n, (int)k, 1.0f, a,
                  (int)lda, b, (int)ldb, add ? 1.0f : 0.0f, c, (int)ldc);
}

void vg_cpu_gemv(int64_t n, int64_t k, const float *b, int64_t ldb, const float *x, bool add,
                 float *y)
{
    vg_blas.sgemv(CblasRowMajor, CblasNoTrans, (int)n, (int)k, 1.0f, b, (int)ldb, x, 1,
                  add ? 1.0f : 0.0f, y, 1);
}

bool vg_cpu_has_avx2(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}
