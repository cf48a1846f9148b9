// mma.cuh: names for the PTX of the tensor cores that every GPU since sm_80 has: ldmatrix, mma.sync, cp.async; and the
// swizzle of shared tiles that keeps ldmatrix free of bank conflicts. Source: PTX ISA, "Warp Level Matrix Instructions".
#ifndef VG_KERNELS_CUDA_MMA_CUH
#define VG_KERNELS_CUDA_MMA_CUH

#include <stdint.h>

namespace mma
{

__device__ __forceinline__ uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

// Byte offset of 16-byte chunk `chunk` of row `row` in a tile of COLUMNS 16-bit columns (32 or a multiple of 64): chunks of a
// 128-byte line are permuted by the line's number, so that 8 rows of one chunk column lie in 8 different bank groups.
template <int COLUMNS> __device__ __forceinline__ uint32_t swizzled(int row, int chunk)
{
    constexpr int chunks = COLUMNS / 8, rows_per_line = chunks >= 8 ? 1 : 8 / chunks,
                  mask = chunks >= 8 ? 7 : chunks - 1;
    return (uint32_t)((row * chunks + (chunk ^ (row / rows_per_line & mask))) * 16);
}

// 16 bytes, global to shared, without passing registers; zeros if !valid (then nothing is read).
__device__ __forceinline__ void copy_16(uint32_t to, const void *from, bool valid)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
                 "r"(valid ? 16 : 0)
                 : "memory");
}

__device__ __forceinline__ void copy_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int PENDING> __device__ __forceinline__ void copy_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// Four 8x8 matrices of 16-bit values; lanes 8i..8i+7 give the rows of matrix i.
__device__ __forceinline__ void load_4(uint32_t (&r)[4], uint32_t row_address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row_address)
                 : "memory");
}

__device__ __forceinline__ void load_4_transposed(uint32_t (&r)[4], uint32_t row_address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row_address)
                 : "memory");
}

// d[16x8] += a[16x16] b[16x8]
__device__ __forceinline__ void multiply_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                              uint32_t b1)
{
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ uint32_t pack_bf16(float low, float high)
{
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

__device__ __forceinline__ float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

} // namespace mma
#endif
