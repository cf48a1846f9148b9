/* residual_norm.c: x + y * gate, rounded and kept, then LayerNorm of it as layer_norm_modulate.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_residual_norm(const vg_residual_norm_args *a, vg_err *err)
{
    const char *op = "residual_norm";

    VG_TRY(vg_need(op, "x", a->x, VG_TAKES_ACT, 2, err));
    VG_TRY(vg_need_like(op, "add", a->add, VG_TAKES_ACT, a->x, err));
    VG_TRY(vg_may_vector(op, "gate", a->gate, VG_TAKES_F32, a->x->shape[1], err));
    VG_TRY(vg_need_like(op, "sum", a->sum, VG_TAKES_ACT, a->x, err));
    if (a->y && a->y->data == a->sum->data)
        return VG_FAIL(err, VG_E_ARG, "%s: y and sum are one tensor", op);
    return vg_need_norm(op,
                        &(vg_layer_norm_modulate_args){a->sum, a->scale, a->shift, a->w, a->b,
                                                       a->eps, a->y, a->quant},
                        err);
}

void vg_cost_residual_norm(const vg_residual_norm_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost,
                  vg_cost_bytes(a->x) + vg_cost_bytes(a->add) + vg_cost_bytes(a->gate) +
                      vg_cost_bytes(a->sum) + vg_cost_bytes(a->scale) + vg_cost_bytes(a->shift) +
                      vg_cost_bytes(a->w) + vg_cost_bytes(a->b) +
                      vg_cost_result_bytes(a->y, &a->quant),
                  a->x);
    vg_cost_append(cost, "%s", a->gate ? " gate" : "");
    vg_cost_append_quant(cost, a->y, &a->quant);
}

void vg_operands_residual_norm(vg_operand_maker *m, vg_residual_norm_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, d[0], d[1]);
    a->add = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, d[0], d[1]);
    a->gate = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 1, d[1]);
    a->sum = VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 2, d[0], d[1]);
    a->scale = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 1, d[1]);
    a->shift = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 1, d[1]);
    a->eps = 1e-6f;
    a->y = vg_operand_result(m, d[0], d[1], &a->quant);
}

/* d: n d. */
static const vg_op_case cases[] = {
    {.use = "720p", .in = VG_FORM_BF16, .d = {75600, 5120}},
    {.use = "480p", .in = VG_FORM_BF16, .d = {32760, 5120}},
    {.use = "720p", .in = VG_FORM_BF16, .out = VG_QUANT_TENSOR_STATIC, .d = {75600, 5120}},
    {.use = "480p", .in = VG_FORM_BF16, .out = VG_QUANT_TENSOR_STATIC, .d = {32760, 5120}},
    {.use = "720p", .in = VG_FORM_BF16, .out = VG_QUANT_GROUP_DYNAMIC, .d = {75600, 5120}},
    {.use = "480p", .in = VG_FORM_BF16, .out = VG_QUANT_GROUP_DYNAMIC, .d = {32760, 5120}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_residual_norm = {cases, sizeof cases / sizeof *cases, shrink};
