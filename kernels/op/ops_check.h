/* ops_check.h: the argument check of every operation; called by the wrappers in dispatch.c and by nobody else. */
#ifndef VG_KERNELS_OP_OPS_CHECK_H
#define VG_KERNELS_OP_OPS_CHECK_H

#include "kernels/op/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* VG_OK when shapes, dtypes and parameters fit together, so that a backend may compute without looking again.
 * Errors: VG_E_ARG (absent operand, parameter out of range), VG_E_SHAPE, VG_E_DTYPE; the message names op and operand. */
#define VG_OP(name, help) vg_status vg_check_##name(const vg_##name##_args *args, vg_err *err);
#include "kernels/op/ops.def"
#undef VG_OP

#ifdef __cplusplus
}
#endif
#endif
