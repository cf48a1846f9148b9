/* value_codes.c: v as E4M3 codes for attention_codes.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

vg_status vg_check_value_codes(const vg_value_codes_args *a, vg_err *err)
{
    const char *op = "value_codes";
    int64_t n, heads, d;

    VG_TRY(vg_need(op, "v", a->v, VG_TAKES_ACT, 3, err));
    n = a->v->shape[0], heads = a->v->shape[1], d = a->v->shape[2];
    VG_TRY(vg_need_shape(op, "codes", a->codes, VG_TAKES_E4M3, 3,
                         VG_SHAPE(heads, d, vg_codes_blocks(n) * VG_CODES_BLOCK), err));
    VG_TRY(vg_need_shape(op, "scale", a->scale, VG_TAKES_F32, 2, VG_SHAPE(heads, d), err));
    return vg_need_shape(op, "mean", a->mean, VG_TAKES_F32, 2, VG_SHAPE(heads, d), err);
}

void vg_cost_value_codes(const vg_value_codes_args *a, vg_op_cost *cost)
{
    /* The scales can be known only after all of it was read once. */
    vg_cost_moves(cost,
                  2 * vg_cost_bytes(a->v) + vg_cost_bytes(a->codes) + vg_cost_bytes(a->scale) +
                      vg_cost_bytes(a->mean),
                  a->v);
    vg_cost_append(cost, " -> E4M3%s", a->center ? " centred" : "");
}

void vg_operands_value_codes(vg_operand_maker *m, vg_value_codes_args *a)
{
    const int64_t *d = m->row->d;
    a->v = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 3, d[0], d[1], d[2]);
    a->center = true;
    a->codes =
        VG_OPERAND(m, VG_FILL_NOT, VG_E4M3, 3, d[1], d[2], vg_codes_blocks(d[0]) * VG_CODES_BLOCK);
    a->scale = VG_OPERAND(m, VG_FILL_NOT, VG_F32, 2, d[1], d[2]);
    a->mean = VG_OPERAND(m, VG_FILL_NOT, VG_F32, 2, d[1], d[2]);
}

/* d: n heads dim. */
static const vg_op_case cases[] = {
    {.use = "720p", .in = VG_FORM_BF16, .d = {75600, 40, 128}},
    {.use = "480p", .in = VG_FORM_BF16, .d = {32760, 40, 128}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 0, scale);
}

const vg_op_cases vg_cases_value_codes = {cases, sizeof cases / sizeof *cases, shrink};
