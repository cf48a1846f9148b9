/* amax.c: running maximum of |x| in one number, for calibration.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_amax(const vg_amax_args *a, vg_err *err)
{
    VG_TRY(vg_need("amax", "x", a->x, VG_TAKES_ACT, VG_ANY_RANK, err));
    return vg_need_vector("amax", "most", a->most, VG_TAKES_F32, 1, err);
}

void vg_cost_amax(const vg_amax_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost, vg_cost_bytes(a->x), a->x);
}

void vg_operands_amax(vg_operand_maker *m, vg_amax_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, d[0], d[1]);
    a->most = VG_OPERAND(m, VG_FILL_SCALES, VG_F32, 1, 1);
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

const vg_op_cases vg_cases_amax = {cases, sizeof cases / sizeof *cases, shrink};
