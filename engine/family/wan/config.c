/* config.c: reading and checking every configuration file of a Wan checkpoint. What is known but not built here is refused by the
 * name of its key; nothing is guessed. Source: wan 1.1-1.3, 4.1. */
#include "engine/family/wan/wan.h"

#include "engine/checkpoint/quantization.h"
#include "engine/family/wan/dit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VAE_CLASS   "AutoencoderKLWan"
#define TEXT_CLASS  "WanPipeline"
#define IMAGE_CLASS "WanImageToVideoPipeline"
#define VACE_CLASS  "WanVACEPipeline"
#define PLAIN_DIT   "WanTransformer3DModel"
#define VACE_DIT    "WanVACETransformer3DModel"

const char *const wan_expert_names[WAN_EXPERTS_MAX + 1] = {"transformer", "transformer_2"};

bool wan_probe(const vg_checkpoint *checkpoint)
{
    const char *pipeline = vg_checkpoint_class(checkpoint);
    const char *transformer = vg_checkpoint_component(checkpoint, "transformer");
    const char *vae = vg_checkpoint_component(checkpoint, "vae");
    if (!pipeline || !transformer || (vae && strcmp(vae, VAE_CLASS) != 0))
        return false;
    if (strcmp(pipeline, VACE_CLASS) == 0)
        return strcmp(transformer, VACE_DIT) == 0;
    return (strcmp(pipeline, TEXT_CLASS) == 0 || strcmp(pipeline, IMAGE_CLASS) == 0) &&
           strcmp(transformer, PLAIN_DIT) == 0;
}

static vg_status must_be_null(const cJSON *json, const char *name, const char *key,
                              const char *what, vg_err *err)
{
    if (vg_json_is_set(json, key))
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: %s is set (%s), which this family does not run",
                       name, key, what);
    return VG_OK;
}

static vg_status read_patch(const cJSON *json, const char *name, wan_dit_config *c, vg_err *err)
{
    double patch[3] = {1, 2, 2};
    int count = 3;
    VG_TRY(vg_json_get_doubles(json, name, "patch_size", patch, 3, &count, err));
    if (count != 3)
        return VG_FAIL(err, VG_E_FORMAT, "%s: patch_size must have 3 entries, not %d", name, count);
    for (int i = 0; i < 3; i++) {
        if (patch[i] < 1 || patch[i] > 16 || patch[i] != (int)patch[i])
            return VG_FAIL(err, VG_E_FORMAT, "%s: patch_size[%d] is %g; 1 to 16 are possible", name,
                           i, patch[i]);
        c->patch[i] = (int)patch[i];
    }
    if (c->patch[0] != 1)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: patch_size[0] is %d; only 1 is supported", name,
                       c->patch[0]);
    return VG_OK;
}

/* The branch that attends to an image encoder's hidden states: Wan2.1's image to video. */
static vg_status read_image_branch(const cJSON *json, const char *name, wan_dit_config *c,
                                   vg_err *err)
{
    int64_t added = 0;
    if (vg_json_is_set(json, "image_dim"))
        VG_TRY(vg_json_get_int(json, name, "image_dim", 1, 1 << 16, &c->image_dim, err));
    if (vg_json_is_set(json, "added_kv_proj_dim"))
        VG_TRY(vg_json_get_int(json, name, "added_kv_proj_dim", 1, 1 << 16, &added, err));
    if (vg_json_is_set(json, "pos_embed_seq_len"))
        VG_TRY(vg_json_get_int(json, name, "pos_embed_seq_len", 2, 1 << 16, &c->image_places, err));
    if (added != (c->image_dim ? c->dim : 0) || (c->image_places && !c->image_dim))
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "%s: image_dim %lld, added_kv_proj_dim %lld, pos_embed_seq_len %lld do not go "
            "together; with image_dim, added_kv_proj_dim must be %lld, the width of the model",
            name, (long long)c->image_dim, (long long)added, (long long)c->image_places,
            (long long)c->dim);
    return VG_OK;
}

