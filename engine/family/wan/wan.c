/* wan.c: the Wan family: Wan2.1 T2V, I2V and FLF2V, Wan2.2 T2V-A14B, I2V-A14B and TI2V-5B in diffusers' layout. Its tables, and what follows from the configuration. */
#include "engine/family/wan/dit.h"
#include "engine/family/wan/vace_media.h"
#include "engine/family/wan/vae.h"

#include <string.h>

static const vg_component components[] = {
    {"scheduler", "scheduler", false, true},
    {"tokenizer", "tokenizer", false, true},
    {"transformer", "transformer", true, false}, /* it is what a Wan checkpoint is known by */
    {"transformer_2", "second transformer", true, false},
    {"text_encoder", "text encoder", true, true},
    {"image_encoder", "image encoder", true, false},
    {"image_processor", "image processor", false, false},
    {"vae", "VAE", true, true},
};

static bool has(const vg_model *model, const char *folder)
{
    const wan_config *c = wan_config_of(model);
    if (strcmp(folder, "text_encoder") == 0)
        return c->has_text;
    if (strcmp(folder, "vae") == 0)
        return c->has_vae;
    if (strcmp(folder, "image_encoder") == 0 || strcmp(folder, "image_processor") == 0)
        return c->has_clip;
    return strcmp(folder, "transformer_2") != 0 || c->experts == 2;
}

static vg_status weight_table(const vg_model *model, const char *component, vg_weight_table *table,
                              vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    if (strcmp(component, "text_encoder") == 0)
        return vg_umt5_weights(&c->text, component, table, err);
    if (strcmp(component, "image_encoder") == 0)
        return vg_clip_weights(&c->clip, component, table, err);
    if (strcmp(component, "vae") == 0)
        return wan_vae_weights(&c->vae,
                               c->image || c->first_frame || wan_is_vace(c)
                                   ? WAN_VAE_DECODER | WAN_VAE_ENCODER
                                   : WAN_VAE_DECODER,
                               table, err);
    return wan_dit_weights(&c->dit[strcmp(component, wan_expert_names[0]) != 0], component, table,
                           err);
}

static int experts_count(const vg_model *model)
{
    return wan_config_of(model)->experts;
}

static void geometry(const vg_model *model, vg_geometry *g)
{
    const wan_config *c = wan_config_of(model);
    *g = (vg_geometry){.channels = c->vae.z_dim,
                       .spatial = c->vae.spatial,
                       .temporal = c->vae.temporal,
                       .longest = c->dit[0].rope_max};
    memcpy(g->patch, c->dit[0].patch, sizeof g->patch);
    for (int e = 1; e < c->experts; e++)
        if (c->dit[e].rope_max < g->longest)
            g->longest = c->dit[e].rope_max;
}

/* Source: diffusers' call arguments, wan 7.7. */
static void defaults(const vg_model *model, vg_generate_params *p)
{
    const wan_config *c = wan_config_of(model);
    wan_vace_defaults(c, p);
    if (p->height == VG_UNSET_INT)
        p->height = 480;
    if (p->width == VG_UNSET_INT)
        p->width = 832;
    if (p->num_frames == VG_UNSET_INT)
        p->num_frames = 81;
    if (p->steps == VG_UNSET_INT)
        p->steps = 50;
    if (p->guidance_scale == VG_UNSET_DOUBLE)
        p->guidance_scale = 5.0;
    if (p->boundary_ratio == VG_UNSET_DOUBLE || c->experts == 1)
        p->boundary_ratio = c->boundary_ratio;
}

/* A mode that needs references has one at least, though nothing may have been given yet. */
int64_t wan_references(const vg_model *model, const vg_generate_params *p)
{
    int given = vg_inputs_count(&p->inputs, VG_ROLE_REFERENCE);
    if (!wan_is_vace(wan_config_of(model)))
        return 0;
    return given == 0 && p->mode && strcmp(p->mode, WAN_MODE_REFERENCES) == 0 ? 1 : given;
}

void wan_latent_shape(const vg_model *model, const vg_generate_params *p, int64_t shape[4])
{
    const wan_config *c = wan_config_of(model);
    shape[0] = c->dit[0].out_channels;
    shape[1] = (p->num_frames - 1) / c->vae.temporal + 1 + wan_references(model, p);
    shape[2] = p->height / c->vae.spatial;
    shape[3] = p->width / c->vae.spatial;
}

/* ---- modes ---- */

#define BIT VG_ROLE_BIT
enum { PLAIN_MODES = 3 };

static const vg_mode modes[] = {
    {.name = "t2v", .help = "a clip from text alone"},
    {.name = "i2v", .help = "a clip that begins with a picture", .needs = BIT(IMAGE)},
    {.name = "flf2v",
     .help = "a clip between a first and a last picture",
     .needs = BIT(IMAGE) | BIT(LAST_IMAGE),
     .frames_min = 5},
    /* VACE's. A video with a mask means v2v: what the mask says is to be made anew may hold a control signal there. */
    {.name = "t2v", .help = "a clip from text alone"},
    {.name = WAN_MODE_REFERENCES,
     .help = "a clip of what reference pictures show",
     .needs = BIT(REFERENCE)},
    {.name = "i2v",
     .help = "a clip that begins with a picture",
     .needs = BIT(IMAGE),
     .may = BIT(REFERENCE)},
    {.name = "v2lf",
     .help = "a clip that ends with a picture",
     .needs = BIT(LAST_IMAGE),
     .may = BIT(REFERENCE)},
    {.name = "flf2v",
     .help = "a clip between a first and a last picture",
     .needs = BIT(IMAGE) | BIT(LAST_IMAGE),
     .may = BIT(REFERENCE),
     .frames_min = 5},
    {.name = "v2v",
     .help = "a clip that follows a video: depth, pose, edges; a mask says where",
     .needs = BIT(VIDEO),
     .may = BIT(MASK) | BIT(REFERENCE)},
    {.name = WAN_MODE_INPAINT,
     .help = "what a mask hides of a picture or a video, made anew",
     .needs = BIT(MASK),
     .one_of = BIT(IMAGE) | BIT(VIDEO),
     .may = BIT(REFERENCE)},
};
#undef BIT

