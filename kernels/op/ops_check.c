/* ops_check.c: what checks of operands are built from: is it there, has it this dtype, has it this rank, has it this shape. */
#include "kernels/op/op_impl.h"

#include <math.h>
#include <stdio.h>

static vg_status fail_dtype(const char *op, const char *arg, const vg_tensor *t, unsigned accepted,
                            vg_err *err)
{
    char list[64] = "";
    size_t used = 0;

    for (int i = 0; i < VG_DTYPE_COUNT; i++)
        if (accepted >> i & 1u)
            used += (size_t)snprintf(list + used, sizeof list - used, used ? " or %s" : "%s",
                                     vg_dtype_name((vg_dtype)i));
    return VG_FAIL(err, VG_E_DTYPE, "%s: %s is %s, expected %s", op, arg, vg_dtype_name(t->dtype),
                   list);
}

/* Present, of an accepted dtype, of this rank, every dimension at least 1, its size without overflow. */
vg_status vg_need(const char *op, const char *arg, const vg_tensor *t, unsigned accepted, int ndim,
                  vg_err *err)
{
    size_t bytes;

    if (!t || !t->data)
        return VG_FAIL(err, VG_E_ARG, "%s: operand %s is absent", op, arg);
    if ((unsigned)t->dtype >= VG_DTYPE_COUNT || !(accepted >> t->dtype & 1u))
        return fail_dtype(op, arg, t, accepted, err);
    if (ndim != VG_ANY_RANK && t->ndim != ndim)
        return VG_FAIL(err, VG_E_SHAPE, "%s: %s has %d dimensions, expected %d", op, arg, t->ndim,
                       ndim);
    if (vg_shape_bytes(t->shape, t->ndim, t->dtype, &bytes, err) != VG_OK) {
        vg_err_prefix(err, "%s: %s", op, arg);
        return VG_E_SHAPE;
    }
    for (int i = 0; i < t->ndim; i++)
        if (t->shape[i] < 1)
            return VG_FAIL(err, VG_E_SHAPE, "%s: dimension %d of %s is %lld, expected at least 1",
                           op, i, arg, (long long)t->shape[i]);
    return VG_OK;
}

vg_status vg_need_shape(const char *op, const char *arg, const vg_tensor *t, unsigned accepted,
                        int ndim, const int64_t *shape, vg_err *err)
{
    char is[96], wanted[96];
    vg_tensor model = {.data = &model, .dtype = VG_F32, .ndim = ndim};

    VG_TRY(vg_need(op, arg, t, accepted, ndim, err));
    for (int i = 0; i < ndim; i++)
        model.shape[i] = shape[i];
    model.dtype = t->dtype;
    if (!vg_tensor_same_shape(t, &model))
        return VG_FAIL(err, VG_E_SHAPE, "%s: %s is %s, expected %s", op, arg,
                       vg_tensor_describe(t, is, sizeof is),
                       vg_tensor_describe(&model, wanted, sizeof wanted));
    return VG_OK;
}

vg_status vg_need_like(const char *op, const char *arg, const vg_tensor *t, unsigned accepted,
                       const vg_tensor *model, vg_err *err)
{
    return vg_need_shape(op, arg, t, accepted, model->ndim, model->shape, err);
}

vg_status vg_need_vector(const char *op, const char *arg, const vg_tensor *t, unsigned accepted,
                         int64_t n, vg_err *err)
{
    return vg_need_shape(op, arg, t, accepted, 1, &n, err);
}

/* The same, for an operand that may be left out. */
vg_status vg_may_vector(const char *op, const char *arg, const vg_tensor *t, unsigned accepted,
                        int64_t n, vg_err *err)
{
    return t ? vg_need_vector(op, arg, t, accepted, n, err) : VG_OK;
}

vg_status vg_need_eps(const char *op, float eps, vg_err *err)
{
    if (!(eps >= 0.0f && eps < 1.0f))
        return VG_FAIL(err, VG_E_ARG, "%s: eps is %g, expected 0 <= eps < 1", op, (double)eps);
    return VG_OK;
}

vg_status vg_need_act(const char *op, vg_act act, vg_err *err)
{
    if ((unsigned)act >= VG_ACT_COUNT)
        return VG_FAIL(err, VG_E_ARG, "%s: unknown activation %d", op, (int)act);
    return VG_OK;
}