static vg_status read_dit(const cJSON *json, const char *name, wan_dit_config *out, vg_err *err)
{
    wan_dit_config c = {.heads = 40,
                        .head_dim = 128,
                        .ffn_dim = 13824,
                        .layers = 40,
                        .in_channels = 16,
                        .out_channels = 16,
                        .text_dim = 4096,
                        .freq_dim = 256,
                        .rope_max = 1024,
                        .eps = 1e-6};
    const char *qk_norm = "rms_norm_across_heads", *class_name = PLAIN_DIT;
    bool cross_norm = true;
    VG_TRY(vg_json_get_string(json, name, "_class_name", &class_name, err));
    bool vace = strcmp(class_name, VACE_DIT) == 0;
    if (!vace && strcmp(class_name, PLAIN_DIT) != 0)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: _class_name is \"%s\"; only " PLAIN_DIT " and " VACE_DIT
                       " are supported",
                       name, class_name);
    if (!vace)
        VG_TRY(must_be_null(json, name, "vace_layers", "a VACE model", err));
    VG_TRY(vg_quantization_check(json, name, err));
    VG_TRY(vg_json_get_string(json, name, "qk_norm", &qk_norm, err));
    if (strcmp(qk_norm, "rms_norm_across_heads") != 0)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: qk_norm is \"%s\"; only rms_norm_across_heads is supported", name,
                       qk_norm);
    VG_TRY(vg_json_get_bool(json, name, "cross_attn_norm", &cross_norm, err));
    if (!cross_norm)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: cross_attn_norm is false; only true is supported", name);
    VG_TRY(read_patch(json, name, &c, err));
    VG_TRY(vg_json_get_int(json, name, "num_attention_heads", 1, 1024, &c.heads, err));
    VG_TRY(vg_json_get_int(json, name, "attention_head_dim", 6, 1024, &c.head_dim, err));
    VG_TRY(vg_json_get_int(json, name, "ffn_dim", 1, 1 << 18, &c.ffn_dim, err));
    VG_TRY(vg_json_get_int(json, name, "num_layers", 1, 512, &c.layers, err));
    VG_TRY(vg_json_get_int(json, name, "in_channels", 1, 1024, &c.in_channels, err));
    VG_TRY(vg_json_get_int(json, name, "out_channels", 1, 1024, &c.out_channels, err));
    VG_TRY(vg_json_get_int(json, name, "text_dim", 1, 1 << 16, &c.text_dim, err));
    VG_TRY(vg_json_get_int(json, name, "freq_dim", 2, 1 << 14, &c.freq_dim, err));
    VG_TRY(vg_json_get_int(json, name, "rope_max_seq_len", 1, 1 << 20, &c.rope_max, err));
    VG_TRY(vg_json_get_double(json, name, "eps", 1e-12, 1.0, &c.eps, err));
    if (c.head_dim % 2 != 0 || c.freq_dim % 2 != 0)
        return VG_FAIL(err, VG_E_FORMAT, "%s: attention_head_dim and freq_dim must be even", name);
    c.dim = c.heads * c.head_dim;
    VG_TRY(read_image_branch(json, name, &c, err));
    if (c.dim > 1 << 16)
        return VG_FAIL(err, VG_E_FORMAT,
                       "%s: num_attention_heads x attention_head_dim = %lld is too large", name,
                       (long long)c.dim);
    if (vace)
        VG_TRY(wan_vace_config_read(json, name, &c, err));
    *out = c;
    return VG_OK;
}

static const double wan21_mean[16] = {-0.7571, -0.7089, -0.9113, 0.1075,  -0.1745, 0.9653,
                                      -0.1517, 1.5508,  0.4134,  -0.0715, 0.5517,  -0.3632,
                                      -0.1922, -0.9497, 0.2503,  -0.2921};
static const double wan21_std[16] = {2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708,
                                     2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579,
                                     1.6382, 1.1253, 2.8251, 1.9160};
