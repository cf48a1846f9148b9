// dequantize_weight.cu: E4M3 weights times their scales, for a stored FP8 checkpoint that shall run in the compute dtype.
// Source: modelopt-fp8 3.6.
#include "kernels/cuda/cuda.cuh"

/* dequantize    Bytes  n*k*(1 + size(y))   -> memory-bound
 * Launch   256 threads, N elements each, which lie in one row and one block
 * Numerics FP32 product, one rounding; equal to the CPU bit for bit */
template <int N, typename Y>
static __global__ void dequantize(const __nv_fp8_e4m3 *q, const float *scale, bool rows,
                                  int64_t blocks, Y *y, int64_t count, int64_t k)
{
    int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * N, row = i / k, column = i % k;
    float v[N];

    if (i >= count)
        return;
    float s = scale[blocks ? row / VG_QUANT_GROUP * blocks + column / VG_QUANT_GROUP
                    : rows ? row
                           : 0];
    vg_load<N>(q + i, v);
#pragma unroll
    for (int j = 0; j < N; j++)
        v[j] = __fmul_rn(v[j], s);
    vg_store<N>(y + i, v);
}

vg_status vg_cuda_dequantize_weight(vg_backend *be, const vg_dequantize_weight_args *a, vg_err *err)
{
    const __nv_fp8_e4m3 *q = static_cast<const __nv_fp8_e4m3 *>(a->q->data);
    const float *scale = static_cast<const float *>(a->scale->data);
    int64_t k = a->q->shape[1], count = vg_tensor_numel(a->q),
            blocks = a->scale->ndim == 2 ? a->scale->shape[1] : 0;
    bool rows = !blocks && a->scale->shape[0] > 1;

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->y->dtype, Y, {
        Y *y = static_cast<Y *>(a->y->data);
        if (vg_cuda_packs(k, q, y))
            VG_CUDA_LAUNCH(be, err, (dequantize<8, Y>), (unsigned)((count / 8 + 255) / 256), 256, 0,
                           q, scale, rows, blocks, y, count, k);
        else
            VG_CUDA_LAUNCH(be, err, (dequantize<1, Y>), (unsigned)((count + 255) / 256), 256, 0, q,
                           scale, rows, blocks, y, count, k);
    });
    return VG_OK;
}
