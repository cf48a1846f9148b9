// conv3d.cu: channels-last convolution as an implicit matrix product: rows are output pixels, columns output channels, and the sum
// runs over (tap, input channel), gathered from history and x on the way into shared memory. No unfolded matrix exists.
// Tensor cores for BF16 (channels are filled up to a multiple of 8), plain FP32 for everything else. On Hopper the copy engine
// brings what it can (conv3d_tma.cu), threads gather the rest (conv3d_sm90.cu), WGMMA multiplies; elsewhere mma.sync, here.
// VGEN_CUDA_CONV=gather keeps Hopper on the second, =mma on the third. Source: wan 4.2, 4.5.
#include "kernels/cuda/conv3d.cuh"

#include <cstdlib>
#include <cstring>

using namespace conv;

namespace
{

/* direct    FLOPs  2*pixels*o*k, compute-bound: about a third of the FP32 peak (each operand goes through shared memory once per 64)
 * Launch   64 pixels x 64 channels per block, 256 threads with 4 x 4 sums each, k in steps of 16
 * Numerics FP32 multiply-adds in the order of k (repeatable), one rounding */
template <typename X, typename W, typename B, typename Y>
__global__ void __launch_bounds__(256)
    direct(const geometry g, const sources<X> from, const W *w, const results<B, Y> to)
{
    __shared__ float in[16][68], weights[16][68]; // rows of 64 and a pad of 16 bytes
    int n_tiles = (g.o + 63) / 64, o_first = (int)(blockIdx.x % n_tiles) * 64;
    int64_t first = (int64_t)(blockIdx.x / n_tiles) * 64;
    int lane = threadIdx.x % 16, line = threadIdx.x / 16;
    corner at[4];
    float sum[4][4] = {};

#pragma unroll
    for (int i = 0; i < 4; i++)
        at[i] = corner_of(g, first + line + 16 * i);
    for (int k0 = 0; k0 < g.k; k0 += 16) {
        int k = k0 + lane, tap = k / g.c, c = k % g.c, dx = tap % g.kw, dy = tap / g.kw % g.kh,
            dt = tap / g.kw / g.kh;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int frame;
            int64_t offset = k < g.k ? locate(g, at[i], dt, dy, dx, &frame) : -1;
            int o = o_first + line + 16 * i;
            in[lane][line + 16 * i] =
                offset < 0 ? 0.0f : vg_to_float(from.of(g, frame)[offset + c]);
            weights[lane][line + 16 * i] =
                k < g.k && o < g.o ? vg_to_float(w[(int64_t)o * g.k + k]) : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int e = 0; e < 16; e++) {
            float a[4], b[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                a[i] = in[e][line * 4 + i];
                b[i] = weights[e][lane * 4 + i];
            }
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    sum[i][j] += a[i] * b[j];
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            int64_t pixel = first + line * 4 + i;
            int o = o_first + lane * 4 + j;
            if (pixel < g.pixels && o < g.o) {
                int64_t place_of = place(g, pixel, o);
                to.y[place_of] = vg_from_float<Y>(finish(to, o, place_of, sum[i][j]));
            }
        }
}

/* tensor    FLOPs  2*pixels*o*k, compute-bound. Bytes at least 2*(inputs + o*k + pixels*o); an input pixel is read once per tap and
 *           channel tile, mostly from L2
 * Launch   128 pixels x COLUMNS channels per block of 8 warps (4 x 2, each 32 x COLUMNS/2), three slots of 64 k filled by cp.async;
 *          channel tiles fastest, so that the blocks that share inputs run together
 * Numerics BF16 products, FP32 sums in the order of k (repeatable), bias added in FP32, one rounding
 * Measured NVIDIA H100 80GB HBM3, random data, 2026-11: 3x3x3, 384 to 384 at 2x180x320: 2.83 ms, 324 TFLOP/s; 192 to 192 at 4x360x640: 6.33 ms, 290;
 *           96 to 96 at 4x720x1280: 7.01 ms, 262; before the geometry of a line was worked out once per block: 220, 222, 208
 * Not done  leaving out taps that meet zero frames only */
template <int COLUMNS, typename B, typename Y>
__global__ void __launch_bounds__(256, 2)
    tensor(const geometry g, const sources<__nv_bfloat16> from, const __nv_bfloat16 *w,
           const results<B, Y> to)
{
    extern __shared__ __align__(128) char slots[];
    constexpr int N = COLUMNS / 16; // blocks of 8 channels per warp
    const uint32_t base = mma::shared_address(slots);
    int n_tiles = (g.o + COLUMNS - 1) / COLUMNS, o_first = (int)(blockIdx.x % n_tiles) * COLUMNS;
    int64_t first = (int64_t)(blockIdx.x / n_tiles) * ROWS;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, steps = (g.k + DEPTH - 1) / DEPTH;
    float sum[2][N][4] = {};
    gather<COLUMNS> in;

    in.start(g, from, w, first, o_first);
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < steps)
            in.fetch(g, base + s * slot_bytes<COLUMNS>);
        mma::copy_commit();
    }
    for (int step = 0, slot = 0; step < steps; step++, slot = slot + 1 == STAGES ? 0 : slot + 1) {
        const uint32_t pixels = base + slot * slot_bytes<COLUMNS>,
                       weights = pixels + ROWS * DEPTH * 2;
        mma::copy_wait<STAGES - 2>();
        __syncthreads(); // everyone's copies have come, and everyone has left the slot that is filled next
        if (step + STAGES - 1 < steps)
            in.fetch(g, base + (slot + STAGES - 1) % STAGES * slot_bytes<COLUMNS>);
        mma::copy_commit();
#pragma unroll
        for (int e = 0; e < DEPTH / 16; e++) {
            uint32_t a[2][4];
#pragma unroll
            for (int b = 0; b < 2; b++)
                mma::load_4(a[b], pixels + mma::swizzled<DEPTH>(warp / 2 * 32 + b * 16 + lane % 16,
                                                                e * 2 + lane / 16));
#pragma unroll
            for (int n = 0; n < N / 2; n++) {
                uint32_t v[4];
                mma::load_4(v, weights + mma::swizzled<DEPTH>(warp % 2 * (COLUMNS / 2) + n * 16 +
                                                                  lane / 16 * 8 + lane % 8,
                                                              e * 2 + lane / 8 % 2));
#pragma unroll
                for (int b = 0; b < 2; b++) {
                    mma::multiply_bf16(sum[b][2 * n], a[b], v[0], v[1]);
                    mma::multiply_bf16(sum[b][2 * n + 1], a[b], v[2], v[3]);
                }
            }
        }
    }
