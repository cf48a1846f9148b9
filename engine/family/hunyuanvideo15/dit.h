/* dit.h: the HunyuanVideo-1.5 diffusion transformer, loaded on a backend. Source: hunyuanvideo15 2. */
#ifndef VG_ENGINE_FAMILY_HUNYUANVIDEO15_DIT_H
#define VG_ENGINE_FAMILY_HUNYUANVIDEO15_DIT_H

#include "engine/family/hunyuanvideo15/hv15.h"
#include "engine/layers/attention.h"

typedef struct hv_dit hv_dit;

#define HV_BRANCHES 2 /* with and without the condition */

/* Open DIR's transformer and load it: globals and blocks, options->streamed of them to the host; the layers that make modulations out of
 * timesteps are left to hv_dit_set_schedule. engine must outlive *dit. The caller closes *dit. Errors: VG_E_NOMEM, those of vg_module_open and
 * vg_blocks_open. */
vg_status hv_dit_open(vg_engine *engine, const char *dir, const hv_dit_config *config,
                      const vg_module_options *options, hv_dit **dit, vg_err *err);
/* NULL is a no-op. */
void hv_dit_close(hv_dit *dit);

/* Compute what depends on nothing but timesteps (0 to 1000) for all steps of a schedule: a third of the model's weights, which are loaded a block
 * at a time and given back. next: the timestep that each step goes to, 0 behind the last, which step-distilled models embed as well; NULL: it is
 * left out. Nothing happens when the schedule is the one there is. Errors: VG_E_ARG (next for a model without it), VG_E_CANCELLED, VG_E_NOMEM,
 * those of loading. */
vg_status hv_dit_set_schedule(hv_dit *dit, const double *timesteps, const double *next, int steps,
                              const atomic_int *cancel, vg_err *err);

/* The text side of one branch: host FP32 rows of valid tokens only; of text at least one, of the others none or some. Rows are read before
 * it returns. */
typedef struct hv_text {
    const float *text, *glyphs,
        *image; /* [tokens, text_dim], [glyph_tokens, glyph_dim], [image_tokens, image_dim] */
    int64_t text_tokens, glyph_tokens, image_tokens;
} hv_text;
/* Projects, and keeps, what no timestep changes. Errors: VG_E_ARG, VG_E_NOMEM, those of the operations. */
vg_status hv_dit_set_text(hv_dit *dit, int branch, const hv_text *text, vg_err *err);

/* Choose the step of the forwards that follow, by the timestep that the schedule has for it. Errors: VG_E_ARG. */
vg_status hv_dit_set_timestep(hv_dit *dit, double timestep, vg_err *err);

/* How self-attention of the blocks is computed from now on; borrowed until the next call. NULL, as in the beginning: in full. */
void hv_dit_set_attention(hv_dit *dit, const vg_attention_step *step);

/* v = DiT(x). x [in_padded,T,h,w] with hv_dit_channels(in_channels) channels, those behind in_channels zero; v [out_channels,T,h,w]; both act
 * dtype on the backend; v is written last and may not alias x. progress (or NULL) is called after each block. Cancel is seen at block
 * boundaries. Errors: VG_E_SHAPE, VG_E_ARG (no text, no timestep), VG_E_CANCELLED, those of the operations. */
typedef void hv_dit_progress(void *user, int done, int of);
vg_status hv_dit_forward(hv_dit *dit, const vg_tensor *x, int branch, const atomic_int *cancel,
                         hv_dit_progress *progress, void *user, vg_tensor *v, vg_err *err);

/* Channels of x: products want multiples of 8. */
static inline int64_t hv_dit_channels(int64_t in_channels)
{
    return (in_channels + 7) / 8 * 8;
}

const vg_module *hv_dit_module(const hv_dit *dit); /* its weights; borrowed until close */
size_t hv_dit_host_bytes(const hv_dit *dit);       /* page-locked, of streamed blocks */

/* What the transformer consists of; nothing is loaded to it. The caller deinitialises. */
vg_status hv_dit_weights(const hv_dit_config *config, const char *component, vg_weight_table *table,
                         vg_err *err);

/* Linear layers of the blocks, for calibration: their running maxima are recorded from here on. */
vg_status hv_dit_calibrate_begin(hv_dit *dit, vg_err *err);
/* After the forwards; amax is the largest |input| of the layer. Nothing without calibrate_begin. Errors: VG_E_NOMEM, VG_E_DEVICE. */
vg_status hv_dit_calibrate_each(const hv_dit *dit,
                                void (*fn)(void *user, const char *layer, float amax), void *user,
                                vg_err *err);

/* FLOP of one forward of so many tokens: hunyuanvideo15 7. */
double hv_dit_flop(const hv_dit_config *config, int64_t video_tokens, int64_t text_tokens);
#endif
