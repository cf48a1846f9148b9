/* unpatchify.c: token rows to [C,T,H,W], channel fastest in a row.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_unpatchify(const vg_unpatchify_args *a, vg_err *err)
{
    return vg_need_patches("unpatchify", "y", a->y, "x", a->x, a->patch, err);
}

void vg_cost_unpatchify(const vg_unpatchify_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost, vg_cost_bytes(a->x) + vg_cost_bytes(a->y), a->y);
}

void vg_operands_unpatchify(vg_operand_maker *m, vg_unpatchify_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, d[1] * (d[2] / 2) * (d[3] / 2),
                      d[0] * 4);
    a->patch[0] = 1;
    a->patch[1] = a->patch[2] = 2;
    a->y = VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 4, d[0], d[1], d[2], d[3]);
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

const vg_op_cases vg_cases_unpatchify = {cases, sizeof cases / sizeof *cases, shrink};
