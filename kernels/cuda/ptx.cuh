// ptx.cuh: the launch and the few instructions that C++ has no words for, in one place, so that tests/emulated can give them others and run
// kernels on a CPU. Private to kernels/cuda/.
#ifndef VG_KERNELS_CUDA_PTX_CUH
#define VG_KERNELS_CUDA_PTX_CUH

#include <cuda_runtime.h>

#define VG_CUDA_START(kernel, grid, block, shared, stream, ...)                                    \
    kernel<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__)

// The shared memory whose size the launch says.
#define VG_CUDA_SHARED(T, name) extern __shared__ T name[]

// 16 bytes that are read once: such data should not displace from L1 what every block needs.
static __device__ __forceinline__ uint4 vg_load_once(const void *from)
{
    uint4 v;
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(from)
                 : "memory");
    return v;
}

// 16 bytes to shared memory, on their way while the thread goes on; both addresses are multiples of 16.
static __device__ __forceinline__ void vg_fetch_shared(void *to, const void *from)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
                 :
                 : "r"((unsigned)__cvta_generic_to_shared(to)), "l"(from)
                 : "memory");
}
// What this thread has fetched is there, for this thread.
static __device__ __forceinline__ void vg_fetched_shared()
{
    asm volatile("cp.async.wait_all;" : : : "memory");
}

// 1 / x within one unit, by the special function unit; 0 for infinity.
static __device__ __forceinline__ float vg_near_reciprocal(float x)
{
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// 2^x by the special function unit, 2 ulp.
static __device__ __forceinline__ float vg_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#endif
