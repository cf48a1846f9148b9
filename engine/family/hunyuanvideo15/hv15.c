/* hv15.c: HunyuanVideo-1.5 in diffusers' layout. Its tables, and what follows from the configuration. */
#include "engine/family/hunyuanvideo15/dit.h"
#include "engine/family/hunyuanvideo15/vae.h"

#include <math.h>
#include <string.h>

static const vg_component components[] = {
    {"scheduler", "scheduler", false, true},
    {"guider", "guider", false, true},
    {"transformer", "transformer", true, false}, /* it is what a checkpoint is known by */
    {"vae", "VAE", true, true},
};

static bool has(const vg_model *model, const char *folder)
{
    return strcmp(folder, "vae") != 0 || hv_config_of(model)->has_vae;
}

static vg_status weight_table(const vg_model *model, const char *component, vg_weight_table *table,
                              vg_err *err)
{
    const hv_config *c = hv_config_of(model);
    if (strcmp(component, "vae") == 0)
        return hv_vae_weights(&c->vae, c->image ? HV_VAE_DECODER | HV_VAE_ENCODER : HV_VAE_DECODER,
                              table, err);
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

/* Source: diffusers' call arguments, hunyuanvideo15 1.5, 6.1. */
static void defaults(const vg_model *model, vg_generate_params *p)
{
    const hv_config *c = hv_config_of(model);
    bool large = c->dit.target_size > 640;
    if (p->height == VG_UNSET_INT)
        p->height = large ? 720 : 480;
    if (p->width == VG_UNSET_INT)
        p->width = large ? 1280 : 848;
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

static int conditions(const vg_model *model, const vg_generate_params *p,
                      vg_condition_spec specs[VG_CONDITIONS_MAX])
{
    (void)model;
    (void)p;
    (void)specs;
    return 0;
}

static double flop(const vg_model *model, const vg_generate_params *p)
{
    int64_t s[4];
    hv_latent_shape(model, p, s);
    return hv_dit_flop(&hv_config_of(model)->dit, s[1] * s[2] * s[3], 100);
}

static bool allows(const vg_model *model, const vg_mode *mode)
{
    return hv_config_of(model)->image == (mode->needs != 0);
}

static const char *const experts[] = {"transformer"};

extern const vg_family vg_family_hunyuanvideo15;

const vg_family vg_family_hunyuanvideo15 = {
    .name = "hunyuanvideo15",
    .title = "HunyuanVideo-1.5",
    .allows = allows,
    .probe = hv_probe,
    .config_load = hv_config_load,
    .config_free = hv_config_free,
    .components = components,
    .components_count = sizeof components / sizeof components[0],
    .has = has,
    .weight_table = weight_table,
    .experts = experts,
    .experts_count = experts_count,
    .geometry = geometry,
    .defaults = defaults,
    .latent_shape = hv_latent_shape,
    .rounds_latents = true,
    .guided = guided,
    .conditions = conditions,
    .flop = flop,
    .denoiser = &hv_denoiser_row,
    .decoder = &hv_decoder_row,
    .parts = hv_parts,
    .parts_count = HV_PARTS,
    .recipe = &hv_recipe,
};
