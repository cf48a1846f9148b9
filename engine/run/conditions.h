/* conditions.h: what encoding makes of the inputs and denoising is steered by: named tensors in host memory, and the one file form of them.
 * Which names there are is the family's affair (vg_family.conditions); to everybody else they are numbers to keep and to hand on. */
#ifndef VG_ENGINE_RUN_CONDITIONS_H
#define VG_ENGINE_RUN_CONDITIONS_H

#include "kernels/base/tensor.h"

#define VG_CONDITIONS_MAX     16
#define VG_CONDITION_NAME_MAX 48

typedef struct vg_condition {
    char name[VG_CONDITION_NAME_MAX]; /* "prompt_embeds" */
    int ndim;
    int64_t shape[VG_MAX_DIMS];
    float *values; /* FP32, malloc'd */
} vg_condition;

/* All zero = empty. */
typedef struct vg_conditions {
    int count;
    vg_condition list[VG_CONDITIONS_MAX];
} vg_conditions;

/* Free all values; empty afterwards. */
void vg_conditions_deinit(vg_conditions *conditions);
/* NULL when absent; borrowed. */
const vg_condition *vg_conditions_find(const vg_conditions *conditions, const char *name);
/* Values in it: the product of its shape. */
int64_t vg_condition_numel(const vg_condition *condition);
/* A new tensor, all zero, for the caller to fill: *values is borrowed. Errors: VG_E_ARG (too many, the name twice or too long), VG_E_SHAPE,
 * VG_E_NOMEM. */
vg_status vg_conditions_add(vg_conditions *conditions, const char *name, int ndim,
                            const int64_t *shape, float **values, vg_err *err);

/* A safetensors file; a tensor whose values are all exact in BF16 is stored so, at half the size: reading gives the same values.
 * metadata: key, value pairs, NULL-terminated, or NULL. */
vg_status vg_conditions_write(const char *path, const vg_conditions *conditions,
                              const char *const *metadata, vg_err *err);
/* Errors: VG_E_IO, VG_E_FORMAT (too many tensors, other dtypes). */
vg_status vg_conditions_read(const char *path, vg_conditions *conditions, vg_err *err);

/* A condition that a run wants: name and shape. */
typedef struct vg_condition_spec {
    const char *name;
    int ndim;
    int64_t shape[VG_MAX_DIMS];
    bool at_most; /* the first dimension may be smaller; memory is planned for this one */
} vg_condition_spec;

/* VG_E_FORMAT naming the first condition that holds NaN or infinity. */
vg_status vg_conditions_check_finite(const vg_conditions *conditions, vg_err *err);
/* Are all there, of these shapes and finite? Errors: VG_E_MISSING, VG_E_SHAPE, VG_E_FORMAT, each naming the condition. */
vg_status vg_conditions_check(const vg_conditions *conditions, const vg_condition_spec *specs,
                              int count, vg_err *err);
/* Small noise in place of what encoders would have made: for measuring speed without them. Deterministic. */
vg_status vg_conditions_fill(const vg_condition_spec *specs, int count, vg_conditions *conditions,
                             vg_err *err);
#endif
