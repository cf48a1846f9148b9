/* check_impl.h: what the files of the check share. See check.h. */
#ifndef VG_ENGINE_QUANTIZE_CHECK_IMPL_H
#define VG_ENGINE_QUANTIZE_CHECK_IMPL_H

#include "engine/checkpoint/checkpoint.h"
#include "engine/layers/module.h"
#include "engine/quantize/check.h"
#include "kernels/base/threads.h"

/* One folder while it is looked at. */
typedef struct vg_checking {
    const vg_check_options *options;
    vg_findings *findings;
    vg_check_folder *folder;
    const char *dir;              /* of the checkpoint */
    char *path;                   /* of the folder */
    vg_weights *weights;          /* NULL: cannot be opened */
    vg_weights *source;           /* NULL: none */
    const vg_weight_table *table; /* NULL: no family knows it */
    bool all_bf16;                /* its files keep nothing in FP32 */
    vg_precision_census census;
    vg_threads *pool;
} vg_checking;

#define VG_FIND(c, level, ...)                                                                     \
    VG_TRY(vg_findings_add((c)->findings, VG_FINDING_##level, (c)->folder->name, err, __VA_ARGS__))

/* check_tensors.c. Is tensor number i the weight of an FP8 layer? Then layer is its name. */
bool vg_check_fp8_layer(const vg_weights *weights, int i, char layer[VG_WEIGHT_NAME_BYTES]);

/* check_config.c: what the folder says of itself. Behind check_tensors: the label is held against them. */
vg_status vg_check_config(vg_checking *c, vg_err *err);
/* check_tensors.c: index and headers. */
vg_status vg_check_index(vg_checking *c, vg_err *err);
vg_status vg_check_tensors(vg_checking *c, vg_err *err);
/* check_values.c: every value once. */
vg_status vg_check_values(vg_checking *c, vg_err *err);
#endif
