/* gate_residual.c: x + y * gate, or x + y, one rounding.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_gate_residual(const vg_gate_residual_args *a, vg_err *err)
{
    VG_TRY(vg_need("gate_residual", "x", a->x, VG_TAKES_ACT, 2, err));
    VG_TRY(vg_need_like("gate_residual", "y", a->y, VG_TAKES_ACT, a->x, err));
    VG_TRY(vg_may_vector("gate_residual", "gate", a->gate, VG_TAKES_F32, a->x->shape[1], err));
    return vg_need_like("gate_residual", "out", a->out, VG_TAKES_ACT, a->x, err);
}

void vg_cost_gate_residual(const vg_gate_residual_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost,
                  vg_cost_bytes(a->x) + vg_cost_bytes(a->y) + vg_cost_bytes(a->gate) +
                      vg_cost_bytes(a->out),
                  a->x);
    vg_cost_append(cost, "%s", a->gate ? " gate" : "");
}

void vg_operands_gate_residual(vg_operand_maker *m, vg_gate_residual_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, d[0], d[1]);
    a->y = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, d[0], d[1]);
    a->gate = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 1, d[1]);
    a->out = VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 2, d[0], d[1]);
}

/* d: n d. */
static const vg_op_case cases[] = {
    {.use = "720p", .in = VG_FORM_BF16, .d = {75600, 5120}},
    {.use = "480p", .in = VG_FORM_BF16, .d = {32760, 5120}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_gate_residual = {cases, sizeof cases / sizeof *cases, shrink};
