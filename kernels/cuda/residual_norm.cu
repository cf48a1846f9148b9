// residual_norm.cu: gate_residual and layer_norm_modulate of its result in one pass over the residual stream.
#include "kernels/cuda/norm.cuh"

/* Bytes rows*dim*(2 + 2 + 2 + 2 for y, + 1 for codes), against 5 or more passes of 2 in pieces. See vg_norm_rows. */
vg_status vg_cuda_residual_norm(vg_backend *be, const vg_residual_norm_args *a, vg_err *err)
{
    vg_layer_norm_modulate_args norm = {a->sum, a->scale, a->shift, a->w, a->b, a->eps, a->y, a->quant};
    vg_norm_vectors vectors = vg_cuda_norm_vectors(&norm, a->gate);
    int64_t rows = a->x->shape[0], dim = a->x->shape[1];

    if (a->x->dtype != VG_BF16 || a->add->dtype != VG_BF16 || !vg_cuda_packs(8, a->x->data, a->add->data) || !vg_cuda_norm_fits(&norm, &vectors)) {
        vg_gate_residual_args residual = {a->x, a->add, a->gate, a->sum};
        VG_TRY(vg_cuda_gate_residual(be, &residual, err));
        return vg_cuda_layer_norm_modulate(be, &norm, err);
    }
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ROW(dim, P, {
        VG_CUDA_LAUNCH(be, err, (vg_norm_rows<P, true>), vg_cuda_row_grid(be, rows), 32 * ROW_WARPS, 0,
                       static_cast<const __nv_bfloat16 *>(a->x->data), static_cast<const __nv_bfloat16 *>(a->add->data),
                       static_cast<__nv_bfloat16 *>(a->sum->data), vectors, a->y ? static_cast<__nv_bfloat16 *>(a->y->data) : nullptr,
                       vg_cuda_codes(&a->quant), rows, (int)dim);
    });
    return VG_OK;
}
