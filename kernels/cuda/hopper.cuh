// hopper.cuh: thin names for the PTX that only sm_90a has: mbarriers, the bulk tensor copy engine (TMA), warpgroup matrix
// products (WGMMA), register reallocation, named barriers. No policy here: who waits for what is the kernel's business.
// Source: PTX ISA 8.x "Asynchronous Warpgroup Level Matrix Instructions", "mbarrier", "cp.async.bulk.tensor".
#ifndef VG_KERNELS_CUDA_HOPPER_CUH
#define VG_KERNELS_CUDA_HOPPER_CUH

#include <cuda.h> /* CUtensorMap; the driver itself is reached through the runtime, libcuda is not linked */
#include <stdint.h>

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define VG_DEVICE_SM90A 1
#else
#define VG_DEVICE_SM90A 0
#endif

#if VG_DEVICE_SM90A
namespace hopper
{

__device__ __forceinline__ uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* ---- mbarriers: a phase ends when `arrivals` arrivals and all announced bytes have come ---- */

__device__ __forceinline__ void barrier_init(uint64_t *b, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals)
                 : "memory");
}

/* Makes initialised barriers visible to the copy engine; a __syncthreads must follow. */
__device__ __forceinline__ void barrier_init_fence()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ __forceinline__ void barrier_arrive(uint64_t *b)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
}

/* One arrival that also announces `bytes` of bulk copies. */
__device__ __forceinline__ void barrier_expect(uint64_t *b, uint32_t bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)),
                 "r"(bytes)
                 : "memory");
}

/* Waits until the phase of this parity has ended. A fresh barrier counts as having ended parity 1. */
__device__ __forceinline__ void barrier_wait(uint64_t *b, uint32_t parity)
{
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@done bra.uni ready;\n"
                 "bra.uni again;\n"
                 "ready:\n"
                 "}\n" ::"r"(shared_address(b)),
                 "r"(parity)
                 : "memory");
}

/* ---- named barriers among `threads` threads: arrive does not wait, sync does ---- */

__device__ __forceinline__ void named_arrive(int id, int threads)
{
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ __forceinline__ void named_sync(int id, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* ---- tensor copies, global to shared; out-of-range elements arrive as zero and are counted in the bytes ---- */

__device__ __forceinline__ void tma_prefetch(const CUtensorMap *map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

__device__ __forceinline__ void tma_load_3d(void *to, const CUtensorMap *map, uint64_t *full, int x,
                                            int y, int z)
{
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::
            "r"(shared_address(to)),
        "l"(map), "r"(shared_address(full)), "r"(x), "r"(y), "r"(z)
        : "memory");
}

__device__ __forceinline__ void tma_load_4d(void *to, const CUtensorMap *map, uint64_t *full, int x,
                                            int y, int z, int t)
{
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];" ::
            "r"(shared_address(to)),
        "l"(map), "r"(shared_address(full)), "r"(x), "r"(y), "r"(z), "r"(t)
        : "memory");
}

/* A box on its way into the L2 cache; nobody waits for it. */
__device__ __forceinline__ void tma_prefetch_4d(const CUtensorMap *map, int x, int y, int z, int t)
{
    asm volatile(
        "cp.async.bulk.prefetch.tensor.4d.L2.global.tile [%0, {%1, %2, %3, %4}];" ::"l"(map),
        "r"(x), "r"(y), "r"(z), "r"(t)
        : "memory");
}

/* ---- clusters: blocks that run at the same time on neighbouring multiprocessors and reach each other's shared memory ---- */

__device__ __forceinline__ uint32_t cluster_rank()
{
    uint32_t rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/* All threads of all blocks of the cluster meet. */
__device__ __forceinline__ void cluster_sync()
{
    asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}

/* Where block `rank` of the cluster has what this block has at p. */
__device__ __forceinline__ uint32_t address_in(const void *p, uint32_t rank)
{
    uint32_t address;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
                 : "=r"(address)
                 : "r"(shared_address(p)), "r"(rank));
    return address;
}

__device__ __forceinline__ void barrier_arrive_in(uint32_t address)
{
    asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(address) : "memory");
}

/* Into the same place of every block whose bit is set in `ranks`, and counted by the same barrier of each. */
__device__ __forceinline__ void tma_multicast_3d(void *to, const CUtensorMap *map, uint64_t *full,
                                                 int x, int y, int z, uint16_t ranks)
{
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4, %5}], "
        "[%2], %6;" ::"r"(shared_address(to)),
        "l"(map), "r"(shared_address(full)), "r"(x), "r"(y), "r"(z), "h"(ranks)
        : "memory");
}

