/* regroup.c: blocks of frames, rows and columns to channels, or channels to blocks.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

static vg_status check_down(const vg_regroup_args *a, vg_err *err)
{
    const int64_t *s = a->x->shape, f0 = a->factor[0], f1 = a->factor[1];

    if ((s[0] + a->skip) % f0 || s[1] % f1 || s[2] % f1)
        return VG_FAIL(
            err, VG_E_SHAPE,
            "regroup: %lld frames of %lldx%lld with %d in front do not divide into blocks "
            "of %d frames and %d x %d pixels",
            (long long)s[0], (long long)s[2], (long long)s[1], a->skip, a->factor[0], a->factor[1],
            a->factor[1]);
    VG_TRY(vg_need("regroup", "y", a->y, VG_TAKES_ACT, 4, err));
    if (s[3] * f0 * f1 * f1 % a->y->shape[3])
        return VG_FAIL(err, VG_E_SHAPE, "regroup: %lld channels are not made of groups of %lld",
                       (long long)a->y->shape[3], (long long)(s[3] * f0 * f1 * f1));
    return vg_need_shape("regroup", "y", a->y, 1u << a->x->dtype, 4,
                         VG_SHAPE((s[0] + a->skip) / f0, s[1] / f1, s[2] / f1, a->y->shape[3]),
                         err);
}

static vg_status check_up(const vg_regroup_args *a, vg_err *err)
{
    const int64_t *s = a->x->shape, f0 = a->factor[0], f1 = a->factor[1];

    VG_TRY(vg_need("regroup", "y", a->y, VG_TAKES_ACT, 4, err));
    if (a->y->shape[3] * f0 * f1 * f1 % s[3])
        return VG_FAIL(err, VG_E_SHAPE, "regroup: %lld channels do not repeat to %lld",
                       (long long)s[3], (long long)(a->y->shape[3] * f0 * f1 * f1));
    return vg_need_shape("regroup", "y", a->y, 1u << a->x->dtype, 4,
                         VG_SHAPE(s[0] * f0 - a->skip, s[1] * f1, s[2] * f1, a->y->shape[3]), err);
}

vg_status vg_check_regroup(const vg_regroup_args *a, vg_err *err)
{
    VG_TRY(vg_need("regroup", "x", a->x, VG_TAKES_ACT, 4, err));
    for (int i = 0; i < 2; i++)
        if (a->factor[i] < 1 || a->factor[i] > 16)
            return VG_FAIL(err, VG_E_ARG, "regroup: factor %d is %d; 1 to 16 are possible", i,
                           a->factor[i]);
    if (a->skip < 0 || a->skip >= a->factor[0])
        return VG_FAIL(err, VG_E_ARG, "regroup: skip is %d; 0 to %d are possible", a->skip,
                       a->factor[0] - 1);
    return a->up ? check_up(a, err) : check_down(a, err);
}

void vg_cost_regroup(const vg_regroup_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost, vg_cost_bytes(a->x) + vg_cost_bytes(a->y), a->x);
    vg_cost_append(cost, " %s %dx%dx%d", a->up ? "up" : "down", a->factor[0], a->factor[1],
                   a->factor[1]);
}

void vg_operands_regroup(vg_operand_maker *m, vg_regroup_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 4, d[0], d[1], d[2], d[3]);
    a->up = d[5] > 0;
    a->factor[0] = (int)(a->up ? d[5] : -d[5]);
    a->factor[1] = 2;
    a->y = a->up ? VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 4, d[0] * d[5], d[1] * 2,
                              d[2] * 2, d[4])
                 : VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 4, d[0] / -d[5], d[1] / 2,
                              d[2] / 2, d[4]);
}

/* d: T H W C C' f0; f0 negative: down. */
static const vg_op_case cases[] = {
    {.use = "z48 up", .in = VG_FORM_F32, .d = {2, 88, 160, 1024, 1024, 2}},
    {.use = "z48 up", .in = VG_FORM_F32, .d = {4, 176, 320, 1024, 512, 1}},
    {.use = "z48 pixels", .in = VG_FORM_F32, .d = {4, 352, 640, 12, 3, 1}},
    {.use = "z48 down", .in = VG_FORM_F32, .d = {4, 176, 320, 160, 320, -2}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_sides(c, 1, scale);
}

const vg_op_cases vg_cases_regroup = {cases, sizeof cases / sizeof *cases, shrink};
