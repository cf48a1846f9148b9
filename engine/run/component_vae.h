/* component_vae.h: the parts `vae-decode` and `vae-encode` of `vgen component`, the same for every family: a family says which shapes belong
 * together and lends its decoder and encoder. */
#ifndef VG_ENGINE_RUN_COMPONENT_VAE_H
#define VG_ENGINE_RUN_COMPONENT_VAE_H

#include "engine/run/component.h"
#include "engine/run/family.h"

/* A VAE as a part. Shapes are [frames, height, width]. */
typedef struct vg_vae_part {
    int64_t (*channels)(const vg_model *model); /* of latents */
    void (*shape_of_frames)(const vg_model *model, const int64_t latents[3], int64_t frames[3]);
    void (*shape_of_latents)(const vg_model *model, const int64_t frames[3], int64_t latents[3]);
    /* One half of the VAE whose weights lie in `dir`; *vae goes back by close (NULL too). */
    vg_status (*open)(vg_engine *engine, const vg_model *model, const char *dir, vg_dtype compute,
                      bool encoder, void **vae, vg_err *err);
    void (*close)(void *vae);
    /* latents, host FP32 [channels, shape...], not normalised, to frames [F,H,W,3] in [-1,1]. */
    vg_status (*decode)(void *vae, const float *latents, const int64_t shape[4], bool tiled,
                        const vg_hooks *hooks, float *frames, vg_err *err);
    /* sample, host FP32 [3, shape...] in [-1,1], to the mean of its posterior. */
    vg_status (*encode)(void *vae, const float *sample, const int64_t shape[4], bool tiled,
                        const vg_hooks *hooks, float *latents, vg_err *err);
} vg_vae_part;

/* `latents` [B,z,T,h,w] -> `sample` [B,3,F,H,W], clip by clip. Output as every part's (component.h). */
vg_status vg_vae_part_decode(const vg_vae_part *part, vg_engine *engine, vg_model *model,
                             const vg_component_params *params, const vg_safetensors *in,
                             vg_safetensors_entry **out, int *out_count, vg_err *err);
/* `sample` [B,3,F,H,W] -> `latents` [B,z,T,h,w]. */
vg_status vg_vae_part_encode(const vg_vae_part *part, vg_engine *engine, vg_model *model,
                             const vg_component_params *params, const vg_safetensors *in,
                             vg_safetensors_entry **out, int *out_count, vg_err *err);
#endif
