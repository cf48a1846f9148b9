/* head_codes.c: q or k as INT8 codes for attention_codes.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

static vg_status check_scale(const vg_head_codes_args *a, int64_t n, vg_err *err)
{
    int64_t blocks = vg_codes_blocks(n);

    VG_TRY(vg_need("head_codes", "scale", a->scale, VG_TAKES_F32, 2, err));
    return vg_need_shape("head_codes", "scale", a->scale, VG_TAKES_F32, 2,
                         VG_SHAPE(a->heads, a->scale->shape[1] == n ? n : blocks), err);
}

vg_status vg_check_head_codes(const vg_head_codes_args *a, vg_err *err)
{
    const char *op = "head_codes";
    int64_t n, d, head_dim;

    VG_TRY(vg_need(op, "x", a->x, VG_TAKES_ACT, 2, err));
    n = a->x->shape[0], d = a->x->shape[1];
    if (a->heads < 1 || d % a->heads != 0)
        return VG_FAIL(err, VG_E_ARG, "%s: %lld channels cannot be cut into %d heads", op,
                       (long long)d, a->heads);
    head_dim = d / a->heads;
    if (a->rotate && (head_dim & (head_dim - 1)) != 0)
        return VG_FAIL(err, VG_E_SHAPE, "%s: rotation needs a power of 2 as head size, not %lld",
                       op, (long long)head_dim);
    if (a->w) {
        VG_TRY(vg_need_vector(op, "w", a->w, VG_TAKES_ACT, d, err));
        VG_TRY(vg_need_eps(op, a->eps, err));
    }
    if (!a->rope_cos != !a->rope_sin || (a->rope_cos && !a->w))
        return VG_FAIL(err, VG_E_ARG, "%s: rope_cos and rope_sin come together, and with w", op);
    if (a->rope_cos) {
        if (head_dim % 2 != 0)
            return VG_FAIL(err, VG_E_SHAPE,
                           "%s: rotary embedding needs an even head size, not %lld", op,
                           (long long)head_dim);
        VG_TRY(vg_need_shape(op, "rope_cos", a->rope_cos, VG_TAKES_F32, 2,
                             VG_SHAPE(n, head_dim / 2), err));
        VG_TRY(vg_need_shape(op, "rope_sin", a->rope_sin, VG_TAKES_F32, 2,
                             VG_SHAPE(n, head_dim / 2), err));
    }
    VG_TRY(
        vg_need_shape(op, "codes", a->codes, VG_TAKES_I8, 3, VG_SHAPE(n, a->heads, head_dim), err));
    return check_scale(a, n, err);
}

void vg_cost_head_codes(const vg_head_codes_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost,
                  vg_cost_bytes(a->x) + vg_cost_bytes(a->w) + vg_cost_bytes(a->rope_cos) +
                      vg_cost_bytes(a->rope_sin) + vg_cost_bytes(a->codes) +
                      vg_cost_bytes(a->scale),
                  a->x);
    vg_cost_append(cost, " -> I8%s%s%s", a->rope_cos ? " rope" : "", a->center ? " centred" : "",
                   a->rotate ? " rotated" : "");
}

void vg_operands_head_codes(vg_operand_maker *m, vg_head_codes_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, d[0], d[1]);
    a->w = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 1, d[1]);
    a->eps = 1e-6f;
    a->heads = (int)d[2];
    a->rope_cos = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 2, d[0], d[1] / d[2] / 2);
    a->rope_sin = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 2, d[0], d[1] / d[2] / 2);
    a->center = d[3] != 0;
    a->rotate = true;
    a->codes = VG_OPERAND(m, VG_FILL_NOT, VG_I8, 3, d[0], d[2], d[1] / d[2]);
    a->scale = VG_OPERAND(m, VG_FILL_NOT, VG_F32, 2, d[2], d[3] ? vg_codes_blocks(d[0]) : d[0]);
}

/* d: n d heads keys (0: queries). */
static const vg_op_case cases[] = {
    {.use = "720p, q", .in = VG_FORM_BF16, .d = {75600, 5120, 40, 0}},
    {.use = "720p, k", .in = VG_FORM_BF16, .d = {75600, 5120, 40, 1}},
    {.use = "480p, q", .in = VG_FORM_BF16, .d = {32760, 5120, 40, 0}},
    {.use = "480p, k", .in = VG_FORM_BF16, .d = {32760, 5120, 40, 1}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_head_codes = {cases, sizeof cases / sizeof *cases, shrink};
