/* channel_affine.c: [C,T,H,W] <-> [T,H,W,C] with per-channel scale and shift.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_channel_affine(const vg_channel_affine_args *a, vg_err *err)
{
    const char *op = "channel_affine";
    const int64_t *s;
    int64_t channels;

    VG_TRY(vg_need(op, "x", a->x, VG_TAKES_ACT, 4, err));
    s = a->x->shape;
    channels = a->to_channels_last ? s[0] : s[3];
    VG_TRY(vg_may_vector(op, "scale", a->scale, VG_TAKES_F32, channels, err));
    VG_TRY(vg_may_vector(op, "shift", a->shift, VG_TAKES_F32, channels, err));
    return vg_need_shape(op, "y", a->y, VG_TAKES_ACT, 4,
                         a->to_channels_last ? VG_SHAPE(s[1], s[2], s[3], s[0])
                                             : VG_SHAPE(s[3], s[0], s[1], s[2]),
                         err);
}

void vg_cost_channel_affine(const vg_channel_affine_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost,
                  vg_cost_bytes(a->x) + vg_cost_bytes(a->scale) + vg_cost_bytes(a->shift) +
                      vg_cost_bytes(a->y),
                  a->x);
}

void vg_operands_channel_affine(vg_operand_maker *m, vg_channel_affine_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 4, d[0], d[1], d[2], d[3]);
    a->to_channels_last = true;
    a->scale = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 1, d[0]);
    a->shift = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 1, d[0]);
    a->y = VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 4, d[1], d[2], d[3], d[0]);
}

/* d: C T H W. */
static const vg_op_case cases[] = {
    {.use = "VAE latents", .in = VG_FORM_BF16, .d = {16, 1, 90, 160}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_sides(c, 2, scale);
}

const vg_op_cases vg_cases_channel_affine = {cases, sizeof cases / sizeof *cases, shrink};
