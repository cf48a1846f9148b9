/* quantize_weight.c: weights to E4M3: one scale, or one per 128x128 block.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_quantize_weight(const vg_quantize_weight_args *a, vg_err *err)
{
    VG_TRY(
        vg_need("quantize_weight", "w", a->w, VG_TAKES_F32 | VG_TAKES_BF16 | VG_TAKES_F16, 2, err));
    VG_TRY(vg_need_like("quantize_weight", "q", a->q, VG_TAKES_E4M3, a->w, err));
    VG_TRY(vg_need("quantize_weight", "scale", a->scale, VG_TAKES_F32, VG_ANY_RANK, err));
    return a->scale->ndim == 2
               ? vg_need_blocks("quantize_weight", a->scale, a->w, err)
               : vg_need_vector("quantize_weight", "scale", a->scale, VG_TAKES_F32, 1, err);
}

void vg_cost_quantize_weight(const vg_quantize_weight_args *a, vg_op_cost *cost)
{
    /* One scale needs all of the weights first; a block stays in the caches. */
    double reads = a->scale->ndim == 2 ? 1 : 2;
    vg_cost_moves(cost, reads * vg_cost_bytes(a->w) + vg_cost_bytes(a->q) + vg_cost_bytes(a->scale),
                  a->w);
    vg_cost_append(cost, " -> E4M3%s", a->scale->ndim == 2 ? " 128x128" : "");
}

void vg_operands_quantize_weight(vg_operand_maker *m, vg_quantize_weight_args *a)
{
    const int64_t *d = m->row->d;
    a->w = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, d[0], d[1]);
    a->q = VG_OPERAND(m, VG_FILL_NOT, VG_E4M3, 2, d[0], d[1]);
    a->scale = vg_operand_weight_scale(
        m, VG_FILL_NOT, m->row->out == VG_QUANT_GROUP_DYNAMIC ? VG_FORM_BLOCK : VG_FORM_TENSOR,
        d[0], d[1]);
}

/* d: n k. */
static const vg_op_case cases[] = {
    {.use = "loading, up", .in = VG_FORM_BF16, .out = VG_QUANT_TENSOR_STATIC, .d = {13824, 5120}},
    {.use = "loading, up", .in = VG_FORM_BF16, .out = VG_QUANT_GROUP_DYNAMIC, .d = {13824, 5120}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_quantize_weight = {cases, sizeof cases / sizeof *cases, shrink};
