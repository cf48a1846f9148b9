/* vae_part.h: the VAE as a part of a stage: what its encoding and its decoding half have in common. */
#ifndef VG_ENGINE_FAMILY_WAN_VAE_PART_H
#define VG_ENGINE_FAMILY_WAN_VAE_PART_H

#include "engine/family/wan/vae.h"

/* For `open` of a vg_stage_part: the half (WAN_VAE_...) of DIR's VAE in the compute dtype of p; *self is a wan_vae. */
vg_status wan_vae_part_open(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                            const char *dir, int half, void **self, vg_err *err);
/* self: from _open; NULL is a no-op. */
void wan_vae_part_close(void *self);
/* Bytes of its weights, views into files included. */
size_t wan_vae_part_bytes(const void *self);

/* Run one half over so many frames of the clip's size, or over one tile of them, on a backend that only counts. */
vg_status wan_vae_part_rehearse(wan_vae *vae, const vg_generate_params *p, int frames, bool encoder,
                                vg_err *err);
#endif