/* The codes beside, or instead of, a result of m rows and k columns. */
vg_status vg_need_quant_out(const char *op, const vg_quant_out *q, int64_t m, int64_t k,
                            vg_err *err)
{
    switch (q->kind) {
    case VG_QUANT_NONE:
        return VG_OK;
    case VG_QUANT_TENSOR_STATIC:
        VG_TRY(vg_need_vector(op, "quant.scale", q->scale, VG_TAKES_F32, 1, err));
        break;
    case VG_QUANT_GROUP_DYNAMIC:
        VG_TRY(vg_need_shape(op, "quant.scale", q->scale, VG_TAKES_F32, 2,
                             VG_SHAPE(vg_groups_of(k), m), err));
        break;
    case VG_QUANT_TENSOR_DYNAMIC:
    case VG_QUANT_KIND_COUNT:
    default:
        return VG_FAIL(err, VG_E_ARG,
                       "%s: results cannot be quantised as kind %d while they are made", op,
                       (int)q->kind);
    }
    return vg_need_shape(op, "quant.q", q->q, VG_TAKES_E4M3, 2, VG_SHAPE(m, k), err);
}

/* The values of a result that may be quantised: they may be left out if its codes are there. */
vg_status vg_need_values(const char *op, const vg_tensor *y, const vg_quant_out *q,
                         const vg_tensor *like, vg_err *err)
{
    return !y && q->kind != VG_QUANT_NONE ? VG_OK
                                          : vg_need_like(op, "y", y, VG_TAKES_ACT, like, err);
}

vg_status vg_need_blocks(const char *op, const vg_tensor *scale, const vg_tensor *w, vg_err *err)
{
    return vg_need_shape(op, "scale", scale, VG_TAKES_F32, 2,
                         VG_SHAPE(vg_groups_of(w->shape[0]), vg_groups_of(w->shape[1])), err);
}

/* What LayerNorm multiplies and adds: a modulation, an affine pair, or nothing. */
vg_status vg_need_norm(const char *op, const vg_layer_norm_modulate_args *a, vg_err *err)
{
    if (!a->scale != !a->shift)
        return VG_FAIL(err, VG_E_ARG, "%s: scale and shift come together or not at all", op);
    if (!a->w != !a->b)
        return VG_FAIL(err, VG_E_ARG, "%s: w and b come together or not at all", op);
    if (a->scale && a->w)
        return VG_FAIL(err, VG_E_ARG,
                       "%s: both a modulation (scale, shift) and an affine pair (w, b) are given",
                       op);
    VG_TRY(vg_may_vector(op, "scale", a->scale, VG_TAKES_F32, a->x->shape[1], err));
    VG_TRY(vg_may_vector(op, "shift", a->shift, VG_TAKES_F32, a->x->shape[1], err));
    VG_TRY(vg_may_vector(op, "w", a->w, VG_TAKES_F32, a->x->shape[1], err));
    VG_TRY(vg_may_vector(op, "b", a->b, VG_TAKES_F32, a->x->shape[1], err));
    VG_TRY(vg_need_eps(op, a->eps, err));
    VG_TRY(vg_need_quant_out(op, &a->quant, a->x->shape[0], a->x->shape[1], err));
    return vg_need_values(op, a->y, &a->quant, a->x, err);
}

/* Token rows [N, patch volume * C] beside frames [C,T,H,W]. */
vg_status vg_need_patches(const char *op, const char *frames_name, const vg_tensor *frames,
                          const char *rows_name, const vg_tensor *rows, const int patch[3],
                          vg_err *err)
{
    int64_t tokens = 1, volume;

    VG_TRY(vg_need(op, frames_name, frames, VG_TAKES_ACT, 4, err));
    volume = frames->shape[0];
    for (int i = 0; i < 3; i++) {
        if (patch[i] < 1)
            return VG_FAIL(err, VG_E_ARG, "%s: patch edge %d is %d, expected at least 1", op, i,
                           patch[i]);
        if (frames->shape[i + 1] % patch[i] != 0)
            return VG_FAIL(err, VG_E_SHAPE,
                           "%s: dimension %d of %s (%lld) is not a multiple of the patch edge %d",
                           op, i + 1, frames_name, (long long)frames->shape[i + 1], patch[i]);
        tokens *= frames->shape[i + 1] / patch[i];
        volume *= patch[i];
    }
    return vg_need_shape(op, rows_name, rows, VG_TAKES_ACT, 2, VG_SHAPE(tokens, volume), err);
}
