/* attention_codes.c: softmax(q k^T scale) v on INT8 q and k and E4M3 v.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

#include <math.h>

#define CASE_DIM 128 /* of the models that cases stand for */

vg_status vg_check_attention_codes(const vg_attention_codes_args *a, vg_err *err)
{
    const char *op = "attention_codes";
    int64_t nq, nk, heads, dim, blocks;

    VG_TRY(vg_need(op, "q", a->q, VG_TAKES_I8, 3, err));
    VG_TRY(vg_need(op, "k", a->k, VG_TAKES_I8, 3, err));
    nq = a->q->shape[0], nk = a->k->shape[0], heads = a->q->shape[1], dim = a->q->shape[2];
    blocks = vg_codes_blocks(nk);
    VG_TRY(vg_need_shape(op, "k", a->k, VG_TAKES_I8, 3, VG_SHAPE(nk, heads, dim), err));
    VG_TRY(vg_need_shape(op, "v", a->v, VG_TAKES_E4M3, 3,
                         VG_SHAPE(heads, dim, blocks * VG_CODES_BLOCK), err));
    VG_TRY(vg_need_shape(op, "q_scale", a->q_scale, VG_TAKES_F32, 2, VG_SHAPE(heads, nq), err));
    VG_TRY(vg_need_shape(op, "k_scale", a->k_scale, VG_TAKES_F32, 2, VG_SHAPE(heads, blocks), err));
    VG_TRY(vg_need_shape(op, "v_scale", a->v_scale, VG_TAKES_F32, 2, VG_SHAPE(heads, dim), err));
    VG_TRY(vg_need_shape(op, "v_mean", a->v_mean, VG_TAKES_F32, 2, VG_SHAPE(heads, dim), err));
    if (!(a->scale > 0.0f && isfinite(a->scale)))
        return VG_FAIL(err, VG_E_ARG, "%s: scale is %g, must be above 0", op, (double)a->scale);
    VG_TRY(vg_need_quant_out(op, &a->quant, nq, heads * dim, err));
    if (!a->y && a->quant.kind != VG_QUANT_NONE)
        return VG_OK;
    return vg_need_shape(op, "y", a->y, VG_TAKES_ACT, 3, VG_SHAPE(nq, heads, dim), err);
}

void vg_cost_attention_codes(const vg_attention_codes_args *a, vg_op_cost *cost)
{
    double nq = (double)a->q->shape[0], nk = (double)a->k->shape[0], heads = (double)a->q->shape[1],
           dim = (double)a->q->shape[2];
    *cost = (vg_op_cost){.flops = 4 * nq * nk * heads * dim, .rate = VG_RATE_E4M3};
    cost->bytes = vg_cost_bytes(a->q) + vg_cost_bytes(a->q_scale) + vg_cost_bytes(a->k) +
                  vg_cost_bytes(a->k_scale) + vg_cost_bytes(a->v) + vg_cost_bytes(a->v_scale) +
                  vg_cost_bytes(a->v_mean) + vg_cost_result_bytes(a->y, &a->quant);
    vg_cost_append(cost, "%.0fx%.0f %.0fx%.0f I8 E4M3", nq, nk, heads, dim);
    vg_cost_append_quant(cost, a->y, &a->quant);
}

void vg_operands_attention_codes(vg_operand_maker *m, vg_attention_codes_args *a)
{
    int64_t nq = m->row->d[0], nk = m->row->d[1], heads = m->row->d[2],
            blocks = vg_codes_blocks(nk);
    a->q = VG_OPERAND(m, VG_FILL_NORMAL, VG_I8, 3, nq, heads, CASE_DIM);
    a->q_scale = VG_OPERAND(m, VG_FILL_SCALES, VG_F32, 2, heads, nq);
    a->k = VG_OPERAND(m, VG_FILL_NORMAL, VG_I8, 3, nk, heads, CASE_DIM);
    a->k_scale = VG_OPERAND(m, VG_FILL_SCALES, VG_F32, 2, heads, blocks);
    a->v = VG_OPERAND(m, VG_FILL_NORMAL, VG_E4M3, 3, heads, CASE_DIM, blocks * VG_CODES_BLOCK);
    a->v_scale = VG_OPERAND(m, VG_FILL_SCALES, VG_F32, 2, heads, CASE_DIM);
    a->v_mean = VG_OPERAND(m, VG_FILL_SCALES, VG_F32, 2, heads, CASE_DIM);
    a->scale = (float)(1 / sqrt((double)CASE_DIM));
    a->quant.kind = m->row->out;
    if (a->quant.kind == VG_QUANT_NONE)
        a->y = VG_OPERAND(m, VG_FILL_NOT, VG_BF16, 3, nq, heads, CASE_DIM);
    else
        vg_operand_codes(m, a->quant.kind, VG_FILL_NOT, nq, heads * CASE_DIM, &a->quant.q,
                         &a->quant.scale);
}

/* d: nq nk heads. */
static const vg_op_case cases[] = {
    {.use = "720p, self", .in = VG_FORM_BF16, .d = {75600, 75600, 40}},
    {.use = "480p, self", .in = VG_FORM_BF16, .d = {32760, 32760, 40}},
    {.use = "720p, self",
     .in = VG_FORM_BF16,
     .out = VG_QUANT_TENSOR_STATIC,
     .d = {75600, 75600, 40}},
    {.use = "480p, self",
     .in = VG_FORM_BF16,
     .out = VG_QUANT_GROUP_DYNAMIC,
     .d = {32760, 32760, 40}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
    vg_case_shrink_rows(c, 1, scale);
}

const vg_op_cases vg_cases_attention_codes = {cases, sizeof cases / sizeof *cases, shrink};
