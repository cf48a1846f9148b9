/* umt5.h: the encoders of UMT5 and of T5 1.1, ByT5 among them (transformers UMT5EncoderModel, T5EncoderModel): token ids in, last hidden
 * state out. T5 has one relative bias, of its first layer, for all. Source: wan 5.1-5.3, hunyuanvideo15 4.3. */
#ifndef VG_ENGINE_TEXT_UMT5_H
#define VG_ENGINE_TEXT_UMT5_H

#include "engine/layers/module.h"

typedef struct vg_umt5_config {
    int64_t d_model, d_kv, heads, d_ff, layers, vocab;
    int64_t buckets, max_distance;
    double eps;
    bool shared_bias; /* T5: the first layer's relative bias serves all */
} vg_umt5_config;

/* Every value read and range-checked; anything but a gated-gelu encoder of model_type umt5 or t5 is VG_E_UNSUPPORTED naming the key. */
vg_status vg_umt5_config_read(const cJSON *json, const char *name, vg_umt5_config *config,
                              vg_err *err);

/* What the encoder consists of; the caller deinitialises. */
vg_status vg_umt5_weights(const vg_umt5_config *config, const char *component,
                          vg_weight_table *table, vg_err *err);

typedef struct vg_umt5 vg_umt5;

/* Load DIR's weights in `compute` (F32, BF16). component: its name in messages ("text_encoder"). Errors: as vg_module_open. */
vg_status vg_umt5_open(vg_engine *engine, const char *dir, const char *component,
                       const vg_umt5_config *config, vg_dtype compute, vg_umt5 **encoder,
                       vg_err *err);
/* NULL is a no-op. */
void vg_umt5_close(vg_umt5 *encoder);

/* One row: ids[length], 0 <= id < vocab (checked). mask: length entries of 0/1 (masked keys are ignored; the outputs of masked
 * queries are computed too, as transformers does), NULL = all ones. out: host [length, d_model] FP32.
 * Errors: VG_E_ARG (id out of range, nothing to attend to), VG_E_CANCELLED at a layer boundary. */
vg_status vg_umt5_run(vg_umt5 *encoder, const int32_t *ids, const uint8_t *mask, int64_t length,
                      const atomic_int *cancel, float *out, vg_err *err);

/* Bucket of relative position key - query. Tests: test_model_umt5. */
int64_t vg_umt5_bucket(const vg_umt5_config *config, int64_t relative);
#endif