/* Latent (normalised) to RGB in [-1,1] for the published Wan2.1 VAE. Source: ComfyUI comfy/latent_formats.py, Wan21. */
static const float wan21_rgb[16][3] = {
    {-0.1299f, -0.1692f, 0.2932f},  {0.0671f, 0.0406f, 0.0442f},  {0.3568f, 0.2548f, 0.1747f},
    {0.0372f, 0.2344f, 0.1420f},    {0.0313f, 0.0189f, -0.0328f}, {0.0296f, -0.0956f, -0.0665f},
    {-0.3477f, -0.4059f, -0.2925f}, {0.0166f, 0.1902f, 0.1975f},  {-0.0412f, 0.0267f, -0.1364f},
    {-0.1293f, 0.0740f, 0.1636f},   {0.0680f, 0.3019f, 0.1128f},  {0.0032f, 0.0581f, 0.0639f},
    {-0.1251f, 0.0927f, 0.1699f},   {0.0060f, -0.0633f, 0.0005f}, {0.3477f, 0.2275f, 0.2950f},
    {0.1984f, 0.0913f, 0.1861f}};
static const float wan21_rgb_bias[3] = {-0.1835f, -0.0868f, -0.3360f};

static vg_status read_latent_statistics(const cJSON *json, const char *name, wan_vae_config *c,
                                        vg_err *err)
{
    int means = 16, stds = 16;
    memcpy(c->mean, wan21_mean, sizeof wan21_mean);
    memcpy(c->std, wan21_std, sizeof wan21_std);
    VG_TRY(vg_json_get_doubles(json, name, "latents_mean", c->mean, WAN_Z_MAX, &means, err));
    VG_TRY(vg_json_get_doubles(json, name, "latents_std", c->std, WAN_Z_MAX, &stds, err));
    if (means != c->z_dim || stds != c->z_dim)
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s: latents_mean and latents_std must have z_dim = %lld entries, not %d and %d", name,
            (long long)c->z_dim, means, stds);
    for (int i = 0; i < stds; i++)
        if (!(c->std[i] > 1e-6 && c->std[i] < 1e6) || !(c->mean[i] > -1e6 && c->mean[i] < 1e6))
            return VG_FAIL(err, VG_E_FORMAT,
                           "%s: latents_mean[%d] = %g, latents_std[%d] = %g are out of range", name,
                           i, c->mean[i], i, c->std[i]);
    return VG_OK;
}

static vg_status read_temporal(const cJSON *json, const char *name, wan_vae_config *c, vg_err *err)
{
    static const bool usual[3] = {false, true, true};
    int count = sizeof usual;
    memcpy(c->temporal_down, usual, sizeof usual);
    VG_TRY(vg_json_get_bools(json, name, "temperal_downsample", c->temporal_down, /* sic */
                             WAN_LEVELS_MAX, &count, err));
    if (count != c->levels - 1)
        return VG_FAIL(err, VG_E_FORMAT,
                       "%s: \"temperal_downsample\" has %d entries, dim_mult wants %lld", name,
                       count, (long long)c->levels - 1);
    c->spatial = (int)c->patch << (c->levels - 1);
    c->temporal = 1;
    for (int i = 0; i < c->levels - 1; i++)
        if (c->temporal_down[i])
            c->temporal *= 2;
    /* The reference feeds the encoder chunks of 4 frames whatever the config says. */
    if (c->temporal != 4)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: temperal_downsample compresses time by %d; only 4 is supported", name,
                       c->temporal);
    return VG_OK;
}

/* The shortcuts around the levels of a residual VAE make channels from groups of others, which must come out even. */
static vg_status check_shortcuts(const char *name, const wan_vae_config *c, vg_err *err)
{
    for (int64_t i = 0; c->residual && i < c->levels; i++) {
        bool last = i == c->levels - 1;
        int64_t block = last ? 1 : c->temporal_down[i] ? 8 : 4, up = last ? 0 : c->levels - 2 - i;
        int64_t in = i ? c->dim_mult[i - 1] : 1, out = c->dim_mult[i],
                wide = c->dim_mult[i == 0 ? c->levels - 1 : c->levels - i],
                narrow = c->dim_mult[c->levels - 1 - i],
                made = last                   ? 1
                       : c->temporal_down[up] ? 8
                                              : 4;
        if (in * block % out || (!last && narrow * made % wide))
            return VG_FAIL(
                err, VG_E_UNSUPPORTED,
                "%s: dim_mult of level %lld does not go with is_residual: its channels are "
                "no whole groups of those before",
                name, (long long)i);
    }
    return VG_OK;
}

