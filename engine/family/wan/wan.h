/* wan.h: the Wan family's configuration, shared by its files. The facts that break silently (wan 10):
 *   - q/k RMSNorm runs over all heads at once, before the head split and before RoPE;
 *   - the head uses temb, the blocks time_proj(SiLU(temb)); temb is rounded to BF16 before the FP32 table is added;
 *   - patch embedding columns are channel-slowest, proj_out columns channel-fastest;
 *   - the zero rows of a padded prompt take part in cross-attention; there is no text mask;
 *   - boundary_ratio without transformer_2 means a single expert;
 *   - latent frame 0 never passes the VAE's temporal up- and downsampling;
 *   - a hint of VACE is added behind its block, not in front of it; only vace block 0 sees the embedded noise.
 * Each is pinned by a golden: tests/test_model_*.c. */
#ifndef VG_ENGINE_FAMILY_WAN_WAN_H
#define VG_ENGINE_FAMILY_WAN_WAN_H

#include "engine/run/family.h"
#include "engine/text/umt5.h"
#include "engine/vision/clip.h"

#define WAN_EXPERTS_MAX 2
#define WAN_Z_MAX       64
#define WAN_LEVELS_MAX  8
#define WAN_VACE_MAX    64 /* blocks of a control branch */

typedef struct wan_dit_config {
    int64_t heads, head_dim, dim, ffn_dim, layers;
    int64_t in_channels, out_channels, text_dim, freq_dim, rope_max;
    int64_t image_dim; /* of the image encoder's hidden states, 0: no image branch */
    int64_t
        image_places; /* tokens that have positions (of two pictures), 0: positions are not added */
    int patch[3];
    double eps;
    int64_t vace_channels; /* of the control; 0: the transformer has no control branch */
    int64_t vace_count;    /* blocks of the branch */
    int64_t
        vace_layers[WAN_VACE_MAX]; /* rising from 0: the block behind which each adds its hint */
} wan_dit_config;

typedef struct wan_vae_config {
    int64_t base_dim, decoder_base_dim, z_dim, levels, res_blocks;
    int64_t dim_mult[WAN_LEVELS_MAX];
    bool temporal_down[WAN_LEVELS_MAX]; /* per level but the last */
    bool residual;                      /* shortcuts around whole levels: Wan2.2 TI2V-5B */
    int64_t patch; /* edge of the patches of pixels that its nets see as channels */
    double mean[WAN_Z_MAX], std[WAN_Z_MAX];
    int spatial, temporal; /* compression */
} wan_vae_config;

typedef struct wan_config {
    int experts; /* 1 or 2 */
    bool
        image; /* the transformer also takes a mask and a picture's latents as channels, see encode_image.c */
    bool
        first_frame; /* a picture is the first latent frame, at timestep 0 (expand_timesteps: Wan2.2 TI2V-5B) */
    bool has_text, has_vae, has_clip; /* a transformer-only export can be run part by part */
    wan_dit_config dit[WAN_EXPERTS_MAX];
    wan_vae_config vae;
    vg_umt5_config text;
    vg_clip_config clip;         /* of the image encoder, where the transformer has image_dim */
    vg_clip_processor processor; /* in front of it */
    double boundary_ratio;       /* < 0: none */
} wan_config;

extern const char *const wan_expert_names[WAN_EXPERTS_MAX + 1]; /* "transformer", "transformer_2" */

/* config.c */
/* Does the family claim this checkpoint, by the classes that model_index.json names? */
bool wan_probe(const vg_checkpoint *checkpoint);
/* Read and check all config files of the checkpoint; *config is a wan_config. Errors: VG_E_FORMAT, VG_E_UNSUPPORTED, VG_E_NOMEM. */
vg_status wan_config_load(const vg_checkpoint *checkpoint, void **config, vg_err *err);
/* NULL is a no-op. */
void wan_config_free(void *config);
/* The latent-to-RGB matrix published for Wan2.1; false: the VAE's statistics are others, none is known. */
bool wan_preview(const vg_model *model, vg_preview *preview);
/* Borrowed as long as the model. */
static inline const wan_config *wan_config_of(const vg_model *model)
{
    return vg_model_config(model);
}
/* Channels that the transformer sees beside the noise; 0 for text to video. */
static inline int64_t wan_condition_channels(const wan_config *config)
{
    return config->image ? config->dit[0].in_channels - config->dit[0].out_channels : 0;
}

extern const vg_export_recipe wan_recipe; /* recipe.c */
/* vace_config.c. The keys of a WanVACETransformer3DModel beside a WanTransformer3DModel's; c->layers is read already. Errors: VG_E_FORMAT. */
vg_status wan_vace_config_read(const cJSON *json, const char *name, wan_dit_config *c, vg_err *err);
/* Do both experts' branches take the control that the VAE's latents make? Errors: VG_E_UNSUPPORTED. */
vg_status wan_vace_config_check(const wan_config *config, vg_err *err);
/* Has the transformer a control branch? */
static inline bool wan_is_vace(const wan_config *config)
{
    return config->dit[0].vace_count > 0;
}

/* wan.c */
/* C,T,h,w of the latents for the clip that params ask for; its sizes are checked already. */
/* Reference pictures of VACE that lie in front of the clip's latents. */
int64_t wan_references(const vg_model *model, const vg_generate_params *params);
void wan_latent_shape(const vg_model *model, const vg_generate_params *params, int64_t shape[4]);

/* Does a picture begin the clip? Said by the mode, so that plans need none; params may be NULL: no. */
bool wan_begins_with_picture(const vg_generate_params *params);

/* Names of the family's conditions: hidden states of the text encoder [tokens, text_dim]; what an image-to-video transformer sees beside
 * the noise, [temporal + z, T, h, w], the mask's channels first; latents that the first frame has [z, 1, h, w]; hidden states of the image
 * encoder [pictures tokens, image_dim]. */
#define WAN_PROMPT   "prompt_embeds"
#define WAN_NEGATIVE "negative_prompt_embeds"
#define WAN_IMAGE    "image_condition"
#define WAN_FIRST    "first_frame"
#define WAN_CLIP     "image_embeds"
#define WAN_CONTROL  "control" /* of VACE: [vace_channels, references + T, h, w] */

#define WAN_MODE_INPAINT    "inpaint"
#define WAN_MODE_REFERENCES "r2v"

/* encode_text.c, encode_clip.c, encode_image.c, encode_vace.c, denoiser.c, decode.c: the rows of the family's tables. */
extern const vg_encoder wan_text_encoder_row, wan_clip_row, wan_image_encoder_row,
    wan_vace_encoder_row;
/* Can the tokenizer be read, and has the text encoder a row for each of its ids? */
vg_status wan_check_tokenizer(const vg_model *model, vg_err *err);
extern const vg_denoiser wan_denoiser_row;
extern const vg_decoder wan_decoder_row;
/* A clip's latents for measuring previews: sample, shape and latents as in wan_vae_encode, but normalised; opens and closes DIR's encoder in FP32. */
vg_status wan_preview_encode(vg_engine *engine, const vg_model *model, const char *dir,
                             const float *sample, const int64_t shape[4], float *latents,
                             vg_err *err);

/* components.c */
#define WAN_PARTS 6
extern const vg_part wan_parts[WAN_PARTS];
#endif
