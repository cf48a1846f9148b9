/* hv15.h: HunyuanVideo-1.5's configuration, shared by the family's files. The facts that break silently (hunyuanvideo15 9):
 *   - the norm of q and k is per head, before RoPE; RoPE turns video tokens only, with angles of position / 256^(2j/d);
 *   - order of the text side: picture, glyphs, prompt, valid tokens only; of joint attention: video, then the text side;
 *   - rows of cond_type_embed: 0 prompt, 1 glyphs, 2 picture;
 *   - a block's modulation is shift, scale, gate twice; the last norm's is scale, shift; the refiner's is gate, gate;
 *   - the model sees timesteps rounded to its dtype; latents are of that dtype between steps;
 *   - the mask channel is 1 in latent frame 0 only, whose latents are denoised like all others.
 * Each is pinned by a golden: tests/engine/test_model_hv15*.c. */
#ifndef VG_ENGINE_FAMILY_HUNYUANVIDEO15_HV15_H
#define VG_ENGINE_FAMILY_HUNYUANVIDEO15_HV15_H

#include "engine/run/family.h"
#include "engine/text/qwen25.h"
#include "engine/text/umt5.h"
#include "engine/vision/siglip.h"

#define HV_Z_MAX      64
#define HV_LEVELS_MAX 8

typedef struct hv_dit_config {
    int64_t heads, head_dim, dim, ffn_dim, layers, refiner_layers;
    int64_t in_channels, out_channels; /* in: noise, latents of the picture, mask */
    int64_t text_dim, glyph_dim, image_dim;
    int64_t rope_axes[3]; /* of a head's dimensions: time, height, width */
    double rope_theta;
    int64_t target_size; /* pixels; the side of a square as large as every bucket */
    bool meanflow;       /* step-distilled: the timestep that a step goes to is embedded as well */
} hv_dit_config;

typedef struct hv_vae_config {
    int64_t z, levels, layers_per_block;
    int64_t channels[HV_LEVELS_MAX]; /* from pixels to latents */
    int spatial, temporal;           /* compression */
    double scaling_factor;
} hv_vae_config;

typedef struct hv_config {
    bool image; /* HunyuanVideo15ImageToVideoPipeline */
    bool has_vae, has_text, has_glyphs,
        has_vision;        /* an export of the transformer alone can be run part by part */
    double guidance_scale; /* of the guider; 1: none */
    hv_dit_config dit;
    hv_vae_config vae;
    vg_qwen25_config text;
    vg_umt5_config glyphs;
    vg_siglip_config vision;
    vg_siglip_processor processor;
} hv_config;

/* config.c */
/* Does the family claim this checkpoint, by the classes that model_index.json names? */
bool hv_probe(const vg_checkpoint *checkpoint);
/* Read and check the config files of the checkpoint; *config is a hv_config. Errors: VG_E_FORMAT, VG_E_UNSUPPORTED, VG_E_NOMEM. */
vg_status hv_config_load(const vg_checkpoint *checkpoint, void **config, vg_err *err);
/* NULL is a no-op. */
void hv_config_free(void *config);
/* Borrowed as long as the model. */
static inline const hv_config *hv_config_of(const vg_model *model)
{
    return vg_model_config(model);
}

/* hv15.c */
/* C,T,h,w of the latents for the clip that params ask for; its sizes are checked already. */
void hv_latent_shape(const vg_model *model, const vg_generate_params *params, int64_t shape[4]);

/* Names of the family's conditions, each of valid tokens only: the prompt's hidden states [tokens, text_dim], those of the texts in quotes
 * [tokens, glyph_dim] (absent without quotes), the picture's [tokens, image_dim], and its latents [z,1,h,w], scaled. */
#define HV_PROMPT          "prompt_embeds"
#define HV_GLYPHS          "prompt_embeds_2"
#define HV_NEGATIVE        "negative_prompt_embeds"
#define HV_NEGATIVE_GLYPHS "negative_prompt_embeds_2"
#define HV_IMAGE           "image_embeds"
#define HV_IMAGE_LATENTS   "image_latents"

/* bucket.c. The size of the clip that begins with a picture of this size. */
void hv_bucket(const hv_config *config, int picture_height, int picture_width, int *height,
               int *width);
/* The picture brought to the clip's size: scaled to cover it, its middle kept. rgb: [height,width,3], malloc'd. Errors: VG_E_NOMEM, those of
 * vg_resize_lanczos. */
vg_status hv_cover(const vg_frames *picture, int height, int width, uint8_t **rgb, vg_err *err);

/* encode_text.c, encode_glyphs.c, encode_picture.c: the rows of the family's tables. */
extern const vg_encoder hv_text_row, hv_glyphs_row, hv_vision_row, hv_latents_row;
/* Are there quotes in a prompt, whose text is drawn? */
bool hv_has_glyphs(const char *prompt);
/* Can the tokenizers be read, and have the encoders rows for their ids? */
vg_status hv_check_tokenizers(const vg_model *model, vg_err *err);
extern const vg_denoiser hv_denoiser_row;
extern const vg_decoder hv_decoder_row;

extern const vg_export_recipe hv_recipe; /* recipe.c */

/* encode_picture.c. A clip's latents for measuring previews: sample, shape and latents as in hv_vae_encode, but scaled; opens and closes DIR's
 * encoder in FP32. */
vg_status hv_preview_encode(vg_engine *engine, const vg_model *model, const char *dir,
                            const float *sample, const int64_t shape[4], float *latents,
                            vg_err *err);

/* components.c */
#define HV_PARTS 8
extern const vg_part hv_parts[HV_PARTS];
/* components_text.c: for hv_parts. */
typedef vg_status hv_part_fn(vg_engine *engine, vg_model *model, const vg_component_params *params,
                             const vg_safetensors *in, vg_safetensors_entry **out, int *out_count,
                             vg_err *err);
hv_part_fn hv_run_text_encoder, hv_run_text_encoder_2, hv_run_image_encoder, hv_run_tokenizer,
    hv_run_tokenizer_2;
#endif
