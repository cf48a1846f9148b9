/* ops_operands.h: calls of operations at the sizes that matter: one list of cases an operation (kernels/op/<op>.c), which tests and `vgen bench
 * --ops` both run, on operands that whoever asks allocates and fills. */
#ifndef VG_KERNELS_OP_OPS_OPERANDS_H
#define VG_KERNELS_OP_OPS_OPERANDS_H

#include "kernels/op/ops_cost.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Form of the operands; of x and w in a linear layer: TENSOR (E4M3, one scale each), CHANNEL (weights one per row), BLOCK (x 1x128, w
 * 128x128). */
typedef enum vg_op_form {
    VG_FORM_F32,
    VG_FORM_BF16,
    VG_FORM_TENSOR,
    VG_FORM_CHANNEL,
    VG_FORM_BLOCK
} vg_op_form;

typedef struct vg_op_case {
    const char *use; /* where it occurs: "720p, self" */
    vg_op_form in;
    vg_act act;
    vg_quant_kind out; /* NONE: the operands' dtype */
    int64_t d[6];      /* sizes, see the operation's file */
} vg_op_case;

/* The cases of one operation. shrink: the same case with scale (0..1) of its rows, tokens or pixels; channels stay. */
typedef struct vg_op_cases {
    const vg_op_case *cases;
    int count;
    void (*shrink)(vg_op_case *c, double scale);
} vg_op_cases;

/* By the operation's number, vg_op. */
const vg_op_cases *vg_op_cases_of(vg_op op);
/* The case shrunk; scale 1: as it is. */
vg_op_case vg_op_case_scaled(vg_op op, const vg_op_case *c, double scale);

/* What an operand holds before the call: nothing (it is a result), normal random numbers (or codes of them), scales of such codes. */
typedef enum vg_fill { VG_FILL_NOT, VG_FILL_NORMAL, VG_FILL_SCALES } vg_fill;

/* Where operands come from. A maker embeds this as its first member. */
typedef struct vg_operand_maker vg_operand_maker;
struct vg_operand_maker {
    const vg_op_case *row;
    /* Never NULL: a maker that fails remembers so, and returns a tensor that nobody will use. */
    vg_tensor *(*tensor)(vg_operand_maker *m, vg_fill fill, vg_dtype dtype, int ndim,
                         const int64_t *shape);
    vg_tensor *(*ids)(vg_operand_maker *m, int64_t n,
                      int64_t below); /* [n] I32, 0 <= id < below, spread */
};

/* Arguments of a call; the tensors are the maker's. */
typedef struct vg_operands {
    vg_op op;
    union {
#define VG_OP(name, help) vg_##name##_args name;
#include "kernels/op/ops.def"
#undef VG_OP
    } args;
} vg_operands;

/* Arguments of the maker's case; the maker says whether it failed. */
void vg_operands_make(vg_op op, vg_operand_maker *m, vg_operands *o);
/* What the call costs at least. */
void vg_operands_cost(const vg_operands *o, vg_op_cost *cost);
vg_status vg_operands_run(vg_backend *be, const vg_operands *o,
                          vg_err *err); /* kernels/backend/dispatch.c */

/* kernels/op/<op>.c */
#define VG_OP(name, help)                                                                          \
    extern const vg_op_cases vg_cases_##name;                                                      \
    void vg_operands_##name(vg_operand_maker *m, vg_##name##_args *a);
#include "kernels/op/ops.def"
#undef VG_OP

#ifdef __cplusplus
}
#endif
#endif
