/* wan.h: the Wan family's configuration, shared by its files. The facts that break silently (wan 10):
 *   - q/k RMSNorm runs over all heads at once, before the head split and before RoPE;
 *   - the head uses temb, the blocks time_proj(SiLU(temb)); temb is rounded to BF16 before the FP32 table is added;
 *   - patch embedding columns are channel-slowest, proj_out columns channel-fastest;
 *   - the zero rows of a padded prompt take part in cross-attention; there is no text mask;
 *   - boundary_ratio without transformer_2 means a single expert;
 *   - latent frame 0 never passes the VAE's temporal up- and downsampling.
 * Each is pinned by a golden: tests/test_model_*.c. */
#ifndef VG_ENGINE_FAMILY_WAN_WAN_H
#define VG_ENGINE_FAMILY_WAN_WAN_H

#include "engine/run/family.h"
#include "engine/run/model.h"
#include "engine/layers/module.h"
#include "engine/sampling/preview.h"
#include "engine/text/umt5.h"

#define WAN_EXPERTS_MAX 2
#define WAN_Z_MAX       64
#define WAN_LEVELS_MAX  8

typedef struct wan_dit_config {
    int64_t heads, head_dim, dim, ffn_dim, layers;
    int64_t in_channels, out_channels, text_dim, freq_dim, rope_max;
    int patch[3];
    double eps;
} wan_dit_config;

typedef struct wan_vae_config {
    int64_t base_dim, decoder_base_dim, z_dim, levels, res_blocks;
    int64_t dim_mult[WAN_LEVELS_MAX];
    bool temporal_down[WAN_LEVELS_MAX]; /* per level but the last */
    double mean[WAN_Z_MAX], std[WAN_Z_MAX];
    int spatial, temporal; /* compression */
} wan_vae_config;

typedef struct wan_config {
    int experts; /* 1 or 2 */
    bool image;  /* the transformer also takes a mask and an image's latents, see condition.c */
    bool has_text, has_vae; /* a transformer-only export can be run part by part */
    wan_dit_config dit[WAN_EXPERTS_MAX];
    wan_vae_config vae;
    vg_umt5_config text;
    double boundary_ratio; /* < 0: none */
    vg_scheduler_params scheduler;
    char scheduler_kind[32];
    vg_preview preview; /* latent to RGB, filled on first use */
    bool preview_known;
    int preview_frame; /* -1: published or configured, for all frames; else the latent frame (0 or 1, 2, ...) it was fitted to */
} wan_config;

extern const char *const wan_expert_names[WAN_EXPERTS_MAX]; /* "transformer", "transformer_2" */

/* config.c */
bool wan_probe(const vg_checkpoint *checkpoint);     /* text to video */
bool wan_probe_i2v(const vg_checkpoint *checkpoint); /* image to video */
vg_status wan_config_load(const vg_checkpoint *checkpoint, const vg_checkpoint_defaults *own,
                          void **config, vg_err *err);
void wan_config_free(void *config);
vg_status wan_inspect(const vg_checkpoint *checkpoint, char **missing, char *precision,
                      size_t precision_size, vg_err *err);
static inline wan_config *wan_config_of(const vg_model *model)
{
    return (wan_config *)model->config;
}

/* VG_E_MISSING when the checkpoint has none of it. Sizes follow from the VAE: without it there are no defaults, plans or generations. */
vg_status wan_need_vae(const vg_model *model, vg_err *err);
vg_status wan_need_text(const vg_model *model, vg_err *err);

/* pipeline.c */
vg_status wan_defaults(const vg_model *model, vg_generate_params *params, vg_err *err);
vg_status wan_encode(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                     const vg_callbacks *cb, vg_conditioning *out, vg_err *err);
vg_status wan_denoise(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                      const vg_conditioning *text, const vg_denoise_state *resume,
                      const vg_callbacks *cb, vg_latents *out, vg_err *err);
vg_status wan_decode(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                     const vg_latents *latents, const vg_callbacks *cb, vg_frames *out,
                     vg_err *err);
vg_status wan_calibrate(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                        const vg_conditioning *text, int steps, const vg_callbacks *cb,
                        vg_calibration *calibration, vg_err *err);
void wan_latent_shape(const wan_config *config, const vg_generate_params *params, int64_t shape[4]);
/* Of the image's part of the transformer's input. */
void wan_condition_shape(const wan_config *config, const vg_generate_params *params,
                         int64_t shape[4]);

/* chart.c. Make sure that the model has a latent-to-RGB map for latent frame 0 or the later ones. Failing is no reason to stop: there is just
 * no preview. */
bool wan_prepare_preview(vg_engine *engine, vg_model *model, int frame);

/* condition.c. out: [temporal + z, T, h, w], the mask's channels first. */
vg_status wan_encode_image(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                           const vg_frames *image, const vg_callbacks *cb, vg_latents *out,
                           vg_err *err);
static inline int64_t wan_condition_channels(const wan_config *config)
{
    return config->image ? config->dit[0].in_channels - config->dit[0].out_channels : 0;
}

/* Load an expert and run all kinds of steps of a denoise (with params->calibrating: of a calibration) on a dry backend; fills what it took. */
vg_status wan_rehearse(vg_engine *engine, const vg_model *model, const vg_generate_params *params,
                       int expert, int streamed, vg_plan_stage *stage, vg_err *err);

/* plan.c */
vg_status wan_plan(const vg_model *model, const vg_generate_params *params,
                   const char *const *stages, vg_plan *plan, vg_err *err);
vg_status wan_precision(const vg_model *model, const vg_generate_params *params,
                        vg_precision_report *report, vg_err *err);
vg_status wan_needs_input_scales(const vg_model *model, bool *needed, vg_err *err);

/* parts.c */
extern const vg_part wan_parts[];
extern const int wan_parts_count;
#endif