static vg_status read_vae(const cJSON *json, const char *name, wan_vae_config *out, vg_err *err)
{
    wan_vae_config c = {.base_dim = 96, .decoder_base_dim = 0, .z_dim = 16, .res_blocks = 2};
    int64_t in_channels = 3, out_channels = 3, spatial = 8, temporal = 4;
    double mult[WAN_LEVELS_MAX] = {1, 2, 4, 4};
    int levels = 4;
    const char *class_name = VAE_CLASS;
    const cJSON *attn = NULL;
    VG_TRY(vg_json_get_string(json, name, "_class_name", &class_name, err));
    if (strcmp(class_name, VAE_CLASS) != 0)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: _class_name is \"%s\"; only " VAE_CLASS " is supported", name,
                       class_name);
    if (vg_json_is_set(json, "is_residual")) /* the reference asks `if value` */
        VG_TRY(vg_json_get_bool(json, name, "is_residual", &c.residual, err));
    c.patch = 1;
    if (vg_json_is_set(json, "patch_size"))
        VG_TRY(vg_json_get_int(json, name, "patch_size", 1, 4, &c.patch, err));
    VG_TRY(vg_json_get_list(json, name, "attn_scales", 0, WAN_LEVELS_MAX, &attn, err));
    if (attn && attn->child)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: attn_scales is not empty", name);
    VG_TRY(vg_json_get_int(json, name, "base_dim", 2, 1024, &c.base_dim, err));
    c.decoder_base_dim = c.base_dim;
    if (vg_json_is_set(json, "decoder_base_dim"))
        VG_TRY(vg_json_get_int(json, name, "decoder_base_dim", 2, 1024, &c.decoder_base_dim, err));
    VG_TRY(vg_json_get_int(json, name, "z_dim", 1, WAN_Z_MAX, &c.z_dim, err));
    VG_TRY(vg_json_get_int(json, name, "num_res_blocks", 1, 16, &c.res_blocks, err));
    const int64_t patched = 3 * c.patch * c.patch; /* channels of patches of pixels */
    VG_TRY(vg_json_get_int(json, name, "in_channels", 1, 1024, &in_channels, err));
    VG_TRY(vg_json_get_int(json, name, "out_channels", 1, 1024, &out_channels, err));
    if (in_channels != patched || out_channels != patched)
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s: in_channels %lld, out_channels %lld; with patch_size %lld both must be %lld", name,
            (long long)in_channels, (long long)out_channels, (long long)c.patch,
            (long long)patched);
    VG_TRY(vg_json_get_doubles(json, name, "dim_mult", mult, WAN_LEVELS_MAX, &levels, err));
    if (levels < 2)
        return VG_FAIL(err, VG_E_FORMAT, "%s: dim_mult must have at least 2 entries", name);
    c.levels = levels;
    for (int i = 0; i < levels; i++) {
        if (mult[i] < 1 || mult[i] > 64 || mult[i] != (int)mult[i])
            return VG_FAIL(err, VG_E_FORMAT, "%s: dim_mult[%d] is %g; 1 to 64 are possible", name,
                           i, mult[i]);
        c.dim_mult[i] = (int64_t)mult[i];
    }
    VG_TRY(read_temporal(json, name, &c, err));
    VG_TRY(vg_json_get_int(json, name, "scale_factor_spatial", 1, 256, &spatial, err));
    VG_TRY(vg_json_get_int(json, name, "scale_factor_temporal", 1, 64, &temporal, err));
    if (spatial != c.spatial || temporal != c.temporal)
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s: scale_factor_spatial %lld and scale_factor_temporal %lld contradict dim_mult and "
            "temperal_downsample (%d and %d)",
            name, (long long)spatial, (long long)temporal, c.spatial, c.temporal);
    VG_TRY(read_latent_statistics(json, name, &c, err));
    VG_TRY(check_shortcuts(name, &c, err));
    *out = c;
    return VG_OK;
}

