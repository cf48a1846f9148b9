/* activation.c: SiLU, GELU tanh or GELU erf, optionally times a second operand.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_activation(const vg_activation_args *a, vg_err *err)
{
    VG_TRY(vg_need("activation", "x", a->x, VG_TAKES_ACT, VG_ANY_RANK, err));
    VG_TRY(vg_need_act("activation", a->act, err));
    if (a->mul)
        VG_TRY(vg_need_like("activation", "mul", a->mul, VG_TAKES_ACT, a->x, err));
    if (a->quant.kind != VG_QUANT_NONE) {
        VG_TRY(vg_need("activation", "x", a->x, VG_TAKES_ACT, 2, err));
        VG_TRY(vg_need_quant_out("activation", &a->quant, a->x->shape[0], a->x->shape[1], err));
    }
    return vg_need_values("activation", a->y, &a->quant, a->x, err);
}

void vg_cost_activation(const vg_activation_args *a, vg_op_cost *cost)
{
    vg_cost_moves(
        cost, vg_cost_bytes(a->x) + vg_cost_bytes(a->mul) + vg_cost_result_bytes(a->y, &a->quant),
        a->x);
    vg_cost_append_act(cost, a->act);
    vg_cost_append(cost, "%s", a->mul ? " times" : "");
    vg_cost_append_quant(cost, a->y, &a->quant);
}

void vg_operands_activation(vg_operand_maker *m, vg_activation_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, d[0], d[1]);
    a->act = m->row->act;
    a->y = vg_operand_result(m, d[0], d[1], &a->quant);
}

/* d: n d. */
static const vg_op_case cases[] = {
    {.use = "720p", .in = VG_FORM_BF16, .act = VG_ACT_GELU_TANH, .d = {75600, 13824}},
    {.use = "480p", .in = VG_FORM_BF16, .act = VG_ACT_GELU_TANH, .d = {32760, 13824}},
    {.use = "720p",
     .in = VG_FORM_BF16,
     .act = VG_ACT_GELU_TANH,
     .out = VG_QUANT_TENSOR_STATIC,
     .d = {75600, 13824}},
    {.use = "480p",
     .in = VG_FORM_BF16,
     .act = VG_ACT_GELU_TANH,
     .out = VG_QUANT_TENSOR_STATIC,
     .d = {32760, 13824}},
    {.use = "720p",
     .in = VG_FORM_BF16,
     .act = VG_ACT_GELU_TANH,
     .out = VG_QUANT_GROUP_DYNAMIC,
     .d = {75600, 13824}},
    {.use = "480p",
     .in = VG_FORM_BF16,
     .act = VG_ACT_GELU_TANH,
     .out = VG_QUANT_GROUP_DYNAMIC,
     .d = {32760, 13824}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_activation = {cases, sizeof cases / sizeof *cases, shrink};
