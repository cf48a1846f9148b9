// quantize.cu: activations to E4M3, per tensor (times the reciprocal of the scale) or per 1x128 group (divided by it).
// Source: modelopt-fp8 6.5, 6.6.
#include "kernels/cuda/cuda.cuh"

// 16 values as 16 bytes by the paired hardware conversion: to nearest even, saturating at 448. A NaN loses its sign.
static __device__ __forceinline__ void store_e4m3(__nv_fp8_e4m3 *to, const float (&v)[16])
{
    alignas(16) __nv_fp8x2_storage_t pairs[8];
#pragma unroll
    for (int i = 0; i < 8; i++)
        pairs[i] = __nv_cvt_float2_to_fp8x2(make_float2(v[2 * i], v[2 * i + 1]), __NV_SATFINITE, __NV_E4M3);
    *reinterpret_cast<uint4 *>(to) = *reinterpret_cast<const uint4 *>(pairs);
}
static __device__ __forceinline__ void store_e4m3(__nv_fp8_e4m3 *to, const float (&v)[8])
{
    alignas(8) __nv_fp8x2_storage_t pairs[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        pairs[i] = __nv_cvt_float2_to_fp8x2(make_float2(v[2 * i], v[2 * i + 1]), __NV_SATFINITE, __NV_E4M3);
    *reinterpret_cast<uint2 *>(to) = *reinterpret_cast<const uint2 *>(pairs);
}
static __device__ __forceinline__ void store_e4m3(__nv_fp8_e4m3 *to, const float (&v)[1])
{
    to->__x = __nv_cvt_float_to_fp8(v[0], __NV_SATFINITE, __NV_E4M3);
}

/* largest    Bytes  n*size(x)   -> memory-bound
 * *bits = bits of the largest |x|; the bits of floats >= 0 sort like integers, so atomicMax does it, in any order with one result.
 * NaN is passed over: it becomes the E4M3 NaN whatever the scale. *bits must be 0 before. */
template <int N, typename X> static __global__ void largest(const X *x, int64_t packs, unsigned *bits)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    float most = 0.0f, v[N];

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < packs; i += step) {
        vg_load<N>(x + i * N, v);
#pragma unroll
        for (int j = 0; j < N; j++)
            most = fmaxf(most, fabsf(v[j]));
    }
    for (int offset = 16; offset; offset /= 2)
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, offset));
    if (threadIdx.x % 32 == 0)
        atomicMax(bits, __float_as_uint(most));
}

/* by_tensor    Bytes  n*(size(x) + 1), each once   -> memory-bound
 * Measured NVIDIA H100 80GB HBM3 (3.35 TB/s), 75600x5120 BF16, 2026-11: static 382 us, 3.04 TB/s = 91 %; dynamic, both passes, 635 us,
 *          3.05 TB/s = 91 %
 * Launch   256 threads, 16 elements each (one store of 16 bytes); element-wise for the tail and odd addresses
 * Numerics bits != NULL: scale = amax / 448 (1 if amax is 0), written to scale_out by the first thread; else *scale_in is used.
 *          Equal to the CPU bit for bit, but for the sign of a NaN */
template <int N, typename X>
static __global__ void by_tensor(const X *x, __nv_fp8_e4m3 *q, int64_t packs, const unsigned *bits, const float *scale_in, float *scale_out)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    float v[N], scale, reciprocal;

    if (bits) {
        float most = __uint_as_float(*bits);
        scale = most > 0.0f ? most / VG_E4M3_MAX : 1.0f;
        if (i == 0 && scale_out)
            *scale_out = scale;
    } else
        scale = *scale_in;
    reciprocal = 1.0f / scale;
    if (i >= packs)
        return;
    vg_load<N>(x + i * N, v);
#pragma unroll
    for (int j = 0; j < N; j++)
        v[j] *= reciprocal;
    store_e4m3(q + i * N, v);
}

/* by_group    Bytes  n*(size(x) + 1) + 4*n/128, x once   -> memory-bound
 * Measured NVIDIA H100 80GB HBM3 (3.35 TB/s), 75600x5120 BF16, 2026-11: 433 us, 2.68 TB/s = 80 %
 * Launch   half a warp per (row, group), 8 elements per thread; element-wise (N = 1, 8 times) for odd rows and addresses
 * Numerics scale = max(amax, 1e-10) / 448, q = x / scale, both by division as the CPU does; equal bit for bit */
