/* patchify.c: [C,T,H,W] to token rows, channel slowest.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_patchify(const vg_patchify_args *a, vg_err *err)
{
    return vg_need_patches("patchify", "x", a->x, "y", a->y, a->patch, err);
}

void vg_cost_patchify(const vg_patchify_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost, vg_cost_bytes(a->x) + vg_cost_bytes(a->y), a->x);
}

void vg_operands_patchify(vg_operand_maker *m, vg_patchify_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 4, d[0], d[1], d[2], d[3]);
    a->patch[0] = 1;
    a->patch[1] = a->patch[2] = 2;
    a->y = VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 2, d[1] * (d[2] / 2) * (d[3] / 2),
                      d[0] * 4);
}

/* d: C T H W. */
static const vg_op_case cases[] = {
    {.use = "720p", .in = VG_FORM_BF16, .d = {16, 21, 90, 160}},
    {.use = "480p", .in = VG_FORM_BF16, .d = {16, 21, 60, 104}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_sides(c, 2, scale);
}

const vg_op_cases vg_cases_patchify = {cases, sizeof cases / sizeof *cases, shrink};
