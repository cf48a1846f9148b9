/* module_impl.h: the inside of module.h, shared by its files: module_precision.c (how a layer is stored, and how it will run),
 * module_convert.c (stored forms that are converted on the backend) and module.c (everything else). */
#ifndef VG_ENGINE_LAYERS_MODULE_IMPL_H
#define VG_ENGINE_LAYERS_MODULE_IMPL_H

#include "engine/checkpoint/loader.h"
#include "engine/checkpoint/engine.h"
#include "engine/layers/module.h"
#include "engine/checkpoint/host_values.h"

#include <stdio.h>
#include <string.h>

#define VG_NAME_MAX_BYTES 256
#define VG_SCALE_INV      "weight_scale_inv"

typedef struct vg_name_node {
    struct vg_name_node *next;
    char text[];
} vg_name_node;

/* A layer's weights on their way from the stored form to the form they run in. */
typedef struct vg_conversion {
    const char *layer; /* NULL: nothing is pending */
    size_t ticket;
    vg_tensor raw, raw_scale; /* raw_scale.data: dequantise, else quantise */
    vg_tensor w, w_scale;
} vg_conversion;

/* Stored forms wait in turn in a few places of device memory, so that the next ones arrive while one is converted. */
#define VG_MODULE_STAGES 4

typedef struct vg_staging {
    char *memory;
    size_t bytes; /* of one place */
    int next;
    vg_conversion at[VG_MODULE_STAGES];
    vg_fence *free[VG_MODULE_STAGES]; /* behind the conversion that read the place last */
} vg_staging;

/* Scales made here, to be looked at once they are there. */
typedef struct vg_made_scale {
    const char *layer;
    vg_tensor scale;
} vg_made_scale;

struct vg_module {
    vg_engine *engine;
    vg_backend *be;
    vg_weights *weights;
    vg_module_options options;
    vg_precision_census census;
    vg_arena *arena;   /* big weights that are not views: chunks of just their size */
    vg_arena *small;   /* the others share chunks */
    vg_loader *loader; /* NULL: the host writes to the backend's memory itself, or nobody does */
    vg_staging staging;
    struct {
        char *memory;
        size_t bytes, used;
    } into;
    vg_made_scale *made;
    size_t made_count, made_capacity;
    vg_name_node *names;
    char component[64];
    bool *used;  /* per tensor of `weights`: somebody asked for it */
    bool loaded; /* nothing is on its way any more */
    int dequantised;
    size_t bytes;
};

/* One of the stored dtypes that are converted, not FP8. */
static inline bool vg_dtype_is_high(vg_dtype dtype)
{
    return dtype == VG_F32 || dtype == VG_BF16 || dtype == VG_F16;
}

/* LAYER.SUFFIX, or NULL. name, of VG_NAME_MAX_BYTES: what was looked for. */
static inline const vg_tensor *vg_layer_part(const vg_weights *weights, const char *layer,
                                             const char *suffix, char *name)
{
    int n = snprintf(name, VG_NAME_MAX_BYTES, "%s.%s", layer, suffix);
    return n > 0 && n < VG_NAME_MAX_BYTES ? vg_weights_find(weights, name) : NULL;
}

/* The weight scale of a stored FP8 layer, or NULL: LAYER.weight_scale, or LAYER.weight_scale_inv, as some block exports call the same thing. */
static inline const vg_tensor *vg_layer_scale(const vg_weights *weights, const char *layer,
                                              char *name)
{
    const vg_tensor *scale = vg_layer_part(weights, layer, "weight_scale", name);
    return scale || vg_weights_unsupported(weights, name)
               ? scale
               : vg_layer_part(weights, layer, VG_SCALE_INV, name);
}

/* module_precision.c. The failure for a tensor that was looked for: it is not in the files, or vgen has no use for what it is. */
vg_status vg_module_absent(const vg_weights *weights, const char *component, const char *name,
                           vg_err *err);

/* The tensor `name`, which must have this shape and a dtype that is converted: F32, BF16 or F16. */
vg_status vg_module_find(const vg_weights *weights, const char *component, const char *name,
                         int ndim, const int64_t *shape, const vg_tensor **tensor, vg_err *err);

/* module.c. A copy of a name that lives as long as the module. */
vg_status vg_module_keep_name(vg_module *module, const char *name, const char **kept, vg_err *err);
/* May the backend read the source where it lies, as `dtype`? Else bring its values, or some of the host's, to memory of the
 * backend. */
bool vg_module_is_view(const vg_module *module, const vg_source *source, vg_dtype dtype);
/* Values as `dtype` into `to`. ticket: of the loader, or NULL. */
vg_status vg_module_bring(vg_module *module, const vg_source *source, vg_dtype dtype, void *to,
                          size_t *ticket, vg_err *err);
/* Host memory to the backend; `from` may be freed afterwards. Nothing on a backend that only counts. */
vg_status vg_module_bring_copy(vg_module *module, const void *from, size_t bytes, void *to,
                               vg_err *err);

/* module_convert.c. c: layer, w, w_scale, and raw_scale, if any, on the host. The stored form is read where it lies if the backend can, and
 * comes to a stage otherwise; then it is converted at the latest by vg_module_settle. */
vg_status vg_module_convert(vg_module *module, const vg_source *source, vg_conversion *c,
                            vg_err *err);
/* Free the stages; again is a no-op. */
void vg_module_staging_free(vg_module *module);
#endif
