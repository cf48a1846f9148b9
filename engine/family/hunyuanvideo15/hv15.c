/* hv15.c: HunyuanVideo-1.5 in diffusers' layout. Its tables, and what follows from the configuration. */
#include "engine/family/hunyuanvideo15/dit.h"
#include "engine/family/hunyuanvideo15/vae.h"

#include "engine/text/hunyuan_prompt.h"

#include <math.h>
#include <string.h>

#define TEXT_TOKENS_USUAL 100 /* of a prompt, for estimates */

static const vg_component components[] = {
    {"scheduler", "scheduler", false, true},
    {"guider", "guider", false, true},
    {"tokenizer", "tokenizer", false, true},
    {"tokenizer_2", "glyph tokenizer", false, true},
    {"feature_extractor", "feature extractor", false, false},
    {"transformer", "transformer", true, false}, /* it is what a checkpoint is known by */
    {"text_encoder", "text encoder", true, true},
    {"text_encoder_2", "glyph encoder", true, true},
    {"image_encoder", "image encoder", true, false},
    {"vae", "VAE", true, true},
};

static bool has(const vg_model *model, const char *folder)
{
    const hv_config *c = hv_config_of(model);
    if (strcmp(folder, "vae") == 0)
        return c->has_vae;
    if (strcmp(folder, "text_encoder") == 0)
        return c->has_text;
    if (strcmp(folder, "text_encoder_2") == 0)
        return c->has_glyphs;
    return strcmp(folder, "image_encoder") != 0 || c->has_vision;
}

static vg_status weight_table(const vg_model *model, const char *component, vg_weight_table *table,
                              vg_err *err)
{
    const hv_config *c = hv_config_of(model);
    if (strcmp(component, "vae") == 0)
        return hv_vae_weights(&c->vae, c->image ? HV_VAE_DECODER | HV_VAE_ENCODER : HV_VAE_DECODER,
                              table, err);
    if (strcmp(component, "text_encoder") == 0)
        return vg_qwen25_weights(&c->text, component, table, err);
    if (strcmp(component, "text_encoder_2") == 0)
        return vg_umt5_weights(&c->glyphs, component, table, err);
    if (strcmp(component, "image_encoder") == 0)
        return vg_siglip_weights(&c->vision, component, table, err);
    return hv_dit_weights(&c->dit, component, table, err);
}

static int experts_count(const vg_model *model)
{
    (void)model;
    return 1;
}

static void geometry(const vg_model *model, vg_geometry *g)
{
    const hv_config *c = hv_config_of(model);
    *g = (vg_geometry){.channels = c->vae.z,
                       .spatial = c->vae.spatial,
                       .temporal = c->vae.temporal,
                       .patch = {1, 1, 1},
                       .longest = 4096}; /* its places are computed, however many there are */
}

/* The picture that the clip begins with; NULL when its size is not known. */
static const vg_frames *picture_of(const hv_config *c, const vg_generate_params *p)
{
    const vg_media *image = c->image ? vg_inputs_find(&p->inputs, VG_ROLE_IMAGE, 0) : NULL;
    return image && image->frames.height > 0 && image->frames.width > 0 ? &image->frames : NULL;
}

/* Source: diffusers' call arguments, hunyuanvideo15 1.5, 6.1. */
static void defaults(const vg_model *model, vg_generate_params *p)
{
    const hv_config *c = hv_config_of(model);
    const vg_frames *picture = picture_of(c, p);
    int height = c->dit.target_size > 640 ? 720 : 480,
        width = c->dit.target_size > 640 ? 1280 : 848;
    if (picture)
        hv_bucket(c, picture->height, picture->width, &height, &width);
    if (p->height == VG_UNSET_INT)
        p->height = height;
    if (p->width == VG_UNSET_INT)
        p->width = width;
    if (p->num_frames == VG_UNSET_INT)
        p->num_frames = 121;
    if (p->steps == VG_UNSET_INT)
        p->steps = c->dit.meanflow ? 12 : 50;
    if (p->guidance_scale == VG_UNSET_DOUBLE)
        p->guidance_scale = c->guidance_scale;
}

/* Any scale but 1, also one below. Source: hunyuanvideo15 6.5. */
static bool guided(const vg_generate_params *p)
{
    return fabs(p->guidance_scale - 1) > 1e-9 * fmax(1, p->guidance_scale);
}

void hv_latent_shape(const vg_model *model, const vg_generate_params *p, int64_t shape[4])
{
    const hv_config *c = hv_config_of(model);
    shape[0] = c->dit.out_channels;
    shape[1] = hv_vae_latent_frames(&c->vae, p->num_frames);
    shape[2] = p->height / c->vae.spatial;
    shape[3] = p->width / c->vae.spatial;
}

