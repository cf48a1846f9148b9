/* module.h: the weights of one component, resident on a backend: tensors by name, checked against the shape that the model code
 * expects, converted to the dtype it computes in, and linear layers with the scheme applied. On a device they are on their way
 * (engine/checkpoint/loader.h) until vg_module_loaded; a backend that reads host memory gets views into the mapped file where the dtype fits. */
#ifndef VG_ENGINE_LAYERS_MODULE_H
#define VG_ENGINE_LAYERS_MODULE_H

#include "engine/checkpoint/engine.h"
#include "engine/layers/calibrate.h"
#include "engine/layers/linear.h"
#include "engine/layers/precision_policy.h"
#include "engine/layers/weight_table.h"

typedef struct vg_module_options {
    vg_dtype compute;                  /* F32 or BF16 */
    const vg_precision_policy *policy; /* until everything is loaded; NULL: as the files have it */
    const vg_input_scales *input_scales; /* for layers made FP8 with static inputs, or NULL */
    int streamed; /* transformer blocks that are kept on the host and come when they are run (engine/checkpoint/stream.h) */
} vg_module_options;

/* What the tensors of a component say about precision, found in one pass over the names. */
typedef struct vg_precision_census {
    int fp8;          /* E4M3 `.weight` tensors */
    int input_scales; /* `.input_scale` tensors */
    int block_scales; /* `.weight_scale` tensors of more than one tile, in ModelOpt's form [a,1,b,1] */
    vg_dtype high;    /* dtype of the largest other weight */
} vg_precision_census;
/* Pure: names, dtypes and shapes only. What the quantiser kept of its own state does not count. */
void vg_precision_census_take(const vg_weights *weights, vg_precision_census *census);

/* Granularity of an FP8 weight [n,k] from the shape of its weight_scale (or weight_scale_inv): one number: tensor; [n], [n,1]: channel; [a,b], [a,1,b,1]: block.
 * VG_E_SHAPE (without a message): none of these. Source: modelopt-fp8 1.3, 1.6. */
vg_status vg_scale_granularity(const vg_tensor *scale, int64_t n, int64_t k,
                               vg_precision *precision);

/* How one linear layer is stored, and how it will run under `options`. */
typedef struct vg_layer_choice {
    vg_precision stored, used;
    vg_quant_kind act;
    bool made;        /* made FP8 at load */
    bool dequantised; /* stored FP8, runs in the compute dtype */
} vg_layer_choice;

/* policy: NULL for as stored. quantisable: it may make this layer FP8. Errors: VG_E_MISSING (weight or a needed scale), VG_E_SHAPE, VG_E_DTYPE,
 * VG_E_UNSUPPORTED (policy and checkpoint contradict each other), all naming the component and layer. */
vg_status vg_layer_choose(const vg_weights *weights, const vg_precision_census *census,
                          const char *component, const char *layer, int64_t n, int64_t k,
                          bool quantisable, const vg_precision_policy *policy,
                          vg_layer_choice *choice, vg_err *err);
/* The same for a LINEAR place of a table. */
vg_status vg_layer_choose_at(const vg_weight_table *table, const vg_weight_place *place,
                             const vg_weights *weights, const vg_precision_census *census,
                             const vg_precision_policy *policy, vg_layer_choice *choice,
                             vg_err *err);

typedef struct vg_module vg_module;

/* Open DIR's weights. component: its name in messages and in the calibration file. */
vg_status vg_module_open(vg_engine *engine, const char *dir, const char *component,
                         const vg_module_options *options, vg_module **module, vg_err *err);
/* Drops reads that have not begun and waits for the others; all tensors that it handed out end. NULL is a no-op. */
void vg_module_close(vg_module *module);
/* Borrowed until close. */
const vg_weights *vg_module_weights(const vg_module *module);
int vg_module_dequantised(
    const vg_module *module); /* layers stored FP8 that run in the compute dtype */
/* How many tensors of the component nobody has asked for, and the first of them (borrowed, NULL when 0). The quantiser's own strays do
 * not count: *_quantizer.* states and scales of layers that are not run in FP8. */
int vg_module_unused(const vg_module *module, const char **first);
size_t vg_module_bytes(const vg_module *module); /* of all tensors handed out */

/* A tensor of exactly this shape, as `dtype` (F32 or BF16), valid until vg_module_close. */
vg_status vg_module_tensor(vg_module *module, const char *name, vg_dtype dtype, int ndim,
                           const int64_t *shape, vg_tensor *t, vg_err *err);
/* The same in host FP32, malloc'd. */
vg_status vg_module_host_f32(vg_module *module, const char *name, int ndim, const int64_t *shape,
                             float **values, vg_err *err);
/* A convolution weight [O,C,kt,kh,kw], or [O,C,kh,kw] when ndim is 4, re-ordered to channels-last [O,kt,kh,kw,C]. shape: as stored. */
vg_status vg_module_conv(vg_module *module, const char *name, vg_dtype dtype, int ndim,
                         const int64_t *shape, vg_tensor *t, vg_err *err);
/* LAYER.weight [n,k] (and LAYER.bias [n] if `bias`), in `dtype` unless FP8. */
vg_status vg_module_linear(vg_module *module, const char *layer, int64_t n, int64_t k, bool bias,
                           bool quantisable, vg_dtype dtype, vg_linear_layer *linear, vg_err *err);
/* All rows of one item of a list, to its struct. Errors: those of the functions above. */
vg_status vg_module_load(vg_module *module, const vg_weight_list *list, int64_t item, vg_err *err);
/* One item of a list is loaded by another module of this component: its tensors are not unused. */
void vg_module_elsewhere(vg_module *module, const vg_weight_list *list, int64_t item);
/* Rows ids[0..count) of a table [rows, dim] that stays on the host, as `dtype` (F32 or BF16) to host memory. 0 <= id < rows. */
vg_status vg_module_rows(vg_module *module, const char *name, int64_t rows, int64_t dim,
                         const int32_t *ids, int64_t count, vg_dtype dtype, void *to, vg_err *err);
/* Lay the weights [n,k] of linear layers out in this memory of the backend, one behind the other, instead of the module's own; NULL: the
 * module's own again. Everything small stays the module's: biases, scales, norms. VG_E_NOMEM from a layer that does not fit any more. */
void vg_module_into(vg_module *module, void *memory, size_t bytes);
/* Bytes of it taken so far. */
size_t vg_module_into_used(const vg_module *module);
/* Operations from here on find all tensors handed out so far, and NaN or infinity in weights that were made FP8 is told: VG_E_FORMAT
 * naming the layer. */
vg_status vg_module_settle(vg_module *module, vg_err *err);
/* The last of loading: everything is there, staging memory is given back. Errors as vg_module_settle, VG_E_IO, VG_E_CANCELLED. */
vg_status vg_module_loaded(vg_module *module, vg_err *err);
#endif
