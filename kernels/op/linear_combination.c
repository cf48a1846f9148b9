/* linear_combination.c: y = sum_i c_i x_i in FP32, for scheduler steps.
 * What it demands of its operands, what it costs, and the sizes it is tested and timed at. */
#include "kernels/op/op_impl.h"

#include <stdio.h>

vg_status vg_check_linear_combination(const vg_linear_combination_args *a, vg_err *err)
{
    const char *op = "linear_combination";

    if (a->count < 1 || a->count > VG_COMBINE_MAX)
        return VG_FAIL(err, VG_E_ARG, "%s: %d terms, expected 1..%d", op, a->count, VG_COMBINE_MAX);
    VG_TRY(vg_need(op, "y", a->y, VG_TAKES_ACT, VG_ANY_RANK, err));
    for (int i = 0; i < a->count; i++) {
        char name[16];
        snprintf(name, sizeof name, "x[%d]", i);
        VG_TRY(vg_need(op, name, a->x[i], VG_TAKES_ACT, VG_ANY_RANK, err));
        if (vg_tensor_numel(a->x[i]) != vg_tensor_numel(a->y))
            return VG_FAIL(err, VG_E_SHAPE, "%s: %s has %lld elements, y has %lld", op, name,
                           (long long)vg_tensor_numel(a->x[i]), (long long)vg_tensor_numel(a->y));
    }
    return VG_OK;
}

void vg_cost_linear_combination(const vg_linear_combination_args *a, vg_op_cost *cost)
{
    double bytes = vg_cost_bytes(a->y);
    for (int i = 0; i < a->count; i++)
        bytes += vg_cost_bytes(a->x[i]);
    vg_cost_moves(cost, bytes, a->y);
    vg_cost_append(cost, " of %d", a->count);
}

void vg_operands_linear_combination(vg_operand_maker *m, vg_linear_combination_args *a)
{
    const int64_t *d = m->row->d;
    a->count = (int)d[0];
    for (int i = 0; i < a->count; i++) {
        a->x[i] = VG_OPERAND(m, VG_FILL_NORMAL, vg_operand_act_dtype(m), 1, d[1]);
        a->coef[i] = 0.25f;
    }
    a->y = VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 1, d[1]);
}

/* d: count n. */
static const vg_op_case cases[] = {
    {.use = "720p", .in = VG_FORM_F32, .d = {4, 16 * 21 * 90 * 160}},
    {.use = "480p", .in = VG_FORM_F32, .d = {4, 16 * 21 * 60 * 104}},
};

static void shrink(vg_op_case *c, double scale)
{
    vg_case_shrink_rows(c, 1, scale);
}

const vg_op_cases vg_cases_linear_combination = {cases, sizeof cases / sizeof *cases, shrink};
