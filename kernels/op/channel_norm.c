/* channel_norm.c: x / max(|x|_2, 1e-12) * sqrt(C) * gamma per pixel over channels, optional SiLU.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_channel_norm(const vg_channel_norm_args *a, vg_err *err)
{
    VG_TRY(vg_need("channel_norm", "x", a->x, VG_TAKES_ACT, 2, err));
    VG_TRY(vg_need_vector("channel_norm", "gamma", a->gamma, VG_TAKES_ACT, a->x->shape[1], err));
    return vg_need_like("channel_norm", "y", a->y, VG_TAKES_ACT, a->x, err);
}

void vg_cost_channel_norm(const vg_channel_norm_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost, vg_cost_bytes(a->x) + vg_cost_bytes(a->gamma) + vg_cost_bytes(a->y), a->x);
    vg_cost_append(cost, "%s", a->silu ? " SiLU" : "");
}

void vg_operands_channel_norm(vg_operand_maker *m, vg_channel_norm_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, d[0] * d[1] * d[2], d[3]);
    a->gamma = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 1, d[3]);
    a->silu = m->row->act == VG_ACT_SILU;
    a->y = VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 2, d[0] * d[1] * d[2], d[3]);
}

/* d: T H W C. */
static const vg_op_case cases[] = {
    {.use = "VAE, level 2", .in = VG_FORM_BF16, .act = VG_ACT_SILU, .d = {2, 180, 320, 384}},
    {.use = "VAE, level 4", .in = VG_FORM_BF16, .act = VG_ACT_SILU, .d = {4, 720, 1280, 96}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_sides(c, 1, scale);
}

const vg_op_cases vg_cases_channel_norm = {cases, sizeof cases / sizeof *cases, shrink};
