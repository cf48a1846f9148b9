// head_norm_rope.cu: RMSNorm of each head (rounded before and after the product with w), then rotation of interleaved pairs.
// Source: hunyuanvideo15 2.3, 2.7.
#include "kernels/cuda/pixel_norm.cuh"

/* normalise_heads    Bytes  rows*dim*2*size(x) (a second reading from L1) + 8*rows*pairs (cos, sin; shared by the heads of a row through L1), w
 *                    from L1   FLOPs  7*rows*dim -> memory-bound
 * Launch   16 neighbouring threads per head (32 for heads of more than 128), 256 threads per block; packs of 8 = 4 pairs, 2 = one pair for head
 *          sizes or addresses that are not multiples of 8, 1 for odd ones; y may be x: a thread re-reads only what it writes itself
 * Numerics FP32 sum in fixed order (repeatable); rounded after the norm, after the product with w, and after the rotation */
template <int N, int LANES, typename X, typename W>
static __global__ void normalise_heads(const X *x, const W *w, float eps, const float *cosines,
                                       const float *sines, X *y, int heads, int size, int64_t all)
{
    int64_t at = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / LANES;
    int lane = threadIdx.x % LANES;
    bool work = at < all;
    const X *head = x + at * size;
    float v[N], f[N], sum = 0.0f, scale;

    for (int c = lane * N; c < size && work; c += LANES * N) {
        vg_load<N>(head + c, v);
#pragma unroll
        for (int i = 0; i < N; i++)
            sum += v[i] * v[i];
    }
    scale = 1.0f / sqrtf(vg_group_sum<LANES>(sum) / (float)size + eps);
    for (int c = lane * N; c < size && work; c += LANES * N) {
        vg_load<N>(head + c, v);
        vg_load<N>(w + c, f);
#pragma unroll
        for (int i = 0; i < N; i++)
            v[i] *= scale;
        vg_round_all<X>(v);
#pragma unroll
        for (int i = 0; i < N; i++)
            v[i] *= f[i];
        if (N > 1 && cosines) {
            int64_t pair = at / heads * (size / 2) + c / 2;
            vg_round_all<X>(v);
#pragma unroll
            for (int i = 0; i + 1 < N; i += 2, pair++) {
                float even = v[i], odd = v[i + 1];
                v[i] = even * cosines[pair] - odd * sines[pair];
                v[i + 1] = even * sines[pair] + odd * cosines[pair];
            }
        }
        vg_store<N>(y + at * size + c, v);
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

// May elements be moved two at a time? Views of whole rows keep pairs aligned, other addresses do not come from the engine.
static bool pairs_lie_even(const vg_head_norm_rope_args *a)
{
    size_t x = 2 * vg_dtype_size(a->x->dtype), w = 2 * vg_dtype_size(a->w->dtype);
    return (uintptr_t)a->x->data % x == 0 && (uintptr_t)a->y->data % x == 0 &&
           (uintptr_t)a->w->data % w == 0;
}

vg_status vg_cuda_head_norm_rope(vg_backend *be, const vg_head_norm_rope_args *a, vg_err *err)
{
    int64_t size = a->w->shape[0], all = a->x->shape[0] * a->heads;
    const float *cosines = a->rope_cos ? static_cast<const float *>(a->rope_cos->data) : nullptr;
    const float *sines = a->rope_sin ? static_cast<const float *>(a->rope_sin->data) : nullptr;
    bool eights = vg_cuda_packs(size, a->x->data, a->w->data, a->y->data), wide = size > 128;
    int64_t blocks = (all * (wide ? 32 : 16) + 255) / 256;

    if (cosines && !eights && !pairs_lie_even(a))
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "head_norm_rope: operands of pairs must lie at multiples of a pair on the cuda backend");
    if (size >= 1 << 24 || blocks >= 1ll << 31)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "head_norm_rope: %lld heads of %lld are too many for the cuda backend",
                       (long long)all, (long long)size);
    VG_TRY(vg_cuda_enter(be, err));
#define LAUNCH(N, LANES)                                                                           \
    VG_CUDA_LAUNCH(be, err, (normalise_heads<N, LANES, X, W>), (unsigned)blocks, 256, 0, x, w,     \
                   a->eps, cosines, sines, y, a->heads, (int)size, all)
    VG_CUDA_ACT(a->x->dtype, X, VG_CUDA_ACT(a->w->dtype, W, {
                    const X *x = static_cast<const X *>(a->x->data);
                    const W *w = static_cast<const W *>(a->w->data);
                    X *y = static_cast<X *>(a->y->data);
                    if (eights && !wide)
                        LAUNCH(8, 16);
                    else if (eights)
                        LAUNCH(8, 32);
                    else if (cosines && !wide)
                        LAUNCH(2, 16);
                    else if (cosines)
                        LAUNCH(2, 32);
                    else if (!wide)
                        LAUNCH(1, 16);
                    else
                        LAUNCH(1, 32);
                }););
    return VG_OK;
}
