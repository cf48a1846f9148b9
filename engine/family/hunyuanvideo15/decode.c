/* decode.c: latents to frames. Source: hunyuanvideo15 6.6. */
#include "engine/family/hunyuanvideo15/vae_part.h"

static vg_status open_decoder(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                              const char *dir, void **self, vg_err *err)
{
    return hv_vae_part_open(engine, model, p, dir, HV_VAE_DECODER, self, err);
}

static vg_status rehearse(void *self, const vg_model *model, const vg_generate_params *p,
                          vg_err *err)
{
    (void)model;
    return hv_vae_part_rehearse(self, p, false, err);
}

static vg_status frames(const vg_model *model, const vg_generate_params *p, const vg_latents *l,
                        vg_frames *size, vg_err *err)
{
    (void)p;
    const hv_vae_config *c = &hv_config_of(model)->vae;
    if (!l->values || l->shape[1] < 1 || l->shape[2] < 1 || l->shape[3] < 1)
        return VG_FAIL(err, VG_E_SHAPE, "there are no latents to decode");
    if (l->shape[0] != c->z)
        return VG_FAIL(err, VG_E_SHAPE, "the latents have %lld channels; the VAE wants %lld",
                       (long long)l->shape[0], (long long)c->z);
    *size = (vg_frames){.count = (int)hv_vae_frames(c, l->shape[1]),
                        .height = (int)l->shape[2] * c->spatial,
                        .width = (int)l->shape[3] * c->spatial};
    return VG_OK;
}

static vg_status run(void *self, const vg_model *model, const vg_generate_params *p,
                     const vg_latents *latents, const vg_hooks *hooks, vg_frames *out, vg_err *err)
{
    (void)model;
    return hv_vae_decode(self, latents->values, latents->shape, true, p->vae_tiling, hooks,
                         out->rgb, NULL, err);
}

const vg_decoder hv_decoder_row = {
    .part = {.name = "decode",
             .stage = VG_STAGE_DECODE,
             .component = "vae",
             .open = open_decoder,
             .close = hv_vae_part_close,
             .weight_bytes = hv_vae_part_bytes,
             .rehearse = rehearse},
    .frames = frames,
    .run = run,
};
