/* config.c: reading and checking the configuration files of a HunyuanVideo-1.5 checkpoint. What is known but not built here is refused by the
 * name of its key; nothing is guessed. Source: hunyuanvideo15 1. */
#include "engine/family/hunyuanvideo15/hv15.h"

#include "engine/checkpoint/quantization.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VAE_CLASS    "AutoencoderKLHunyuanVideo15"
#define DIT_CLASS    "HunyuanVideo15Transformer3DModel"
#define GUIDER_CLASS "ClassifierFreeGuidance"
#define TEXT_CLASS   "HunyuanVideo15Pipeline"
#define IMAGE_CLASS  "HunyuanVideo15ImageToVideoPipeline"

bool hv_probe(const vg_checkpoint *checkpoint)
{
    const char *pipeline = vg_checkpoint_class(checkpoint);
    const char *transformer = vg_checkpoint_component(checkpoint, "transformer");
    return pipeline && (strcmp(pipeline, TEXT_CLASS) == 0 || strcmp(pipeline, IMAGE_CLASS) == 0) &&
           transformer && strcmp(transformer, DIT_CLASS) == 0;
}

/* A text that only one value of is built. */
static vg_status must_be(const cJSON *json, const char *name, const char *key, const char *wanted,
                         vg_err *err)
{
    const char *value = wanted;
    VG_TRY(vg_json_get_string(json, name, key, &value, err));
    if (strcmp(value, wanted) != 0)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: %s is \"%s\"; only %s is supported", name, key,
                       value, wanted);
    return VG_OK;
}

/* And a number. */
static vg_status must_equal(const cJSON *json, const char *name, const char *key, double wanted,
                            vg_err *err)
{
    double value = wanted;
    VG_TRY(vg_json_get_double(json, name, key, -1e9, 1e9, &value, err));
    if (value != wanted)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: %s is %g; only %g is supported", name, key,
                       value, wanted);
    return VG_OK;
}

static vg_status must_be_bool(const cJSON *json, const char *name, const char *key, bool wanted,
                              vg_err *err)
{
    bool value = wanted;
    VG_TRY(vg_json_get_bool(json, name, key, &value, err));
    if (value != wanted)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: %s is %s; only %s is supported", name, key,
                       value ? "true" : "false", wanted ? "true" : "false");
    return VG_OK;
}

/* ---- the transformer ---- */

static vg_status read_axes(const cJSON *json, const char *name, hv_dit_config *c, vg_err *err)
{
    double axes[3] = {16, 56, 56};
    int count = 3;
    int64_t sum = 0;
    VG_TRY(vg_json_get_doubles(json, name, "rope_axes_dim", axes, 3, &count, err));
    for (int i = 0; i < count; i++) {
        if (axes[i] < 0 || axes[i] > 1024 || axes[i] != 2 * (int)(axes[i] / 2))
            return VG_FAIL(err, VG_E_FORMAT,
                           "%s: rope_axes_dim[%d] is %g; even numbers up to 1024 are possible",
                           name, i, axes[i]);
        sum += c->rope_axes[i] = (int64_t)axes[i];
    }
    if (count != 3 || sum != c->head_dim)
        return VG_FAIL(err, VG_E_FORMAT,
                       "%s: rope_axes_dim must be 3 numbers whose sum is attention_head_dim, %lld",
                       name, (long long)c->head_dim);
    return VG_OK;
}

static vg_status read_widths(const cJSON *json, const char *name, hv_dit_config *c, vg_err *err)
{
    double ratio = 4;
    VG_TRY(vg_json_get_int(json, name, "num_attention_heads", 1, 1024, &c->heads, err));
    VG_TRY(vg_json_get_int(json, name, "attention_head_dim", 2, 1024, &c->head_dim, err));
    VG_TRY(vg_json_get_double(json, name, "mlp_ratio", 1.0 / 16, 64, &ratio, err));
    c->dim = c->heads * c->head_dim;
    c->ffn_dim = (int64_t)((double)c->dim * ratio);
    if (c->dim > 1 << 16 || c->ffn_dim < 1)
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s: num_attention_heads x attention_head_dim = %lld, with mlp_ratio %g, is out of range",
            name, (long long)c->dim, ratio);
    VG_TRY(vg_json_get_int(json, name, "in_channels", 1, 1024, &c->in_channels, err));
    VG_TRY(vg_json_get_int(json, name, "out_channels", 1, HV_Z_MAX, &c->out_channels, err));
    VG_TRY(vg_json_get_int(json, name, "text_embed_dim", 1, 1 << 16, &c->text_dim, err));
    VG_TRY(vg_json_get_int(json, name, "text_embed_2_dim", 1, 1 << 16, &c->glyph_dim, err));
    return vg_json_get_int(json, name, "image_embed_dim", 1, 1 << 16, &c->image_dim, err);
}

