// residual_norm.cu: gate_residual and layer_norm_modulate of its result in one pass over the residual stream.
#include "kernels/cuda/norm.cuh"

/* Bytes rows*dim*(2 + 2 + 2 + 2 for y, + 1 for codes), against 5 or more passes of 2 in pieces. See vg_norm_rows. */
vg_status vg_cuda_residual_norm(vg_backend *be, const vg_residual_norm_args *a, vg_err *err)
{
    vg_layer_norm_modulate_args norm = {a->sum, a->scale, a->shift, a->w,
                                        a->b,   a->eps,   a->y,     a->quant};
    vg_norm_vectors vectors = vg_cuda_norm_vectors(&norm, a->gate);

    if (a->x->dtype != VG_BF16 || a->add->dtype != VG_BF16 ||
        !vg_cuda_packs(8, a->x->data, a->add->data) || !vg_cuda_norm_fits(&norm, &vectors)) {
        vg_gate_residual_args residual = {a->x, a->add, a->gate, a->sum};
        VG_TRY(vg_cuda_gate_residual(be, &residual, err));
        return vg_cuda_layer_norm_modulate(be, &norm, err);
    }
    VG_TRY(vg_cuda_enter(be, err));
    return vg_cuda_norm<true>(be, &norm, a->x, a->add, &vectors, err);
}
