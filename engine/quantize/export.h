/* export.h: one folder of a denoiser written as ModelOpt FP8: layout A of modelopt-fp8 1.1 to 1.3, as the public calibration scripts make it with
 * nvidia-modelopt 0.43 and diffusers.
 *
 * A quantised layer X becomes X.weight (E4M3), X.weight_scale (F32: a scalar, or [ceil(N/128), 1, ceil(K/128), 1] where that is more than one) and X.input_scale (F32 scalar).
 * Everything else is BF16, but for what the weight table keeps in FP32. */
#ifndef VG_ENGINE_QUANTIZE_EXPORT_H
#define VG_ENGINE_QUANTIZE_EXPORT_H

#include <stdatomic.h>
#include "engine/layers/module.h"
#include "engine/layers/weight_table.h"
#include "kernels/base/threads.h"

typedef struct vg_export_options {
    const vg_precision_policy *policy; /* which layers, and in which kind of FP8 */
    const vg_input_scales *input_scales;
    /* ModelOpt's own roundings: weights are rounded to BF16 first, and per tensor scale and quotient too. Without: FP32 all along. */
    bool compat_rounding;
    bool all_bf16;        /* what the table keeps in FP32, too */
    uint64_t shard_bytes; /* most in a file; 0: VG_SHARD_BYTES */
    vg_threads *pool;
    const atomic_int *cancel;
    void (*progress)(void *user, uint64_t done, uint64_t of); /* bytes written; or NULL */
    void *user;
} vg_export_options;

typedef struct vg_export_counts {
    int quantised, kept; /* layers that may be FP8: those that are, those that are not */
    int files;
    uint64_t bytes; /* of all tensors */
} vg_export_counts;

/* What options make of a folder, before anything is read. Errors: VG_E_UNSUPPORTED (a source that is FP8 already, two kinds of FP8 in one
 * export), VG_E_ARG (no layer is quantised), those of vg_layer_choose. */
vg_status vg_export_plan(const vg_weight_table *table, const vg_weights *weights,
                         const vg_export_options *options, vg_export_counts *counts, vg_err *err);
/* Weights of `weights` to `dir`, which has none of this name yet. Memory: the largest layer, in FP32 and as codes.
 * Errors: those of _plan, of vg_input_scales_find and of the writer; VG_E_FORMAT for NaN or infinity in a weight; VG_E_CANCELLED.
 * Tests: test_export, against nvidia-modelopt's own. */
vg_status vg_export_weights(const vg_weight_table *table, const vg_weights *weights,
                            const char *dir, const vg_export_options *options,
                            vg_export_counts *counts, vg_err *err);

/* from/config.json with "quantization_config", to to/config.json.
 *   ignore  patterns, NULL-terminated, of layers that are in high precision by the architecture; NULL: these layers by name
 * Layers that `policy` keeps in high precision are added to them by name. */
vg_status vg_export_config(const char *from, const char *to, const vg_weight_table *table,
                           const vg_weights *weights, const vg_precision_policy *policy,
                           const char *const *ignore, vg_err *err);
#endif