static vg_status read_dit(const cJSON *json, const char *name, hv_dit_config *out, vg_err *err)
{
    hv_dit_config c = {.heads = 16,
                       .head_dim = 128,
                       .layers = 54,
                       .refiner_layers = 2,
                       .in_channels = 65,
                       .out_channels = 32,
                       .text_dim = 3584,
                       .glyph_dim = 1472,
                       .image_dim = 1152,
                       .rope_theta = 256,
                       .target_size = 640};
    VG_TRY(must_be(json, name, "_class_name", DIT_CLASS, err));
    VG_TRY(vg_quantization_check(json, name, err));
    VG_TRY(must_be(json, name, "qk_norm", "rms_norm", err));
    VG_TRY(must_equal(json, name, "patch_size", 1, err));
    VG_TRY(must_equal(json, name, "patch_size_t", 1, err));
    VG_TRY(read_widths(json, name, &c, err));
    VG_TRY(vg_json_get_int(json, name, "num_layers", 1, 512, &c.layers, err));
    VG_TRY(vg_json_get_int(json, name, "num_refiner_layers", 1, 64, &c.refiner_layers, err));
    VG_TRY(vg_json_get_double(json, name, "rope_theta", 1, 1e9, &c.rope_theta, err));
    VG_TRY(vg_json_get_int(json, name, "target_size", 16, 8192, &c.target_size, err));
    VG_TRY(vg_json_get_bool(json, name, "use_meanflow", &c.meanflow, err));
    VG_TRY(read_axes(json, name, &c, err));
    if (c.in_channels != 2 * c.out_channels + 1)
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "%s: in_channels %lld, out_channels %lld; only noise, a picture's latents and a mask (%lld) are supported, not super-resolution",
            name, (long long)c.in_channels, (long long)c.out_channels,
            (long long)(2 * c.out_channels + 1));
    *out = c;
    return VG_OK;
}

/* ---- the VAE ---- */

static int log2_of(int64_t n)
{
    int log = 0;
    while (n > 1)
        n /= 2, log++;
    return log;
}

static vg_status read_ratio(const cJSON *json, const char *name, const char *key, int most,
                            int *ratio, vg_err *err)
{
    int64_t value = *ratio;
    VG_TRY(vg_json_get_int(json, name, key, 1, most, &value, err));
    if (value & (value - 1))
        return VG_FAIL(err, VG_E_FORMAT, "%s: %s is %lld; it must be a power of 2", name, key,
                       (long long)value);
    *ratio = (int)value;
    return VG_OK;
}

static vg_status read_channels(const cJSON *json, const char *name, hv_vae_config *c, vg_err *err)
{
    double channels[HV_LEVELS_MAX] = {128, 256, 512, 1024, 1024};
    int count = 5;
    VG_TRY(vg_json_get_doubles(json, name, "block_out_channels", channels, HV_LEVELS_MAX, &count,
                               err));
    for (int i = 0; i < count; i++) {
        if (channels[i] < 8 || channels[i] > 8192 || channels[i] != 8 * (int)(channels[i] / 8))
            return VG_FAIL(err, VG_E_FORMAT,
                           "%s: block_out_channels[%d] is %g; multiples of 8 to 8192 are possible",
                           name, i, channels[i]);
        c->channels[i] = (int64_t)channels[i];
    }
    c->levels = count;
    return VG_OK;
}

/* Shortcuts repeat channels or take the mean of some: whole numbers of them. */
static vg_status check_shortcuts(const char *name, const hv_vae_config *c, vg_err *err)
{
    int spatial = log2_of(c->spatial), untimed = spatial - log2_of(c->temporal);
    int64_t last = c->channels[c->levels - 1];
    if (untimed < 0 || spatial + 1 != c->levels)
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "%s: spatial_compression_ratio %d and temporal_compression_ratio %d; %lld block_out_channels want a spatial one of %d, and no larger temporal one",
            name, c->spatial, c->temporal, (long long)c->levels, 1 << (c->levels - 1));
    for (int i = 0; i < spatial;
         i++) { /* of a temporal step the first frame is packed by 4 as well */
        int64_t in = c->channels[i], out = c->channels[i + 1];
        if (4 * in % out != 0)
            return VG_FAIL(
                err, VG_E_FORMAT,
                "%s: block_out_channels %lld and %lld follow one another, which no shortcut can join",
                name, (long long)in, (long long)out);
    }
    if (last % (2 * c->z) != 0)
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s: the last of block_out_channels, %lld, is no multiple of 2 x latent_channels = %lld",
            name, (long long)last, (long long)(2 * c->z));
    return VG_OK;
}

