// channel_norm.cu: the VAE's norm per pixel over channels, x / max(|x|_2, 1e-12) * sqrt(C) * gamma, each of the three steps
// rounded to y's dtype, then SiLU of the rounded result. Source: wan 4.2.
#include "kernels/cuda/pixel_norm.cuh"

/* in_registers    Bytes  n*(size(x) + size(y)), gamma from L1   -> memory-bound
 * Launch   LANES neighbouring threads per pixel, three packs of 8 channels each, kept in registers: 96, 192, 384 or 768 channels;
 *          256 threads per block; y may be x
 * Numerics as normalise
 * Measured NVIDIA H100 80GB HBM3 (3.35 TB/s), BF16 with SiLU, 2026-11: 96 channels of 4x720x1280: 475 us, 2.98 TB/s = 89 %; 192 of
 *          4x360x640: 249 us, 2.85; 384 of 2x180x320: 65 us, 2.71. Before, x read twice and a quarter of the lanes idle: 654 us, 65 %
 * Not done  in the epilogue of the convolution before it: that is not overlapped with products, and some 25 operations for each of a
 *          tile's values are estimated at two thirds of what this pass takes */
template <int LANES, typename X, typename G, typename Y>
static __global__ void __launch_bounds__(256)
    in_registers(const X *x, const G *gamma, bool silu, float factor, Y *y, int64_t pixels)
{
    constexpr int channels = LANES * 24;
    int64_t pixel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / LANES,
            at = pixel * channels + threadIdx.x % LANES * 8;
    bool work = pixel < pixels;
    float v[3][8] = {}, sum = 0.0f, length, inverse;

#pragma unroll
    for (int p = 0; p < 3 && work; p++)
        vg_load<8>(x + at + p * LANES * 8, v[p]);
#pragma unroll
    for (int p = 0; p < 3; p++)
#pragma unroll
        for (int i = 0; i < 8; i++)
            sum += v[p][i] * v[p][i];
    length = sqrtf(vg_group_sum<LANES>(sum));
    length = length > 1e-12f ? length : 1e-12f;
    inverse = 1.0f / length;
#pragma unroll
    for (int p = 0; p < 3 && work; p++) {
        float g[8];
        vg_load<8>(gamma + (threadIdx.x % LANES + p * LANES) * 8, g);
        vg_norm_finish<Y>(v[p], length, inverse, factor, g, silu);
        vg_store<8>(y + at + p * LANES * 8, v[p]);
    }
}

/* normalise    For all other channel counts. Bytes  n*(size(x) + size(y)) (x a second time from L1), gamma from L1   -> memory-bound
 * Launch   LANES neighbouring threads per pixel (as many as it has packs, at most a warp), packs of 8 (element-wise for odd channel
 *          counts or addresses), 256 threads per block; y may be x
 * Numerics FP32, the sum in fixed order (repeatable). F32 results: IEEE division and expf, as the CPU. BF16 results: times the reciprocal,
 *          __expf and __fdividef, each within 2^-21 before a rounding to 2^-9 */
template <int N, int LANES, typename X, typename G, typename Y>
static __global__ void normalise(const X *x, const G *gamma, bool silu, float factor, Y *y,
                                 int64_t pixels, int channels)
{
    int64_t pixel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / LANES;
    const X *row = x + pixel * channels;
    int lane = threadIdx.x % LANES;
    bool work = pixel < pixels;
    float v[N], g[N], sum = 0.0f, length, inverse;

    for (int c = lane * N; c < channels && work; c += LANES * N) {
        vg_load<N>(row + c, v);
#pragma unroll
        for (int i = 0; i < N; i++)
            sum += v[i] * v[i];
    }
    length = sqrtf(vg_group_sum<LANES>(sum));
    length = length > 1e-12f ? length : 1e-12f;
    inverse = 1.0f / length;
    for (int c = lane * N; c < channels && work; c += LANES * N) {
        vg_load<N>(row + c, v);
        vg_load<N>(gamma + c, g);
        vg_norm_finish<Y>(v, length, inverse, factor, g, silu);
        vg_store<N>(y + pixel * channels + c, v);
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_channel_norm(vg_backend *be, const vg_channel_norm_args *a, vg_err *err)
{
    int64_t pixels = a->x->shape[0], channels = a->x->shape[1];
    float factor = (float)sqrt((double)channels);
    bool packs = vg_cuda_packs(channels, a->x->data, a->gamma->data, a->y->data);
    int64_t pieces = packs ? channels / 8 : channels, lanes = pieces <= 8    ? 8
                                                              : pieces <= 16 ? 16
                                                                             : 32;
    unsigned blocks = (unsigned)((pixels * lanes + 255) / 256);

    if (channels >= 1 << 30)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "channel_norm: %lld channels are too many for the cuda backend",
                       (long long)channels);
    VG_TRY(vg_cuda_enter(be, err));
#define LAUNCH(N, LANES)                                                                           \
    VG_CUDA_LAUNCH(be, err, (normalise<N, LANES, X, G, Y>), blocks, 256, 0, x, gamma, a->silu,     \
                   factor, y, pixels, (int)channels)
#define LAUNCH_REGISTERS(LANES)                                                                    \
    VG_CUDA_LAUNCH(be, err, (in_registers<LANES, X, G, Y>),                                        \
                   (unsigned)((pixels * LANES + 255) / 256), 256, 0, x, gamma, a->silu, factor, y, \
                   pixels)
    VG_CUDA_ACT(a->x->dtype, X, VG_CUDA_ACT(a->gamma->dtype, G, VG_CUDA_ACT(a->y->dtype, Y, {
                                                const X *x = static_cast<const X *>(a->x->data);
                                                const G *gamma =
                                                    static_cast<const G *>(a->gamma->data);
                                                Y *y = static_cast<Y *>(a->y->data);
                                                if (packs && channels == 96)
                                                    LAUNCH_REGISTERS(4);
                                                else if (packs && channels == 192)
                                                    LAUNCH_REGISTERS(8);
                                                else if (packs && channels == 384)
                                                    LAUNCH_REGISTERS(16);
                                                else if (packs && channels == 768)
                                                    LAUNCH_REGISTERS(32);
                                                else if (packs && lanes == 8)
                                                    LAUNCH(8, 8);
                                                else if (packs && lanes == 16)
                                                    LAUNCH(8, 16);
                                                else if (packs)
                                                    LAUNCH(8, 32);
                                                else if (lanes == 8)
                                                    LAUNCH(1, 8);
                                                else if (lanes == 16)
                                                    LAUNCH(1, 16);
                                                else
                                                    LAUNCH(1, 32);
                                            });););
    return VG_OK;
}
