/* wan.c: the Wan family: Wan2.1 T2V and Wan2.2 T2V-A14B in diffusers' layout. */
#include "engine/family/wan/wan.h"

static const char *const components[] = {"transformer", "transformer_2", "text_encoder", "vae",
                                         NULL};

extern const vg_family vg_family_wan;

const vg_family vg_family_wan = {
    .name = "wan",
    .title = "Wan 2.1 / 2.2 text to video",
    .modes = "t2v",
    .probe = wan_probe,
    .config_load = wan_config_load,
    .config_free = wan_config_free,
    .inspect = wan_inspect,
    .defaults = wan_defaults,
    .plan = wan_plan,
    .encode = wan_encode,
    .denoise = wan_denoise,
    .decode = wan_decode,
    .encode_frames = wan_encode_frames,
    .precision = wan_precision,
    .needs_input_scales = wan_needs_input_scales,
    .calibrate = wan_calibrate,
    .components = components,
    .parts = wan_parts,
    .parts_count = 5,
};