/* One arrival at the same barrier of block `rank`. */
__device__ __forceinline__ void barrier_arrive_at(uint64_t *b, uint32_t rank)
{
    asm volatile("{\n.reg .b32 there;\n"
                 "mapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];\n}\n" ::"r"(
                     shared_address(b)),
                 "r"(rank)
                 : "memory");
}

/* The box goes to the same place in every block of `mask`, and is counted at each one's barrier. */
__device__ __forceinline__ void tma_load_3d_to(void *to, const CUtensorMap *map, uint64_t *full,
                                               uint16_t mask, int x, int y, int z)
{
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, {%4, %5, %6}], [%2], %3;" ::"r"(shared_address(to)),
        "l"(map), "r"(shared_address(full)), "h"(mask), "r"(x), "r"(y), "r"(z)
        : "memory");
}

/* ---- registers ---- */

template <int COUNT> __device__ __forceinline__ void registers_raise()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT));
}

template <int COUNT> __device__ __forceinline__ void registers_drop()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT));
}

/* ---- WGMMA ---- */

/* Operand in shared memory with the 128-byte swizzle: rows of 64 BF16 (128 bytes), 8 rows an atom of 1024 bytes, base
 * 1024-byte aligned. stride: bytes between atoms of 8 rows. leading: bytes between blocks of 64 columns, used only when the
 * operand is read with its rows as the K direction ("transposed"). */
__device__ __forceinline__ uint64_t operand(const void *p, uint32_t leading, uint32_t stride)
{
    uint64_t address = shared_address(p);
    return ((address & 0x3ffff) >> 4) | (uint64_t)(leading >> 4) << 16 |
           (uint64_t)(stride >> 4) << 32 | 1ull << 62;
}

/* Ordinary stores and cp.async copies of this thread to shared memory become visible to the products; a barrier must follow. */
__device__ __forceinline__ void shared_written()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* The two halves of an operand: `at` is where it lies, in units of 16 bytes, and may be counted up; `form` is what does not depend on that. */
__device__ __forceinline__ uint64_t operand_at(uint32_t at, uint32_t form)
{
    return (uint64_t)form << 32 | at;
}

/* Before the first product after registers of its operands were written. */
__device__ __forceinline__ void wgmma_fence()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void wgmma_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Until at most PENDING committed groups are still running. */
template <int PENDING> __device__ __forceinline__ void wgmma_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

/* NOTE: the compiler does not know that a product writes its registers late; naming them here after the wait keeps it from
 * moving their readers in front of it. */
template <int N> __device__ __forceinline__ void pin(float (&d)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++)
        asm volatile("" : "+f"(d[i])::"memory");
}
template <int N> __device__ __forceinline__ void pin(uint32_t (&d)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++)
        asm volatile("" : "+r"(d[i])::"memory");
}

#define VG_D8(d, i)                                                                                \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]),    \
        "+f"(d[i + 6]), "+f"(d[i + 7])
#define VG_D32(d, i) VG_D8(d, i), VG_D8(d, i + 8), VG_D8(d, i + 16), VG_D8(d, i + 24)
#define VG_R0_31                                                                                   \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define VG_R32_63                                                                                                          \
    "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60," \
    "%61,%62,%63"
#define VG_R64_87                                                                                  \
    "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87"

/* d[64 x N] (+)= A[64 x 16] B[N x 16]^T, both in shared memory with K contiguous; add = 0 overwrites. */
template <int N> struct wgmma_ss;

#define VG_R0_15  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define VG_R32_47 "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"

#define VG_R64_95 VG_R64_87 ",%88,%89,%90,%91,%92,%93,%94,%95"

template <> struct wgmma_ss<8> {
    static __device__ __forceinline__ void run(float (&d)[4], uint64_t a, uint64_t b, int add)
    {
        asm volatile(
            "{\n.reg .pred p;\nsetp.ne.b32 p, %6, 0;\n"
            "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%0,%1,%2,%3}, %4, %5, p, 1, 1, 0, 0;\n}\n"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "l"(a), "l"(b), "r"(add));
    }
};

template <> struct wgmma_ss<32> {
    static __device__ __forceinline__ void run(float (&d)[16], uint64_t a, uint64_t b, int add)
    {
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %18, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {" VG_R0_15
                     "}, %16, %17, p, 1, 1, 0, 0;\n}\n"
                     : VG_D8(d, 0), VG_D8(d, 8)
                     : "l"(a), "l"(b), "r"(add));
    }
};

template <> struct wgmma_ss<64> {
    static __device__ __forceinline__ void run(float (&d)[32], uint64_t a, uint64_t b, int add)
    {
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" VG_R0_31
                     "}, %32, %33, p, 1, 1, 0, 0;\n}\n"
                     : VG_D32(d, 0)
                     : "l"(a), "l"(b), "r"(add));
    }
};