/* Image to video takes no size. */
static vg_status check_inputs(const vg_model *model, const vg_generate_params *p, vg_err *err)
{
    const hv_config *c = hv_config_of(model);
    const vg_frames *picture = picture_of(c, p);
    int height, width;
    if (!picture)
        return VG_OK;
    hv_bucket(c, picture->height, picture->width, &height, &width);
    if (p->height != height || p->width != width)
        return VG_FAIL(
            err, VG_E_ARG,
            "height %d and width %d: this model's size follows from the picture, which makes it %dx%d; leave both out",
            p->height, p->width, width, height);
    return VG_OK;
}

static void add_text(int64_t most, int64_t dim, const char *name, vg_condition_spec *specs,
                     int *count)
{
    specs[(*count)++] =
        (vg_condition_spec){.name = name, .ndim = 2, .shape = {most, dim}, .at_most = true};
}

static void add_prompt(const hv_config *c, const char *prompt, const char *name, const char *glyphs,
                       vg_condition_spec *specs, int *count)
{
    add_text(VG_HUNYUAN_TOKENS, c->dit.text_dim, name, specs, count);
    if (hv_has_glyphs(prompt))
        add_text(VG_HUNYUAN_GLYPHS, c->dit.glyph_dim, glyphs, specs, count);
}

static int conditions(const vg_model *model, const vg_generate_params *p,
                      vg_condition_spec specs[VG_CONDITIONS_MAX])
{
    const hv_config *c = hv_config_of(model);
    int count = 0;
    add_prompt(c, p->inputs.prompt, HV_PROMPT, HV_GLYPHS, specs, &count);
    if (vg_model_guided(model, p))
        add_prompt(c, p->inputs.negative_prompt, HV_NEGATIVE, HV_NEGATIVE_GLYPHS, specs, &count);
    if (!c->image)
        return count;
    specs[count++] = (vg_condition_spec){
        .name = HV_IMAGE, .ndim = 2, .shape = {vg_siglip_tokens(&c->vision), c->dit.image_dim}};
    specs[count] = (vg_condition_spec){.name = HV_IMAGE_LATENTS, .ndim = 4};
    hv_latent_shape(model, p, specs[count].shape);
    specs[count++].shape[1] = 1;
    return count;
}

static double flop(const vg_model *model, const vg_generate_params *p)
{
    int64_t s[4];
    hv_latent_shape(model, p, s);
    const hv_config *c = hv_config_of(model);
    int64_t text = TEXT_TOKENS_USUAL + (c->image ? vg_siglip_tokens(&c->vision) : 0);
    return hv_dit_flop(&c->dit, s[1] * s[2] * s[3], text);
}

static const vg_encoder *const encoders[] = {&hv_text_row, &hv_glyphs_row, &hv_vision_row,
                                             &hv_latents_row};

/* ---- modes ---- */

static const vg_mode modes[] = {
    {.name = "t2v", .help = "a clip from text alone"},
    {.name = "i2v", .help = "a clip that begins with a picture", .needs = VG_ROLE_BIT(IMAGE)},
};

static bool allows(const vg_model *model, const vg_mode *mode)
{
    return hv_config_of(model)->image == (mode->needs != 0);
}

static const char *const experts[] = {"transformer"};

extern const vg_family vg_family_hunyuanvideo15;

const vg_family vg_family_hunyuanvideo15 = {
    .name = "hunyuanvideo15",
    .title = "HunyuanVideo-1.5",
    .modes = modes,
    .modes_count = sizeof modes / sizeof modes[0],
    .allows = allows,
    .check_inputs = check_inputs,
    .probe = hv_probe,
    .config_load = hv_config_load,
    .config_free = hv_config_free,
    .components = components,
    .components_count = sizeof components / sizeof components[0],
    .has = has,
    .weight_table = weight_table,
    .check = hv_check_tokenizers,
    .experts = experts,
    .experts_count = experts_count,
    .geometry = geometry,
    .defaults = defaults,
    .latent_shape = hv_latent_shape,
    .rounds_latents = true,
    .even_sigmas = true,
    .guided = guided,
    .conditions = conditions,
    .flop = flop,
    .encoders = encoders,
    .encoders_count = sizeof encoders / sizeof encoders[0],
    .denoiser = &hv_denoiser_row,
    .decoder = &hv_decoder_row,
    .preview_encode = hv_preview_encode,
    .parts = hv_parts,
    .parts_count = HV_PARTS,
    .recipe = &hv_recipe,
};
