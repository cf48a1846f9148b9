/* ops_operands.c: see ops_operands.h and op_impl.h. */
#include "kernels/op/op_impl.h"

#include <math.h>

const vg_op_cases *vg_op_cases_of(vg_op op)
{
    static const vg_op_cases *const all[VG_OP_COUNT] = {
#define VG_OP(name, help) &vg_cases_##name,
#include "kernels/op/ops.def"
#undef VG_OP
    };
    return all[op];
}

vg_op_case vg_op_case_scaled(vg_op op, const vg_op_case *c, double scale)
{
    vg_op_case small = *c;
    if (scale != 1)
        vg_op_cases_of(op)->shrink(&small, scale);
    return small;
}

static int64_t shrink(int64_t n, double factor, int64_t multiple)
{
    int64_t small = (int64_t)((double)n * factor) / multiple * multiple;
    return small < multiple ? multiple : small;
}

void vg_case_shrink_rows(vg_op_case *c, int i, double scale)
{
    c->d[i] = shrink(c->d[i], scale, 16);
}

void vg_case_shrink_sides(vg_op_case *c, int i, double scale)
{
    c->d[i] = shrink(c->d[i], sqrt(scale), 2);
    c->d[i + 1] = shrink(c->d[i + 1], sqrt(scale), 2);
}

vg_dtype vg_operand_act_dtype(const vg_operand_maker *m)
{
    return m->row->in == VG_FORM_F32 ? VG_F32 : VG_BF16;
}

/* [rows, columns] quantised: codes into *q and scales into *scale. */
void vg_operand_codes(vg_operand_maker *m, vg_quant_kind kind, vg_fill what, int64_t rows,
                      int64_t columns, vg_tensor **q, vg_tensor **scale)
{
    *q = VG_OPERAND(m, what, VG_E4M3, 2, rows, columns);
    if (kind == VG_QUANT_GROUP_DYNAMIC)
        *scale = VG_OPERAND(m, VG_FILL_SCALES, VG_F32, 2, vg_groups_of(columns), rows);
    else
        *scale = VG_OPERAND(m, VG_FILL_SCALES, VG_F32, 1, 1);
}

/* Where the result goes: y, or nothing but its quantised form. */
vg_tensor *vg_operand_result(vg_operand_maker *m, int64_t rows, int64_t columns,
                             vg_quant_out *quant)
{
    quant->kind = m->row->out;
    if (quant->kind == VG_QUANT_NONE)
        return VG_OPERAND(m, VG_FILL_NOT, vg_operand_act_dtype(m), 2, rows, columns);
    vg_operand_codes(m, quant->kind, VG_FILL_NOT, rows, columns, &quant->q, &quant->scale);
    return NULL;
}

vg_tensor *vg_operand_weight_scale(vg_operand_maker *m, vg_fill what, vg_op_form form, int64_t n,
                                   int64_t k)
{
    return form == VG_FORM_BLOCK ? VG_OPERAND(m, what, VG_F32, 2, vg_groups_of(n), vg_groups_of(k))
           : form == VG_FORM_CHANNEL ? VG_OPERAND(m, what, VG_F32, 1, n)
                                     : VG_OPERAND(m, what, VG_F32, 1, 1);
}

void vg_operands_make(vg_op op, vg_operand_maker *m, vg_operands *o)
{
    *o = (vg_operands){.op = op};
    switch (op) {
#define VG_OP(name, help)                                                                          \
    case VG_OP_##name:                                                                             \
        vg_operands_##name(m, &o->args.name);                                                      \
        break;
#include "kernels/op/ops.def"
#undef VG_OP
    case VG_OP_COUNT:
        break;
    }
}

void vg_operands_cost(const vg_operands *o, vg_op_cost *cost)
{
    switch (o->op) {
#define VG_OP(name, help)                                                                          \
    case VG_OP_##name:                                                                             \
        vg_cost_##name(&o->args.name, cost);                                                       \
        return;
#include "kernels/op/ops.def"
#undef VG_OP
    case VG_OP_COUNT:
        break;
    }
}