bool wan_begins_with_picture(const vg_generate_params *p)
{
    for (int i = 0; p && p->mode && i < PLAIN_MODES; i++)
        if (strcmp(modes[i].name, p->mode) == 0)
            return modes[i].needs & VG_ROLE_BIT(IMAGE);
    return false;
}

/* A transformer with positions for two pictures has no use for one; one that attends to pictures without such takes one. */
static bool allows(const vg_model *model, const vg_mode *mode)
{
    const wan_config *c = wan_config_of(model);
    const wan_dit_config *d = &c->dit[0];
    bool two = mode->needs & VG_ROLE_BIT(LAST_IMAGE);
    if (wan_is_vace(c) || mode - modes >= PLAIN_MODES)
        return wan_is_vace(c) && mode - modes >= PLAIN_MODES;
    if (c->first_frame)
        return !two;
    if (d->image_dim)
        return mode->needs && two == (d->image_places > 0);
    return c->image == (mode->needs != 0);
}

/* ---- conditions ---- */

static int conditions(const vg_model *model, const vg_generate_params *p,
                      vg_condition_spec specs[VG_CONDITIONS_MAX])
{
    const wan_config *c = wan_config_of(model);
    int count = 0;
    const vg_condition_spec prompt = {
        .name = WAN_PROMPT, .ndim = 2, .shape = {p->max_text_tokens, c->dit[0].text_dim}};
    specs[count++] = prompt;
    if (vg_model_guided(model, p)) {
        specs[count] = prompt;
        specs[count++].name = WAN_NEGATIVE;
    }
    if (c->image) {
        vg_condition_spec *image = &specs[count++];
        *image = (vg_condition_spec){.name = WAN_IMAGE, .ndim = 4};
        wan_latent_shape(model, p, image->shape);
        image->shape[0] = wan_condition_channels(c);
    }
    if (c->first_frame && wan_begins_with_picture(p)) {
        vg_condition_spec *first = &specs[count++];
        *first = (vg_condition_spec){.name = WAN_FIRST, .ndim = 4};
        wan_latent_shape(model, p, first->shape);
        first->shape[1] = 1;
    }
    if (c->dit[0].image_dim)
        specs[count++] = (vg_condition_spec){
            .name = WAN_CLIP,
            .ndim = 2,
            .shape = {(c->dit[0].image_places ? 2 : 1) * vg_clip_tokens(&c->clip),
                      c->dit[0].image_dim}};
    if (wan_is_vace(c)) {
        vg_condition_spec *control = &specs[count++];
        *control = (vg_condition_spec){.name = WAN_CONTROL, .ndim = 4};
        wan_latent_shape(model, p, control->shape);
        control->shape[0] = c->dit[0].vace_channels;
    }
    return count;
}

static double flop(const vg_model *model, const vg_generate_params *p)
{
    const wan_dit_config *c = &wan_config_of(model)->dit[0];
    int64_t latent[4];
    wan_latent_shape(model, p, latent);
    int64_t pictures = c->image_dim ? vg_clip_tokens(&wan_config_of(model)->clip) : 0;
    return wan_dit_flop(c, wan_dit_tokens(c, latent),
                        p->max_text_tokens + (c->image_places ? 2 : 1) * pictures);
}

static const vg_encoder *const encoders[] = {&wan_text_encoder_row, &wan_clip_row,
                                             &wan_image_encoder_row, &wan_vace_encoder_row};

/* A picture that is the first latent frame is that at the end, too: what the schedule made of it is left out. */
static void finish(const vg_model *model, const vg_generate_params *p,
                   const vg_conditions *conditions, float *latents)
{
    const vg_condition *first = vg_conditions_find(conditions, WAN_FIRST);
    int64_t shape[4];
    wan_latent_shape(model, p, shape);
    int64_t plane = shape[2] * shape[3];
    for (int64_t k = 0; first && k < shape[0]; k++)
        memcpy(latents + k * shape[1] * plane, first->values + k * plane,
               (size_t)plane * sizeof *latents);
}

static vg_status check_inputs(const vg_model *model, const vg_generate_params *p, vg_err *err)
{
    return wan_vace_check_inputs(wan_config_of(model), p, err);
}

extern const vg_family vg_family_wan;

const vg_family vg_family_wan = {
    .name = "wan",
    .title = "Wan 2.1 / 2.2",
    .modes = modes,
    .modes_count = sizeof modes / sizeof modes[0],
    .allows = allows,
    .check_inputs = check_inputs,
    .probe = wan_probe,
    .config_load = wan_config_load,
    .config_free = wan_config_free,
    .components = components,
    .components_count = sizeof components / sizeof components[0],
    .has = has,
    .weight_table = weight_table,
    .check = wan_check_tokenizer,
    .experts = wan_expert_names,
    .experts_count = experts_count,
    .geometry = geometry,
    .defaults = defaults,
    .latent_shape = wan_latent_shape,
    .conditions = conditions,
    .flop = flop,
    .encoders = encoders,
    .encoders_count = sizeof encoders / sizeof encoders[0],
    .finish = finish,
    .denoiser = &wan_denoiser_row,
    .decoder = &wan_decoder_row,
    .preview = wan_preview,
    .preview_encode = wan_preview_encode,
    .parts = wan_parts,
    .parts_count = WAN_PARTS,
    .recipe = &wan_recipe,
};