static vg_status read_vae(const cJSON *json, const char *name, hv_vae_config *out, vg_err *err)
{
    hv_vae_config c = {
        .z = 32, .layers_per_block = 2, .spatial = 16, .temporal = 4, .scaling_factor = 1.03682};
    int64_t in = 3, made = 3;
    VG_TRY(must_be(json, name, "_class_name", VAE_CLASS, err));
    VG_TRY(must_be_bool(json, name, "downsample_match_channel", true, err));
    VG_TRY(must_be_bool(json, name, "upsample_match_channel", true, err));
    VG_TRY(vg_json_get_int(json, name, "in_channels", 3, 3, &in, err));
    VG_TRY(vg_json_get_int(json, name, "out_channels", 3, 3, &made, err));
    VG_TRY(vg_json_get_int(json, name, "latent_channels", 1, HV_Z_MAX, &c.z, err));
    VG_TRY(vg_json_get_int(json, name, "layers_per_block", 1, 16, &c.layers_per_block, err));
    VG_TRY(vg_json_get_double(json, name, "scaling_factor", 1e-6, 1e6, &c.scaling_factor, err));
    VG_TRY(read_ratio(json, name, "spatial_compression_ratio", 128, &c.spatial, err));
    VG_TRY(read_ratio(json, name, "temporal_compression_ratio", 64, &c.temporal, err));
    VG_TRY(read_channels(json, name, &c, err));
    VG_TRY(check_shortcuts(name, &c, err));
    *out = c;
    return VG_OK;
}

/* ---- all together ---- */

/* Whether, and how strongly, the condition is followed; a guider that is switched off is a scale of 1. */
static vg_status read_guider(const cJSON *json, const char *name, double *scale, vg_err *err)
{
    bool enabled = true;
    VG_TRY(must_be(json, name, "_class_name", GUIDER_CLASS, err));
    VG_TRY(must_equal(json, name, "guidance_rescale", 0, err));
    VG_TRY(must_equal(json, name, "start", 0, err));
    VG_TRY(must_equal(json, name, "stop", 1, err));
    VG_TRY(must_be_bool(json, name, "use_original_formulation", false, err));
    VG_TRY(vg_json_get_bool(json, name, "enabled", &enabled, err));
    *scale = 7.5;
    VG_TRY(vg_json_get_double(json, name, "guidance_scale", 0, 100, scale, err));
    if (!enabled)
        *scale = 1;
    return VG_OK;
}

/* The names that an encoder's files have; without files (they may come later, or be generated) those of the published ones. */
static vg_status find_root(const vg_checkpoint *checkpoint, const char *component,
                           vg_status (*find)(hv_config *c, const char *dir, vg_err *err),
                           hv_config *c, vg_err *err)
{
    char *dir = vg_path_join(vg_checkpoint_dir(checkpoint), component);
    if (!dir)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a path");
    vg_status status = find(c, dir, err);
    free(dir);
    return status;
}

static vg_status find_text(hv_config *c, const char *dir, vg_err *err)
{
    return vg_qwen25_find_root(dir, &c->text, err);
}

static vg_status find_vision(hv_config *c, const char *dir, vg_err *err)
{
    return vg_siglip_find_root(dir, &c->vision, err);
}

static vg_status read_json(const vg_checkpoint *checkpoint, const char *component,
                           const cJSON *json, const char *name, hv_config *c, vg_err *err)
{
    if (strcmp(component, "transformer") == 0)
        return read_dit(json, name, &c->dit, err);
    if (strcmp(component, "guider") == 0)
        return read_guider(json, name, &c->guidance_scale, err);
    if (strcmp(component, "vae") == 0)
        return read_vae(json, name, &c->vae, err);
    if (strcmp(component, "text_encoder_2") == 0)
        return vg_umt5_config_read(json, name, &c->glyphs, err);
    if (strcmp(component, "feature_extractor") == 0)
        return vg_siglip_processor_read(json, name, &c->vision, &c->processor, err);
    if (strcmp(component, "image_encoder") == 0) {
        VG_TRY(vg_siglip_config_read(json, name, &c->vision, err));
        return find_root(checkpoint, component, find_vision, c, err);
    }
    VG_TRY(vg_qwen25_config_read(json, name, &c->text, err));
    return find_root(checkpoint, component, find_text, c, err);
}

