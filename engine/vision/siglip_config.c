/* siglip_config.c: what a SigLIP image encoder and its processor are configured to be, and a picture's way to the pixels that it sees. See siglip.h. */
#include "engine/vision/siglip.h"
#include "engine/vision/resize.h"

#include <stdlib.h>
#include <string.h>

#define ROOT "vision_model."

vg_status vg_siglip_config_read(const cJSON *json, const char *name, vg_siglip_config *config,
                                vg_err *err)
{
    vg_siglip_config c = {.hidden = 768,
                          .ff = 3072,
                          .layers = 12,
                          .heads = 12,
                          .image = 224,
                          .patch = 16,
                          .eps = 1e-6,
                          .root = ROOT};
    const char *type = "siglip_vision_model", *act = "gelu_pytorch_tanh";
    const cJSON *vision = json;
    int64_t channels = 3;
    VG_TRY(vg_json_get_string(json, name, "model_type", &type, err));
    if (strcmp(type, "siglip_vision_model") != 0 && strcmp(type, "siglip") != 0)
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "%s: model_type is \"%s\"; only siglip and siglip_vision_model are supported", name,
            type);
    VG_TRY(vg_json_get_object(json, name, "vision_config", &vision, err));
    VG_TRY(vg_json_get_int(vision, name, "hidden_size", 1, 1 << 14, &c.hidden, err));
    VG_TRY(vg_json_get_int(vision, name, "intermediate_size", 1, 1 << 16, &c.ff, err));
    VG_TRY(vg_json_get_int(vision, name, "num_hidden_layers", 1, 512, &c.layers, err));
    VG_TRY(vg_json_get_int(vision, name, "num_attention_heads", 1, 256, &c.heads, err));
    VG_TRY(vg_json_get_int(vision, name, "image_size", 1, 4096, &c.image, err));
    VG_TRY(vg_json_get_int(vision, name, "patch_size", 1, 4096, &c.patch, err));
    VG_TRY(vg_json_get_int(vision, name, "num_channels", 3, 3, &channels, err));
    VG_TRY(vg_json_get_double(vision, name, "layer_norm_eps", 1e-12, 1.0, &c.eps, err));
    VG_TRY(vg_json_get_string(vision, name, "hidden_act", &act, err));
    if (strcmp(act, "gelu_pytorch_tanh") != 0)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: hidden_act is \"%s\"; only gelu_pytorch_tanh is supported", name, act);
    if (c.hidden % c.heads != 0 || c.image < c.patch)
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s: hidden_size %lld of %lld heads, image_size %lld of patches of %lld do not fit",
            name, (long long)c.hidden, (long long)c.heads, (long long)c.image, (long long)c.patch);
    *config = c;
    return VG_OK;
}

vg_status vg_siglip_find_root(const char *component_dir, vg_siglip_config *config, vg_err *err)
{
    static const char *const roots[] = {ROOT, ""};
    return vg_weight_root(component_dir, roots, 2, "embeddings.patch_embedding.weight",
                          &config->root, err);
}

/* ---- the processor ---- */

/* A step that must not be left out; absent: done. */
static vg_status must_do(const cJSON *json, const char *name, const char *key, vg_err *err)
{
    bool value = true;
    if (vg_json_is_set(json, key))
        VG_TRY(vg_json_get_bool(json, name, key, &value, err));
    return value ? VG_OK
                 : VG_FAIL(err, VG_E_UNSUPPORTED, "%s: %s is false; only true is supported", name,
                           key);
}

static vg_status read_triple(const cJSON *json, const char *name, const char *key, double least,
                             double values[3], vg_err *err)
{
    int count = 3;
    if (vg_json_is_set(json, key))
        VG_TRY(vg_json_get_doubles(json, name, key, values, 3, &count, err));
    for (int i = 0; i < 3; i++)
        if (count != 3 || !(values[i] >= least && values[i] <= 1e6))
            return VG_FAIL(err, VG_E_FORMAT, "%s: %s must be three numbers from %g to 1e6", name,
                           key, least);
    return VG_OK;
}

static vg_status read_size(const cJSON *json, const char *name, const vg_siglip_config *config,
                           vg_siglip_processor *p, vg_err *err)
{
    const cJSON *size = NULL;
    int64_t height = p->height, width = p->width;
    VG_TRY(vg_json_get_object(json, name, "size", &size, err));
    VG_TRY(vg_json_get_int(size, name, "height", 1, 1 << 16, &height, err));
    VG_TRY(vg_json_get_int(size, name, "width", 1, 1 << 16, &width, err));
    if (height != config->image || width != config->image)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: size is %lldx%lld; the model takes pictures of %lldx%lld", name,
                       (long long)width, (long long)height, (long long)config->image,
                       (long long)config->image);
    return VG_OK;
}

vg_status vg_siglip_processor_read(const cJSON *json, const char *name,
                                   const vg_siglip_config *config, vg_siglip_processor *processor,
                                   vg_err *err)
{
    static const char *const steps[] = {"do_resize", "do_rescale", "do_normalize"};
    /* as Pillow numbers them; -1: none of ours */
    static const int filters[] = {-1, VG_RESAMPLE_LANCZOS, VG_RESAMPLE_BILINEAR,
                                  VG_RESAMPLE_BICUBIC};
    vg_siglip_processor p = {.height = (int)config->image,
                             .width = (int)config->image,
                             .scale = 1.0 / 255,
                             .mean = {0.5, 0.5, 0.5},
                             .std = {0.5, 0.5, 0.5}};
    int64_t filter = 3;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        VG_TRY(must_do(json, name, steps[i], err));
    VG_TRY(read_size(json, name, config, &p, err));
    VG_TRY(vg_json_get_int(json, name, "resample", 1, 3, &filter, err));
    p.resample = filters[filter];
    VG_TRY(vg_json_get_double(json, name, "rescale_factor", 1e-6, 1e6, &p.scale, err));
    VG_TRY(read_triple(json, name, "image_mean", -1e6, p.mean, err));
    VG_TRY(read_triple(json, name, "image_std", 1e-6, p.std, err));
    *processor = p;
    return VG_OK;
}

vg_status vg_siglip_pixels(const vg_siglip_processor *p, const uint8_t *rgb, int height, int width,
                           float *pixels, vg_err *err)
{
    size_t count = (size_t)p->height * (size_t)p->width;
    uint8_t *resized = malloc(3 * count);
    if (!resized)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a picture of %dx%d", p->width,
                       p->height);
    vg_status status = vg_resize_pillow(rgb, height, width, (vg_resample)p->resample, resized,
                                        p->height, p->width, err);
    for (size_t k = 0; status == VG_OK && k < 3; k++)
        for (size_t i = 0; i < count; i++)
            pixels[k * count + i] =
                ((float)resized[3 * i + k] * (float)p->scale - (float)p->mean[k]) /
                (float)p->std[k];
    free(resized);
    return status;
}