static bool equal_values(const double *a, const double *b, int count)
{
    for (int i = 0; i < count; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

/* The published Wan2.1 matrix, when the latent statistics are the published ones. */
bool wan_preview(const vg_model *model, vg_preview *preview)
{
    const wan_vae_config *c = &wan_config_of(model)->vae;
    if (c->z_dim != 16 || c->base_dim != 96 || !equal_values(c->mean, wan21_mean, 16) ||
        !equal_values(c->std, wan21_std, 16))
        return false;
    preview->channels = 16;
    memcpy(preview->factor, wan21_rgb, sizeof wan21_rgb);
    memcpy(preview->bias, wan21_rgb_bias, sizeof wan21_rgb_bias);
    return true;
}

static vg_status read_text(const cJSON *json, const char *name, wan_config *c, vg_err *err)
{
    VG_TRY(vg_umt5_config_read(json, name, &c->text, err));
    if (c->text.shared_bias)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: model_type is \"t5\"; this family's text encoder is umt5", name);
    return VG_OK;
}

static vg_status read_component(const vg_checkpoint *checkpoint, const char *component,
                                wan_config *c, vg_err *err)
{
    cJSON *json = NULL;
    char name[64];
    vg_status status;
    snprintf(name, sizeof name, "%s/config.json", component);
    VG_TRY(vg_checkpoint_config(checkpoint, component, &json, err));
    if (strcmp(component, "transformer") == 0)
        status = read_dit(json, name, &c->dit[0], err);
    else if (strcmp(component, "transformer_2") == 0)
        status = read_dit(json, name, &c->dit[1], err);
    else if (strcmp(component, "image_encoder") == 0)
        status = vg_clip_config_read(json, name, &c->clip, err);
    else if (strcmp(component, "text_encoder") == 0)
        status = read_text(json, name, c, err);
    else
        status = read_vae(json, name, &c->vae, err);
    cJSON_Delete(json);
    return status;
}

/* A quantised export may hold the transformers alone: its parts can still be run one by one. */
static vg_status read_optional(const vg_checkpoint *checkpoint, const char *component,
                               wan_config *c, bool *present, vg_err *err)
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

/* The image encoder, what its files call its weights, and how its processor wants pictures. */
static vg_status read_clip(const vg_checkpoint *checkpoint, wan_config *c, vg_err *err)
{
    static const char folder[] = "image_processor";
    cJSON *json = NULL;
    VG_TRY(read_optional(checkpoint, "image_encoder", c, &c->has_clip, err));
    if (!c->has_clip)
        return VG_OK;
    char *dir = vg_path_join(vg_checkpoint_dir(checkpoint), "image_encoder");
    if (!dir)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a path");
    vg_status status = vg_clip_find_root(dir, &c->clip, err);
    free(dir);
    VG_TRY(status);
    if (vg_checkpoint_component(checkpoint, folder))
        VG_TRY(vg_checkpoint_config(checkpoint, folder, &json, err));
    status = vg_clip_processor_read(json, "image_processor/preprocessor_config.json", &c->clip,
                                    &c->processor, err);
    cJSON_Delete(json);
    return status;
}

/* How a picture reaches the transformer: as channels beside the noise (a mask and latents), or in the latents themselves, as the first frame;
 * the pipeline's class must agree. */
static vg_status decide_image(const vg_checkpoint *checkpoint, wan_config *c, vg_err *err)
{
    const wan_dit_config *d = &c->dit[0];
    const char *class_name = vg_checkpoint_class(checkpoint);
    c->image = d->in_channels != d->out_channels;
    if (wan_is_vace(c) != (strcmp(class_name, VACE_CLASS) == 0))
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "transformer/config.json: a transformer %s does not fit the %s of model_index.json",
            wan_is_vace(c) ? "with a control branch" : "without a control branch", class_name);
    if (c->image && c->first_frame)
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "model_index.json: expand_timesteps is true, but transformer/config.json has "
            "in_channels %lld beside out_channels %lld",
            (long long)d->in_channels, (long long)d->out_channels);
    if (!c->first_frame && c->image != (strcmp(class_name, IMAGE_CLASS) == 0))
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "transformer/config.json: in_channels %lld, out_channels %lld do not fit the %s of model_index.json",
            (long long)d->in_channels, (long long)d->out_channels, class_name);
    if (!c->image)
        c->dit[0].image_dim = c->dit[0].image_places =
            0; /* some files name them without such weights */
    return VG_OK;
}