#pragma unroll
    for (int b = 0; b < 2; b++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int r = 0; r < 2; r++)
                store_pair(g, to, first + warp / 2 * 32 + b * 16 + lane / 4 + r * 8,
                           o_first + warp % 2 * (COLUMNS / 2) + n * 8 + lane % 4 * 2,
                           sum[b][n][2 * r], sum[b][n][2 * r + 1]);
}

/* widen    Bytes  2*rows*(from + to)   -> memory-bound. Rows of `from` BF16 values become rows of `to`, 8 at a time, zeros behind.
 * Launch   one thread per 8 values written */
__global__ void widen(const __nv_bfloat16 *x, int from, __nv_bfloat16 *y, int to, int64_t packs)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;

    if (i >= packs)
        return;
    int64_t row = i / (to / 8);
    int first = (int)(i % (to / 8)) * 8;
    vg_pack<__nv_bfloat16, 8> pack;
#pragma unroll
    for (int e = 0; e < 8; e++)
        pack.v[e] = first + e < from ? x[row * from + first + e] : __nv_bfloat16(0.0f);
    *reinterpret_cast<vg_pack<__nv_bfloat16, 8> *>(y + i * 8) = pack;
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status geometry_of(const vg_conv3d_args *a, geometry *g, vg_err *err)
{
    const int64_t *x = a->x->shape, *w = a->w->shape, *y = a->y->shape;
    int64_t k = w[1] * w[2] * w[3] * w[4];

    for (int i = 0; i < 4; i++)
        if (x[i] >= 1 << 24 || y[i] >= 1 << 24)
            return VG_FAIL(err, VG_E_UNSUPPORTED,
                           "conv3d: a dimension of %lld elements is too long for the cuda backend",
                           (long long)(x[i] > y[i] ? x[i] : y[i]));
    if (k >= 1 << 30)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "conv3d: a sum of %lld terms is too long for the cuda backend",
                       (long long)k);
    *g = geometry();
    g->c = (int)w[4], g->o = (int)w[0], g->kt = (int)w[1], g->kh = (int)w[2], g->kw = (int)w[3],
    g->k = (int)k;
    g->front = a->pad_front;
    g->history = a->history ? (int)a->history->shape[0] : 0;
    g->upto = g->history + (int)x[0];
    g->h = (int)x[1], g->w = (int)x[2], g->shift = a->upsample - 1;
    g->st = a->stride[0], g->sh = a->stride[1], g->sw = a->stride[2];
    g->top = a->pad[0], g->left = a->pad[2];
    g->out_h = (int)y[1], g->out_w = (int)y[2];
    g->parts = a->split > 1 ? a->split : 1, g->part = (int)y[3];
    g->pixels = y[0] / g->parts * y[1] * y[2];
    g->pairs = y[3] % 2 == 0 && (uintptr_t)a->y->data % 8 == 0;
    return VG_OK;
}

