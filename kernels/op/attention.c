/* attention.c: softmax(q k^T scale + bias) v, FP32 softmax, scores never materialised.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

#include <math.h>

vg_status vg_check_attention(const vg_attention_args *a, vg_err *err)
{
    int64_t heads, head_dim, nq, nk;

    VG_TRY(vg_need("attention", "q", a->q, VG_TAKES_ACT, 3, err));
    VG_TRY(vg_need("attention", "k", a->k, VG_TAKES_ACT, 3, err));
    nq = a->q->shape[0], heads = a->q->shape[1], head_dim = a->q->shape[2], nk = a->k->shape[0];
    VG_TRY(
        vg_need_shape("attention", "k", a->k, VG_TAKES_ACT, 3, VG_SHAPE(nk, heads, head_dim), err));
    VG_TRY(
        vg_need_shape("attention", "v", a->v, VG_TAKES_ACT, 3, VG_SHAPE(nk, heads, head_dim), err));
    if (a->bias) {
        bool shared = a->bias->ndim == 3 && a->bias->shape[0] == 1;
        VG_TRY(vg_need_shape("attention", "bias", a->bias, VG_TAKES_F32, 3,
                             VG_SHAPE(shared ? 1 : heads, nq, nk), err));
    }
    if (!isfinite(a->scale))
        return VG_FAIL(err, VG_E_ARG, "attention: scale is not finite");
    VG_TRY(vg_need_quant_out("attention", &a->quant, nq, heads * head_dim, err));
    if (!a->y && a->quant.kind != VG_QUANT_NONE)
        return VG_OK;
    return vg_need_shape("attention", "y", a->y, VG_TAKES_ACT, 3, VG_SHAPE(nq, heads, head_dim),
                         err);
}

void vg_cost_attention(const vg_attention_args *a, vg_op_cost *cost)
{
    double nq = (double)a->q->shape[0], nk = (double)a->k->shape[0], heads = (double)a->q->shape[1],
           dim = (double)a->q->shape[2];
    *cost = (vg_op_cost){.flops = 4 * nq * nk * heads * dim, .rate = vg_cost_rate(a->q->dtype)};
    cost->bytes = vg_cost_bytes(a->q) + vg_cost_bytes(a->k) + vg_cost_bytes(a->v) +
                  vg_cost_bytes(a->bias) + vg_cost_result_bytes(a->y, &a->quant);
    vg_cost_append(cost, "%.0fx%.0f %.0fx%.0f %s%s", nq, nk, heads, dim, vg_cost_dtype(a->q->dtype),
                   a->bias ? " bias" : "");
    vg_cost_append_quant(cost, a->y, &a->quant);
}

void vg_operands_attention(vg_operand_maker *m, vg_attention_args *a)
{
    int64_t nq = m->row->d[0], nk = m->row->d[1], heads = m->row->d[2], dim = m->row->d[3];
    a->q = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 3, nq, heads, dim);
    a->k = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 3, nk, heads, dim);
    a->v = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 3, nk, heads, dim);
    a->scale = (float)(1 / sqrt((double)dim));
    a->quant.kind = m->row->out;
    if (a->quant.kind == VG_QUANT_NONE)
        a->y = VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 3, nq, heads, dim);
    else
        vg_operand_codes(m, a->quant.kind, VG_FILL_NOT, nq, heads * dim, &a->quant.q,
                         &a->quant.scale);
}

/* d: nq nk heads dim. */
static const vg_op_case cases[] = {
    {.use = "720p, self", .in = VG_FORM_BF16, .d = {75600, 75600, 40, 128}},
    {.use = "480p, self", .in = VG_FORM_BF16, .d = {32760, 32760, 40, 128}},
    {.use = "720p, self",
     .in = VG_FORM_BF16,
     .out = VG_QUANT_TENSOR_STATIC,
     .d = {75600, 75600, 40, 128}},
    {.use = "480p, self",
     .in = VG_FORM_BF16,
     .out = VG_QUANT_TENSOR_STATIC,
     .d = {32760, 32760, 40, 128}},
    {.use = "720p, text", .in = VG_FORM_BF16, .d = {75600, 512, 40, 128}},
    {.use = "480p, text", .in = VG_FORM_BF16, .d = {32760, 512, 40, 128}},
    {.use = "720p, self",
     .in = VG_FORM_BF16,
     .out = VG_QUANT_GROUP_DYNAMIC,
     .d = {75600, 75600, 40, 128}},
    {.use = "480p, self",
     .in = VG_FORM_BF16,
     .out = VG_QUANT_GROUP_DYNAMIC,
     .d = {32760, 32760, 40, 128}},
    {.use = "text encoder", .in = VG_FORM_BF16, .d = {512, 512, 64, 64}},
};

static void shrink(vg_op_case *c, double scale)
{
    bool self = c->d[0] == c->d[1]; /* cross-attention keeps its keys: they are few */
    vg_case_shrink_rows(c, 0, scale);
    if (self)
        vg_case_shrink_rows(c, 1, scale);
}

const vg_op_cases vg_cases_attention = {cases, sizeof cases / sizeof *cases, shrink};