template <int N, typename X>
static __global__ void by_group(const X *x, __nv_fp8_e4m3 *q, float *scales, int64_t rows, int64_t k, int64_t groups)
{
    int64_t task = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 16, row = task / groups, group = task % groups;
    int lane = threadIdx.x % 16;
    float v[8], most = 0.0f, scale;
    bool work = row < rows;

#pragma unroll
    for (int j = 0; j < 8; j += N) {
        int64_t column = group * VG_QUANT_GROUP + (N == 8 ? lane * 8 : j * 16 + lane);
        float part[N];
        if (work && column < k)
            vg_load<N>(x + row * k + column, part);
        else
#pragma unroll
            for (int e = 0; e < N; e++)
                part[e] = 0.0f;
#pragma unroll
        for (int e = 0; e < N; e++) {
            v[j + e] = part[e];
            most = fmaxf(most, fabsf(part[e]));
        }
    }
    for (int offset = 8; offset; offset /= 2)
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, offset));
    scale = (most > VG_QUANT_AMAX_MIN ? most : VG_QUANT_AMAX_MIN) / VG_E4M3_MAX;
    if (!work)
        return;
    if (lane == 0)
        scales[group * rows + row] = scale;
#pragma unroll
    for (int j = 0; j < 8; j += N) {
        int64_t column = group * VG_QUANT_GROUP + (N == 8 ? lane * 8 : j * 16 + lane);
        float part[N];
#pragma unroll
        for (int e = 0; e < N; e++)
            part[e] = v[j + e] / scale;
        if (column < k)
            store_e4m3(q + row * k + column, part);
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

template <typename X> static vg_status quantize_tensor(vg_backend *be, const vg_quantize_args *a, vg_err *err)
{
    const X *x = static_cast<const X *>(a->x->data);
    __nv_fp8_e4m3 *q = static_cast<__nv_fp8_e4m3 *>(a->q->data);
    float *scale = static_cast<float *>(a->scale->data);
    int64_t n = vg_tensor_numel(a->x), packs = vg_cuda_packs(8, x, q) ? n / 16 : 0, done = packs * 16, rest = n - done;
    unsigned *bits = nullptr;

    if (a->kind == VG_QUANT_TENSOR_DYNAMIC) {
        int64_t most = vg_cuda(be)->sm_count * 8, blocks = (packs + 255) / 256;
        VG_TRY(vg_cuda_scratch(be, 256, (void **)&bits, err));
        VG_CUDA_TRY(cudaMemsetAsync(bits, 0, sizeof *bits, vg_cuda(be)->stream), err);
        if (packs)
            VG_CUDA_LAUNCH(be, err, (largest<16, X>), (unsigned)(blocks < most ? blocks : most), 256, 0, x, packs, bits);
        if (rest)
            VG_CUDA_LAUNCH(be, err, (largest<1, X>), (unsigned)((rest + 255) / 256 < most ? (rest + 255) / 256 : most), 256, 0, x + done, rest, bits);
    }
    if (packs)
        VG_CUDA_LAUNCH(be, err, (by_tensor<16, X>), (unsigned)((packs + 255) / 256), 256, 0, x, q, packs, bits, scale, bits ? scale : nullptr);
    if (rest)
        VG_CUDA_LAUNCH(be, err, (by_tensor<1, X>), (unsigned)((rest + 255) / 256), 256, 0, x + done, q + done, rest, bits, scale,
                       bits && !packs ? scale : nullptr);
    return VG_OK;
}

template <typename X> static vg_status quantize_groups(vg_backend *be, const vg_quantize_args *a, vg_err *err)
{
    const X *x = static_cast<const X *>(a->x->data);
    __nv_fp8_e4m3 *q = static_cast<__nv_fp8_e4m3 *>(a->q->data);
    int64_t rows = a->x->shape[0], k = a->x->shape[1], groups = a->scale->shape[0];
    unsigned blocks = (unsigned)((rows * groups + 15) / 16);
    float *scales = static_cast<float *>(a->scale->data);

    if (vg_cuda_packs(k, x, q))
        VG_CUDA_LAUNCH(be, err, (by_group<8, X>), blocks, 256, 0, x, q, scales, rows, k, groups);
    else
        VG_CUDA_LAUNCH(be, err, (by_group<1, X>), blocks, 256, 0, x, q, scales, rows, k, groups);
    return VG_OK;
}

vg_status vg_cuda_quantize(vg_backend *be, const vg_quantize_args *a, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, X, {
        return a->kind == VG_QUANT_GROUP_DYNAMIC ? quantize_groups<X>(be, a, err) : quantize_tensor<X>(be, a, err);
    });
}
