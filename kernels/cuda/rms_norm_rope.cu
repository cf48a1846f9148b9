// rms_norm_rope.cu: RMSNorm over all heads together (one rounding), then rotation of interleaved pairs (one more).
// Source: wan 2.4, 2.6 steps 3-4.
//
// BF16 rows of the models' widths are held by a warp each (normalise_rows); others go by a block each (normalise).
#include "kernels/cuda/rows.cuh"

#define CACHED       4 // packs of a row that a thread keeps in registers; further ones are read again
#define MOST_THREADS 512

/* normalise    Bytes  rows*dim*(size(x) + size(y)) + 8*rows*pairs (cos, sin; shared by the heads of a row through L1), w from L2
 *              FLOPs  7*rows*dim -> memory-bound
 * Launch   one block per row, 32..512 threads, just enough that the registers hold the row; packs of 8 = 4 pairs (2 = one pair for rows that are not a multiple of 8 or lie odd,
 *          1 without rotation); y may be x: a thread re-reads only what it writes itself, after the sum is complete
 * Measured NVIDIA H100 80GB HBM3 (3.35 TB/s), 75600x5120 BF16 with rotation, 2026-11: 600 us, 2.58 TB/s = 77 %
 * Numerics FP32 sum in fixed order (repeatable); rounded to y's dtype between norm and rotation */
template <int N, typename X, typename W, typename Y>
static __global__ void normalise(const X *x, const W *w, float eps, const float *cosines,
                                 const float *sines, int pairs, Y *y, int dim)
{
    const X *row = x + (int64_t)blockIdx.x * dim;
    int step = (int)blockDim.x * N, first = (int)threadIdx.x * N;
    float kept[CACHED][N], v[N], sum = 0.0f, scale;

#pragma unroll
    for (int p = 0; p < CACHED; p++)
        if (first + p * step < dim) {
            vg_load<N>(row + first + p * step, kept[p]);
#pragma unroll
            for (int i = 0; i < N; i++)
                sum += kept[p][i] * kept[p][i];
        }
    for (int c = first + CACHED * step; c < dim; c += step) {
        vg_load<N>(row + c, v);
#pragma unroll
        for (int i = 0; i < N; i++)
            sum += v[i] * v[i];
    }
    scale = 1.0f / sqrtf(vg_block_sum(sum) / (float)dim + eps);

    auto finish = [&](float(&e)[N], int c) {
        float f[N];
        vg_load<N>(w + c, f);
#pragma unroll
        for (int i = 0; i < N; i++)
            e[i] = e[i] * scale * f[i];
        if (N > 1 && cosines) {
            const float *cosine_row = cosines + (int64_t)blockIdx.x * pairs,
                        *sine_row = sines + (int64_t)blockIdx.x * pairs;
            int pair = c / 2 % pairs;
#pragma unroll
            for (int i = 0; i + 1 < N; i += 2, pair++) {
                // A pack of 8 may pass the end of a head if its size is not a multiple of 8.
                pair = pair == pairs ? 0 : pair;
                float even = vg_rounded<Y>(e[i]), odd = vg_rounded<Y>(e[i + 1]),
                      cosine = cosine_row[pair], sine = sine_row[pair];
                e[i] = even * cosine - odd * sine;
                e[i + 1] = even * sine + odd * cosine;
            }
        }
        vg_store<N>(y + (int64_t)blockIdx.x * dim + c, e);
    };
#pragma unroll
    for (int p = 0; p < CACHED; p++)
        if (first + p * step < dim)
            finish(kept[p], first + p * step);
    for (int c = first + CACHED * step; c < dim; c += step) {
        vg_load<N>(row + c, v);
        finish(v, c);
    }
}

/* normalise_rows    Bytes, FLOPs as above
 * Launch   a warp per row in a loop over rows, see rows.cuh. A head size that divides 256 (the elements of 32 packs) gives each lane the same
 *          pairs in every pack: its 4 cosines and sines are read once per row
 * Numerics as above; the sum in another order
 * Measured NVIDIA H100 80GB HBM3, 75600x5120 with rotation, 2026-11: 574 us, 2.76 TB/s = 92 % of the copy in the same run (with a test for the row's end in
 *          each pack; not timed since) */
