/* siglip.h: SigLIP's image encoder (transformers SiglipVisionModel): a picture in, the last hidden state behind its final norm out; the
 * pooling head is not needed. Source: hunyuanvideo15 5. */
#ifndef VG_ENGINE_VISION_SIGLIP_H
#define VG_ENGINE_VISION_SIGLIP_H

#include "engine/layers/module.h"

typedef struct vg_siglip_config {
    int64_t hidden, ff, layers, heads, image, patch; /* image, patch: pixels of a side */
    double eps;
    const char *root; /* what the files' names begin with: static */
} vg_siglip_config;

/* From config.json of the vision model, or of a whole SigLIP (`vision_config` inside). config->root is "vision_model.". Errors: VG_E_FORMAT,
 * VG_E_UNSUPPORTED naming the key (another model, activation or number of channels). */
vg_status vg_siglip_config_read(const cJSON *json, const char *name, vg_siglip_config *config,
                                vg_err *err);
/* Look into the files whether their names begin with "vision_model." or not, and set config->root; unchanged while there are no files.
 * Errors: VG_E_FORMAT of damaged files. */
vg_status vg_siglip_find_root(const char *component_dir, vg_siglip_config *config, vg_err *err);

/* Tokens of a picture: 27 x 27 = 729 for 384 / 14. */
static inline int64_t vg_siglip_tokens(const vg_siglip_config *config)
{
    int64_t side = config->image / config->patch;
    return side * side;
}

/* How feature_extractor/preprocessor_config.json wants pictures: squashed to height x width, times scale, minus mean, divided by std. */
typedef struct vg_siglip_processor {
    int height, width, resample; /* resample: a vg_resample */
    double scale, mean[3], std[3];
} vg_siglip_processor;
/* json NULL: SigLIP's defaults for config's side (bicubic, 1/255, 0.5, 0.5). Errors: VG_E_FORMAT, VG_E_UNSUPPORTED (a size other than the
 * model's, steps left out). */
vg_status vg_siglip_processor_read(const cJSON *json, const char *name,
                                   const vg_siglip_config *config, vg_siglip_processor *processor,
                                   vg_err *err);
/* Pixels as SiglipImageProcessor makes them, bit for bit as Pillow resizes.
 *   rgb     in   [height,width,3], rows contiguous
 *   pixels  out  [3,image,image] FP32
 * Errors: VG_E_ARG, VG_E_NOMEM. */
vg_status vg_siglip_pixels(const vg_siglip_processor *processor, const uint8_t *rgb, int height,
                           int width, float *pixels, vg_err *err);

/* What the encoder needs of its files; the caller deinitialises. */
vg_status vg_siglip_weights(const vg_siglip_config *config, const char *component,
                            vg_weight_table *table, vg_err *err);

typedef struct vg_siglip vg_siglip;

/* Load DIR's weights in `compute` (F32, BF16). Errors: as vg_module_open. */
vg_status vg_siglip_open(vg_engine *engine, const char *dir, const char *component,
                         const vg_siglip_config *config, vg_dtype compute, vg_siglip **encoder,
                         vg_err *err);
/* NULL is a no-op. */
void vg_siglip_close(vg_siglip *encoder);
/* pixels: host [3,image,image] FP32; out: host [vg_siglip_tokens, hidden] FP32. Errors: VG_E_CANCELLED at a layer's end.
 * Tests: test_model_hunyuan_text. */
vg_status vg_siglip_run(vg_siglip *encoder, const float *pixels, const atomic_int *cancel,
                        float *out, vg_err *err);
#endif
