// cuda.cuh: what the files of the CUDA backend share: the backend, error checking, 8-element packs, reductions.
// Private to kernels/cuda/.
#ifndef VG_KERNELS_CUDA_CUDA_CUH
#define VG_KERNELS_CUDA_CUDA_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include "kernels/backend/backend.h"
#include "kernels/cuda/ptx.cuh"

struct vg_cuda_blas; // blas.cu: the cuBLASLt library, opened at first use

struct vg_cuda_backend {
    vg_backend base;
    int device;
    int capability; // 90 for sm_90
    int sm_count;
    int shared_limit; // bytes of shared memory a block may ask for
    char name[128];
    cudaStream_t stream;      // VG_QUEUE_COMPUTE
    cudaStream_t copy_stream; // VG_QUEUE_COPY
    vg_cuda_blas *blas;
    struct {
        void *memory;
        size_t bytes;
    } scratch
        [2]; // of one operation at a time, and of one made of others; grown on demand, kept until the stage ends
    int64_t plain_products; // products that went the slow way through F32 copies, see linear.cu
};

static inline vg_cuda_backend *vg_cuda(vg_backend *be)
{
    return reinterpret_cast<vg_cuda_backend *>(be);
}

// Every CUDA call goes through this: VG_E_DEVICE with the call, its error and its place.
#define VG_CUDA_TRY(call, err)                                                                     \
    do {                                                                                           \
        cudaError_t cuda_status_ = (call);                                                         \
        if (cuda_status_ != cudaSuccess)                                                           \
            return VG_FAIL((err), VG_E_DEVICE, "CUDA: %s: %s", #call,                              \
                           cudaGetErrorString(cuda_status_));                                      \
    } while (0)

// kernel<<<grid, block, shared, the backend's stream>>>(args...), with its launch checked; after vg_cuda_enter.
#define VG_CUDA_LAUNCH(be, err, kernel, grid, block, shared, ...)                                  \
    do {                                                                                           \
        VG_CUDA_START(kernel, grid, block, shared, vg_cuda(be)->stream, __VA_ARGS__);              \
        cudaError_t launch_status_ = cudaGetLastError();                                           \
        if (launch_status_ != cudaSuccess)                                                         \
            return VG_FAIL((err), VG_E_DEVICE, "CUDA: launch of %s: %s", #kernel,                  \
                           cudaGetErrorString(launch_status_));                                    \
    } while (0)

// First line of every entry: the calling thread works on this backend's device from here on.
static inline vg_status vg_cuda_enter(vg_backend *be, vg_err *err)
{
    VG_CUDA_TRY(cudaSetDevice(vg_cuda(be)->device), err);
    return VG_OK;
}

void vg_cuda_blas_close(vg_cuda_blas *blas);
void vg_cuda_blas_version(const vg_cuda_blas *blas, char *text,
                          size_t size); // "cuBLASLt 13.1.0"; "" before its first product
vg_status vg_cuda_library_product(vg_backend *be, const vg_linear_args *args,
                                  vg_err *err); // see vg_backend_ops

// Device memory for temporaries of the operation that asks, 256-byte aligned. The next operation on the stream may overwrite
// it, so an operation asks once. Counted in bytes_now, and part of a stage's plan. Errors: VG_E_NOMEM.
vg_status vg_cuda_scratch(vg_backend *be, size_t bytes, void **memory, vg_err *err);

// The same, apart from it: for an operation that is made of others, which have their own temporaries.
vg_status vg_cuda_outer_scratch(vg_backend *be, size_t bytes, void **memory, vg_err *err);

// A result that is wanted as codes only still needs a place for its values [rows,dim] where no kernel makes codes at once: *y becomes `made`,
// in outer scratch memory, if it is NULL. Then vg_cuda_quantize_result makes the codes (nothing for kind NONE).
vg_status vg_cuda_values(vg_backend *be, vg_tensor **y, vg_tensor *made, vg_dtype dtype,
                         int64_t rows, int64_t dim, vg_err *err);
vg_status vg_cuda_quantize_result(vg_backend *be, const vg_tensor *y, const vg_quant_out *quant,
                                  vg_err *err);

// ---- scalars: the conversions of kernels/base/numeric.h by hardware ------------------------------------------------------

static __device__ __forceinline__ float vg_to_float(float v)
{
    return v;
}
static __device__ __forceinline__ float vg_to_float(__nv_bfloat16 v)
{
    return __bfloat162float(v);
}
static __device__ __forceinline__ float vg_to_float(__half v)
{
    return __half2float(v);
}
static __device__ __forceinline__ float vg_to_float(__nv_fp8_e4m3 v)
{
    return float(v);
}

