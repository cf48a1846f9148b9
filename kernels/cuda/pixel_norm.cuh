// pixel_norm.cuh: the VAE's norm of a pixel, for channel_norm.cu and edge_norm.cu. Private to kernels/cuda/.
#ifndef VG_KERNELS_CUDA_PIXEL_NORM_CUH
#define VG_KERNELS_CUDA_PIXEL_NORM_CUH

#include "kernels/cuda/cuda.cuh"

// The steps of N values, but for the last rounding; fast: results in BF16.
template <typename Y, int N>
static __device__ __forceinline__ void vg_norm_finish(float (&v)[N], float length, float inverse,
                                                      float factor, const float (&gamma)[N],
                                                      bool silu)
{
    constexpr bool fast = sizeof(Y) == 2;

#pragma unroll
    for (int i = 0; i < N; i++)
        v[i] = fast ? v[i] * inverse : v[i] / length;
    vg_round_all<Y>(v);
#pragma unroll
    for (int i = 0; i < N; i++)
        v[i] *= factor;
    vg_round_all<Y>(v);
#pragma unroll
    for (int i = 0; i < N; i++)
        v[i] *= gamma[i];
    if (!silu)
        return;
    vg_round_all<Y>(v);
#pragma unroll
    for (int i = 0; i < N; i++)
        v[i] = fast ? __fdividef(v[i], 1.0f + __expf(-v[i])) : v[i] / (1.0f + expf(-v[i]));
}

// Sum over groups of LANES neighbouring threads, in fixed order.
template <int LANES> static __device__ __forceinline__ float vg_group_sum(float sum)
{
#pragma unroll
    for (int offset = LANES / 2; offset; offset /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    return sum;
}

#endif