template <int COLUMNS, typename B, typename Y>
vg_status launch_tensor(vg_backend *be, const vg_conv3d_args *a, const geometry &g, vg_err *err)
{
    constexpr int shared = STAGES * slot_bytes<COLUMNS>;
    int64_t blocks = (g.pixels + ROWS - 1) / ROWS * ((g.o + COLUMNS - 1) / COLUMNS);

    VG_CUDA_TRY(cudaFuncSetAttribute(tensor<COLUMNS, B, Y>,
                                     cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
                err);
    VG_CUDA_LAUNCH(be, err, (tensor<COLUMNS, B, Y>), (unsigned)blocks, 256, shared, g,
                   sources_of<__nv_bfloat16>(a, g), static_cast<const __nv_bfloat16 *>(a->w->data),
                   results_of<B, Y>(a));
    return VG_OK;
}

// The tile that wastes the fewest channels: 3 -> 32, 96 and 192 -> 96, 384 -> 128.
template <typename B, typename Y>
vg_status choose_tensor(vg_backend *be, const vg_conv3d_args *a, const geometry &g, vg_err *err)
{
    if (g.o <= 32)
        return launch_tensor<32, B, Y>(be, a, g, err);
    if (g.o <= 64)
        return launch_tensor<64, B, Y>(be, a, g, err);
    if (g.o <= 96 || (g.o % 96 == 0 && g.o % 128 != 0))
        return launch_tensor<96, B, Y>(be, a, g, err);
    return launch_tensor<128, B, Y>(be, a, g, err);
}

bool fits_tensor(const vg_conv3d_args *a, const geometry &g)
{
    int64_t frames = g.front + g.upto + (a->more ? a->more->shape[0] : 0);

    return a->x->dtype == VG_BF16 && a->w->dtype == VG_BF16 && g.kh * g.kw <= 32 &&
           (frames + 64) * (g.h + 64) * (g.w + 64) < (int64_t)1 << 31 &&
           vg_cuda_packs(g.c, a->x->data, a->w->data, a->history ? a->history->data : nullptr) &&
           vg_cuda_packs(g.c, a->more ? a->more->data : nullptr);
}

int64_t wide(int64_t channels)
{
    return (channels + 7) / 8 * 8;
}

// *wider = t with the channels filled up to a multiple of 8, at *memory, which moves on.
vg_status widen_into(vg_backend *be, const vg_tensor *t, char **memory, vg_tensor *wider,
                     vg_err *err)
{
    int64_t c = t->shape[t->ndim - 1], packs = vg_tensor_numel(t) / c * (wide(c) / 8);

    *wider = *t;
    wider->data = *memory;
    wider->shape[t->ndim - 1] = wide(c);
    VG_CUDA_LAUNCH(be, err, widen, (unsigned)((packs + 255) / 256), 256, 0,
                   static_cast<const __nv_bfloat16 *>(t->data), (int)c,
                   static_cast<__nv_bfloat16 *>(wider->data), (int)wide(c), packs);
    *memory += (packs * 16 + 255) / 256 * 256;
    return VG_OK;
}

// BF16 with an odd number of channels (the picture's 3): zero channels fill it up for the tensor cores, and change no sum.
vg_status conv_widened(vg_backend *be, const vg_conv3d_args *a, vg_err *err)
{
    const vg_tensor *from[4] = {a->x, a->w, a->history, a->more};
    vg_tensor to[4];
    vg_conv3d_args args = *a;
    size_t bytes = 0;
    void *memory;

    for (int i = 0; i < 4; i++)
        bytes += from[i] ? (size_t)(vg_tensor_numel(from[i]) / from[i]->shape[from[i]->ndim - 1] *
                                        wide(a->x->shape[3]) * 2 +
                                    256)
                         : 0;
    VG_TRY(vg_cuda_scratch(be, bytes, &memory, err));
    char *at = static_cast<char *>(memory);
    for (int i = 0; i < 4; i++)
        if (from[i])
            VG_TRY(widen_into(be, from[i], &at, &to[i], err));
    args.x = &to[0], args.w = &to[1];
    args.history = a->history ? &to[2] : nullptr;
    args.more = a->more ? &to[3] : nullptr;
    return vg_cuda_conv3d(be, &args, err);
}

} // namespace

