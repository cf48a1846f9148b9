// library_product.cu: what cuBLASLt alone does for a linear layer, for benchmarks beside the operation: one product of operands that are in
// the library's own forms already. No bias, no activation, no conversion of scales.
#include "kernels/cuda/blas.cuh"

vg_status vg_cuda_library_product(vg_backend *be, const vg_linear_args *a, vg_err *err)
{
    vg_product p = {};

    VG_TRY(vg_cuda_enter(be, err));
    p.m = a->x->shape[0], p.n = a->w->shape[0], p.k = a->x->shape[1];
    p.ldx = p.ldw = p.k;
    p.ldy = p.n;
    p.batch = 1;
    p.x = a->x->data, p.w = a->w->data, p.y = a->y->data;
    p.x_type = a->x->dtype, p.w_type = a->w->dtype, p.y_type = a->y->dtype;
    p.alpha = 1.0;
    if (a->x->dtype != a->w->dtype)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "cuBLASLt multiplies operands of one format");
    if (a->x->dtype == VG_E4M3) {
        bool groups = a->x_scale->ndim == 2, blocks = a->w_scale->ndim == 2;
        // Rows of block scales are padded to four in the library's form.
        if (groups != blocks || (blocks && a->w_scale->shape[1] % 4 != 0) ||
            (!blocks && a->w_scale->shape[0] != 1))
            return VG_FAIL(err, VG_E_UNSUPPORTED, "cuBLASLt has other forms of scales");
        p.x_scale = static_cast<const float *>(a->x_scale->data),
        p.w_scale = static_cast<const float *>(a->w_scale->data);
        p.x_mode = groups ? VG_SCALE_GROUPS : VG_SCALE_TENSOR;
        p.w_mode = blocks ? VG_SCALE_BLOCKS : VG_SCALE_TENSOR;
    }
    return vg_cuda_multiply(be, &p, err);
}
