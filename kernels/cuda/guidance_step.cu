// guidance_step.cu: y = x + coef (u + scale (c - u)), classifier-free guidance and what a sampler first does with its result.
#include "kernels/cuda/cuda.cuh"

/* guided_step    Bytes  n*(4 + 2*2 + size(y)) with BF16 answers; each once   FLOPs 5*n -> memory-bound: floor = bytes / bandwidth
 * Launch   256 threads, a pack of 8 per thread; element-wise for odd addresses and the tail
 * Numerics difference, products and guided sum each rounded to the dtype of c and u, as torch calls do; the last sum in FP32: equal to
 *          the CPU bit for bit
 * Measured not yet in this form; u + s (c - u) alone: NVIDIA H100 80GB HBM3 (3.35 TB/s), 32760x5120, best of 5 x 20 calls, 2026-11: BF16
 *          331 us, 3.04 TB/s = 91 % */
template <int N, typename T, typename Y>
static __global__ void guided_step(const float *x, const T *cond, const T *uncond, float scale,
                                   float coef, Y *y, int64_t packs)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    float v[N], u[N], sum[N];

    if (i >= packs)
        return;
    vg_load<N>(cond + i * N, v);
    vg_load<N>(x + i * N, sum);
    if (uncond) {
        vg_load<N>(uncond + i * N, u);
#pragma unroll
        for (int j = 0; j < N; j++)
            v[j] = __fsub_rn(v[j], u[j]);
        vg_round_all<T>(v);
#pragma unroll
        for (int j = 0; j < N; j++)
            v[j] = __fmul_rn(v[j], scale);
        vg_round_all<T>(v);
#pragma unroll
        for (int j = 0; j < N; j++)
            v[j] = __fadd_rn(v[j], u[j]);
        vg_round_all<T>(v);
    }
#pragma unroll
    for (int j = 0; j < N; j++)
        v[j] = __fmul_rn(coef, v[j]);
    vg_round_all<T>(v);
#pragma unroll
    for (int j = 0; j < N; j++)
        sum[j] = __fadd_rn(sum[j], v[j]);
    vg_store<N>(y + i * N, sum);
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_guidance_step(vg_backend *be, const vg_guidance_step_args *a, vg_err *err)
{
    const void *uncond = a->v.uncond ? a->v.uncond->data : nullptr;
    bool aligned =
        vg_cuda_packs(8, a->x->data, a->v.cond->data, uncond) && vg_cuda_packs(8, a->y->data);
    int64_t n = vg_tensor_numel(a->y), packs = aligned ? n / 8 : 0, rest = n - 8 * packs,
            from = 8 * packs;

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->v.cond->dtype, T, VG_CUDA_ACT(a->y->dtype, Y, {
                    const float *x = static_cast<const float *>(a->x->data);
                    const T *c = static_cast<const T *>(a->v.cond->data),
                            *u = static_cast<const T *>(uncond);
                    Y *y = static_cast<Y *>(a->y->data);
                    if (packs)
                        VG_CUDA_LAUNCH(be, err, (guided_step<8, T, Y>),
                                       (unsigned)((packs + 255) / 256), 256, 0, x, c, u, a->v.scale,
                                       a->coef, y, packs);
                    if (rest)
                        VG_CUDA_LAUNCH(be, err, (guided_step<1, T, Y>),
                                       (unsigned)((rest + 255) / 256), 256, 0, x + from, c + from,
                                       u ? u + from : u, a->v.scale, a->coef, y + from, rest);
                }););
    return VG_OK;
}
