// layer_norm_modulate.cu: LayerNorm, then (1 + scale) * v + shift, or v * w + b, or nothing.
//
// BF16 rows of the models' widths are held by a warp each (norm.cuh); others go by a block each (here), and are quantised afterwards.
#include "kernels/cuda/norm.cuh"

#define CACHED       4 // packs of a row that a thread keeps in registers; further ones are read again
#define MOST_THREADS 512

/* normalise    Bytes  2*rows*dim*2 (BF16; x and y once each; the two vectors 8*dim from L2)   FLOPs 8*rows*dim -> 2 FLOP/B,
 *              memory-bound: floor = bytes / bandwidth
 * Launch   one block per row, 32..512 threads so that a thread has at most CACHED packs of 8 up to dim = 16384 (beyond, or
 *          element-wise for dim % 8 != 0 or odd addresses, the rest of the row comes from L1/L2 again)
 * Numerics FP32, mean first, then squared differences (two passes over registers), fixed order of sums (repeatable), one rounding;
 *          against the CPU: sums in another order, so up to a few FP32 ulp before the rounding
 * Measured NVIDIA H100 80GB HBM3 (3.35 TB/s), 32760x5120, best of 5 x 20 calls, 2026-11: BF16 301 us, 2.23 TB/s = 67 % */
template <int N, typename X, typename Y>
static __global__ void normalise(const X *x, const float *factor, const float *offset, float one,
                                 float eps, Y *y, int64_t dim)
{
    const X *row = x + (int64_t)blockIdx.x * dim;
    int64_t step = (int64_t)blockDim.x * N, first = (int64_t)threadIdx.x * N;
    float kept[CACHED][N], v[N], sum = 0.0f, mean, scale;

#pragma unroll
    for (int p = 0; p < CACHED; p++)
        if (first + p * step < dim) {
            vg_load<N>(row + first + p * step, kept[p]);
#pragma unroll
            for (int i = 0; i < N; i++)
                sum += kept[p][i];
        }
    for (int64_t c = first + CACHED * step; c < dim; c += step) {
        vg_load<N>(row + c, v);
#pragma unroll
        for (int i = 0; i < N; i++)
            sum += v[i];
    }
    mean = vg_block_sum(sum) / (float)dim;
    sum = 0.0f;
#pragma unroll
    for (int p = 0; p < CACHED; p++)
        if (first + p * step < dim)
#pragma unroll
            for (int i = 0; i < N; i++)
                sum += (kept[p][i] - mean) * (kept[p][i] - mean);
    for (int64_t c = first + CACHED * step; c < dim; c += step) {
        vg_load<N>(row + c, v);
#pragma unroll
        for (int i = 0; i < N; i++)
            sum += (v[i] - mean) * (v[i] - mean);
    }
    scale = 1.0f / sqrtf(vg_block_sum(sum) / (float)dim + eps);

    auto finish = [&](float(&e)[N], int64_t c) {
#pragma unroll
        for (int i = 0; i < N; i++)
            e[i] = (e[i] - mean) * scale;
        if (factor) {
            float f[N], o[N];
            vg_load<N>(factor + c, f);
            vg_load<N>(offset + c, o);
#pragma unroll
            for (int i = 0; i < N; i++)
                e[i] = e[i] * (one + f[i]) + o[i];
        }
        vg_store<N>(y + (int64_t)blockIdx.x * dim + c, e);
    };
#pragma unroll
    for (int p = 0; p < CACHED; p++)
        if (first + p * step < dim)
            finish(kept[p], first + p * step);
    // In place (y = x) this is safe: each thread re-reads only what it writes itself, and both sums are complete.
    for (int64_t c = first + CACHED * step; c < dim; c += step) {
        vg_load<N>(row + c, v);
        finish(v, c);
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

static vg_status norm_general(vg_backend *be, const vg_layer_norm_modulate_args *a,
                              const vg_norm_vectors *v, vg_err *err)
{
    int64_t rows = a->x->shape[0], dim = a->x->shape[1];
    bool packs =
        vg_cuda_packs(dim, a->x->data, a->y->data) && vg_cuda_packs(dim, v->factor, v->offset);
    int64_t pieces = packs ? dim / 8 : dim;
    // Just enough threads that the registers hold the row: 160 for dim = 5120, where 256 would leave a third of them idle.
    int64_t wanted = (pieces + CACHED * 32 - 1) / (CACHED * 32) * 32;
    unsigned threads = (unsigned)(wanted > MOST_THREADS ? MOST_THREADS : wanted);

    VG_CUDA_ACT(a->x->dtype, X, VG_CUDA_ACT(a->y->dtype, Y, {
                    const X *x = static_cast<const X *>(a->x->data);
                    Y *y = static_cast<Y *>(a->y->data);
                    if (packs)
                        VG_CUDA_LAUNCH(be, err, (normalise<8, X, Y>), (unsigned)rows, threads, 0, x,
                                       v->factor, v->offset, v->one, a->eps, y, dim);
                    else
                        VG_CUDA_LAUNCH(be, err, (normalise<1, X, Y>), (unsigned)rows, threads, 0, x,
                                       v->factor, v->offset, v->one, a->eps, y, dim);
                }););
    return VG_OK;
}

vg_status vg_cuda_layer_norm_modulate(vg_backend *be, const vg_layer_norm_modulate_args *a,
                                      vg_err *err)
{
    int64_t rows = a->x->shape[0], dim = a->x->shape[1];
    vg_norm_vectors vectors = vg_cuda_norm_vectors(a, nullptr);
    vg_layer_norm_modulate_args plain = *a;
    vg_tensor y;

    VG_TRY(vg_cuda_enter(be, err));
    if (vg_cuda_norm_fits(a, &vectors))
        return vg_cuda_norm<false>(be, a, a->x, nullptr, &vectors, err);
    VG_TRY(vg_cuda_values(be, &plain.y, &y, a->x->dtype, rows, dim, err));
    VG_TRY(norm_general(be, &plain, &vectors, err));
    return vg_cuda_quantize_result(be, plain.y, &a->quant, err);
}
