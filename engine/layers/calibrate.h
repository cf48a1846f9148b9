/* calibrate.h: static activation scales for FP8 made at load: collecting them, and the JSON file they live in.
 *
 * {"format": "vgen-input-scales", "version": 1, "identity": "<16 hex>", "settings": {...},
 *  "transformer": {"blocks.0.attn1.to_q": 0.0123, ...}, "transformer_2": {...}} */
#ifndef VG_ENGINE_LAYERS_CALIBRATE_H
#define VG_ENGINE_LAYERS_CALIBRATE_H

#include "kernels/base/json.h"

typedef struct vg_calibration vg_calibration;
vg_status vg_calibration_new(vg_calibration **calibration, vg_err *err);
void vg_calibration_free(vg_calibration *calibration);
/* Running maximum of |x| of one layer's input; scale = amax / 448 (amax 0 -> 1). Errors: VG_E_FORMAT for NaN or infinity. */
vg_status vg_calibration_add(vg_calibration *calibration, const char *component, const char *layer,
                             float amax, vg_err *err);
/* settings is taken over. Atomic. */
vg_status vg_calibration_write(const vg_calibration *calibration, const char *identity,
                               cJSON *settings, const char *path, vg_err *err);

typedef struct vg_input_scales vg_input_scales;
/* The scales of one component. identity: 16 hex digits that the file must carry, or NULL. Errors: VG_E_IO, VG_E_FORMAT,
 * VG_E_MISSING (no such component in the file). */
vg_status vg_input_scales_read(const char *path, const char *component, const char *identity,
                               vg_input_scales **scales, vg_err *err);
void vg_input_scales_free(vg_input_scales *scales);
/* VG_E_MISSING names the layer. */
vg_status vg_input_scales_find(const vg_input_scales *scales, const char *layer, float *scale,
                               vg_err *err);
#endif
