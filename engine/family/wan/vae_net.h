/* vae_net.h: one half of the Wan VAE (encoder or decoder) as a flat list of layers on channels-last frames, run chunk by chunk with the
 * history that the causal convolutions need. Source: wan 4.2-4.5.
 *
 * Histories. Every causal 3x3x3 convolution keeps the last two frames of its own input; frames that do not exist yet are zero.
 * Temporal upsampling is skipped for the first chunk, which also leaves no history; temporal downsampling is skipped for the first
 * chunk, whose frame is its history. So latent frame 0 never passes a temporal convolution of the resamplers.
 *
 * Residual VAEs (wan 4.4) have a shortcut around each level beside those of its blocks: going down the mean of the pixels and frames that
 * become one, going up channels repeated to the pixels that they become. What a level needs for it is kept at its begin. */
#ifndef VG_ENGINE_FAMILY_WAN_VAE_NET_H
#define VG_ENGINE_FAMILY_WAN_VAE_NET_H

#include "engine/family/wan/wan.h"

typedef struct wan_vae_net wan_vae_net;

/* Load the encoder (pixels, or patches of them as channels, to 2 z) or decoder (z to the same) layers from `module`, which must outlive the net. */
vg_status wan_vae_net_load(vg_module *module, const wan_vae_config *config, vg_dtype compute,
                           bool encoder, wan_vae_net **net, vg_err *err);
/* Add what one half consists of to a table. */
vg_status wan_vae_net_weights(const wan_vae_config *config, bool encoder, vg_weight_table *table,
                              vg_err *err);
/* The weights stay the module's. NULL is a no-op. */
void wan_vae_net_free(wan_vae_net *net);

/* Histories and work memory for one clip (or tile) of frames [height, width] at the net's input. */
typedef struct wan_vae_state wan_vae_state;
/* Errors: VG_E_NOMEM. chunk_frames: of every chunk but the first; 0: there is no other. net and be must outlive it. */
vg_status wan_vae_state_new(const wan_vae_net *net, vg_backend *be, int64_t height, int64_t width,
                            int64_t chunk_frames, wan_vae_state **state, vg_err *err);
/* NULL is a no-op. */
void wan_vae_state_free(wan_vae_state *state);

/* Run the next chunk: x [T,H,W,Cin]; *y [T',H',W',Cout] is valid until the next chunk. The first chunk has one frame. */
vg_status wan_vae_net_run(wan_vae_state *state, const vg_tensor *x, const atomic_int *cancel,
                          vg_tensor *y, vg_err *err);

/* Output shape of a chunk of `frames` frames (first: of the first chunk). */
void wan_vae_net_shape(const wan_vae_net *net, bool first, int64_t *frames, int64_t *height,
                       int64_t *width);
#endif
