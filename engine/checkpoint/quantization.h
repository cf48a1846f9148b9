/* quantization.h: what a quantised checkpoint says of itself: the label in its config.json. The label only has to be one we know: how each
 * layer is stored is told by its tensors (engine/layers/module.h). */
#ifndef VG_ENGINE_CHECKPOINT_QUANTIZATION_H
#define VG_ENGINE_CHECKPOINT_QUANTIZATION_H

#include "kernels/base/json.h"

/* The "quantization_config" of a component's config.json, `name` in messages: nothing, null, or an FP8 export of ModelOpt or of the
 * fine-grained kind (quant_method "fp8"). Labels are compared without case. Errors: VG_E_FORMAT (wrong types), VG_E_UNSUPPORTED naming what
 * was found and what is known. Source: modelopt-fp8 0, 1.2, 1.6. */
vg_status vg_quantization_check(const cJSON *config, const char *name, vg_err *err);
#endif
