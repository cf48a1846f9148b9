/* math.h: an exponential that compilers can vectorise. Private to kernels/cpu/. */
#ifndef VG_KERNELS_CPU_MATH_H
#define VG_KERNELS_CPU_MATH_H

#include "kernels/base/numeric.h"

/* e^x. x = k ln 2 + r with |r| <= ln 2 / 2, e^r by a polynomial of degree 7, then two steps of scaling, so that subnormal
 * results are right too. At most 2 ulp from the exact value (checked over all floats of the range by test_op_activation);
 * overflow gives infinity, underflow 0, NaN stays NaN. No branch, no table, no fused multiply-add. */
static inline __attribute__((always_inline)) float vg_cpu_expf(float x)
{
    const float magic =
        0x1.8p23f; /* adding it rounds to an integer and leaves that in the low bits */
    float c = x > 89.0f ? 89.0f : x;
    float k, r, p;
    uint32_t bits;
    int32_t whole, half;

    c = c < -104.0f ? -104.0f : c;
    k = c * 0x1.715476p+0f + magic;
    bits = vg_f32_bits(k);
    k -= magic;
    r = c - k * 0x1.62e4p-1f - k * 0x1.7f7d1cp-20f;
    p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    /* k in -150..128 is split in two, each a normal power of two. */
    whole = (int32_t)(bits << 10) >> 10; /* the low 22 bits, sign extended */
    half = whole >> 1;
    return p * vg_f32_from_bits((uint32_t)(half + 127) << 23) *
           vg_f32_from_bits((uint32_t)(whole - half + 127) << 23);
}

#endif
