/* calibrate.h: static activation scales for FP8 that is made at load: measuring them, and the JSON file they live in.
 *
 * {"format": "vgen-input-scales", "version": 1, "identity": "<16 hex>", "settings": {...},
 *  "transformer": {"blocks.0.attn1.to_q": 0.0123, ...}, "transformer_2": {...}} */
#ifndef VG_ENGINE_LAYERS_CALIBRATE_H
#define VG_ENGINE_LAYERS_CALIBRATE_H

#include "kernels/base/json.h"

/* ---- measuring ---- */

typedef struct vg_calibration vg_calibration;
/* Nothing measured yet. Errors: VG_E_NOMEM. */
vg_status vg_calibration_new(vg_calibration **calibration, vg_err *err);
/* NULL is a no-op. */
void vg_calibration_free(vg_calibration *calibration);
/* Running maximum of |x| of one layer's input. Errors: VG_E_FORMAT for NaN or infinity. */
vg_status vg_calibration_add(vg_calibration *calibration, const char *component, const char *layer,
                             float amax, vg_err *err);

/* ---- what was measured: the scales of a model's layers. Never changes, so many may read it. ---- */

typedef struct vg_input_scales vg_input_scales;
/* scale = amax / 448 (amax 0: 1). */
vg_status vg_calibration_scales(const vg_calibration *calibration, vg_input_scales **scales,
                                vg_err *err);
/* Errors: VG_E_NOMEM. The caller frees *copy. */
vg_status vg_input_scales_copy(const vg_input_scales *scales, vg_input_scales **copy, vg_err *err);
/* NULL is a no-op. */
void vg_input_scales_free(vg_input_scales *scales);
/* VG_E_MISSING names component and layer. */
vg_status vg_input_scales_find(const vg_input_scales *scales, const char *component,
                               const char *layer, float *scale, vg_err *err);

/* settings: what the scales depend on, for people who find the file later; taken over. Atomic. FP32 survives the text. */
vg_status vg_input_scales_write(const vg_input_scales *scales, const char *identity,
                                cJSON *settings, const char *path, vg_err *err);
/* identity: of the weights, which the file must carry; NULL: any. Errors: VG_E_IO, VG_E_FORMAT. */
vg_status vg_input_scales_read(const char *path, const char *identity, vg_input_scales **scales,
                               vg_err *err);
#endif
