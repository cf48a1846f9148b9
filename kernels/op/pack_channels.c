/* pack_channels.c: frames, rows and columns to channels, plus a shortcut of means of neighbouring channels.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_pack_channels(const vg_pack_channels_args *a, vg_err *err)
{
    const char *op = "pack_channels";
    const int64_t *x, *y;
    int64_t s, factor;

    VG_TRY(vg_need(op, "x", a->x, VG_TAKES_ACT, 4, err));
    VG_TRY(vg_need(op, "shortcut", a->shortcut, 1u << a->x->dtype, 4, err));
    VG_TRY(vg_need(op, "y", a->y, 1u << a->x->dtype, 4, err));
    if ((a->times != 1 && a->times != 2) || (a->side != 1 && a->side != 2))
        return VG_FAIL(err, VG_E_ARG, "%s: times %d, side %d; 1 and 2 are possible", op, a->times,
                       a->side);
    x = a->x->shape, y = a->y->shape, s = a->shortcut->shape[3];
    factor = (int64_t)a->times * a->side * a->side;
    if (y[3] % (factor * x[3]) != 0 || factor * s % y[3] != 0)
        return VG_FAIL(err, VG_E_SHAPE,
                       "%s: %lld parts of %lld channels and a shortcut of %lld do not make %lld",
                       op, (long long)factor, (long long)x[3], (long long)s, (long long)y[3]);
    VG_TRY(vg_need_shape(op, "shortcut", a->shortcut, 1u << a->x->dtype, 4,
                         VG_SHAPE(x[0], x[1], x[2], s), err));
    return vg_need_shape(op, "x", a->x, VG_TAKES_ACT, 4,
                         VG_SHAPE(y[0] * a->times, y[1] * a->side, y[2] * a->side, x[3]), err);
}

void vg_cost_pack_channels(const vg_pack_channels_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost, vg_cost_bytes(a->x) + vg_cost_bytes(a->shortcut) + vg_cost_bytes(a->y),
                  a->x);
    vg_cost_append(cost, " by %dx%dx%d", a->times, a->side, a->side);
}

void vg_operands_pack_channels(vg_operand_maker *m, vg_pack_channels_args *a)
{
    const int64_t *d = m->row->d;
    vg_dtype dtype = vg_operand_act_dtype(m);
    a->times = (int)d[5];
    a->side = 2;
    a->x =
        VG_OPERAND(m, VG_FILL_NORMAL, dtype, 4, d[0] * d[5], d[1] * 2, d[2] * 2, d[4] / 4 / d[5]);
    a->shortcut = VG_OPERAND(m, VG_FILL_NORMAL, dtype, 4, d[0] * d[5], d[1] * 2, d[2] * 2, d[3]);
    a->y = VG_OPERAND(m, VG_FILL_NOT, dtype, 4, d[0], d[1], d[2], d[4]);
}

/* d: T H W of the result, channels of the shortcut and of the result, times. */
static const vg_op_case cases[] = {
    {.use = "HV VAE, from level 4", .in = VG_FORM_BF16, .d = {4, 360, 640, 128, 256, 1}},
    {.use = "HV VAE, from level 2", .in = VG_FORM_BF16, .d = {2, 90, 160, 512, 1024, 2}},
    {.use = "HV VAE, from level 1", .in = VG_FORM_BF16, .d = {1, 45, 80, 1024, 1024, 2}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_sides(c, 1, scale);
}

const vg_op_cases vg_cases_pack_channels = {cases, sizeof cases / sizeof *cases, shrink};
