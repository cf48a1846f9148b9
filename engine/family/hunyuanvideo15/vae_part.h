/* vae_part.h: the VAE as a part of a stage: what its encoding and its decoding half have in common. */
#ifndef VG_ENGINE_FAMILY_HUNYUANVIDEO15_VAE_PART_H
#define VG_ENGINE_FAMILY_HUNYUANVIDEO15_VAE_PART_H

#include "engine/family/hunyuanvideo15/vae.h"

/* For `open` of a vg_stage_part: the half (HV_VAE_...) of DIR's VAE in the compute dtype of p; *self is a hv_vae. */
vg_status hv_vae_part_open(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                           const char *dir, int half, void **self, vg_err *err);
/* self: from _open; NULL is a no-op. */
void hv_vae_part_close(void *self);
/* Bytes of its weights, views into files included. */
size_t hv_vae_part_bytes(const void *self);

/* Run one half over the clip (encoder: over one picture of its size), or over one tile of it, on a backend that only counts. */
vg_status hv_vae_part_rehearse(hv_vae *vae, const vg_generate_params *p, bool encoder, vg_err *err);
#endif
