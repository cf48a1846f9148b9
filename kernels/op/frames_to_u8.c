/* frames_to_u8.c: [T,H,W,3] in [-1,1] to bytes, trunc(255 * (x/2 + 1/2)) clamped.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_frames_to_u8(const vg_frames_to_u8_args *a, vg_err *err)
{
    VG_TRY(vg_need("frames_to_u8", "x", a->x, VG_TAKES_ACT, 4, err));
    if (a->x->shape[3] != 3)
        return VG_FAIL(err, VG_E_SHAPE, "frames_to_u8: x has %lld channels, expected 3",
                       (long long)a->x->shape[3]);
    return vg_need_like("frames_to_u8", "y", a->y, VG_TAKES_U8, a->x, err);
}

void vg_cost_frames_to_u8(const vg_frames_to_u8_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost, vg_cost_bytes(a->x) + vg_cost_bytes(a->y), a->x);
}

void vg_operands_frames_to_u8(vg_operand_maker *m, vg_frames_to_u8_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 4, d[0], d[1], d[2], 3);
    a->y = VG_OPERAND(m, VG_FILL_NOT, VG_U8, 4, d[0], d[1], d[2], 3);
}

/* d: T H W. */
static const vg_op_case cases[] = {
    {.use = "VAE, pictures", .in = VG_FORM_BF16, .d = {4, 720, 1280}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_sides(c, 1, scale);
}

const vg_op_cases vg_cases_frames_to_u8 = {cases, sizeof cases / sizeof *cases, shrink};
