/* qwen25.h: the language model of Qwen2.5-VL as an encoder of text (transformers Qwen2_5_VLTextModel, text only): token ids in, the states
 * behind all but its last layers out. Layers come from the files one at a time and are gone again, so that memory holds one of them and not
 * 12 GiB. Source: hunyuanvideo15 4.2. */
#ifndef VG_ENGINE_TEXT_QWEN25_H
#define VG_ENGINE_TEXT_QWEN25_H

#include "engine/layers/module.h"

/* The last layers are there for the next word; HunyuanVideo-1.5 takes the states in front of them: hidden_states[-3], no final norm. */
#define VG_QWEN25_SKIPPED_LAYERS 2

typedef struct vg_qwen25_config {
    int64_t hidden, ff, layers, heads, kv_heads, vocab; /* layers: as many as are run */
    double eps, theta;
    const char *root; /* what the files' names begin with: static */
} vg_qwen25_config;

/* From config.json of the language model alone or of the whole Qwen2.5-VL, as transformers 4 and 5 write them (rope_theta and rope_scaling,
 * or rope_parameters; `text_config` inside or not). config->root is "". Errors: VG_E_FORMAT; VG_E_UNSUPPORTED naming the key (another
 * model, another activation, scaled positions). */
vg_status vg_qwen25_config_read(const cJSON *json, const char *name, vg_qwen25_config *config,
                                vg_err *err);
/* Look into the files which of the names they have ("", "model.", "language_model.", "model.language_model.") and set config->root;
 * unchanged while there are no files. component_dir: as vg_weights_open takes it. Errors: VG_E_FORMAT of damaged files. */
vg_status vg_qwen25_find_root(const char *component_dir, vg_qwen25_config *config, vg_err *err);

/* What the encoder needs of its files (neither the visual part nor the last layers); the caller deinitialises. */
vg_status vg_qwen25_weights(const vg_qwen25_config *config, const char *component,
                            vg_weight_table *table, vg_err *err);

/* One text: in ids [length], 0 <= id < vocab (checked), valid tokens only, as padding on the right changes nothing in front of it.
 * out: host [length - crop, hidden] FP32, the states of tokens crop.. */
typedef struct vg_qwen25_text {
    const int32_t *ids;
    int64_t length, crop;
    float *out;
} vg_qwen25_text;

typedef struct vg_qwen25 vg_qwen25;

/* DIR: as vg_weights_open takes it; component: its name in messages. Opens the files and allocates room for a layer's weights in `compute` (F32,
 * BF16). Errors: as vg_module_open. */
vg_status vg_qwen25_open(vg_engine *engine, const char *dir, const char *component,
                         const vg_qwen25_config *config, vg_dtype compute, vg_qwen25 **encoder,
                         vg_err *err);
/* NULL is a no-op. */
void vg_qwen25_close(vg_qwen25 *encoder);

/* All texts in one pass over the layers: each layer's weights are read once. May come again; each pass reads the files anew.
 * progress (or NULL): after each layer. Errors: VG_E_ARG (an id out of range, no token, crop >= length), VG_E_CANCELLED at a layer's end,
 * those of vg_module_load. Tests: test_model_hunyuan_text. */
vg_status vg_qwen25_run(vg_qwen25 *encoder, const vg_qwen25_text *texts, int count,
                        const atomic_int *cancel, void (*progress)(void *user, int done, int of),
                        void *user, vg_err *err);
#endif
