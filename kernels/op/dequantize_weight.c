/* dequantize_weight.c: E4M3 weights times their scales (one, per row, 128x128 blocks), one rounding.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_dequantize_weight(const vg_dequantize_weight_args *a, vg_err *err)
{
    VG_TRY(vg_need("dequantize_weight", "q", a->q, VG_TAKES_E4M3, 2, err));
    VG_TRY(vg_need_like("dequantize_weight", "y", a->y, VG_TAKES_ACT, a->q, err));
    VG_TRY(vg_need("dequantize_weight", "scale", a->scale, VG_TAKES_F32, VG_ANY_RANK, err));
    if (a->scale->ndim == 2)
        return vg_need_blocks("dequantize_weight", a->scale, a->q, err);
    return vg_need_vector("dequantize_weight", "scale", a->scale, VG_TAKES_F32,
                          a->scale->ndim == 1 && a->scale->shape[0] == 1 ? 1 : a->q->shape[0], err);
}

void vg_cost_dequantize_weight(const vg_dequantize_weight_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost, vg_cost_bytes(a->q) + vg_cost_bytes(a->scale) + vg_cost_bytes(a->y), a->q);
    vg_cost_append(cost, " -> %s", vg_cost_dtype(a->y->dtype));
}

void vg_operands_dequantize_weight(vg_operand_maker *m, vg_dequantize_weight_args *a)
{
    const int64_t *d = m->row->d;
    a->q = VG_OPERAND(m, VG_FILL_NORMAL, VG_E4M3, 2, d[0], d[1]);
    a->scale = vg_operand_weight_scale(m, VG_FILL_SCALES, m->row->in, d[0], d[1]);
    a->y = VG_OPERAND(m, VG_FILL_NOT, VG_BF16, 2, d[0], d[1]);
}

/* d: n k. */
static const vg_op_case cases[] = {
    {.use = "loading, up", .in = VG_FORM_TENSOR, .d = {13824, 5120}},
    {.use = "loading, up", .in = VG_FORM_BLOCK, .d = {13824, 5120}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_dequantize_weight = {cases, sizeof cases / sizeof *cases, shrink};