template <int P>
static __global__ void __launch_bounds__(32 * ROW_WARPS, 1)
    normalise_rows(const __nv_bfloat16 *x, const __nv_bfloat16 *w, float eps, const float *cosines,
                   const float *sines, int pairs, __nv_bfloat16 *y, int64_t rows)
{
    constexpr int dim = 256 * P;
    const int lane = threadIdx.x % 32, first_pair = lane * 4 % (pairs ? pairs : 1);

    for (int64_t row = vg_first_row(); row < rows; row += (int64_t)gridDim.x * ROW_WARPS) {
        uint4 kept[P];
        float v[8], partial[8] = {}, scale, cosine[4], sine[4];

#pragma unroll
        for (int p = 0; p < P; p++)
            kept[p] = vg_load_once(x + row * dim + (p * 32 + lane) * 8);
        if (cosines) {
            vg_load<4>(cosines + row * pairs + first_pair, cosine);
            vg_load<4>(sines + row * pairs + first_pair, sine);
        }
#pragma unroll
        for (int p = 0; p < P; p++) {
            vg_unpack(kept[p], v);
#pragma unroll
            for (int i = 0; i < 8; i++)
                partial[i] += v[i] * v[i];
        }
        scale = 1.0f / sqrtf(vg_warp_sum(partial) / (float)dim + eps);
#pragma unroll
        for (int p = 0; p < P; p++) {
            const int column = (p * 32 + lane) * 8;
            float f[8];
            vg_unpack(kept[p], v);
            vg_unpack(__ldg(reinterpret_cast<const uint4 *>(w + column)), f);
#pragma unroll
            for (int i = 0; i < 8; i++)
                v[i] = v[i] * scale * f[i];
            if (cosines) {
                vg_unpack(vg_packed(v), v);
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    float even = v[2 * i], odd = v[2 * i + 1];
                    v[2 * i] = even * cosine[i] - odd * sine[i];
                    v[2 * i + 1] = even * sine[i] + odd * cosine[i];
                }
            }
            *reinterpret_cast<uint4 *>(y + row * dim + column) = vg_packed(v);
        }
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_rms_norm_rope(vg_backend *be, const vg_rms_norm_rope_args *a, vg_err *err)
{
    int64_t rows = a->x->shape[0], dim = a->x->shape[1], pairs = dim / a->heads / 2;
    const float *cosines = a->rope_cos ? static_cast<const float *>(a->rope_cos->data) : nullptr;
    const float *sines = a->rope_sin ? static_cast<const float *>(a->rope_sin->data) : nullptr;
    bool packs = vg_cuda_packs(dim, a->x->data, a->w->data, a->y->data);
    int64_t pieces = packs ? dim / 8 : cosines ? dim / 2 : dim;
    int64_t wanted = (pieces + CACHED * 32 - 1) / (CACHED * 32) * 32;
    unsigned threads = (unsigned)(wanted > MOST_THREADS ? MOST_THREADS : wanted);
    // Pairs are 4 or 8 bytes; views of whole rows keep them aligned, other addresses do not come from the engine.
    bool odd = cosines && !packs &&
               ((uintptr_t)a->x->data % (2 * vg_dtype_size(a->x->dtype)) ||
                (uintptr_t)a->w->data % (2 * vg_dtype_size(a->w->dtype)) ||
                (uintptr_t)a->y->data % (2 * vg_dtype_size(a->y->dtype)));

    if (odd)
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "rms_norm_rope: operands of pairs must lie at multiples of a pair on the cuda backend");
    if (dim >= 1 << 30)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "rms_norm_rope: rows of %lld are too long for the cuda backend",
                       (long long)dim);
    VG_TRY(vg_cuda_enter(be, err));
    if (packs && a->x->dtype == VG_BF16 && a->w->dtype == VG_BF16 && a->y->dtype == VG_BF16 &&
        vg_cuda_row_fits(dim, rows) &&
        (!cosines ||
         (256 % (2 * pairs) == 0 && pairs % 4 == 0 && vg_cuda_packs(8, cosines, sines)))) {
        VG_CUDA_ROW(dim, P, {
            VG_CUDA_LAUNCH(be, err, normalise_rows<P>, vg_cuda_row_grid(be, rows, ROW_WARPS),
                           32 * ROW_WARPS, 0, static_cast<const __nv_bfloat16 *>(a->x->data),
                           static_cast<const __nv_bfloat16 *>(a->w->data), a->eps, cosines, sines,
                           (int)pairs, static_cast<__nv_bfloat16 *>(a->y->data), rows);
        });
        return VG_OK;
    }
    VG_CUDA_ACT(a->x->dtype, X,
                VG_CUDA_ACT(a->w->dtype, W, VG_CUDA_ACT(a->y->dtype, Y, {
                                const X *x = static_cast<const X *>(a->x->data);
                                const W *w = static_cast<const W *>(a->w->data);
                                Y *y = static_cast<Y *>(a->y->data);
                                if (packs)
                                    VG_CUDA_LAUNCH(be, err, (normalise<8, X, W, Y>), (unsigned)rows,
                                                   threads, 0, x, w, a->eps, cosines, sines,
                                                   (int)pairs, y, (int)dim);
                                else if (cosines)
                                    VG_CUDA_LAUNCH(be, err, (normalise<2, X, W, Y>), (unsigned)rows,
                                                   threads, 0, x, w, a->eps, cosines, sines,
                                                   (int)pairs, y, (int)dim);
                                else
                                    VG_CUDA_LAUNCH(be, err, (normalise<1, X, W, Y>), (unsigned)rows,
                                                   threads, 0, x, w, a->eps, cosines, sines,
                                                   (int)pairs, y, (int)dim);
                            });););
    return VG_OK;
}
