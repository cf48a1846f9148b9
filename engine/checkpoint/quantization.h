/* quantization.h: what a quantised checkpoint says of itself: the label in its config.json. The label only has to be one we know: how each
 * layer is stored is told by its tensors (engine/layers/module.h). */
#ifndef VG_ENGINE_CHECKPOINT_QUANTIZATION_H
#define VG_ENGINE_CHECKPOINT_QUANTIZATION_H

#include "engine/checkpoint/checkpoint.h"

/* The "quantization_config" of a component's config.json, `name` in messages: nothing, null, or an FP8 export of ModelOpt or of the
 * fine-grained kind (quant_method "fp8"). Labels are compared without case. Errors: VG_E_FORMAT (wrong types), VG_E_UNSUPPORTED naming what
 * was found and what is known. Source: modelopt-fp8 0, 1.2, 1.6. */
vg_status vg_quantization_check(const cJSON *config, const char *name, vg_err *err);

/* What a component says of itself, wherever an exporter leaves it. "" not said. */
typedef struct vg_quantization_label {
    char method[32], algo[64]; /* "modelopt", "FP8_PB_WO" */
    char strategy[32];         /* of its weights: "tensor", "block" */
    char producer[96];         /* "modelopt 0.47.0" */
    char where[64];            /* the file that says so */
} vg_quantization_label;

/* The label of the component in `dir`: config.json's quantization_config, else hf_quant_config.json in or above the folder, else the
 * metadata of its files. *holder: the caller deletes, whatever the result; NULL: there is none. */
const cJSON *vg_quantization_find(const char *dir, const vg_weights *weights, cJSON **holder,
                                  vg_quantization_label *label);
#endif
