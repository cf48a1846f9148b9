/* linear.c: y = act(x W^T + b), weights F32, BF16 or E4M3 with scalar, per-row or 128x128 block scales.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

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
        VG_TRY(vg_need("linear", "x_scale", a->x_scale, VG_TAKES_F32, VG_ANY_RANK, err));
        if (a->x_scale->ndim == 1)
            VG_TRY(vg_need_vector("linear", "x_scale", a->x_scale, VG_TAKES_F32, 1, err));
        else
            VG_TRY(vg_need_shape("linear", "x_scale", a->x_scale, VG_TAKES_F32, 2,
                                 VG_SHAPE(vg_groups_of(k), m), err));
        if (a->w->dtype != VG_E4M3)
            return VG_FAIL(err, VG_E_DTYPE, "linear: x is F8_E4M3, so w must be too, not %s",
                           vg_dtype_name(a->w->dtype));
    }
    if (!a->w_scale)
        return VG_OK;
    VG_TRY(vg_need("linear", "w_scale", a->w_scale, VG_TAKES_F32, VG_ANY_RANK, err));
    if (a->w_scale->ndim == 1 && a->w_scale->shape[0] == 1)
        return VG_OK;
    if (a->w_scale->ndim == 1)
        return vg_need_vector("linear", "w_scale", a->w_scale, VG_TAKES_F32, n, err);
    return vg_need_shape("linear", "w_scale", a->w_scale, VG_TAKES_F32, 2,
                         VG_SHAPE(vg_groups_of(n), vg_groups_of(k)), err);
}

vg_status vg_check_linear(const vg_linear_args *a, vg_err *err)
{
    VG_TRY(vg_need("linear", "x", a->x, VG_TAKES_ACT | VG_TAKES_E4M3, 2, err));
    VG_TRY(vg_need("linear", "w", a->w, VG_TAKES_ACT | VG_TAKES_E4M3, 2, err));
    if (a->w->shape[1] != a->x->shape[1])
        return VG_FAIL(err, VG_E_SHAPE, "linear: x has %lld input channels, w has %lld",
                       (long long)a->x->shape[1], (long long)a->w->shape[1]);
    VG_TRY(check_linear_scales(a, err));
    VG_TRY(vg_may_vector("linear", "bias", a->bias, VG_TAKES_ACT, a->w->shape[0], err));
    VG_TRY(vg_need_act("linear", a->act, err));
    VG_TRY(vg_need_quant_out("linear", &a->quant, a->x->shape[0], a->w->shape[0], err));
    if (!a->y && a->quant.kind != VG_QUANT_NONE)
        return VG_OK;
    return vg_need_shape("linear", "y", a->y, VG_TAKES_ACT, 2,
                         VG_SHAPE(a->x->shape[0], a->w->shape[0]), err);
}

void vg_cost_linear(const vg_linear_args *a, vg_op_cost *cost)
{
    double m = (double)a->x->shape[0], k = (double)a->x->shape[1], n = (double)a->w->shape[0];
    /* Weight-only FP8 multiplies in the activation's dtype. */
    *cost = (vg_op_cost){.flops = 2 * m * n * k, .rate = vg_cost_rate(a->x->dtype)};
    cost->bytes = vg_cost_bytes(a->x) + vg_cost_bytes(a->x_scale) + vg_cost_bytes(a->w) +
                  vg_cost_bytes(a->w_scale) + vg_cost_bytes(a->bias) +
                  vg_cost_result_bytes(a->y, &a->quant);
    vg_cost_append(cost, "%.0fx%.0fx%.0f %s", m, n, k, vg_cost_dtype(a->x->dtype));
    if (a->w_scale)
        vg_cost_append(cost, " %s%s",
                       a->w_scale->ndim == 2       ? "block"
                       : a->w_scale->shape[0] == 1 ? "tensor"
                                                   : "channel",
                       a->x->dtype == VG_E4M3 ? "" : " weights");
    vg_cost_append_act(cost, a->act);
    vg_cost_append_quant(cost, a->y, &a->quant);
}

