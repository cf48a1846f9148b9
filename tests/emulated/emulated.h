// emulated.h: CUDA for one CPU thread, to run kernels of kernels/cuda/ in the tests of machines without a GPU, where a sanitizer can watch
// them. Included before the kernels' sources, which then are C++; stands in for kernels/cuda/ptx.cuh.
//
// The threads of a block are contexts that take turns (emulated.cpp): a barrier or a shuffle gives way until all have come. So there are no
// races to be found here, and no speed to be measured; tensor cores, bulk copies and inline PTX have no counterpart. Rounding is the GPU's but
// for contraction (a * b + c is two roundings here) and approximate functions (exact here; the approximate reciprocal is one unit off).
#ifndef VG_TESTS_EMULATED_EMULATED_H
#define VG_TESTS_EMULATED_EMULATED_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <cuda_runtime.h>
#include <functional>

#define VG_KERNELS_CUDA_PTX_CUH

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __forceinline__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __shared__      static
#define __forceinline__ inline
#define __launch_bounds__(...)

struct emulated_thread {
    uint3 in_block, block_at;
    dim3 block_size, grid_size;
    int index; // in its block
};
extern emulated_thread *emulated_now; // whose turn it is
extern unsigned char emulated_shared[];

#define threadIdx (emulated_now->in_block)
#define blockIdx  (emulated_now->block_at)
#define blockDim  (emulated_now->block_size)
#define gridDim   (emulated_now->grid_size)

// Run `thread` in every thread of every block; shared: bytes of dynamic shared memory, filled with rubbish before each block.
void emulated_launch(dim3 grid, dim3 block, size_t shared, const std::function<void()> &thread);
void emulated_barrier();
// What the thread of lane `from` of the own warp gives in `value`, into *result. All lanes take part.
void emulated_shuffle(const void *value, void *result, int from, size_t size);

#define VG_CUDA_START(kernel, grid, block, shared, stream, ...)                                    \
    ((void)(stream), emulated_launch((grid), (block), (shared), [=]() { kernel(__VA_ARGS__); }))
#define VG_CUDA_SHARED(T, name) T *const name = reinterpret_cast<T *>(emulated_shared)

template <typename F> inline cudaError_t cudaFuncSetAttribute(F *, cudaFuncAttribute, int)
{
    return cudaSuccess;
}

inline void __syncthreads()
{
    emulated_barrier();
}
inline void __syncwarp() // nothing else has run meanwhile
{
}
template <typename T> inline T __shfl_sync(unsigned, T value, int lane)
{
    T result;
    emulated_shuffle(&value, &result, lane, sizeof value);
    return result;
}
template <typename T> inline T __shfl_xor_sync(unsigned mask, T value, int lanes)
{
    return __shfl_sync(mask, value, emulated_now->index % 32 ^ lanes);
}
template <typename T> inline T __ldg(const T *from)
{
    return *from;
}
inline unsigned atomicMax(unsigned *at, unsigned value)
{
    unsigned before = *at;
    *at = value > before ? value : before;
    return before;
}
inline unsigned long long atomicAdd(unsigned long long *at, unsigned long long value)
{
    unsigned long long before = *at;
    *at = before + value;
    return before;
}

inline unsigned __float_as_uint(float v)
{
    unsigned bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}
inline float __uint_as_float(unsigned bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}
// Compiled with -ffp-contract=off.
inline float __fadd_rn(float a, float b)
{
    return a + b;
}
inline float __fsub_rn(float a, float b)
{
    return a - b;
}
inline float __fmul_rn(float a, float b)
{
    return a * b;
}
inline float __fdiv_rn(float a, float b)
{
    return a / b;
}
inline float __frcp_rn(float a)
{
    return 1.0f / a;
}
inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
inline float __fdividef(float a, float b)
{
    return fabsf(b) > 0x1p126f && !std::isinf(b) ? 0.0f : a / b;
}
inline float __expf(float v)
{
    return expf(v);
}
using std::max;
using std::min;

inline uint4 vg_load_once(const void *from)
{
    return *static_cast<const uint4 *>(from);
}
inline void vg_fetch_shared(void *to, const void *from)
{
    memcpy(to, from, 16);
}
inline void vg_fetched_shared() {}
inline float vg_near_reciprocal(float x)
{
    return std::isinf(x) ? 0.0f : nextafterf(1.0f / x, INFINITY);
}
inline float vg_exp2(float x)
{
    return exp2f(x);
}

#endif
