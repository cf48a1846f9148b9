// edge_norm.cu: pixels normalised as channel_norm does (or as they are), the border's repeated outwards. Source: hunyuanvideo15 3.1.
#include "kernels/cuda/pixel_norm.cuh"

namespace
{

struct frames {
    int h, w, c, edge; // of x
    int64_t pixels;    // of y
};

/* padded    Bytes  n*(size(x) + size(y)) (x a second time from L1; the border's pixels once more per copy), gamma from L1 -> memory-bound
 * Launch   LANES neighbouring threads per pixel of y, packs of 8 (element-wise for odd channel counts or addresses), 256 threads per block
 * Numerics those of channel_norm: FP32, the sum in fixed order (repeatable); a copied pixel has the bits of its original */
template <int N, int LANES, typename X, typename G>
__global__ void padded(const X *x, const G *gamma, bool silu, float factor, X *y, frames f)
{
    int64_t pixel = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / LANES;
    int wide = f.w + 2 * f.edge, tall = f.h + 2 * f.edge, lane = threadIdx.x % LANES;
    int column = (int)(pixel % wide) - f.edge, row = (int)(pixel / wide % tall) - f.edge;
    bool work = pixel < f.pixels;
    float v[N], g[N], sum = 0.0f, length, inverse;

    column = min(max(column, 0), f.w - 1);
    row = min(max(row, 0), f.h - 1);
    const X *from = x + ((pixel / wide / tall * f.h + row) * f.w + column) * f.c;
    for (int c = lane * N; gamma && c < f.c && work; c += LANES * N) {
        vg_load<N>(from + c, v);
#pragma unroll
        for (int i = 0; i < N; i++)
            sum += v[i] * v[i];
    }
    length = sqrtf(vg_group_sum<LANES>(sum));
    length = length > 1e-12f ? length : 1e-12f;
    inverse = 1.0f / length;
    for (int c = lane * N; c < f.c && work; c += LANES * N) {
        vg_load<N>(from + c, v);
        if (gamma) {
            vg_load<N>(gamma + c, g);
            vg_norm_finish<X>(v, length, inverse, factor, g, silu);
        }
        vg_store<N>(y + pixel * f.c + c, v);
    }
}

} // namespace

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_edge_norm(vg_backend *be, const vg_edge_norm_args *a, vg_err *err)
{
    const int64_t *s = a->x->shape;
    int64_t channels = s[3], pixels = vg_tensor_numel(a->y) / channels;
    float factor = (float)sqrt((double)channels);
    bool packs =
        vg_cuda_packs(channels, a->x->data, a->gamma ? a->gamma->data : nullptr, a->y->data);
    int64_t pieces = packs ? channels / 8 : channels, lanes = pieces <= 8    ? 8
                                                              : pieces <= 16 ? 16
                                                                             : 32;
    int64_t blocks = (pixels * lanes + 255) / 256;

    if (s[1] >= 1 << 24 || s[2] >= 1 << 24 || channels >= 1 << 24 || blocks >= 1ll << 31)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "edge_norm: %lldx%lldx%lldx%lld is too large for the cuda backend",
                       (long long)s[0], (long long)s[1], (long long)s[2], (long long)s[3]);
    frames f = {(int)s[1], (int)s[2], (int)s[3], a->edge, pixels};
    VG_TRY(vg_cuda_enter(be, err));
#define LAUNCH(N, LANES)                                                                           \
    VG_CUDA_LAUNCH(be, err, (padded<N, LANES, X, G>), (unsigned)blocks, 256, 0, x, gamma, a->silu, \
                   factor, y, f)
    VG_CUDA_ACT(a->x->dtype, X, VG_CUDA_ACT(a->gamma ? a->gamma->dtype : a->x->dtype, G, {
                    const X *x = static_cast<const X *>(a->x->data);
                    const G *gamma = a->gamma ? static_cast<const G *>(a->gamma->data) : nullptr;
                    X *y = static_cast<X *>(a->y->data);
                    if (packs && lanes == 8)
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
                }););
    return VG_OK;
}