void vg_operands_linear(vg_operand_maker *m, vg_linear_args *a)
{
    int64_t rows = m->row->d[0], n = m->row->d[1], k = m->row->d[2];
    vg_op_form form = m->row->in;
    if (form == VG_FORM_F32 || form == VG_FORM_BF16) {
        a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, rows, k);
        a->w = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, n, k);
    } else {
        vg_tensor *x, *x_scale;
        vg_operand_codes(m, form == VG_FORM_BLOCK ? VG_QUANT_GROUP_DYNAMIC : VG_QUANT_TENSOR_STATIC,
                         VG_FILL_NORMAL, rows, k, &x, &x_scale);
        a->x = x;
        a->x_scale = x_scale;
        a->w = VG_OPERAND(m, VG_FILL_NORMAL, VG_E4M3, 2, n, k);
        a->w_scale = vg_operand_weight_scale(m, VG_FILL_SCALES, form, n, k);
    }
    a->bias = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 1, n);
    a->act = m->row->act;
    a->y = vg_operand_result(m, rows, n, &a->quant);
}

/* d: m n k. */
static const vg_op_case cases[] = {
    {.use = "720p, q k v o", .in = VG_FORM_BF16, .d = {75600, 5120, 5120}},
    {.use = "480p, q k v o", .in = VG_FORM_BF16, .d = {32760, 5120, 5120}},
    {.use = "720p, q k v o", .in = VG_FORM_TENSOR, .d = {75600, 5120, 5120}},
    {.use = "480p, q k v o", .in = VG_FORM_TENSOR, .d = {32760, 5120, 5120}},
    {.use = "720p, q k v o", .in = VG_FORM_BLOCK, .d = {75600, 5120, 5120}},
    {.use = "480p, q k v o", .in = VG_FORM_BLOCK, .d = {32760, 5120, 5120}},
    {.use = "720p, up", .in = VG_FORM_BF16, .act = VG_ACT_GELU_TANH, .d = {75600, 13824, 5120}},
    {.use = "480p, up", .in = VG_FORM_BF16, .act = VG_ACT_GELU_TANH, .d = {32760, 13824, 5120}},
    {.use = "720p, up", .in = VG_FORM_TENSOR, .act = VG_ACT_GELU_TANH, .d = {75600, 13824, 5120}},
    {.use = "480p, up", .in = VG_FORM_TENSOR, .act = VG_ACT_GELU_TANH, .d = {32760, 13824, 5120}},
    {.use = "720p, up",
     .in = VG_FORM_TENSOR,
     .act = VG_ACT_GELU_TANH,
     .out = VG_QUANT_TENSOR_STATIC,
     .d = {75600, 13824, 5120}},
    {.use = "480p, up",
     .in = VG_FORM_TENSOR,
     .act = VG_ACT_GELU_TANH,
     .out = VG_QUANT_TENSOR_STATIC,
     .d = {32760, 13824, 5120}},
    {.use = "720p, up", .in = VG_FORM_BLOCK, .act = VG_ACT_GELU_TANH, .d = {75600, 13824, 5120}},
    {.use = "480p, up", .in = VG_FORM_BLOCK, .act = VG_ACT_GELU_TANH, .d = {32760, 13824, 5120}},
    {.use = "720p, up",
     .in = VG_FORM_BLOCK,
     .act = VG_ACT_GELU_TANH,
     .out = VG_QUANT_GROUP_DYNAMIC,
     .d = {75600, 13824, 5120}},
    {.use = "480p, up",
     .in = VG_FORM_BLOCK,
     .act = VG_ACT_GELU_TANH,
     .out = VG_QUANT_GROUP_DYNAMIC,
     .d = {32760, 13824, 5120}},
    {.use = "720p, down", .in = VG_FORM_BF16, .d = {75600, 5120, 13824}},
    {.use = "480p, down", .in = VG_FORM_BF16, .d = {32760, 5120, 13824}},
    {.use = "720p, down", .in = VG_FORM_TENSOR, .d = {75600, 5120, 13824}},
    {.use = "480p, down", .in = VG_FORM_TENSOR, .d = {32760, 5120, 13824}},
    {.use = "720p, down", .in = VG_FORM_BLOCK, .d = {75600, 5120, 13824}},
    {.use = "480p, down", .in = VG_FORM_BLOCK, .d = {32760, 5120, 13824}},
    {.use = "text k v", .in = VG_FORM_BF16, .d = {512, 5120, 5120}},
    {.use = "text k v", .in = VG_FORM_TENSOR, .d = {512, 5120, 5120}},
    {.use = "text k v", .in = VG_FORM_BLOCK, .d = {512, 5120, 5120}},
    {.use = "text encoder", .in = VG_FORM_BF16, .d = {512, 4096, 4096}},
    {.use = "text encoder, up", .in = VG_FORM_BF16, .d = {512, 10240, 4096}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_linear = {cases, sizeof cases / sizeof *cases, shrink};