template <> struct wgmma_ss<96> {
    static __device__ __forceinline__ void run(float (&d)[48], uint64_t a, uint64_t b, int add)
    {
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %50, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n96k16.f32.bf16.bf16 {" VG_R0_31 "," VG_R32_47
                     "}, %48, %49, p, 1, 1, 0, 0;\n}\n"
                     : VG_D32(d, 0), VG_D8(d, 32), VG_D8(d, 40)
                     : "l"(a), "l"(b), "r"(add));
    }
};

template <> struct wgmma_ss<128> {
    static __device__ __forceinline__ void run(float (&d)[64], uint64_t a, uint64_t b, int add)
    {
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" VG_R0_31
                     "," VG_R32_63 "}, %64, %65, p, 1, 1, 0, 0;\n}\n"
                     : VG_D32(d, 0), VG_D32(d, 32)
                     : "l"(a), "l"(b), "r"(add));
    }
};

template <> struct wgmma_ss<176> {
    static __device__ __forceinline__ void run(float (&d)[88], uint64_t a, uint64_t b, int add)
    {
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %90, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n176k16.f32.bf16.bf16 {" VG_R0_31
                     "," VG_R32_63 "," VG_R64_87 "}, %88, %89, p, 1, 1, 0, 0;\n}\n"
                     : VG_D32(d, 0), VG_D32(d, 32), VG_D8(d, 64), VG_D8(d, 72), VG_D8(d, 80)
                     : "l"(a), "l"(b), "r"(add));
    }
};

template <> struct wgmma_ss<192> {
    static __device__ __forceinline__ void run(float (&d)[96], uint64_t a, uint64_t b, int add)
    {
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %98, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 {" VG_R0_31
                     "," VG_R32_63 "," VG_R64_95 "}, %96, %97, p, 1, 1, 0, 0;\n}\n"
                     : VG_D32(d, 0), VG_D32(d, 32), VG_D32(d, 64)
                     : "l"(a), "l"(b), "r"(add));
    }
};

/* d[64 x N] += A[64 x 16] B[16 x N], A in registers (the layout of mma.m16n8k16's A), B in shared memory with N contiguous. */
template <int N> struct wgmma_rs;

template <> struct wgmma_rs<64> {
    static __device__ __forceinline__ void run(float (&d)[32], const uint32_t *a, uint64_t b,
                                               int add)
    {
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" VG_R0_31
                     "}, {%32,%33,%34,%35}, %36, p, 1, 1, 1;\n}\n"
                     : VG_D32(d, 0)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
    }
};

template <> struct wgmma_rs<128> {
    static __device__ __forceinline__ void run(float (&d)[64], const uint32_t *a, uint64_t b,
                                               int add)
    {
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" VG_R0_31
                     "," VG_R32_63 "}, {%64,%65,%66,%67}, %68, p, 1, 1, 1;\n}\n"
                     : VG_D32(d, 0), VG_D32(d, 32)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
    }
};

/* d[64 x N] (+)= A[64 x 32] B[N x 32]^T of INT8, exact in 32 bits, both in shared memory with K contiguous. */
template <int N> struct wgmma_s8_ss;

#define VG_U8R(d, i)                                                                               \
    "+r"(d[i]), "+r"(d[i + 1]), "+r"(d[i + 2]), "+r"(d[i + 3]), "+r"(d[i + 4]), "+r"(d[i + 5]),    \
        "+r"(d[i + 6]), "+r"(d[i + 7])
#define VG_U32R(d, i) VG_U8R(d, i), VG_U8R(d, i + 8), VG_U8R(d, i + 16), VG_U8R(d, i + 24)

template <> struct wgmma_s8_ss<96> {
    static __device__ __forceinline__ void run(uint32_t (&d)[48], uint64_t a, uint64_t b, int add)
    {
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %50, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n96k32.s32.s8.s8 {" VG_R0_31 "," VG_R32_47
                     "}, %48, %49, p;\n}\n"
                     : VG_U32R(d, 0), VG_U8R(d, 32), VG_U8R(d, 40)
                     : "l"(a), "l"(b), "r"(add));
    }
};

/* d[64 x 128] (+)= A[64 x 32] B[128 x 32]^T of E4M3, A in registers (the layout of mma.m16n8k32's A), B in shared memory with K contiguous.
 * The sum is kept with about 14 bits. */
__device__ __forceinline__ void wgmma_e4m3_rs_128(float (&d)[64], const uint32_t *a, uint64_t b,
                                                  int add)
{
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 {" VG_R0_31 "," VG_R32_63
                 "}, {%64,%65,%66,%67}, %68, p, 1, 1;\n}\n"
                 : VG_D32(d, 0), VG_D32(d, 32)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
}

} // namespace hopper
#endif
#endif
