/* wan.c: the Wan family: Wan2.1 T2V, Wan2.2 T2V-A14B and I2V-A14B in diffusers' layout. */
#include "engine/family/wan/wan.h"

static const char *const components[] = {"transformer", "transformer_2", "text_encoder", "vae",
                                         NULL};

/* What the two modes share. */
#define WAN_FUNCTIONS                                                                              \
    .config_load = wan_config_load, .config_free = wan_config_free, .inspect = wan_inspect,        \
    .defaults = wan_defaults, .plan = wan_plan, .encode = wan_encode, .denoise = wan_denoise,      \
    .decode = wan_decode, .precision = wan_precision,                                              \
    .needs_input_scales = wan_needs_input_scales, .calibrate = wan_calibrate,                      \
    .components = components, .parts = wan_parts, .parts_count = 5

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
