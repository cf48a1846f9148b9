/* vit.h: what image encoders of transformers have in common: patches as rows, and layers of a norm, attention over all tokens, a norm and two
 * linear layers with an activation between. Private to engine/vision. */
#ifndef VG_ENGINE_VISION_VIT_H
#define VG_ENGINE_VISION_VIT_H

#include "engine/layers/module.h"

typedef struct vg_vit_layer {
    vg_tensor norm1_w, norm1_b, norm2_w, norm2_b;
    vg_linear_layer q, k, v, o, up, down;
} vg_vit_layer;

typedef struct vg_vit {
    vg_backend *be;
    vg_arena *arena;
    vg_dtype compute;
    int64_t dim, ff, heads, image, patch; /* image, patch: pixels of a side */
    float eps;
    vg_act act;
} vg_vit;

/* The list of `count` layers ROOTencoder.layers.%d. of a weight table, to be loaded to `to` (or NULL). */
vg_weight_list vg_vit_list(const char *root, int64_t count, int64_t dim, int64_t ff,
                           vg_vit_layer *to);
/* y = LayerNorm(x), affine. */
vg_status vg_vit_norm(const vg_vit *vit, const vg_tensor *x, const vg_tensor *w, const vg_tensor *b,
                      vg_tensor *y, vg_err *err);
/* Patches row by row through the patch embedding; pixels to the right of and below the last whole patch are not looked at.
 *   pixels  host [3,image,image] FP32, may be changed afterwards      y  [patches, dim] of the compute dtype */
vg_status vg_vit_patches(const vg_vit *vit, const vg_linear_layer *patch, const float *pixels,
                         vg_tensor *y, vg_err *err);
/* x [tokens, dim] through layers[0..count), in place. Errors: VG_E_CANCELLED in front of a layer. */
vg_status vg_vit_layers(const vg_vit *vit, const vg_vit_layer *layers, int64_t count, vg_tensor *x,
                        const atomic_int *cancel, vg_err *err);
/* x to the host as FP32. */
vg_status vg_vit_download(const vg_vit *vit, const vg_tensor *x, float *out, vg_err *err);
#endif
