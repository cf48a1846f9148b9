/* bench_operands.h: operands for one case of an operation, filled with random data on the backend. */
#ifndef VG_APP_BENCH_BENCH_OPERANDS_H
#define VG_APP_BENCH_BENCH_OPERANDS_H

#include "kernels/backend/arena.h"
#include "kernels/op/ops_operands.h"

/* A call and the tensors its arguments point to; must stay where it is once made. */
typedef struct vg_bench_operands {
    vg_operands call;
    vg_tensor t[16];
    int count;
} vg_bench_operands;

/* Normal random numbers of every dtype, from which tensors of any size are filled. */
typedef struct vg_bench_noise vg_bench_noise;
/* Numbers of a fixed seed on `be`, which must outlive them. Errors: VG_E_NOMEM, VG_E_DEVICE. */
vg_status vg_bench_noise_new(vg_backend *be, vg_bench_noise **noise, vg_err *err);
/* NULL is a no-op. */
void vg_bench_noise_free(vg_bench_noise *noise);

/* Operands of a case in `arena`, all inputs filled. Errors: VG_E_NOMEM, VG_E_DEVICE. */
vg_status vg_bench_operands_make(vg_op op, const vg_op_case *row, vg_arena *arena,
                                 const vg_bench_noise *noise, vg_bench_operands *o, vg_err *err);
#endif
