/* unpack_channels.c: channels to frames, rows and columns, plus a shortcut whose channels are repeated.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_unpack_channels(const vg_unpack_channels_args *a, vg_err *err)
{
    const char *op = "unpack_channels";
    const int64_t *x, *s;
    int64_t c, factor;

    VG_TRY(vg_need(op, "x", a->x, VG_TAKES_ACT, 4, err));
    VG_TRY(vg_need(op, "shortcut", a->shortcut, 1u << a->x->dtype, 4, err));
    VG_TRY(vg_need(op, "y", a->y, 1u << a->x->dtype, 4, err));
    if ((a->times != 1 && a->times != 2) || (a->side != 1 && a->side != 2))
        return VG_FAIL(err, VG_E_ARG, "%s: times %d, side %d; 1 and 2 are possible", op, a->times,
                       a->side);
    x = a->x->shape, s = a->shortcut->shape, c = a->y->shape[3];
    factor = (int64_t)a->times * a->side * a->side;
    if (x[3] % factor != 0 || x[3] / factor < c || factor * c % s[3] != 0)
        return VG_FAIL(err, VG_E_SHAPE,
                       "%s: %lld channels in %lld parts and a shortcut of %lld do not make %lld",
                       op, (long long)x[3], (long long)factor, (long long)s[3], (long long)c);
    VG_TRY(vg_need_shape(op, "shortcut", a->shortcut, 1u << a->x->dtype, 4,
                         VG_SHAPE(x[0], x[1], x[2], s[3]), err));
    return vg_need_shape(op, "y", a->y, 1u << a->x->dtype, 4,
                         VG_SHAPE(x[0] * a->times, x[1] * a->side, x[2] * a->side, c), err);
}

void vg_cost_unpack_channels(const vg_unpack_channels_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost, 2 * vg_cost_bytes(a->y) + vg_cost_bytes(a->shortcut), a->x);
    vg_cost_append(cost, " by %dx%dx%d", a->times, a->side, a->side);
}

void vg_operands_unpack_channels(vg_operand_maker *m, vg_unpack_channels_args *a)
{
    const int64_t *d = m->row->d;
    vg_dtype dtype = vg_operand_act_dtype(m);
    a->times = (int)d[5];
    a->side = 2;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, dtype, 4, d[0], d[1], d[2], d[4] * 4 * d[5]);
    a->shortcut = VG_OPERAND(m, VG_FILL_NORMAL, dtype, 4, d[0], d[1], d[2], d[3]);
    a->y = VG_OPERAND(m, VG_FILL_NOT, dtype, 4, d[0] * d[5], d[1] * 2, d[2] * 2, d[4]);
}

/* d: T H W, channels of the shortcut and of the result, times. */
static const vg_op_case cases[] = {
    {.use = "HV VAE, to level 1", .in = VG_FORM_BF16, .d = {1, 45, 80, 1024, 1024, 2}},
    {.use = "HV VAE, to level 2", .in = VG_FORM_BF16, .d = {2, 90, 160, 1024, 512, 2}},
    {.use = "HV VAE, to level 4", .in = VG_FORM_BF16, .d = {4, 360, 640, 256, 128, 1}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_sides(c, 1, scale);
}

const vg_op_cases vg_cases_unpack_channels = {cases, sizeof cases / sizeof *cases, shrink};
