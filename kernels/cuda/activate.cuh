// activate.cuh: the activation functions on the device. Private to kernels/cuda/.
#ifndef VG_KERNELS_CUDA_ACTIVATE_CUH
#define VG_KERNELS_CUDA_ACTIVATE_CUH

#include "kernels/cuda/cuda.cuh"

// v / (1 + e^-u); power = -u log2 e, in another order of operations. FAST: approximate exponential and division, within 2^-20 of the exact
// form; for results that are rounded to BF16.
template <bool FAST>
static __device__ __forceinline__ float vg_sigmoid_product(float v, float u, float power)
{
    // NOTE: divisors from 2^126 on give 0, as wanted: e^-u overflows only where the result vanishes.
    return FAST ? v * vg_near_reciprocal(1.0f + vg_exp2(power)) : v / (1.0f + expf(-u));
}

template <bool FAST> static __device__ __forceinline__ float vg_activate(vg_act act, float v)
{
    const float log2e = 1.4426950408889634f, a = 2.0f * 0.79788456080286536f, b = 0.044715f * a;

    switch (act) {
    case VG_ACT_SILU:
        return vg_sigmoid_product<FAST>(v, v, -log2e * v);
    case VG_ACT_GELU_TANH: // 0.5 (1 + tanh u) = 1 / (1 + e^-2u)
        return vg_sigmoid_product<FAST>(v, a * (v + 0.044715f * v * v * v),
                                        v * (-log2e * a + -log2e * b * (v * v)));
    case VG_ACT_GELU_ERF:
        return v * 0.5f * (1.0f + erff(v * 0.70710678118654752f));
    default:
        return v;
    }
}

#endif
