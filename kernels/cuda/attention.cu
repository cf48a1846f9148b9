// attention.cu: which kernel an attention goes to.
#include "kernels/cuda/attention.cuh"

// A kernel that was asked for is taken wherever it fits, the best one otherwise.
static bool allowed(const vg_backend *be, vg_attention_kernel kernel)
{
    return be->attention == VG_ATTENTION_AUTO || be->attention == kernel;
}

// Kernels that know no codes: values first, into y or a place of their own, then vg_quantize's kernels.
static vg_status values_then_codes(vg_backend *be, const vg_attention_args *a, vg_err *err)
{
    const int64_t rows = a->q->shape[0], dim = a->q->shape[1] * a->q->shape[2],
                  flat[2] = {rows, dim};
    vg_attention_args plain = *a;
    vg_tensor *values = a->y, made, y;

    VG_TRY(vg_cuda_values(be, &values, &made, a->q->dtype, rows, dim, err));
    y = vg_tensor_of(values->data, values->dtype, 3, a->q->shape);
    plain.y = &y;
    plain.quant = {};
    if (allowed(be, VG_ATTENTION_SM90) &&
        vg_cuda_attention_sm90_fits(be, &plain)) // groups of two heads
        VG_TRY(vg_cuda_attention_sm90(be, &plain, nullptr, err));
    else if (allowed(be, VG_ATTENTION_MMA) && vg_cuda_attention_mma_fits(&plain))
        VG_TRY(vg_cuda_attention_mma(be, &plain, err));
    else
        VG_TRY(vg_cuda_attention_rows(be, &plain, err));
    y = vg_tensor_of(y.data, y.dtype, 2, flat);
    return vg_cuda_quantize_result(be, &y, &a->quant, err);
}

vg_status vg_cuda_attention(vg_backend *be, const vg_attention_args *a, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    if (allowed(be, VG_ATTENTION_SM90) && vg_cuda_attention_sm90_fits(be, a))
        return vg_cuda_attention_sm90(be, a, nullptr, err);
    return values_then_codes(be, a, err);
}

vg_status vg_cuda_attention_listed(vg_backend *be, const vg_attention_args *a,
                                   const vg_key_tiles *list, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    if (!vg_cuda_attention_sm90_fits(be, a))
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "attention: lists of key tiles need the kernel of compute capability 9.0");
    return vg_cuda_attention_sm90(be, a, list, err);
}
