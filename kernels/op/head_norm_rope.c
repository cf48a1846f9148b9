/* head_norm_rope.c: RMSNorm of each head, then optional rotary embedding on interleaved pairs.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_head_norm_rope(const vg_head_norm_rope_args *a, vg_err *err)
{
    const char *op = "head_norm_rope";
    int64_t d;

    VG_TRY(vg_need(op, "x", a->x, VG_TAKES_ACT, 2, err));
    d = a->x->shape[1];
    VG_TRY(vg_need_eps(op, a->eps, err));
    if (a->heads < 1 || d % a->heads != 0)
        return VG_FAIL(err, VG_E_ARG, "%s: %lld channels cannot be cut into %d heads", op,
                       (long long)d, a->heads);
    VG_TRY(vg_need_vector(op, "w", a->w, VG_TAKES_ACT, d / a->heads, err));
    if (!a->rope_cos != !a->rope_sin)
        return VG_FAIL(err, VG_E_ARG, "%s: rope_cos and rope_sin come together or not at all", op);
    if (a->rope_cos) {
        int64_t pairs = d / a->heads / 2;
        if (d / a->heads % 2 != 0)
            return VG_FAIL(err, VG_E_SHAPE, "%s: rotation needs an even head size, not %lld", op,
                           (long long)(d / a->heads));
        VG_TRY(vg_need_shape(op, "rope_cos", a->rope_cos, VG_TAKES_F32, 2,
                             VG_SHAPE(a->x->shape[0], pairs), err));
        VG_TRY(vg_need_shape(op, "rope_sin", a->rope_sin, VG_TAKES_F32, 2,
                             VG_SHAPE(a->x->shape[0], pairs), err));
    }
    return vg_need_like(op, "y", a->y, 1u << a->x->dtype, a->x, err);
}

void vg_cost_head_norm_rope(const vg_head_norm_rope_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost,
                  vg_cost_bytes(a->x) + vg_cost_bytes(a->w) + vg_cost_bytes(a->rope_cos) +
                      vg_cost_bytes(a->rope_sin) + vg_cost_bytes(a->y),
                  a->x);
    vg_cost_append(cost, "%s", a->rope_cos ? " rope" : "");
}

void vg_operands_head_norm_rope(vg_operand_maker *m, vg_head_norm_rope_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, d[0], d[1]);
    a->w = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 1, d[1] / d[2]);
    a->eps = 1e-6f;
    a->heads = (int)d[2];
    if (d[3]) { /* values of any size do; the rotation is two products whatever they are */
        a->rope_cos = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 2, d[0], d[1] / d[2] / 2);
        a->rope_sin = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 2, d[0], d[1] / d[2] / 2);
    }
    a->y = VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 2, d[0], d[1]);
}

/* d: n d heads rope. */
static const vg_op_case cases[] = {
    {.use = "HV 720p, q k", .in = VG_FORM_BF16, .d = {46800, 2048, 16, 1}},
    {.use = "HV 480p, q k", .in = VG_FORM_BF16, .d = {20670, 2048, 16, 1}},
    {.use = "HV, text q k", .in = VG_FORM_BF16, .d = {1008, 2048, 16}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_head_norm_rope = {cases, sizeof cases / sizeof *cases, shrink};
