/* quantize.c: activation to E4M3: static or dynamic per tensor, or dynamic per 1x128 group.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_quantize(const vg_quantize_args *a, vg_err *err)
{
    VG_TRY(vg_need("quantize", "x", a->x, VG_TAKES_ACT, 2, err));
    VG_TRY(vg_need_like("quantize", "q", a->q, VG_TAKES_E4M3, a->x, err));
    switch (a->kind) {
    case VG_QUANT_TENSOR_STATIC:
    case VG_QUANT_TENSOR_DYNAMIC:
        return vg_need_vector("quantize", "scale", a->scale, VG_TAKES_F32, 1, err);
    case VG_QUANT_GROUP_DYNAMIC:
        return vg_need_shape("quantize", "scale", a->scale, VG_TAKES_F32, 2,
                             VG_SHAPE(vg_groups_of(a->x->shape[1]), a->x->shape[0]), err);
    case VG_QUANT_NONE:
    case VG_QUANT_KIND_COUNT:
        break;
    }
    return VG_FAIL(err, VG_E_ARG, "quantize: kind %d does not quantise", (int)a->kind);
}

void vg_cost_quantize(const vg_quantize_args *a, vg_op_cost *cost)
{
    /* A dynamic scale of the whole tensor can be known only after all of it was read once. */
    double reads = a->kind == VG_QUANT_TENSOR_DYNAMIC ? 2 : 1;
    vg_cost_moves(cost, reads * vg_cost_bytes(a->x) + vg_cost_bytes(a->q) + vg_cost_bytes(a->scale),
                  a->x);
    vg_cost_append(cost, " %s", vg_cost_quant_name(a->kind));
}

void vg_operands_quantize(vg_operand_maker *m, vg_quantize_args *a)
{
    const int64_t *d = m->row->d;
    a->x = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 2, d[0], d[1]);
    a->kind = m->row->out;
    vg_operand_codes(m, a->kind, VG_FILL_NOT, d[0], d[1], &a->q, &a->scale);
}

/* d: n d. */
static const vg_op_case cases[] = {
    {.use = "720p, dim", .in = VG_FORM_BF16, .out = VG_QUANT_TENSOR_STATIC, .d = {75600, 5120}},
    {.use = "480p, dim", .in = VG_FORM_BF16, .out = VG_QUANT_TENSOR_STATIC, .d = {32760, 5120}},
    {.use = "720p, dim", .in = VG_FORM_BF16, .out = VG_QUANT_TENSOR_DYNAMIC, .d = {75600, 5120}},
    {.use = "480p, dim", .in = VG_FORM_BF16, .out = VG_QUANT_TENSOR_DYNAMIC, .d = {32760, 5120}},
    {.use = "720p, dim", .in = VG_FORM_BF16, .out = VG_QUANT_GROUP_DYNAMIC, .d = {75600, 5120}},
    {.use = "480p, dim", .in = VG_FORM_BF16, .out = VG_QUANT_GROUP_DYNAMIC, .d = {32760, 5120}},
    {.use = "720p, up", .in = VG_FORM_BF16, .out = VG_QUANT_TENSOR_STATIC, .d = {75600, 13824}},
    {.use = "480p, up", .in = VG_FORM_BF16, .out = VG_QUANT_TENSOR_STATIC, .d = {32760, 13824}},
    {.use = "720p, up", .in = VG_FORM_BF16, .out = VG_QUANT_GROUP_DYNAMIC, .d = {75600, 13824}},
    {.use = "480p, up", .in = VG_FORM_BF16, .out = VG_QUANT_GROUP_DYNAMIC, .d = {32760, 13824}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_quantize = {cases, sizeof cases / sizeof *cases, shrink};