vg_status vg_cuda_conv3d(vg_backend *be, const vg_conv3d_args *a, vg_err *err)
{
    geometry g;
    int64_t blocks;

    VG_TRY(geometry_of(a, &g, err));
    VG_TRY(vg_cuda_enter(be, err));
    if (a->x->dtype == VG_BF16 && a->w->dtype == VG_BF16 && g.c % 8 != 0)
        return conv_widened(be, a, err);
    if (fits_tensor(a, g)) {
        const char *wanted = getenv("VGEN_CUDA_CONV");
        if (vg_cuda(be)->capability == 90 && !wanted && vg_cuda_conv3d_tma_fits(a, &g))
            return vg_cuda_conv3d_tma(be, a, &g, err);
        if (vg_cuda(be)->capability == 90 && !(wanted && strcmp(wanted, "mma") == 0))
            return vg_cuda_conv3d_sm90(be, a, &g, err);
        VG_CUDA_ACT(a->bias ? a->bias->dtype : a->y->dtype, B,
                    VG_CUDA_ACT(a->y->dtype, Y, { return choose_tensor<B, Y>(be, a, g, err); }););
    }
    blocks = (g.pixels + 63) / 64 * ((g.o + 63) / 64);
    VG_CUDA_ACT(
        a->x->dtype, X,
        VG_CUDA_ACT(a->w->dtype, W,
                    VG_CUDA_ACT(a->bias ? a->bias->dtype : VG_F32, B, VG_CUDA_ACT(a->y->dtype, Y, {
                                    VG_CUDA_LAUNCH(be, err, (direct<X, W, B, Y>), (unsigned)blocks,
                                                   256, 0, g, sources_of<X>(a, g),
                                                   static_cast<const W *>(a->w->data),
                                                   results_of<B, Y>(a));
                                }););););
    return VG_OK;
}
