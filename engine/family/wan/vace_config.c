/* vace_config.c: what a configuration says about the control branch of a VACE transformer. Source: wan 1.1, 3. */
#include "engine/family/wan/wan.h"

static vg_status read_layers(const cJSON *json, const char *name, wan_dit_config *c, vg_err *err)
{
    double layers[WAN_VACE_MAX] = {0, 5, 10, 15, 20, 25, 30, 35}; /* diffusers' default */
    int count = 8;
    VG_TRY(vg_json_get_doubles(json, name, "vace_layers", layers, WAN_VACE_MAX, &count, err));
    if (count < 1)
        return VG_FAIL(err, VG_E_FORMAT, "%s: vace_layers is empty", name);
    for (int i = 0; i < count; i++) {
        double least = i ? layers[i - 1] + 1 : 0;
        if (!(layers[i] >= least && layers[i] < (double)c->layers) ||
            layers[i] != (double)(int64_t)layers[i] || (i == 0 && layers[i] != 0))
            return VG_FAIL(err, VG_E_FORMAT,
                           "%s: vace_layers[%d] is %g; numbers of blocks are wanted, rising from 0 "
                           "and below num_layers %lld",
                           name, i, layers[i], (long long)c->layers);
        c->vace_layers[i] = (int64_t)layers[i];
    }
    c->vace_count = count;
    return VG_OK;
}

vg_status wan_vace_config_read(const cJSON *json, const char *name, wan_dit_config *c, vg_err *err)
{
    c->vace_channels = 96;
    VG_TRY(vg_json_get_int(json, name, "vace_in_channels", 1, 1 << 16, &c->vace_channels, err));
    return read_layers(json, name, c, err);
}

vg_status wan_vace_config_check(const wan_config *config, vg_err *err)
{
    const wan_vae_config *v = &config->vae;
    int64_t control = 2 * v->z_dim + (int64_t)v->spatial * v->spatial;
    for (int i = 0; i < config->experts; i++) {
        const wan_dit_config *d = &config->dit[i];
        if (d->vace_count != config->dit[0].vace_count)
            return VG_FAIL(err, VG_E_UNSUPPORTED,
                           "%s/config.json: vace_layers has %lld entries, transformer's %lld",
                           wan_expert_names[i], (long long)d->vace_count,
                           (long long)config->dit[0].vace_count);
        if (d->vace_count && config->has_vae && d->vace_channels != control)
            return VG_FAIL(
                err, VG_E_UNSUPPORTED,
                "%s/config.json: vace_in_channels is %lld; %lld are made of latents with "
                "z_dim %lld and a mask of %dx%d pixels each",
                wan_expert_names[i], (long long)d->vace_channels, (long long)control,
                (long long)v->z_dim, v->spatial, v->spatial);
    }
    return VG_OK;
}
