/* edge_norm.c: channel_norm with the border pixels repeated outwards, or only that.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_edge_norm(const vg_edge_norm_args *a, vg_err *err)
{
    const char *op = "edge_norm";
    const int64_t *s;

    VG_TRY(vg_need(op, "x", a->x, VG_TAKES_ACT, 4, err));
    s = a->x->shape;
    VG_TRY(vg_may_vector(op, "gamma", a->gamma, VG_TAKES_ACT, s[3], err));
    if (a->edge < 0 || a->edge > 64)
        return VG_FAIL(err, VG_E_ARG, "%s: edge is %d, expected 0..64", op, a->edge);
    if (a->silu && !a->gamma)
        return VG_FAIL(err, VG_E_ARG, "%s: SiLU comes with a norm only", op);
    return vg_need_shape(op, "y", a->y, 1u << a->x->dtype, 4,
                         VG_SHAPE(s[0], s[1] + 2 * a->edge, s[2] + 2 * a->edge, s[3]), err);
}

void vg_cost_edge_norm(const vg_edge_norm_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost, vg_cost_bytes(a->x) + vg_cost_bytes(a->gamma) + vg_cost_bytes(a->y), a->x);
    vg_cost_append(cost, " edge %d%s%s", a->edge, a->gamma ? " norm" : "", a->silu ? " SiLU" : "");
}

void vg_operands_edge_norm(vg_operand_maker *m, vg_edge_norm_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 4, d[0], d[1], d[2], d[3]);
    a->gamma = d[4] ? VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 1, d[3]) : NULL;
    a->silu = m->row->act == VG_ACT_SILU;
    a->edge = 1;
    a->y = VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 4, d[0], d[1] + 2, d[2] + 2, d[3]);
}

/* d: T H W C norm. */
static const vg_op_case cases[] = {
    {.use = "HV VAE, level 0", .in = VG_FORM_BF16, .d = {1, 45, 80, 1024, 0}},
    {.use = "HV VAE, level 3", .in = VG_FORM_BF16, .act = VG_ACT_SILU, .d = {4, 360, 640, 256, 1}},
    {.use = "HV VAE, level 4", .in = VG_FORM_BF16, .act = VG_ACT_SILU, .d = {4, 720, 1280, 128, 1}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_sides(c, 1, scale);
}

const vg_op_cases vg_cases_edge_norm = {cases, sizeof cases / sizeof *cases, shrink};
