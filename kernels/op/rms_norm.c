/* rms_norm.c: T5-style RMSNorm over the last dimension, product with w rounded separately.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_rms_norm(const vg_rms_norm_args *a, vg_err *err)
{
    VG_TRY(vg_need("rms_norm", "x", a->x, VG_TAKES_ACT, 2, err));
    VG_TRY(vg_need_vector("rms_norm", "w", a->w, VG_TAKES_ACT, a->x->shape[1], err));
    VG_TRY(vg_need_eps("rms_norm", a->eps, err));
    return vg_need_like("rms_norm", "y", a->y, VG_TAKES_ACT, a->x, err);
}

void vg_cost_rms_norm(const vg_rms_norm_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost, vg_cost_bytes(a->x) + vg_cost_bytes(a->w) + vg_cost_bytes(a->y), a->x);
}

void vg_operands_rms_norm(vg_operand_maker *m, vg_rms_norm_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, d[0], d[1]);
    a->w = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 1, d[1]);
    a->eps = 1e-6f;
    a->y = VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 2, d[0], d[1]);
}

/* d: n d. */
static const vg_op_case cases[] = {
    {.use = "text encoder", .in = VG_FORM_BF16, .d = {512, 4096}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_rms_norm = {cases, sizeof cases / sizeof *cases, shrink};
