/* vae.h: the HunyuanVideo-1.5 video autoencoder: latents to frames and frames to latents, one latent frame at a time, optionally in spatial
 * tiles as diffusers cuts and blends them. Source: hunyuanvideo15 3. */
#ifndef VG_ENGINE_FAMILY_HUNYUANVIDEO15_VAE_H
#define VG_ENGINE_FAMILY_HUNYUANVIDEO15_VAE_H

#include "engine/family/hunyuanvideo15/vae_net.h"
#include "engine/run/tiles.h"

enum { HV_VAE_DECODER = 1, HV_VAE_ENCODER = 2 };

#define HV_TILE        256 /* pixels; diffusers' defaults */
#define HV_TILE_STRIDE 192

typedef struct hv_vae {
    hv_vae_config config;
    vg_dtype compute;
    vg_backend *be;
    vg_module *module;
    hv_vae_net *decoder, *encoder;
    vg_arena *own;
    vg_tensor scale, shift; /* [z] F32: the scaling factor, zeros */
} hv_vae;

/* Open DIR's VAE and load its halves (HV_VAE_DECODER, HV_VAE_ENCODER or both); convolutions run in `compute`. The caller closes *vae. Errors:
 * VG_E_NOMEM, those of vg_module_open. */
vg_status hv_vae_open(vg_engine *engine, const char *dir, const hv_vae_config *config,
                      vg_dtype compute, int halves, hv_vae **vae, vg_err *err);
/* NULL is a no-op. */
void hv_vae_close(hv_vae *vae);
/* What these halves consist of; the caller deinitialises. */
vg_status hv_vae_weights(const hv_vae_config *config, int halves, vg_weight_table *table,
                         vg_err *err);

static inline int64_t hv_vae_frames(const hv_vae_config *config, int64_t latent_frames)
{
    return 1 + (latent_frames - 1) * config->temporal;
}
/* Of pixel frames; those beyond a whole latent frame do not count. */
static inline int64_t hv_vae_latent_frames(const hv_vae_config *config, int64_t frames)
{
    return 1 + (frames - 1) / config->temporal;
}

/* hooks: NULL for none; done counts latent frames (of all tiles). latents: host [z,T,h,w] FP32, in the DiT's space when `scaled`, else as the
 * decoder takes them. Exactly one of rgb [F,H,W,3] (U8) and sample [F,H,W,3] (FP32) is written. */
vg_status hv_vae_decode(hv_vae *vae, const float *latents, const int64_t shape[4], bool scaled,
                        bool tiling, const vg_hooks *hooks, uint8_t *rgb, float *sample,
                        vg_err *err);

/* sample: host [3,F,H,W] FP32 in [-1,1]; H and W divide by the spatial compression. latents: host [z,T,h,w], the posterior mean, not
 * scaled. Errors: VG_E_SHAPE, VG_E_CANCELLED, those of the operations. */
vg_status hv_vae_encode(hv_vae *vae, const float *sample, const int64_t shape[4], bool tiling,
                        const vg_hooks *hooks, float *latents, vg_err *err);
#endif
