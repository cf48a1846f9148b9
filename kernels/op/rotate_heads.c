/* rotate_heads.c: rotary embedding of each head's halves, each head written once or several times.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_rotate_heads(const vg_rotate_heads_args *a, vg_err *err)
{
    const char *op = "rotate_heads";
    VG_TRY(vg_need(op, "x", a->x, VG_TAKES_ACT, 3, err));
    VG_TRY(vg_need(op, "y", a->y, 1u << a->x->dtype, 3, err));
    int64_t n = a->x->shape[0], heads = a->x->shape[1], dim = a->x->shape[2];
    if (a->y->shape[0] != n || a->y->shape[2] != dim || a->y->shape[1] % heads != 0)
        return VG_FAIL(err, VG_E_SHAPE,
                       "%s: y is [%lld,%lld,%lld]; [%lld, a multiple of %lld, %lld] is wanted", op,
                       (long long)a->y->shape[0], (long long)a->y->shape[1],
                       (long long)a->y->shape[2], (long long)n, (long long)heads, (long long)dim);
    if (a->y->shape[1] != heads && a->y->data == a->x->data)
        return VG_FAIL(err, VG_E_ARG, "%s: y may lie at x only when heads are written once", op);
    if (!a->rope_cos != !a->rope_sin)
        return VG_FAIL(err, VG_E_ARG, "%s: rope_cos and rope_sin come together or not at all", op);
    if (!a->rope_cos)
        return VG_OK;
    if (dim % 2 != 0)
        return VG_FAIL(err, VG_E_SHAPE, "%s: rotation needs an even head size, not %lld", op,
                       (long long)dim);
    VG_TRY(vg_need_shape(op, "rope_cos", a->rope_cos, VG_TAKES_F32, 2, VG_SHAPE(n, dim / 2), err));
    return vg_need_shape(op, "rope_sin", a->rope_sin, VG_TAKES_F32, 2, VG_SHAPE(n, dim / 2), err);
}

void vg_cost_rotate_heads(const vg_rotate_heads_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost,
                  vg_cost_bytes(a->x) + vg_cost_bytes(a->rope_cos) + vg_cost_bytes(a->rope_sin) +
                      vg_cost_bytes(a->y),
                  a->y);
    vg_cost_append(cost, "%s", a->rope_cos ? " rope" : "");
}

void vg_operands_rotate_heads(vg_operand_maker *m, vg_rotate_heads_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 3, d[0], d[1], d[2]);
    if (d[4]) { /* values of any size do; the rotation is two products whatever they are */
        a->rope_cos = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 2, d[0], d[2] / 2);
        a->rope_sin = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 2, d[0], d[2] / 2);
    }
    a->y = VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 3, d[0], d[1] * d[3], d[2]);
}

/* d: n heads dim times rope. */
static const vg_op_case cases[] = {
    {.use = "text encoder, q", .in = VG_FORM_BF16, .d = {1108, 28, 128, 1, 1}},
    {.use = "text encoder, k", .in = VG_FORM_BF16, .d = {1108, 4, 128, 7, 1}},
    {.use = "text encoder, v", .in = VG_FORM_BF16, .d = {1108, 4, 128, 7}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_rotate_heads = {cases, sizeof cases / sizeof *cases, shrink};
