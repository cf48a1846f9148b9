/* decode.c: latents to frames. Source: wan 7.4. */
#include "engine/family/wan/vae_part.h"

#include <stdlib.h>
#include <string.h>

static vg_status open_decoder(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                              const char *dir, void **self, vg_err *err)
{
    return wan_vae_part_open(engine, model, p, dir, WAN_VAE_DECODER, self, err);
}

static vg_status rehearse(void *self, const vg_model *model, const vg_generate_params *p,
                          vg_err *err)
{
    (void)model;
    return wan_vae_part_rehearse(self, p, p->num_frames, false, err);
}

static vg_status frames(const vg_model *model, const vg_generate_params *p, const vg_latents *l,
                        vg_frames *size, vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    int64_t references = wan_references(model, p);
    if (!l->values || l->shape[1] <= references || l->shape[2] < 1 || l->shape[3] < 1)
        return VG_FAIL(err, VG_E_SHAPE, "there are no latents to decode");
    if (l->shape[0] != c->vae.z_dim)
        return VG_FAIL(err, VG_E_SHAPE, "the latents have %lld channels; the VAE wants %lld",
                       (long long)l->shape[0], (long long)c->vae.z_dim);
    *size = (vg_frames){.count = (int)wan_vae_frames(l->shape[1] - references),
                        .height = (int)l->shape[2] * c->vae.spatial,
                        .width = (int)l->shape[3] * c->vae.spatial};
    return VG_OK;
}

/* The latents of reference pictures were denoised along, in front; they are no frames. */
static vg_status run(void *self, const vg_model *model, const vg_generate_params *p,
                     const vg_latents *latents, const vg_hooks *hooks, vg_frames *out, vg_err *err)
{
    const int64_t *s = latents->shape, references = wan_references(model, p), plane = s[2] * s[3];
    const int64_t shape[4] = {s[0], s[1] - references, s[2], s[3]};
    if (!references)
        return wan_vae_decode(self, latents->values, s, true, p->vae_tiling, hooks, out->rgb, NULL,
                              err);
    float *values = malloc((size_t)(shape[0] * shape[1] * plane) * sizeof *values);
    if (!values)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the latents");
    for (int64_t k = 0; k < s[0]; k++)
        memcpy(values + k * shape[1] * plane, latents->values + (k * s[1] + references) * plane,
               (size_t)(shape[1] * plane) * sizeof *values);
    vg_status status =
        wan_vae_decode(self, values, shape, true, p->vae_tiling, hooks, out->rgb, NULL, err);
    free(values);
    return status;
}

const vg_decoder wan_decoder_row = {
    .part = {.name = "decode",
             .stage = VG_STAGE_DECODE,
             .component = "vae",
             .open = open_decoder,
             .close = wan_vae_part_close,
             .weight_bytes = wan_vae_part_bytes,
             .rehearse = rehearse},
    .frames = frames,
    .run = run,
};
