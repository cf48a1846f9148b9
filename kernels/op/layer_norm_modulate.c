/* layer_norm_modulate.c: LayerNorm in FP32, then affine or (1 + scale) * y + shift, one rounding.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_layer_norm_modulate(const vg_layer_norm_modulate_args *a, vg_err *err)
{
    VG_TRY(vg_need("layer_norm_modulate", "x", a->x, VG_TAKES_ACT, 2, err));
    return vg_need_norm("layer_norm_modulate", a, err);
}

void vg_cost_layer_norm_modulate(const vg_layer_norm_modulate_args *a, vg_op_cost *cost)
{
    vg_cost_moves(cost,
                  vg_cost_bytes(a->x) + vg_cost_bytes(a->scale) + vg_cost_bytes(a->shift) +
                      vg_cost_bytes(a->w) + vg_cost_bytes(a->b) +
                      vg_cost_result_bytes(a->y, &a->quant),
                  a->x);
    vg_cost_append_quant(cost, a->y, &a->quant);
}

void vg_operands_layer_norm_modulate(vg_operand_maker *m, vg_layer_norm_modulate_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, d[0], d[1]);
    a->scale = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 1, d[1]);
    a->shift = VG_OPERAND(m, VG_FILL_NORMAL, VG_F32, 1, d[1]);
    a->eps = 1e-6f;
    a->y = vg_operand_result(m, d[0], d[1], &a->quant);
}

/* d: n d. */
static const vg_op_case cases[] = {
    {.use = "720p", .in = VG_FORM_BF16, .d = {75600, 5120}},
    {.use = "480p", .in = VG_FORM_BF16, .d = {32760, 5120}},
    {.use = "720p", .in = VG_FORM_BF16, .out = VG_QUANT_TENSOR_STATIC, .d = {75600, 5120}},
    {.use = "480p", .in = VG_FORM_BF16, .out = VG_QUANT_TENSOR_STATIC, .d = {32760, 5120}},
    {.use = "720p", .in = VG_FORM_BF16, .out = VG_QUANT_GROUP_DYNAMIC, .d = {75600, 5120}},
    {.use = "480p", .in = VG_FORM_BF16, .out = VG_QUANT_GROUP_DYNAMIC, .d = {32760, 5120}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_layer_norm_modulate = {cases, sizeof cases / sizeof *cases, shrink};
