/* vae_net.h: one half of the HunyuanVideo-1.5 VAE (encoder or decoder) as a flat list of layers on channels-last frames, run chunk by chunk with
 * what the layers remember of the frames before. Source: hunyuanvideo15 3.
 *
 * The reference runs a whole clip at once; nothing in it looks at later frames, so chunks give the same result. Every 3x3x3 convolution keeps the
 * last two frames of its padded input, before the first frame two copies of that; attention keeps the keys and values of all frames. Latent
 * frame 0 goes through the temporal resamplers by a map of its own. */
#ifndef VG_ENGINE_FAMILY_HUNYUANVIDEO15_VAE_NET_H
#define VG_ENGINE_FAMILY_HUNYUANVIDEO15_VAE_NET_H

#include "engine/family/hunyuanvideo15/hv15.h"

typedef struct hv_vae_net hv_vae_net;

/* Load the encoder (3 channels to 2 z) or decoder (z to 3 channels) layers from `module`, which must outlive the net. */
vg_status hv_vae_net_load(vg_module *module, const hv_vae_config *config, vg_dtype compute,
                          bool encoder, hv_vae_net **net, vg_err *err);
/* Add what one half consists of to a table. */
vg_status hv_vae_net_weights(const hv_vae_config *config, bool encoder, vg_weight_table *table,
                             vg_err *err);
/* The weights stay the module's. NULL is a no-op. */
void hv_vae_net_free(hv_vae_net *net);

/* What is remembered, and work memory, for one clip (or tile) of frames [height, width] at the net's input. */
typedef struct hv_vae_state hv_vae_state;
/* chunks: of the clip, one latent frame each. The first has one frame, the others chunk_frames. Errors: VG_E_NOMEM, VG_E_SHAPE (a size that the net
 * cannot halve as often as it wants). net and be must outlive it. */
vg_status hv_vae_state_new(const hv_vae_net *net, vg_backend *be, int64_t height, int64_t width,
                           int64_t chunks, int64_t chunk_frames, hv_vae_state **state, vg_err *err);
/* NULL is a no-op. */
void hv_vae_state_free(hv_vae_state *state);

/* Run the next chunk: x [T,H,W,Cin]; *y [T',H',W',Cout] is valid until the next chunk. Errors: VG_E_SHAPE, VG_E_ARG (no chunk is left),
 * VG_E_CANCELLED at a layer's end. */
vg_status hv_vae_net_run(hv_vae_state *state, const vg_tensor *x, const atomic_int *cancel,
                         vg_tensor *y, vg_err *err);

/* Output shape of a chunk of `frames` frames (first: of the first chunk). */
void hv_vae_net_shape(const hv_vae_net *net, bool first, int64_t *frames, int64_t *height,
                      int64_t *width);
#endif
