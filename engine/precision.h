/* precision.h: how the linear layers of a component are stored, and in what precision each will run: decided layer by layer from the tensors
 * (modelopt-fp8 1.6) and from what was asked for. */
#ifndef VG_ENGINE_PRECISION_H
#define VG_ENGINE_PRECISION_H

#include "engine/engine.h"

#define VG_SCHEME_AUTO (-1) /* the checkpoint's own precision */

typedef struct vg_module_options {
    vg_dtype compute;         /* F32 or BF16 */
    int scheme;               /* vg_scheme or VG_SCHEME_AUTO */
    vg_fp8_act fp8_act;       /* inputs of FP8 layers */
    const char *input_scales; /* calibration file for static scales, or NULL */
    const char *identity;     /* of the model; the calibration file must carry the same */
    int streamed;             /* transformer blocks that are kept on the host and come when they are run (engine/stream.h) */
} vg_module_options;

/* What the tensors of a component say about precision, found in one pass over the names. */
typedef struct vg_precision_census {
    int fp8;          /* E4M3 `.weight` tensors */
    int input_scales; /* `.input_scale` tensors */
    vg_dtype high;    /* dtype of the largest other weight */
} vg_precision_census;
void vg_precision_census_take(const vg_weights *weights, vg_precision_census *census);

/* How one linear layer is stored, and how it will run under `options`. */
typedef struct vg_layer_choice {
    vg_precision stored, used;
    vg_quant_kind act;
    bool made;        /* made FP8 at load */
    bool dequantised; /* stored FP8, runs in the compute dtype */
} vg_layer_choice;

/* Errors: VG_E_MISSING (weight or a needed scale), VG_E_SHAPE, VG_E_DTYPE, VG_E_UNSUPPORTED (scheme and checkpoint contradict each
 * other), all naming the component and layer. quantisable: the scheme may make this layer FP8. */
vg_status vg_layer_choose(const vg_weights *weights, const vg_precision_census *census, const char *component, const char *layer,
                          int64_t n, int64_t k, bool quantisable, const vg_module_options *options, vg_layer_choice *choice,
                          vg_err *err);

#define VG_LAYER_NAME_BYTES 256 /* a tensor's whole name */
/* Tensor LAYER.suffix, its name into `name`; NULL: absent, or the name is too long. */
const vg_tensor *vg_layer_part(const vg_weights *weights, const char *layer, const char *suffix, char name[VG_LAYER_NAME_BYTES]);
bool vg_dtype_is_high(vg_dtype dtype); /* F32, F16 or BF16 */
bool vg_name_ends_with(const char *name, const char *suffix);
#endif
