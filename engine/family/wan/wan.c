/* wan.c: the Wan family: Wan2.1 T2V, Wan2.2 T2V-A14B and I2V-A14B in diffusers' layout. */
#include "engine/family/wan/dit.h"
#include "engine/family/wan/vae.h"

#include <string.h>

static const char *const components[] = {"transformer", "transformer_2", "text_encoder", "vae",
                                         NULL};

static vg_status wan_weight_table(const vg_model *model, const char *component,
                                  vg_weight_table *table, vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    if (strcmp(component, "text_encoder") == 0)
        return vg_umt5_weights(&c->text, component, table, err);
    if (strcmp(component, "vae") == 0)
        return wan_vae_weights(
            &c->vae, c->image ? WAN_VAE_DECODER | WAN_VAE_ENCODER : WAN_VAE_DECODER, table, err);
    return wan_dit_weights(&c->dit[strcmp(component, wan_expert_names[0]) != 0], component, table,
                           err);
}

/* What the two modes share. */
#define WAN_FUNCTIONS                                                                              \
    .config_load = wan_config_load, .config_free = wan_config_free, .inspect = wan_inspect,        \
    .defaults = wan_defaults, .plan = wan_plan, .encode = wan_encode, .denoise = wan_denoise,      \
    .decode = wan_decode, .precision = wan_precision,                                              \
    .needs_input_scales = wan_needs_input_scales, .calibrate = wan_calibrate,                      \
    .weight_table = wan_weight_table, .components = components, .parts = wan_parts,                \
    .parts_count = 5

extern const vg_family vg_family_wan, vg_family_wan_i2v;

const vg_family vg_family_wan = {
    .name = "wan",
    .title = "Wan 2.1 / 2.2 text to video",
    .modes = "t2v",
    .probe = wan_probe,
    WAN_FUNCTIONS,
};

const vg_family vg_family_wan_i2v = {
    .name = "wan_i2v",
    .title = "Wan 2.2 image to video",
    .modes = "i2v",
    .probe = wan_probe_i2v,
    .encode_image = wan_encode_image,
    WAN_FUNCTIONS,
};
