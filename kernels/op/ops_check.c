/* ops_check.c: what each operation demands of its operands. One function per row of ops.def, built from four
 * questions: is it there, has it this dtype, has it this rank, has it this shape. */
#include "kernels/op/ops_check.h"

#include <math.h>
#include <stdio.h>

enum {
    F32 = 1u << VG_F32,
    BF16 = 1u << VG_BF16,
    F16 = 1u << VG_F16,
    E4M3 = 1u << VG_E4M3,
    U8 = 1u << VG_U8,
    I32 = 1u << VG_I32,
    ACT = F32 | BF16,
    ANY_RANK = -1,
};

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
static vg_status need(const char *op, const char *arg, const vg_tensor *t, unsigned accepted,
                      int ndim, vg_err *err)
{
    size_t bytes;

    if (!t || !t->data)
        return VG_FAIL(err, VG_E_ARG, "%s: operand %s is absent", op, arg);
    if ((unsigned)t->dtype >= VG_DTYPE_COUNT || !(accepted >> t->dtype & 1u))
        return fail_dtype(op, arg, t, accepted, err);
    if (ndim != ANY_RANK && t->ndim != ndim)
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

static vg_status need_shape(const char *op, const char *arg, const vg_tensor *t, unsigned accepted,
                            int ndim, const int64_t *shape, vg_err *err)
{
    char is[96], wanted[96];
    vg_tensor model = {.data = &model, .dtype = VG_F32, .ndim = ndim};

    VG_TRY(need(op, arg, t, accepted, ndim, err));
    for (int i = 0; i < ndim; i++)
        model.shape[i] = shape[i];
    model.dtype = t->dtype;
    if (!vg_tensor_same_shape(t, &model))
        return VG_FAIL(err, VG_E_SHAPE, "%s: %s is %s, expected %s", op, arg,
                       vg_tensor_describe(t, is, sizeof is),
                       vg_tensor_describe(&model, wanted, sizeof wanted));
    return VG_OK;
}

static vg_status need_like(const char *op, const char *arg, const vg_tensor *t, unsigned accepted,
                           const vg_tensor *model, vg_err *err)
{
    return need_shape(op, arg, t, accepted, model->ndim, model->shape, err);
}

static vg_status need_vector(const char *op, const char *arg, const vg_tensor *t, unsigned accepted,
                             int64_t n, vg_err *err)
{
    return need_shape(op, arg, t, accepted, 1, &n, err);
}

/* The same, for an operand that may be left out. */
static vg_status may_vector(const char *op, const char *arg, const vg_tensor *t, unsigned accepted,
                            int64_t n, vg_err *err)
{
    return t ? need_vector(op, arg, t, accepted, n, err) : VG_OK;
}

static vg_status need_eps(const char *op, float eps, vg_err *err)
{
    if (!(eps >= 0.0f && eps < 1.0f))
        return VG_FAIL(err, VG_E_ARG, "%s: eps is %g, expected 0 <= eps < 1", op, (double)eps);
    return VG_OK;
}

static vg_status need_act(const char *op, vg_act act, vg_err *err)
{
    if ((unsigned)act >= VG_ACT_COUNT)
        return VG_FAIL(err, VG_E_ARG, "%s: unknown activation %d", op, (int)act);
    return VG_OK;
}

static int64_t groups_of(int64_t n)
{
    return (n + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
}

#define SHAPE(...)                                                                                 \
    (const int64_t[])                                                                              \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

vg_status vg_check_cast(const vg_cast_args *a, vg_err *err)
{
    VG_TRY(need("cast", "x", a->x, F32 | BF16 | F16 | E4M3, ANY_RANK, err));
    return need_like("cast", "y", a->y, F32 | BF16 | E4M3, a->x, err);
}

vg_status vg_check_quantize(const vg_quantize_args *a, vg_err *err)
{
    VG_TRY(need("quantize", "x", a->x, ACT, 2, err));
    VG_TRY(need_like("quantize", "q", a->q, E4M3, a->x, err));
    switch (a->kind) {
    case VG_QUANT_TENSOR_STATIC:
    case VG_QUANT_TENSOR_DYNAMIC:
        return need_vector("quantize", "scale", a->scale, F32, 1, err);
    case VG_QUANT_GROUP_DYNAMIC:
        return need_shape("quantize", "scale", a->scale, F32, 2,
                          SHAPE(groups_of(a->x->shape[1]), a->x->shape[0]), err);
    case VG_QUANT_NONE:
    case VG_QUANT_KIND_COUNT:
        break;
    }
    return VG_FAIL(err, VG_E_ARG, "quantize: kind %d does not quantise", (int)a->kind);
}

vg_status vg_check_amax(const vg_amax_args *a, vg_err *err)
{
    VG_TRY(need("amax", "x", a->x, ACT, ANY_RANK, err));
    return need_vector("amax", "most", a->most, F32, 1, err);
}

/* The codes beside, or instead of, a result of m rows and k columns. */
static vg_status check_quant_out(const char *op, const vg_quant_out *q, int64_t m, int64_t k,
                                 vg_err *err)
{
    switch (q->kind) {
    case VG_QUANT_NONE:
        return VG_OK;
    case VG_QUANT_TENSOR_STATIC:
        VG_TRY(need_vector(op, "quant.scale", q->scale, F32, 1, err));
        break;
    case VG_QUANT_GROUP_DYNAMIC:
        VG_TRY(need_shape(op, "quant.scale", q->scale, F32, 2, SHAPE(groups_of(k), m), err));
        break;
    case VG_QUANT_TENSOR_DYNAMIC:
    case VG_QUANT_KIND_COUNT:
    default:
        return VG_FAIL(err, VG_E_ARG,
                       "%s: results cannot be quantised as kind %d while they are made", op,
                       (int)q->kind);
    }
    return need_shape(op, "quant.q", q->q, E4M3, 2, SHAPE(m, k), err);
}

/* The values of a result that may be quantised: they may be left out if its codes are there. */
static vg_status check_values(const char *op, const vg_tensor *y, const vg_quant_out *q,
                              const vg_tensor *like, vg_err *err)
{
    return !y && q->kind != VG_QUANT_NONE ? VG_OK : need_like(op, "y", y, ACT, like, err);
}

static vg_status need_blocks(const char *op, const vg_tensor *scale, const vg_tensor *w,
                             vg_err *err)
{
    return need_shape(op, "scale", scale, F32, 2,
                      SHAPE(groups_of(w->shape[0]), groups_of(w->shape[1])), err);
}

vg_status vg_check_quantize_weight(const vg_quantize_weight_args *a, vg_err *err)
{
    VG_TRY(need("quantize_weight", "w", a->w, F32 | BF16 | F16, 2, err));
    VG_TRY(need_like("quantize_weight", "q", a->q, E4M3, a->w, err));
    VG_TRY(need("quantize_weight", "scale", a->scale, F32, ANY_RANK, err));
    return a->scale->ndim == 2 ? need_blocks("quantize_weight", a->scale, a->w, err)
                               : need_vector("quantize_weight", "scale", a->scale, F32, 1, err);
}

vg_status vg_check_dequantize_weight(const vg_dequantize_weight_args *a, vg_err *err)
{
    VG_TRY(need("dequantize_weight", "q", a->q, E4M3, 2, err));
    VG_TRY(need_like("dequantize_weight", "y", a->y, ACT, a->q, err));
    VG_TRY(need("dequantize_weight", "scale", a->scale, F32, ANY_RANK, err));
    if (a->scale->ndim == 2)
        return need_blocks("dequantize_weight", a->scale, a->q, err);
    return need_vector("dequantize_weight", "scale", a->scale, F32,
                       a->scale->ndim == 1 && a->scale->shape[0] == 1 ? 1 : a->q->shape[0], err);
}

static vg_status check_linear_scales(const vg_linear_args *a, vg_err *err)
{
    int64_t m = a->x->shape[0], k = a->x->shape[1], n = a->w->shape[0];

    if ((a->x->dtype == VG_E4M3) != (a->x_scale != NULL))
        return VG_FAIL(err, VG_E_ARG, "linear: x is %s %s x_scale", vg_dtype_name(a->x->dtype),
                       a->x_scale ? "and does not take an" : "and needs an");
    if ((a->w->dtype == VG_E4M3) != (a->w_scale != NULL))
        return VG_FAIL(err, VG_E_ARG, "linear: w is %s %s w_scale", vg_dtype_name(a->w->dtype),
                       a->w_scale ? "and does not take a" : "and needs a");
    if (a->x_scale) {
        VG_TRY(need("linear", "x_scale", a->x_scale, F32, ANY_RANK, err));
        if (a->x_scale->ndim == 1)
            VG_TRY(need_vector("linear", "x_scale", a->x_scale, F32, 1, err));
        else
            VG_TRY(
                need_shape("linear", "x_scale", a->x_scale, F32, 2, SHAPE(groups_of(k), m), err));
        if (a->w->dtype != VG_E4M3)
            return VG_FAIL(err, VG_E_DTYPE, "linear: x is F8_E4M3, so w must be too, not %s",
                           vg_dtype_name(a->w->dtype));
    }
    if (!a->w_scale)
        return VG_OK;
    VG_TRY(need("linear", "w_scale", a->w_scale, F32, ANY_RANK, err));
    if (a->w_scale->ndim == 1 && a->w_scale->shape[0] == 1)
        return VG_OK;
    if (a->w_scale->ndim == 1)
        return need_vector("linear", "w_scale", a->w_scale, F32, n, err);
    return need_shape("linear", "w_scale", a->w_scale, F32, 2, SHAPE(groups_of(n), groups_of(k)),
                      err);
}

vg_status vg_check_linear(const vg_linear_args *a, vg_err *err)
{
    VG_TRY(need("linear", "x", a->x, ACT | E4M3, 2, err));
    VG_TRY(need("linear", "w", a->w, ACT | E4M3, 2, err));
    if (a->w->shape[1] != a->x->shape[1])
        return VG_FAIL(err, VG_E_SHAPE, "linear: x has %lld input channels, w has %lld",
                       (long long)a->x->shape[1], (long long)a->w->shape[1]);
    VG_TRY(check_linear_scales(a, err));
    VG_TRY(may_vector("linear", "bias", a->bias, ACT, a->w->shape[0], err));
    VG_TRY(need_act("linear", a->act, err));
    VG_TRY(check_quant_out("linear", &a->quant, a->x->shape[0], a->w->shape[0], err));
    if (!a->y && a->quant.kind != VG_QUANT_NONE)
        return VG_OK;
    return need_shape("linear", "y", a->y, ACT, 2, SHAPE(a->x->shape[0], a->w->shape[0]), err);
}

vg_status vg_check_embedding(const vg_embedding_args *a, vg_err *err)
{
    VG_TRY(need("embedding", "table", a->table, ACT, 2, err));
    VG_TRY(need("embedding", "ids", a->ids, I32, 1, err));
    return need_shape("embedding", "y", a->y, ACT, 2, SHAPE(a->ids->shape[0], a->table->shape[1]),
                      err);
}

vg_status vg_check_rms_norm(const vg_rms_norm_args *a, vg_err *err)
{
    VG_TRY(need("rms_norm", "x", a->x, ACT, 2, err));
    VG_TRY(need_vector("rms_norm", "w", a->w, ACT, a->x->shape[1], err));
    VG_TRY(need_eps("rms_norm", a->eps, err));
    return need_like("rms_norm", "y", a->y, ACT, a->x, err);
}

/* What LayerNorm multiplies and adds: a modulation, an affine pair, or nothing. */
static vg_status check_norm(const char *op, const vg_layer_norm_modulate_args *a, vg_err *err)
{
    if (!a->scale != !a->shift)
        return VG_FAIL(err, VG_E_ARG, "%s: scale and shift come together or not at all", op);
    if (!a->w != !a->b)
        return VG_FAIL(err, VG_E_ARG, "%s: w and b come together or not at all", op);
    if (a->scale && a->w)
        return VG_FAIL(err, VG_E_ARG,
                       "%s: both a modulation (scale, shift) and an affine pair (w, b) are given",
                       op);
    VG_TRY(may_vector(op, "scale", a->scale, F32, a->x->shape[1], err));
    VG_TRY(may_vector(op, "shift", a->shift, F32, a->x->shape[1], err));
    VG_TRY(may_vector(op, "w", a->w, F32, a->x->shape[1], err));
    VG_TRY(may_vector(op, "b", a->b, F32, a->x->shape[1], err));
    VG_TRY(need_eps(op, a->eps, err));
    VG_TRY(check_quant_out(op, &a->quant, a->x->shape[0], a->x->shape[1], err));
    return check_values(op, a->y, &a->quant, a->x, err);
}

vg_status vg_check_layer_norm_modulate(const vg_layer_norm_modulate_args *a, vg_err *err)
{
    VG_TRY(need("layer_norm_modulate", "x", a->x, ACT, 2, err));
    return check_norm("layer_norm_modulate", a, err);
}

vg_status vg_check_residual_norm(const vg_residual_norm_args *a, vg_err *err)
{
    const char *op = "residual_norm";

    VG_TRY(need(op, "x", a->x, ACT, 2, err));
    VG_TRY(need_like(op, "add", a->add, ACT, a->x, err));
    VG_TRY(may_vector(op, "gate", a->gate, F32, a->x->shape[1], err));
    VG_TRY(need_like(op, "sum", a->sum, ACT, a->x, err));
    if (a->y && a->y->data == a->sum->data)
        return VG_FAIL(err, VG_E_ARG, "%s: y and sum are one tensor", op);
    return check_norm(op,
                      &(vg_layer_norm_modulate_args){a->sum, a->scale, a->shift, a->w, a->b, a->eps,
                                                     a->y, a->quant},
                      err);
}

vg_status vg_check_rms_norm_rope(const vg_rms_norm_rope_args *a, vg_err *err)
{
    const char *op = "rms_norm_rope";
    int64_t d;

    VG_TRY(need(op, "x", a->x, ACT, 2, err));
    d = a->x->shape[1];
    VG_TRY(need_vector(op, "w", a->w, ACT, d, err));
    VG_TRY(need_eps(op, a->eps, err));
    if (a->heads < 1 || d % a->heads != 0)
        return VG_FAIL(err, VG_E_ARG, "%s: %lld channels cannot be cut into %d heads", op,
                       (long long)d, a->heads);
    if (!a->rope_cos != !a->rope_sin)
        return VG_FAIL(err, VG_E_ARG, "%s: rope_cos and rope_sin come together or not at all", op);
    if (a->rope_cos) {
        int64_t pairs = d / a->heads / 2;
        if (d / a->heads % 2 != 0)
            return VG_FAIL(err, VG_E_SHAPE, "%s: rotation needs an even head size, not %lld", op,
                           (long long)(d / a->heads));
        VG_TRY(need_shape(op, "rope_cos", a->rope_cos, F32, 2, SHAPE(a->x->shape[0], pairs), err));
        VG_TRY(need_shape(op, "rope_sin", a->rope_sin, F32, 2, SHAPE(a->x->shape[0], pairs), err));
    }
    return need_like(op, "y", a->y, ACT, a->x, err);
}

vg_status vg_check_attention(const vg_attention_args *a, vg_err *err)
{
    int64_t heads, head_dim, nq, nk;

    VG_TRY(need("attention", "q", a->q, ACT, 3, err));
    VG_TRY(need("attention", "k", a->k, ACT, 3, err));
    nq = a->q->shape[0], heads = a->q->shape[1], head_dim = a->q->shape[2], nk = a->k->shape[0];
    VG_TRY(need_shape("attention", "k", a->k, ACT, 3, SHAPE(nk, heads, head_dim), err));
    VG_TRY(need_shape("attention", "v", a->v, ACT, 3, SHAPE(nk, heads, head_dim), err));
    if (a->bias)
        VG_TRY(need_shape("attention", "bias", a->bias, F32, 3, SHAPE(heads, nq, nk), err));
    if (!isfinite(a->scale))
        return VG_FAIL(err, VG_E_ARG, "attention: scale is not finite");
    VG_TRY(check_quant_out("attention", &a->quant, nq, heads * head_dim, err));
    if (!a->y && a->quant.kind != VG_QUANT_NONE)
        return VG_OK;
    return need_shape("attention", "y", a->y, ACT, 3, SHAPE(nq, heads, head_dim), err);
}

vg_status vg_check_gate_residual(const vg_gate_residual_args *a, vg_err *err)
{
    VG_TRY(need("gate_residual", "x", a->x, ACT, 2, err));
    VG_TRY(need_like("gate_residual", "y", a->y, ACT, a->x, err));
    VG_TRY(may_vector("gate_residual", "gate", a->gate, F32, a->x->shape[1], err));
    return need_like("gate_residual", "out", a->out, ACT, a->x, err);
}

vg_status vg_check_activation(const vg_activation_args *a, vg_err *err)
{
    VG_TRY(need("activation", "x", a->x, ACT, ANY_RANK, err));
    VG_TRY(need_act("activation", a->act, err));
    if (a->mul)
        VG_TRY(need_like("activation", "mul", a->mul, ACT, a->x, err));
    if (a->quant.kind != VG_QUANT_NONE) {
        VG_TRY(need("activation", "x", a->x, ACT, 2, err));
        VG_TRY(check_quant_out("activation", &a->quant, a->x->shape[0], a->x->shape[1], err));
    }
    return check_values("activation", a->y, &a->quant, a->x, err);
}

/* Token rows [N, patch volume * C] beside frames [C,T,H,W]. */
static vg_status check_patches(const char *op, const char *frames_name, const vg_tensor *frames,
                               const char *rows_name, const vg_tensor *rows, const int patch[3],
                               vg_err *err)
{
    int64_t tokens = 1, volume;

    VG_TRY(need(op, frames_name, frames, ACT, 4, err));
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
    return need_shape(op, rows_name, rows, ACT, 2, SHAPE(tokens, volume), err);
}

vg_status vg_check_patchify(const vg_patchify_args *a, vg_err *err)
{
    return check_patches("patchify", "x", a->x, "y", a->y, a->patch, err);
}

vg_status vg_check_unpatchify(const vg_unpatchify_args *a, vg_err *err)
{
    return check_patches("unpatchify", "y", a->y, "x", a->x, a->patch, err);
}

vg_status vg_check_linear_combination(const vg_linear_combination_args *a, vg_err *err)
{
    const char *op = "linear_combination";

    if (a->count < 1 || a->count > VG_COMBINE_MAX)
        return VG_FAIL(err, VG_E_ARG, "%s: %d terms, expected 1..%d", op, a->count, VG_COMBINE_MAX);
    VG_TRY(need(op, "y", a->y, ACT, ANY_RANK, err));
    for (int i = 0; i < a->count; i++) {
        char name[16];
        snprintf(name, sizeof name, "x[%d]", i);
        VG_TRY(need(op, name, a->x[i], ACT, ANY_RANK, err));
        if (vg_tensor_numel(a->x[i]) != vg_tensor_numel(a->y))
            return VG_FAIL(err, VG_E_SHAPE, "%s: %s has %lld elements, y has %lld", op, name,
                           (long long)vg_tensor_numel(a->x[i]), (long long)vg_tensor_numel(a->y));
    }
    return VG_OK;
}

vg_status vg_check_guidance_step(const vg_guidance_step_args *a, vg_err *err)
{
    const char *op = "guidance_step";
    const struct {
        const char *name;
        const vg_tensor *t;
        unsigned accepted;
    } operands[] = {{"x", a->x, 1u << VG_F32},
                    {"cond", a->v.cond, ACT},
                    {"uncond", a->v.uncond, ACT},
                    {"y", a->y, ACT}};

    for (int i = 0; i < 4; i++) {
        if (i == 2 && !operands[i].t)
            continue;
        VG_TRY(need(op, operands[i].name, operands[i].t, operands[i].accepted, ANY_RANK, err));
        if (vg_tensor_numel(operands[i].t) != vg_tensor_numel(a->x))
            return VG_FAIL(err, VG_E_SHAPE, "%s: %s has %lld elements, x has %lld", op,
                           operands[i].name, (long long)vg_tensor_numel(operands[i].t),
                           (long long)vg_tensor_numel(a->x));
    }
    if (a->v.uncond && a->v.uncond->dtype != a->v.cond->dtype)
        return VG_FAIL(err, VG_E_DTYPE, "%s: cond is %s, uncond %s", op,
                       vg_dtype_name(a->v.cond->dtype), vg_dtype_name(a->v.uncond->dtype));
    return VG_OK;
}

/* Frames of a convolution's input that may be left out; their number is added to *frames. */
static vg_status add_frames(const char *name, const vg_tensor *t, const vg_tensor *x,
                            int64_t *frames, vg_err *err)
{
    if (!t)
        return VG_OK;
    VG_TRY(need("conv3d", name, t, 1u << x->dtype, 4, err));
    VG_TRY(need_shape("conv3d", name, t, 1u << x->dtype, 4,
                      SHAPE(t->shape[0], x->shape[1], x->shape[2], x->shape[3]), err));
    *frames += t->shape[0];
    return VG_OK;
}

vg_status vg_check_conv3d(const vg_conv3d_args *a, vg_err *err)
{
    int64_t in[3], out[3], frames, channels, split;

    VG_TRY(need("conv3d", "x", a->x, ACT, 4, err));
    VG_TRY(need("conv3d", "w", a->w, ACT, 5, err));
    channels = a->x->shape[3];
    if (a->w->shape[4] != channels)
        return VG_FAIL(err, VG_E_SHAPE, "conv3d: x has %lld channels, w has %lld",
                       (long long)channels, (long long)a->w->shape[4]);
    VG_TRY(may_vector("conv3d", "bias", a->bias, ACT, a->w->shape[0], err));
    if (a->upsample != 1 && a->upsample != 2)
        return VG_FAIL(err, VG_E_ARG, "conv3d: upsample is %d, expected 1 or 2", a->upsample);
    if (a->pad_front < 0)
        return VG_FAIL(err, VG_E_ARG, "conv3d: pad_front is %d", a->pad_front);
    for (int i = 0; i < 4; i++)
        if (a->pad[i] < 0 || a->pad[i] > 64)
            return VG_FAIL(err, VG_E_ARG, "conv3d: pad[%d] is %d, expected 0..64", i, a->pad[i]);
    for (int i = 0; i < 3; i++)
        if (a->stride[i] < 1)
            return VG_FAIL(err, VG_E_ARG, "conv3d: stride[%d] is %d, expected at least 1", i,
                           a->stride[i]);
    if (a->split < 0 || (a->split > 1 && a->w->shape[0] % a->split != 0))
        return VG_FAIL(err, VG_E_ARG, "conv3d: %lld channels cannot be split into %d parts",
                       (long long)a->w->shape[0], a->split);
    split = a->split > 1 ? a->split : 1;
    frames = a->pad_front + a->x->shape[0];
    VG_TRY(add_frames("history", a->history, a->x, &frames, err));
    VG_TRY(add_frames("more", a->more, a->x, &frames, err));
    in[0] = frames;
    in[1] = a->x->shape[1] * a->upsample + a->pad[0] + a->pad[1];
    in[2] = a->x->shape[2] * a->upsample + a->pad[2] + a->pad[3];
    for (int i = 0; i < 3; i++) {
        if (in[i] < a->w->shape[i + 1])
            return VG_FAIL(err, VG_E_SHAPE,
                           "conv3d: padded input has %lld positions along axis %d, the kernel %lld",
                           (long long)in[i], i, (long long)a->w->shape[i + 1]);
        out[i] = (in[i] - a->w->shape[i + 1]) / a->stride[i] + 1;
    }
    VG_TRY(need_shape("conv3d", "y", a->y, ACT, 4,
                      SHAPE(out[0] * split, out[1], out[2], a->w->shape[0] / split), err));
    if (a->residual)
        VG_TRY(need_like("conv3d", "residual", a->residual, 1u << a->y->dtype, a->y, err));
    return VG_OK;
}

vg_status vg_check_channel_norm(const vg_channel_norm_args *a, vg_err *err)
{
    VG_TRY(need("channel_norm", "x", a->x, ACT, 2, err));
    VG_TRY(need_vector("channel_norm", "gamma", a->gamma, ACT, a->x->shape[1], err));
    return need_like("channel_norm", "y", a->y, ACT, a->x, err);
}

vg_status vg_check_channel_affine(const vg_channel_affine_args *a, vg_err *err)
{
    const char *op = "channel_affine";
    const int64_t *s;
    int64_t channels;

    VG_TRY(need(op, "x", a->x, ACT, 4, err));
    s = a->x->shape;
    channels = a->to_channels_last ? s[0] : s[3];
    VG_TRY(may_vector(op, "scale", a->scale, F32, channels, err));
    VG_TRY(may_vector(op, "shift", a->shift, F32, channels, err));
    return need_shape(
        op, "y", a->y, ACT, 4,
        a->to_channels_last ? SHAPE(s[1], s[2], s[3], s[0]) : SHAPE(s[3], s[0], s[1], s[2]), err);
}

vg_status vg_check_frames_to_u8(const vg_frames_to_u8_args *a, vg_err *err)
{
    VG_TRY(need("frames_to_u8", "x", a->x, ACT, 4, err));
    if (a->x->shape[3] != 3)
        return VG_FAIL(err, VG_E_SHAPE, "frames_to_u8: x has %lld channels, expected 3",
                       (long long)a->x->shape[3]);
    return need_like("frames_to_u8", "y", a->y, U8, a->x, err);
}
