/* clip_config.c: what a CLIP image encoder and its processor are configured to be. See clip.h. */
#include "engine/vision/clip.h"

#include <string.h>

#define ROOT "vision_model."

vg_status vg_clip_config_read(const cJSON *json, const char *name, vg_clip_config *config,
                              vg_err *err)
{
    vg_clip_config c = {.dim = 768,
                        .ff = 3072,
                        .layers = 12,
                        .heads = 12,
                        .image = 224,
                        .patch = 32,
                        .eps = 1e-5,
                        .root = ROOT};
    const char *type = "clip_vision_model", *act = "quick_gelu";
    int64_t channels = 3;
    VG_TRY(vg_json_get_string(json, name, "model_type", &type, err));
    if (strcmp(type, "clip_vision_model") != 0)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: model_type is \"%s\"; only clip_vision_model is supported", name, type);
    VG_TRY(vg_json_get_int(json, name, "hidden_size", 1, 1 << 14, &c.dim, err));
    VG_TRY(vg_json_get_int(json, name, "intermediate_size", 1, 1 << 16, &c.ff, err));
    VG_TRY(vg_json_get_int(json, name, "num_hidden_layers", 2, 512, &c.layers, err));
    VG_TRY(vg_json_get_int(json, name, "num_attention_heads", 1, 256, &c.heads, err));
    VG_TRY(vg_json_get_int(json, name, "image_size", 1, 4096, &c.image, err));
    VG_TRY(vg_json_get_int(json, name, "patch_size", 1, 4096, &c.patch, err));
    VG_TRY(vg_json_get_int(json, name, "num_channels", 3, 3, &channels, err));
    VG_TRY(vg_json_get_double(json, name, "layer_norm_eps", 1e-12, 1.0, &c.eps, err));
    VG_TRY(vg_json_get_string(json, name, "hidden_act", &act, err));
    if (strcmp(act, "gelu") != 0)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: hidden_act is \"%s\"; only gelu is supported",
                       name, act);
    if (c.dim % c.heads != 0 || c.image % c.patch != 0)
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s: hidden_size %lld of %lld heads, image_size %lld of patches of %lld do not "
            "come out even",
            name, (long long)c.dim, (long long)c.heads, (long long)c.image, (long long)c.patch);
    *config = c;
    return VG_OK;
}

vg_status vg_clip_find_root(const char *component_dir, vg_clip_config *config, vg_err *err)
{
    static const char *const roots[] = {ROOT, ""};
    return vg_weight_root(component_dir, roots, 2, "embeddings.class_embedding", &config->root,
                          err);
}

/* A step of the processor that must not be left out; absent: done. */
static vg_status must_do(const cJSON *json, const char *name, const char *key, vg_err *err)
{
    bool value = true;
    if (vg_json_is_set(json, key))
        VG_TRY(vg_json_get_bool(json, name, key, &value, err));
    if (!value)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: %s is false; only true is supported", name, key);
    return VG_OK;
}

static vg_status read_triple(const cJSON *json, const char *name, const char *key, double values[3],
                             vg_err *err)
{
    int count = 3;
    if (!vg_json_is_set(json, key))
        return VG_OK;
    VG_TRY(vg_json_get_doubles(json, name, key, values, 3, &count, err));
    if (count != 3)
        return VG_FAIL(err, VG_E_FORMAT, "%s: %s must have 3 entries, not %d", name, key, count);
    return VG_OK;
}

/* "size": {"shortest_edge": 224} or 224; "crop_size": {"height": 224, "width": 224} or 224. */
static vg_status read_sizes(const cJSON *json, const char *name, vg_clip_processor *p, vg_err *err)
{
    const cJSON *size = cJSON_GetObjectItemCaseSensitive(json, "size"),
                *crop = cJSON_GetObjectItemCaseSensitive(json, "crop_size");
    int64_t edge = p->edge, height = p->side, width = p->side;
    if (cJSON_IsObject(size))
        VG_TRY(vg_json_get_int(size, name, "shortest_edge", 1, 4096, &edge, err));
    else if (vg_json_is_set(json, "size"))
        VG_TRY(vg_json_get_int(json, name, "size", 1, 4096, &edge, err));
    if (cJSON_IsObject(crop)) {
        VG_TRY(vg_json_get_int(crop, name, "height", 1, 4096, &height, err));
        VG_TRY(vg_json_get_int(crop, name, "width", 1, 4096, &width, err));
    } else if (vg_json_is_set(json, "crop_size")) {
        VG_TRY(vg_json_get_int(json, name, "crop_size", 1, 4096, &height, err));
        width = height;
    }
    if (height != p->side || width != p->side || edge < p->side)
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "%s: size %lld, crop_size %lldx%lld; the model wants %dx%d out of a side of at "
            "least as much",
            name, (long long)edge, (long long)width, (long long)height, p->side, p->side);
    p->edge = (int)edge;
    return VG_OK;
}

vg_status vg_clip_processor_read(const cJSON *json, const char *name, const vg_clip_config *config,
                                 vg_clip_processor *processor, vg_err *err)
{
    static const char *const steps[] = {"do_resize", "do_center_crop", "do_rescale",
                                        "do_normalize"};
    vg_clip_processor p = {.edge = (int)config->image,
                           .side = (int)config->image,
                           .mean = {0.48145466, 0.4578275, 0.40821073},
                           .std = {0.26862954, 0.26130258, 0.27577711}};
    int64_t bicubic = 3;
    double factor = 1.0 / 255;
    for (size_t i = 0; json && i < sizeof steps / sizeof *steps; i++)
        VG_TRY(must_do(json, name, steps[i], err));
    if (json) {
        VG_TRY(vg_json_get_int(json, name, "resample", 3, 3, &bicubic, err));
        VG_TRY(vg_json_get_double(json, name, "rescale_factor", 0.00392, 0.00393, &factor, err));
        VG_TRY(read_sizes(json, name, &p, err));
        VG_TRY(read_triple(json, name, "image_mean", p.mean, err));
        VG_TRY(read_triple(json, name, "image_std", p.std, err));
    }
    for (int i = 0; i < 3; i++)
        if (!(p.std[i] > 1e-6 && p.std[i] < 1e6) || !(p.mean[i] > -1e6 && p.mean[i] < 1e6))
            return VG_FAIL(err, VG_E_FORMAT, "%s: image_mean %g, image_std %g are out of range",
                           name, p.mean[i], p.std[i]);
    *processor = p;
    return VG_OK;
}