static vg_status check_clip(const wan_config *c, vg_err *err)
{
    const wan_dit_config *d = &c->dit[0];
    if (!c->has_clip)
        return VG_OK;
    int64_t tokens = vg_clip_tokens(&c->clip);
    if (d->image_dim != c->clip.dim || (d->image_places && d->image_places != 2 * tokens))
        return VG_FAIL(err, VG_E_FORMAT,
                       "transformer/config.json: image_dim %lld, pos_embed_seq_len %lld; "
                       "image_encoder/config.json gives %lld tokens of %lld a picture",
                       (long long)d->image_dim, (long long)d->image_places, (long long)tokens,
                       (long long)c->clip.dim);
    return VG_OK;
}

static vg_status check_together(const wan_config *c, vg_err *err)
{
    for (int i = 0; i < c->experts; i++) {
        const wan_dit_config *d = &c->dit[i];
        int64_t z = c->vae.z_dim, in = c->image ? 2 * z + c->vae.temporal : z;
        if (c->has_vae && (d->in_channels != in || d->out_channels != z))
            return VG_FAIL(
                err, VG_E_UNSUPPORTED,
                "%s/config.json: in_channels %lld, out_channels %lld; %s wants %lld and %lld with the VAE's z_dim %lld",
                wan_expert_names[i], (long long)d->in_channels, (long long)d->out_channels,
                c->image ? "image to video" : "text to video", (long long)in, (long long)z,
                (long long)z);
        if (c->has_text && d->text_dim != c->text.d_model)
            return VG_FAIL(
                err, VG_E_FORMAT,
                "%s/config.json: text_dim %lld differs from the text encoder's d_model %lld",
                wan_expert_names[i], (long long)d->text_dim, (long long)c->text.d_model);
        if (memcmp(d->patch, c->dit[0].patch, sizeof d->patch) != 0)
            return VG_FAIL(err, VG_E_FORMAT,
                           "transformer_2/config.json: patch_size differs from transformer's");
        if (d->image_dim != c->dit[0].image_dim || d->image_places != c->dit[0].image_places)
            return VG_FAIL(err, VG_E_FORMAT,
                           "transformer_2/config.json: image_dim or pos_embed_seq_len differ from "
                           "transformer's");
    }
    VG_TRY(check_clip(c, err));
    return wan_vace_config_check(c, err);
}

vg_status wan_config_load(const vg_checkpoint *checkpoint, void **config, vg_err *err)
{
    const cJSON *index = vg_checkpoint_index(checkpoint);
    vg_status status;
    wan_config *c = calloc(1, sizeof *c);
    if (!c)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the configuration");
    c->boundary_ratio = -1;
    c->experts = vg_checkpoint_component(checkpoint, "transformer_2") ? 2 : 1;
    if (vg_json_is_set(index, "expand_timesteps")) /* the reference asks `if value` */
        VG_TRY_GOTO(
            status,
            vg_json_get_bool(index, "model_index.json", "expand_timesteps", &c->first_frame, err),
            fail);
    if (vg_json_is_set(index, "boundary_ratio"))
        VG_TRY_GOTO(status,
                    vg_json_get_double(index, "model_index.json", "boundary_ratio", 0, 1,
                                       &c->boundary_ratio, err),
                    fail);
    if (c->experts == 1)
        c->boundary_ratio = -1;
    VG_TRY_GOTO(status, read_component(checkpoint, "transformer", c, err), fail);
    VG_TRY_GOTO(status, decide_image(checkpoint, c, err), fail);
    VG_TRY_GOTO(status, read_optional(checkpoint, "text_encoder", c, &c->has_text, err), fail);
    VG_TRY_GOTO(status, read_optional(checkpoint, "vae", c, &c->has_vae, err), fail);
    if (c->dit[0].image_dim)
        VG_TRY_GOTO(status, read_clip(checkpoint, c, err), fail);
    if (c->experts == 2)
        VG_TRY_GOTO(status, read_component(checkpoint, "transformer_2", c, err), fail);
    VG_TRY_GOTO(status, check_together(c, err), fail);
    *config = c;
    return VG_OK;
fail:
    free(c);
    return status;
}

void wan_config_free(void *config)
{
    free(config);
}
