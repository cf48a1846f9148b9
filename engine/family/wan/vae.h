/* vae.h: the Wan video autoencoder: latents to frames and frames to latents, one latent frame at a time, optionally in spatial tiles as
 * diffusers cuts and blends them. Source: wan 4. */
#ifndef VG_ENGINE_FAMILY_WAN_VAE_H
#define VG_ENGINE_FAMILY_WAN_VAE_H

#include "engine/family/wan/vae_net.h"
#include "engine/run/tiles.h"

enum { WAN_VAE_DECODER = 1, WAN_VAE_ENCODER = 2 };

/* diffusers' defaults: pixels of what a decoder makes; of what an encoder's net sees, which may be patches of pixels */
#define WAN_TILE        256
#define WAN_TILE_STRIDE 192

typedef struct wan_vae {
    wan_vae_config config;
    vg_dtype compute;
    vg_backend *be;
    vg_module *module;
    wan_vae_net *decoder, *encoder;
    vg_conv_layer post_quant, quant; /* [z,z]; [z,2z]: the mean's half */
    vg_tensor scale, shift;          /* [z] F32: 1/std, mean */
} wan_vae;

/* Open DIR's VAE and load its halves (WAN_VAE_DECODER, WAN_VAE_ENCODER or both); convolutions run in `compute`. The caller closes *vae. Errors:
 * VG_E_NOMEM, those of vg_module_open. */
vg_status wan_vae_open(vg_engine *engine, const char *dir, const wan_vae_config *config,
                       vg_dtype compute, int halves, wan_vae **vae, vg_err *err);
/* NULL is a no-op. */
void wan_vae_close(wan_vae *vae);
/* What these halves consist of; the caller deinitialises. */
vg_status wan_vae_weights(const wan_vae_config *config, int halves, vg_weight_table *table,
                          vg_err *err);

static inline int64_t wan_vae_frames(int64_t latent_frames) /* pixel frames */
{
    return 1 + (latent_frames - 1) * 4;
}

static inline int64_t
wan_vae_latent_frames(int64_t frames) /* pixel frames beyond 4k+1 do not count */
{
    return 1 + (frames - 1) / 4;
}

/* hooks: NULL for none; done counts latent frames (of all tiles). latents: host [z,T,h,w] FP32, in the DiT's space when `denormalise`, else as the decoder takes them. Exactly one of rgb
 * [F,H,W,3] (U8) and sample [F,H,W,3] (FP32, clamped to [-1,1]) is written. */
vg_status wan_vae_decode(wan_vae *vae, const float *latents, const int64_t shape[4],
                         bool denormalise, bool tiling, const vg_hooks *hooks, uint8_t *rgb,
                         float *sample, vg_err *err);

/* sample: host [3,F,H,W] FP32 in [-1,1]; frames beyond 4k+1 are dropped, as in the reference. latents: host [z,T,h,w], the posterior
 * mean, not normalised; T from wan_vae_latent_frames, h and w from wan_vae_latent_size. */
vg_status wan_vae_encode(wan_vae *vae, const float *sample, const int64_t shape[4], bool tiling,
                         const vg_hooks *hooks, float *latents, vg_err *err);
/* Height or width of the latents for so many pixels: patches of them, and each level but the first halves it. */
static inline int64_t wan_vae_latent_size(const wan_vae_config *config, int64_t pixels)
{
    pixels /= config->patch;
    for (int64_t i = 1; i < config->levels; i++)
        pixels /= 2;
    return pixels;
}
#endif