template <typename T> static __device__ __forceinline__ T vg_from_float(float v);
template <> __device__ __forceinline__ float vg_from_float<float>(float v)
{
    return v;
}
template <> __device__ __forceinline__ __nv_bfloat16 vg_from_float<__nv_bfloat16>(float v)
{
    return __float2bfloat16_rn(v);
}
template <> __device__ __forceinline__ __nv_fp8_e4m3 vg_from_float<__nv_fp8_e4m3>(float v)
{
    __nv_fp8_e4m3 q;
    // Saturating, infinities too. The hardware's NaN has no sign; the CPU's keeps it.
    q.__x = v == v ? __nv_cvt_float_to_fp8(v, __NV_SATFINITE, __NV_E4M3)
                   : static_cast<unsigned char>(0x7fu | (__float_as_uint(v) >> 24 & 0x80u));
    return q;
}

// The value a store in T and a load would give.
template <typename T> static __device__ __forceinline__ float vg_rounded(float v)
{
    return vg_to_float(vg_from_float<T>(v));
}

// ---- packs: N consecutive elements; 8 are one 16-byte access for 16-bit types, two for floats, one of 8 bytes for E4M3 -----

template <typename T, int N> struct alignas(sizeof(T) * N >= 16 ? 16 : sizeof(T) * N) vg_pack {
    T v[N];
};

template <int N, typename T>
static __device__ __forceinline__ void vg_load(const T *from, float (&to)[N])
{
    vg_pack<T, N> pack = *reinterpret_cast<const vg_pack<T, N> *>(from);
#pragma unroll
    for (int i = 0; i < N; i++)
        to[i] = vg_to_float(pack.v[i]);
}

// N values as T. BF16 by pairs: the conversion of one is an eighth as fast, on the unit that also does exponentials and reciprocals.
template <typename T, int N>
static __device__ __forceinline__ vg_pack<T, N> vg_packed_as(const float (&v)[N])
{
    vg_pack<T, N> pack;
    if constexpr (sizeof(T) == sizeof(__nv_bfloat16) && N % 2 == 0) {
        __nv_bfloat162 *pairs = reinterpret_cast<__nv_bfloat162 *>(&pack);
#pragma unroll
        for (int i = 0; i < N / 2; i++)
            pairs[i] = __floats2bfloat162_rn(v[2 * i], v[2 * i + 1]);
    } else {
#pragma unroll
        for (int i = 0; i < N; i++)
            pack.v[i] = vg_from_float<T>(v[i]);
    }
    return pack;
}

template <int N, typename T>
static __device__ __forceinline__ void vg_store(T *to, const float (&from)[N])
{
    *reinterpret_cast<vg_pack<T, N> *>(to) = vg_packed_as<T, N>(from);
}

// The values a store in T and a load would give.
template <typename T, int N> static __device__ __forceinline__ void vg_round_all(float (&v)[N])
{
    vg_pack<T, N> pack = vg_packed_as<T, N>(v);
#pragma unroll
    for (int i = 0; i < N; i++)
        v[i] = vg_to_float(pack.v[i]);
}

// May rows of this many elements at these addresses be read in packs of 8? Views can begin anywhere.
static inline bool vg_cuda_packs(int64_t row, const void *a, const void *b = nullptr,
                                 const void *c = nullptr)
{
    uintptr_t bits = reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b) |
                     reinterpret_cast<uintptr_t>(c);
    return row % 8 == 0 && bits % 16 == 0;
}

// Sum over a block of up to 1024 threads; every thread gets it. The order is fixed, so results repeat bit for bit.
static __device__ __forceinline__ float vg_block_sum(float v)
{
    __shared__ float warps[32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, count = (blockDim.x + 31) / 32;

    for (int offset = 16; offset; offset /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, offset);
    if (count == 1)
        return v;
    __syncthreads(); // the previous sum has been read
    if (lane == 0)
        warps[warp] = v;
    __syncthreads();
    v = lane < count ? warps[lane] : 0.0f;
    for (int offset = 16; offset; offset /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, offset);
    return v;
}

// Run BODY with T as the C++ type of an act dtype (F32 or BF16; checked before).
#define VG_CUDA_ACT(dtype, T, ...)                                                                 \
    do {                                                                                           \
        if ((dtype) == VG_F32) {                                                                   \
            using T = float;                                                                       \
            __VA_ARGS__                                                                            \
        } else {                                                                                   \
            using T = __nv_bfloat16;                                                               \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

// The operations, one file each.
#define VG_OP(name, help)                                                                          \
    vg_status vg_cuda_##name(vg_backend *be, const vg_##name##_args *args, vg_err *err);
#include "kernels/op/ops.def"
#undef VG_OP

#endif
