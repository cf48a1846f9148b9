// conv3d_sm90.cu: the implicit product of conv3d.cu with WGMMA, for what conv3d_tma.cu does not take: strides in space, FP32 results, odd
// sizes with upsampling, many output channels. Shared tiles, gathering and tile sizes are the same: the swizzle of
// mma.cuh for rows of 64 is the 128-byte swizzle that WGMMA reads.
#include "kernels/cuda/conv3d.cuh"
#include "kernels/cuda/hopper.cuh"

using namespace conv;

namespace
{

/* product    FLOPs  2*pixels*o*k, compute-bound. Bytes at least 2*(inputs + o*k + pixels*o); an input pixel is read once per tap and
 *            channel tile, mostly from L2
 * Launch   128 pixels x COLUMNS channels per block of two warpgroups (64 pixels each), two blocks per multiprocessor; all threads
 *          copy the next slot but one while the tensor cores work on this one
 * Numerics BF16 products, FP32 sums in the order of k (repeatable), bias added in FP32, one rounding
 * Measured NVIDIA H100 80GB HBM3, random data, 2026-11: 3x3x3, 384 to 384 at 1x90x160: 0.28 ms, 410 TFLOP/s, at 2x180x320: 1.88 ms, 489; 192 to 192 at
 *           4x360x640: 4.97 ms, 369; 96 to 96 at 4x720x1280: 5.73 ms, 320; 96 to 3: 3.72 ms. Bound by what the L2 cache gives: 28 KB for 1.6 MFLOP
 * Not done  leaving out taps that meet zero frames only */
template <int COLUMNS, typename B, typename Y>
__global__ void __launch_bounds__(256, 2)
    product(const geometry g, const sources<__nv_bfloat16> from, const __nv_bfloat16 *w,
            const results<B, Y> to)
{
#if VG_DEVICE_SM90A
    extern __shared__ char raw[];
    char *slots =
        reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(raw) + 1023) & ~(uintptr_t)1023);
    const uint32_t base = mma::shared_address(slots);
    int n_tiles = (g.o + COLUMNS - 1) / COLUMNS, o_first = (int)(blockIdx.x % n_tiles) * COLUMNS;
    int64_t first = (int64_t)(blockIdx.x / n_tiles) * ROWS;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4, group = threadIdx.x / 128,
        steps = (g.k + DEPTH - 1) / DEPTH;
    float sum[COLUMNS / 2];
    gather<COLUMNS> in;

    in.start(g, from, w, first, o_first);
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < steps)
            in.fetch(g, base + s * slot_bytes<COLUMNS>);
        mma::copy_commit();
    }
    for (int step = 0, slot = 0; step < steps; step++, slot = slot + 1 == STAGES ? 0 : slot + 1) {
        const char *pixels = slots + slot * slot_bytes<COLUMNS> + group * 64 * DEPTH * 2,
                   *weights = slots + slot * slot_bytes<COLUMNS> + ROWS * DEPTH * 2;
        mma::copy_wait<STAGES - 2>();
        hopper::shared_written();
        hopper::wgmma_wait<0>(); // the last step's slot is filled next
        __syncthreads();
        hopper::wgmma_fence();
#pragma unroll
        for (int e = 0; e < DEPTH / 16; e++)
            hopper::wgmma_ss<COLUMNS>::run(sum, hopper::operand(pixels + e * 32, 16, 1024),
                                           hopper::operand(weights + e * 32, 16, 1024),
                                           step + e != 0);
        hopper::wgmma_commit();
        if (step + STAGES - 1 < steps)
            in.fetch(g, base + (slot + STAGES - 1) % STAGES * slot_bytes<COLUMNS>);
        mma::copy_commit();
    }
    hopper::wgmma_wait<0>();
    hopper::pin(sum);
#pragma unroll
    for (int i = 0; i < COLUMNS / 2; i += 2)
        store_pair(g, to, first + group * 64 + warp * 16 + lane / 4 + i / 2 % 2 * 8,
                   o_first + i / 4 * 8 + lane % 4 * 2, sum[i], sum[i + 1]);
#else
    (void)from, (void)w, (void)to;
#endif
}

// ---- launcher -------------------------------------------------------------------------------------------------------

template <int COLUMNS, typename B, typename Y>
vg_status launch(vg_backend *be, const vg_conv3d_args *a, const geometry &g, vg_err *err)
{
    constexpr int shared = STAGES * slot_bytes<COLUMNS> + 1024;
    int64_t blocks = (g.pixels + ROWS - 1) / ROWS * ((g.o + COLUMNS - 1) / COLUMNS);

    VG_CUDA_TRY(cudaFuncSetAttribute(product<COLUMNS, B, Y>,
                                     cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
                err);
    VG_CUDA_LAUNCH(be, err, (product<COLUMNS, B, Y>), (unsigned)blocks, 256, shared, g,
                   sources_of<__nv_bfloat16>(a, g), static_cast<const __nv_bfloat16 *>(a->w->data),
                   results_of<B, Y>(a));
    return VG_OK;
}

} // namespace

vg_status vg_cuda_conv3d_sm90(vg_backend *be, const vg_conv3d_args *a, const geometry *g,
                              vg_err *err)
{
    VG_CUDA_ACT(a->bias ? a->bias->dtype : a->y->dtype, B, VG_CUDA_ACT(a->y->dtype, Y, {
                    if (g->o <= 32)
                        return launch<32, B, Y>(be, a, *g, err);
                    if (g->o <= 64)
                        return launch<64, B, Y>(be, a, *g, err);
                    if (g->o <= 96 || (g->o % 96 == 0 && g->o % 128 != 0))
                        return launch<96, B, Y>(be, a, *g, err);
                    return launch<128, B, Y>(be, a, *g, err);
                }););
}
