// quantize_weight.cu: weights to E4M3 with one scale or one per 128x128 block, while a checkpoint is loaded.
// Source: modelopt-fp8 3.4, 3.6.
#include "kernels/cuda/cuda.cuh"

// The bits of floats >= 0 order as integers, infinity above numbers and NaN above infinity, so one maximum finds all three.
static __device__ __forceinline__ unsigned magnitude(float v)
{
    return __float_as_uint(v) & 0x7fffffffu;
}

static __device__ __forceinline__ float scale_of(unsigned bits)
{
    if (bits >= 0x7f800000u)
        return __uint_as_float(0x7fc00000u);
    return bits ? __fdiv_rn(__uint_as_float(bits), VG_E4M3_MAX) : 1.0f;
}

static __device__ __forceinline__ unsigned warp_max(unsigned v)
{
    for (int offset = 16; offset; offset /= 2)
        v = max(v, __shfl_xor_sync(0xffffffffu, v, offset));
    return v;
}

/* largest    Bytes  n*k*size(w)   -> memory-bound
 * *bits = bits of the largest |w|, by atomicMax: in any order with one result. *bits must be 0 before. */
template <int N, typename W>
static __global__ void largest(const W *w, int64_t packs, unsigned *bits)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    unsigned most = 0;
    float v[N];

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < packs; i += step) {
        vg_load<N>(w + i * N, v);
#pragma unroll
        for (int j = 0; j < N; j++)
            most = max(most, magnitude(v[j]));
    }
    most = warp_max(most);
    if (threadIdx.x % 32 == 0)
        atomicMax(bits, most);
}

static __global__ void finish_scale(float *scale)
{
    *scale = scale_of(__float_as_uint(*scale));
}

/* by_tensor    Bytes  n*k*(size(w) + 1)   -> memory-bound
 * Numerics q = w / scale by division, as the CPU does; equal bit for bit where the scale is a number */
template <int N, typename W>
static __global__ void by_tensor(const W *w, __nv_fp8_e4m3 *q, int64_t packs, const float *scale)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    float v[N], s = *scale;

    if (i >= packs)
        return;
    vg_load<N>(w + i * N, v);
#pragma unroll
    for (int j = 0; j < N; j++)
        v[j] = __fdiv_rn(v[j], s);
    vg_store<N>(q + i * N, v);
}

/* by_block    Bytes  n*k*(size(w) + 1), the second reading of a block from L2   -> memory-bound
 * Launch   256 threads per 128x128 block, 16 threads a row in packs of 8 (8 rounds); element-wise (N = 1) for odd rows and addresses
 * Numerics as by_tensor */
template <int N, typename W>
static __global__ void by_block(const W *w, __nv_fp8_e4m3 *q, float *scales, int64_t n, int64_t k)
{
    constexpr int across = VG_QUANT_GROUP / N, down = 256 / across;
    int64_t column = (int64_t)blockIdx.x * VG_QUANT_GROUP + threadIdx.x % across * N,
            first = (int64_t)blockIdx.y * VG_QUANT_GROUP;
    __shared__ unsigned shared;
    unsigned most = 0;
    float v[N];

    if (threadIdx.x == 0)
        shared = 0;
    __syncthreads();
    for (int64_t row = first + threadIdx.x / across; row < first + VG_QUANT_GROUP; row += down)
        if (row < n && column < k) {
            vg_load<N>(w + row * k + column, v);
#pragma unroll
            for (int j = 0; j < N; j++)
                most = max(most, magnitude(v[j]));
        }
    most = warp_max(most);
    if (threadIdx.x % 32 == 0)
        atomicMax(&shared, most);
    __syncthreads();
    float scale = scale_of(shared);
    if (threadIdx.x == 0)
        scales[(int64_t)blockIdx.y * gridDim.x + blockIdx.x] = scale;
    for (int64_t row = first + threadIdx.x / across; row < first + VG_QUANT_GROUP; row += down)
        if (row < n && column < k) {
            vg_load<N>(w + row * k + column, v);
#pragma unroll
            for (int j = 0; j < N; j++)
                v[j] = __fdiv_rn(v[j], scale);
            vg_store<N>(q + row * k + column, v);
        }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

template <typename W>
static vg_status quantize_tensor(vg_backend *be, const vg_quantize_weight_args *a, vg_err *err)
{
    const W *w = static_cast<const W *>(a->w->data);
    __nv_fp8_e4m3 *q = static_cast<__nv_fp8_e4m3 *>(a->q->data);
    float *scale = static_cast<float *>(a->scale->data);
    int64_t n = vg_tensor_numel(a->w), packs = vg_cuda_packs(8, w, q) ? n / 8 : 0, done = packs * 8,
            rest = n - done;
    int64_t most = vg_cuda(be)->sm_count * 8, blocks = (packs + 255) / 256,
            rest_blocks = (rest + 255) / 256;

    VG_CUDA_TRY(cudaMemsetAsync(scale, 0, sizeof *scale, vg_cuda(be)->stream), err);
    unsigned *bits = reinterpret_cast<unsigned *>(scale);
    if (packs)
        VG_CUDA_LAUNCH(be, err, (largest<8, W>), (unsigned)(blocks < most ? blocks : most), 256, 0,
                       w, packs, bits);
    if (rest)
        VG_CUDA_LAUNCH(be, err, (largest<1, W>),
                       (unsigned)(rest_blocks < most ? rest_blocks : most), 256, 0, w + done, rest,
                       bits);
    VG_CUDA_LAUNCH(be, err, finish_scale, 1, 1, 0, scale);
    if (packs)
        VG_CUDA_LAUNCH(be, err, (by_tensor<8, W>), (unsigned)blocks, 256, 0, w, q, packs, scale);
    if (rest)
        VG_CUDA_LAUNCH(be, err, (by_tensor<1, W>), (unsigned)rest_blocks, 256, 0, w + done,
                       q + done, rest, scale);
    return VG_OK;
}

template <typename W>
static vg_status quantize_blocks(vg_backend *be, const vg_quantize_weight_args *a, vg_err *err)
{
    const W *w = static_cast<const W *>(a->w->data);
    __nv_fp8_e4m3 *q = static_cast<__nv_fp8_e4m3 *>(a->q->data);
    float *scales = static_cast<float *>(a->scale->data);
    int64_t n = a->w->shape[0], k = a->w->shape[1];
    dim3 grid((unsigned)a->scale->shape[1], (unsigned)a->scale->shape[0]);

    if (vg_cuda_packs(k, w, q))
        VG_CUDA_LAUNCH(be, err, (by_block<8, W>), grid, 256, 0, w, q, scales, n, k);
    else
        VG_CUDA_LAUNCH(be, err, (by_block<1, W>), grid, 256, 0, w, q, scales, n, k);
    return VG_OK;
}

vg_status vg_cuda_quantize_weight(vg_backend *be, const vg_quantize_weight_args *a, vg_err *err)
{
    bool blocks = a->scale->ndim == 2;

    VG_TRY(vg_cuda_enter(be, err));
    switch (a->w->dtype) {
    case VG_F32:
        return blocks ? quantize_blocks<float>(be, a, err) : quantize_tensor<float>(be, a, err);
    case VG_BF16:
        return blocks ? quantize_blocks<__nv_bfloat16>(be, a, err)
                      : quantize_tensor<__nv_bfloat16>(be, a, err);
    default:
        return blocks ? quantize_blocks<__half>(be, a, err) : quantize_tensor<__half>(be, a, err);
    }
}