static vg_status read_component(const vg_checkpoint *checkpoint, const char *component,
                                hv_config *c, vg_err *err)
{
    cJSON *json = NULL;
    char name[64];
    vg_status status;
    snprintf(name, sizeof name, "%s/%s", component, vg_checkpoint_config_name(component));
    VG_TRY(vg_checkpoint_config(checkpoint, component, &json, err));
    status = read_json(checkpoint, component, json, name, c, err);
    cJSON_Delete(json);
    return status;
}

/* A quantised export may hold the transformer alone: its parts can still be run one by one. */
static vg_status read_optional(const vg_checkpoint *checkpoint, const char *component, hv_config *c,
                               bool *present, vg_err *err)
{
    vg_err why = {0};
    *present = false;
    if (!vg_checkpoint_component(checkpoint, component))
        return VG_OK;
    vg_status status = read_component(checkpoint, component, c, &why);
    *present = status == VG_OK;
    if (status != VG_OK && status != VG_E_MISSING && err)
        *err = why;
    return status == VG_E_MISSING ? VG_OK : status;
}

static vg_status check_width(const char *key, int64_t value, const char *component, int64_t hidden,
                             vg_err *err)
{
    if (value != hidden)
        return VG_FAIL(err, VG_E_FORMAT,
                       "transformer/config.json: %s %lld differs from the width of %s, %lld", key,
                       (long long)value, component, (long long)hidden);
    return VG_OK;
}

static vg_status check_together(const hv_config *c, vg_err *err)
{
    if (c->has_vae)
        VG_TRY(
            check_width("out_channels", c->dit.out_channels, "the VAE's latents", c->vae.z, err));
    if (c->has_text)
        VG_TRY(check_width("text_embed_dim", c->dit.text_dim, "text_encoder", c->text.hidden, err));
    if (c->has_glyphs)
        VG_TRY(check_width("text_embed_2_dim", c->dit.glyph_dim, "text_encoder_2",
                           c->glyphs.d_model, err));
    if (c->has_vision)
        VG_TRY(check_width("image_embed_dim", c->dit.image_dim, "image_encoder", c->vision.hidden,
                           err));
    return VG_OK;
}

static vg_status read_encoders(const vg_checkpoint *checkpoint, hv_config *c, vg_err *err)
{
    bool processor = false;
    VG_TRY(read_optional(checkpoint, "text_encoder", c, &c->has_text, err));
    VG_TRY(read_optional(checkpoint, "text_encoder_2", c, &c->has_glyphs, err));
    if (!c->image)
        return VG_OK;
    VG_TRY(read_optional(checkpoint, "image_encoder", c, &c->has_vision, err));
    if (c->has_vision)
        VG_TRY(read_optional(checkpoint, "feature_extractor", c, &processor, err));
    return !c->has_vision || processor ? VG_OK
                                       : vg_siglip_processor_read(NULL, "feature_extractor",
                                                                  &c->vision, &c->processor, err);
}

vg_status hv_config_load(const vg_checkpoint *checkpoint, void **config, vg_err *err)
{
    vg_status status;
    bool guider;
    hv_config *c = calloc(1, sizeof *c);
    if (!c)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the configuration");
    c->image = strcmp(vg_checkpoint_class(checkpoint), IMAGE_CLASS) == 0;
    c->guidance_scale = 6;
    VG_TRY_GOTO(status, read_component(checkpoint, "transformer", c, err), fail);
    VG_TRY_GOTO(status, read_optional(checkpoint, "vae", c, &c->has_vae, err), fail);
    VG_TRY_GOTO(status, read_optional(checkpoint, "guider", c, &guider, err), fail);
    VG_TRY_GOTO(status, read_encoders(checkpoint, c, err), fail);
    VG_TRY_GOTO(status, check_together(c, err), fail);
    *config = c;
    return VG_OK;
fail:
    free(c);
    return status;
}

void hv_config_free(void *config)
{
    free(config);
}
