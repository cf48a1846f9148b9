/* clip.h: CLIP's image encoder (transformers CLIPVisionModel) as Wan2.1's image to video reads it: a picture in, the hidden state in front of
 * the last layer out, class token first, without a norm behind it. Source: wan 6. */
#ifndef VG_ENGINE_VISION_CLIP_H
#define VG_ENGINE_VISION_CLIP_H

#include "engine/layers/module.h"

typedef struct vg_clip_config {
    int64_t dim, ff, layers, heads, image, patch; /* image, patch: pixels of a side */
    double eps;
    const char *root; /* what the files' names begin with: static */
} vg_clip_config;

/* From config.json of the vision model. config->root is "vision_model.". Errors: VG_E_FORMAT, VG_E_UNSUPPORTED naming the key (another
 * model, activation or number of channels). */
vg_status vg_clip_config_read(const cJSON *json, const char *name, vg_clip_config *config,
                              vg_err *err);
/* Do the files' names begin with "vision_model.", as the hub has them, or not, as transformers 5 writes them? Sets config->root; unchanged
 * while there are no files. Errors: VG_E_FORMAT of damaged files. */
vg_status vg_clip_find_root(const char *component_dir, vg_clip_config *config, vg_err *err);

/* Tokens of a picture, the class token among them: 257 for 224 / 14. */
static inline int64_t vg_clip_tokens(const vg_clip_config *config)
{
    int64_t side = config->image / config->patch;
    return side * side + 1;
}

/* How image_processor/preprocessor_config.json wants pictures: the shorter side to `edge`, bicubic; the middle of the model's size; then
 * (x / 255 - mean) / std. */
typedef struct vg_clip_processor {
    int edge, side; /* pixels */
    double mean[3], std[3];
} vg_clip_processor;
/* json NULL: CLIP's own values for the model's size. Errors: VG_E_FORMAT, VG_E_UNSUPPORTED (other steps, sizes that do not fit the model). */
vg_status vg_clip_processor_read(const cJSON *json, const char *name, const vg_clip_config *config,
                                 vg_clip_processor *processor, vg_err *err);
/* Pixels as CLIPImageProcessor makes them with Pillow.
 *   rgb     in   [height,width,3], rows contiguous
 *   pixels  out  [3,side,side] FP32
 * Errors: VG_E_ARG, VG_E_NOMEM. Tests: test_model_clip. */
vg_status vg_clip_pixels(const vg_clip_processor *processor, const uint8_t *rgb, int height,
                         int width, float *pixels, vg_err *err);

/* What the encoder needs of its files: all but the last layer and what follows it. The caller deinitialises. */
vg_status vg_clip_weights(const vg_clip_config *config, const char *component,
                          vg_weight_table *table, vg_err *err);

typedef struct vg_clip vg_clip;

/* Load DIR's weights in `compute` (F32, BF16). Errors: as vg_module_open. */
vg_status vg_clip_open(vg_engine *engine, const char *dir, const char *component,
                       const vg_clip_config *config, vg_dtype compute, vg_clip **encoder,
                       vg_err *err);
/* NULL is a no-op. */
void vg_clip_close(vg_clip *encoder);
/* pixels: host [3,image,image] FP32; out: host [vg_clip_tokens, dim] FP32. Errors: VG_E_CANCELLED at a layer's end. */
vg_status vg_clip_run(vg_clip *encoder, const float *pixels, const atomic_int *cancel, float *out,
                      vg_err *err);
#endif
