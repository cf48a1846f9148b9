// rms_norm.cu: T5 RMSNorm: y = w * round(x / sqrt(mean(x^2) + eps)). Source: transformers UMT5LayerNorm (wan 5.3).
#include "kernels/cuda/cuda.cuh"

/* normalise    Bytes  rows*dim*(size(x) + size(y)) (x a second time from L1), w from L2   FLOPs 4*rows*dim -> memory-bound
 * Launch   one block of 256 threads per row, packs of 8 (element-wise for dim % 8 != 0 or odd addresses); y may be x
 * Numerics FP32 sum in fixed order (repeatable), rounded to y's dtype before and after the product with w */
template <int N, typename X, typename W, typename Y>
static __global__ void normalise(const X *x, const W *w, float eps, Y *y, int64_t dim)
{
    const X *row = x + (int64_t)blockIdx.x * dim;
    int64_t step = (int64_t)blockDim.x * N;
    float v[N], f[N], sum = 0.0f, scale;

    for (int64_t c = (int64_t)threadIdx.x * N; c < dim; c += step) {
        vg_load<N>(row + c, v);
#pragma unroll
        for (int i = 0; i < N; i++)
            sum += v[i] * v[i];
    }
    scale = 1.0f / sqrtf(vg_block_sum(sum) / (float)dim + eps);
    for (int64_t c = (int64_t)threadIdx.x * N; c < dim; c += step) {
        vg_load<N>(row + c, v);
        vg_load<N>(w + c, f);
#pragma unroll
        for (int i = 0; i < N; i++)
            v[i] *= scale;
        vg_round_all<Y>(v);
#pragma unroll
        for (int i = 0; i < N; i++)
            v[i] *= f[i];
        vg_store<N>(y + (int64_t)blockIdx.x * dim + c, v);
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_rms_norm(vg_backend *be, const vg_rms_norm_args *a, vg_err *err)
{
    int64_t rows = a->x->shape[0], dim = a->x->shape[1];

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, X,
                VG_CUDA_ACT(a->w->dtype, W, VG_CUDA_ACT(a->y->dtype, Y, {
                                const X *x = static_cast<const X *>(a->x->data);
                                const W *w = static_cast<const W *>(a->w->data);
                                Y *y = static_cast<Y *>(a->y->data);
                                if (vg_cuda_packs(dim, x, w, y))
                                    VG_CUDA_LAUNCH(be, err, (normalise<8, X, W, Y>), (unsigned)rows,
                                                   256, 0, x, w, a->eps, y, dim);
                                else
                                    VG_CUDA_LAUNCH(be, err, (normalise<1, X, W, Y>), (unsigned)rows,
                                                   256, 0, x, w, a->eps, y, dim);
                            });););
    return VG_OK;
}
