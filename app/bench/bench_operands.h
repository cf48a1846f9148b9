/* bench_operands.h: operands for one row of bench_ops.def, filled with random data on the backend. */
#ifndef VG_APP_BENCH_BENCH_OPERANDS_H
#define VG_APP_BENCH_BENCH_OPERANDS_H

#include "kernels/backend/arena.h"
#include "kernels/op/ops_cost.h"

typedef enum vg_bench_form {
    VG_BENCH_F32,
    VG_BENCH_BF16,
    VG_BENCH_TENSOR,
    VG_BENCH_CHANNEL,
    VG_BENCH_BLOCK
} vg_bench_form;

#define VG_BENCH_OUT_NONE    VG_QUANT_NONE
#define VG_BENCH_OUT_STATIC  VG_QUANT_TENSOR_STATIC
#define VG_BENCH_OUT_DYNAMIC VG_QUANT_TENSOR_DYNAMIC
#define VG_BENCH_OUT_GROUP   VG_QUANT_GROUP_DYNAMIC

typedef struct vg_bench_op {
    vg_op op;
    const char *use;
    vg_bench_form in;
    vg_act act;
    vg_quant_kind out;
    int64_t d[6]; /* see bench_ops.def */
} vg_bench_op;

/* Arguments of a call and the tensors they point to; must stay where it is once made. */
typedef struct vg_bench_operands {
    vg_op op;
    vg_tensor t[16];
    int count;
    union {
#define VG_OP(name, help) vg_##name##_args name;
#include "kernels/op/ops.def"
#undef VG_OP
    } args;
} vg_bench_operands;

/* Normal random numbers of every dtype, from which tensors of any size are filled. */
typedef struct vg_bench_noise vg_bench_noise;
vg_status vg_bench_noise_new(vg_backend *be, vg_bench_noise **noise, vg_err *err);
void vg_bench_noise_free(vg_bench_noise *noise);

/* The row's sizes with its tokens and pixels scaled. */
vg_bench_op vg_bench_op_scaled(const vg_bench_op *row, double scale);
/* Operands of a row in `arena`, all inputs filled. */
vg_status vg_bench_operands_make(const vg_bench_op *row, vg_arena *arena,
                                 const vg_bench_noise *noise, vg_bench_operands *o, vg_err *err);
void vg_bench_operands_cost(const vg_bench_operands *o, vg_op_cost *cost);
vg_status vg_bench_operands_run(vg_backend *be, const vg_bench_operands *o, vg_err *err);
#endif
