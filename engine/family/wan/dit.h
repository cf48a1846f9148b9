/* dit.h: the Wan diffusion transformer: one expert, loaded on a backend. Source: wan 2. */
#ifndef VG_ENGINE_FAMILY_WAN_DIT_H
#define VG_ENGINE_FAMILY_WAN_DIT_H

#include "engine/family/wan/wan.h"
#include "engine/layers/attention.h"

typedef struct wan_dit wan_dit;

#define WAN_TEXTS 2 /* prompts kept at a time: with and without the condition */

/* Open DIR's transformer `component` and load it: globals and blocks, options->streamed of them to the host. The caller closes *dit. Errors:
 * VG_E_NOMEM, those of vg_module_open and vg_blocks_open. */
vg_status wan_dit_open(vg_engine *engine, const char *dir, const char *component,
                       const wan_dit_config *config, const vg_module_options *options,
                       wan_dit **dit, vg_err *err);
/* Its memory of the backend and the host is given back. NULL is a no-op. */
void wan_dit_close(wan_dit *dit);

/* Embed a prompt: host [tokens, text_dim] FP32. Computes and keeps the text embedding's keys and values of every layer. */
vg_status wan_dit_set_text(wan_dit *dit, int slot, const float *rows, int64_t tokens,
                           const atomic_int *cancel, vg_err *err);

/* How self-attention of the blocks is computed from now on; borrowed until the next call. NULL, as in the beginning: in full. */
void wan_dit_set_attention(wan_dit *dit, const vg_attention_step *step);

/* Of a transformer with a control branch: what the branch sees in all forwards to come.
 *   control  [vace_channels,T,h,w] compute dtype on the backend, borrowed; it may have fewer tokens than what is denoised, not more
 *   scales   [vace_count] of the hints; NULL: 1 each
 * Errors: VG_E_SHAPE. Tests: test_model_vace. */
vg_status wan_dit_set_control(wan_dit *dit, const vg_tensor *control, const double *scales,
                              vg_err *err);

/* Embed pictures, of a transformer with an image branch (config image_dim): host [tokens, image_dim] FP32, the image encoder's hidden states of
 * one picture after the other. They hold for both prompts. Errors: VG_E_SHAPE (tokens that its positions do not fit). */
vg_status wan_dit_set_image(wan_dit *dit, const float *rows, int64_t tokens,
                            const atomic_int *cancel, vg_err *err);

/* Timesteps of a forward: `first` for the tokens of the first rows (t-major: of the first latent frames), `timestep` for all others. */
typedef struct wan_dit_time {
    double timestep, first;
    int64_t first_tokens; /* 0: all have `timestep` */
} wan_dit_time;

/* v = DiT(x, time, text in slot). x [Cin,T,h,w], v [Cout,T,h,w], both act dtype on the backend; v is written last and may not
 * alias x. progress (or NULL) is called after each block. Cancel is seen at block boundaries. */
typedef void wan_dit_progress(void *user, int done, int of);
/* Errors: VG_E_SHAPE (x, or a grid that patches do not divide), VG_E_CANCELLED, those of the operations. */
vg_status wan_dit_forward(wan_dit *dit, const vg_tensor *x, const wan_dit_time *time, int slot,
                          const atomic_int *cancel, wan_dit_progress *progress, void *user,
                          vg_tensor *v, vg_err *err);

/* Blocks that one forward runs. */
static inline int64_t wan_dit_blocks(const wan_dit_config *config)
{
    return config->layers + config->vace_count;
}
const vg_module *wan_dit_module(const wan_dit *dit); /* its weights; borrowed until close */
size_t wan_dit_host_bytes(const wan_dit *dit);       /* page-locked, of streamed blocks */

/* What the transformer consists of; nothing is loaded to it. The caller deinitialises. */
vg_status wan_dit_weights(const wan_dit_config *config, const char *component,
                          vg_weight_table *table, vg_err *err);

/* Linear layers of the blocks, for calibration: fn is called for each with its running maximum enabled. */
vg_status wan_dit_calibrate_begin(wan_dit *dit, vg_err *err);
/* After the forwards; amax is the largest |input| of the layer. Nothing without calibrate_begin. Errors: VG_E_NOMEM, VG_E_DEVICE. */
vg_status wan_dit_calibrate_each(const wan_dit *dit,
                                 void (*fn)(void *user, const char *layer, float amax), void *user,
                                 vg_err *err);

/* Video tokens of one forward; latent is C,T,h,w, patches divide it. */
int64_t wan_dit_tokens(const wan_dit_config *config, const int64_t latent[4]);
/* FLOP of one forward: wan 9.2, without the cached cross-attention keys and values. */
double wan_dit_flop(const wan_dit_config *config, int64_t video_tokens, int64_t text_tokens);
#endif
