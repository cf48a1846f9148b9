/* encode_picture.c: the picture that a clip begins with, brought to the clip's size, to SigLIP's states and to the VAE's latents. Source:
 * hunyuanvideo15 5, 6.3. */
#include "engine/family/hunyuanvideo15/vae_part.h"

#include "kernels/base/numeric.h"

#include <stdlib.h>

static bool wanted(const vg_model *model, const vg_generate_params *p)
{
    (void)p;
    return hv_config_of(model)->image;
}

static vg_status picture_of(const vg_generate_params *p, uint8_t **rgb, vg_err *err)
{
    const vg_media *image = vg_inputs_find(&p->inputs, VG_ROLE_IMAGE, 0);
    return hv_cover(&image->frames, p->height, p->width, rgb, err);
}

/* ---- SigLIP ---- */

static void close_vision(void *self)
{
    vg_siglip_close(self);
}

static vg_status open_vision(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                             const char *dir, void **self, vg_err *err)
{
    vg_siglip *encoder;
    VG_TRY(vg_siglip_open(engine, dir, "image_encoder", &hv_config_of(model)->vision,
                          vg_compute_dtype(p->compute), &encoder, err));
    *self = encoder;
    return VG_OK;
}

/* rgb: NULL for a picture of zeros. */
static vg_status see(vg_siglip *encoder, const hv_config *c, const uint8_t *rgb,
                     const vg_generate_params *p, const atomic_int *cancel, float *out, vg_err *err)
{
    int64_t side = c->vision.image;
    float *pixels = calloc((size_t)(3 * side * side), sizeof *pixels);
    if (!pixels)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a picture of %lldx%lld", (long long)side,
                       (long long)side);
    vg_status status = VG_OK;
    if (rgb)
        status = vg_siglip_pixels(&c->processor, rgb, p->height, p->width, pixels, err);
    if (status == VG_OK)
        status = vg_siglip_run(encoder, pixels, cancel, out, err);
    free(pixels);
    return status;
}

static vg_status run_vision(void *self, const vg_model *model, const vg_generate_params *p,
                            const vg_hooks *hooks, vg_conditions *out, vg_err *err)
{
    const hv_config *c = hv_config_of(model);
    const int64_t shape[2] = {vg_siglip_tokens(&c->vision), c->vision.hidden};
    uint8_t *rgb;
    float *rows;
    VG_TRY(vg_conditions_add(out, HV_IMAGE, 2, shape, &rows, err));
    VG_TRY(picture_of(p, &rgb, err));
    vg_status status = see(self, c, rgb, p, hooks->cancel, rows, err);
    free(rgb);
    return status;
}

static vg_status rehearse_vision(void *self, const vg_model *model, const vg_generate_params *p,
                                 vg_err *err)
{
    const hv_config *c = hv_config_of(model);
    float *rows = calloc((size_t)(vg_siglip_tokens(&c->vision) * c->vision.hidden), sizeof *rows);
    vg_status status = rows ? see(self, c, NULL, p, NULL, rows, err)
                            : VG_FAIL(err, VG_E_NOMEM, "out of memory for planning the picture");
    free(rows);
    return status;
}

const vg_encoder hv_vision_row = {
    .part = {.name = "vision",
             .stage = VG_STAGE_ENCODE,
             .component = "image_encoder",
             .open = open_vision,
             .close = close_vision,
             .rehearse = rehearse_vision},
    .wanted = wanted,
    .run = run_vision,
};

/* ---- VAE ---- */

static vg_status open_vae(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                          const char *dir, void **self, vg_err *err)
{
    return hv_vae_part_open(engine, model, p, dir, HV_VAE_ENCODER, self, err);
}

static vg_status rehearse_vae(void *self, const vg_model *model, const vg_generate_params *p,
                              vg_err *err)
{
    (void)model;
    return hv_vae_part_rehearse(self, p, true, err);
}

/* [H,W,3] bytes as a clip [3,1,H,W] in [-1,1], malloc'd. */
static vg_status clip_of(const uint8_t *rgb, size_t pixels, float **clip, vg_err *err)
{
    float *v = malloc(3 * pixels * sizeof *v);
    if (!v)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a picture of %zu pixels", pixels);
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < pixels; i++)
            v[k * pixels + i] = (float)rgb[3 * i + k] / 255.0f * 2.0f - 1.0f;
    *clip = v;
    return VG_OK;
}

static vg_status run_vae(void *self, const vg_model *model, const vg_generate_params *p,
                         const vg_hooks *hooks, vg_conditions *out, vg_err *err)
{
    const hv_config *c = hv_config_of(model);
    const int64_t sample[4] = {3, 1, p->height, p->width},
                  shape[4] = {c->vae.z, 1, p->height / c->vae.spatial, p->width / c->vae.spatial};
    bool bf16 = p->vae_compute == VG_COMPUTE_BF16;
    uint8_t *rgb;
    float *clip = NULL, *latents;
    VG_TRY(vg_conditions_add(out, HV_IMAGE_LATENTS, 4, shape, &latents, err));
    VG_TRY(picture_of(p, &rgb, err));
    vg_status status = clip_of(rgb, (size_t)p->height * (size_t)p->width, &clip, err);
    free(rgb);
    if (status == VG_OK)
        status = hv_vae_encode(self, clip, sample, p->vae_tiling, hooks, latents, err);
    free(clip);
    for (int64_t i = 0; status == VG_OK && i < shape[0] * shape[2] * shape[3]; i++) {
        latents[i] *= (float)c->vae.scaling_factor;
        latents[i] = bf16 ? vg_round_bf16(latents[i]) : latents[i];
    }
    return status;
}

const vg_encoder hv_latents_row = {
    .part = {.name = "encode",
             .stage = VG_STAGE_ENCODE,
             .component = "vae",
             .open = open_vae,
             .close = hv_vae_part_close,
             .weight_bytes = hv_vae_part_bytes,
             .rehearse = rehearse_vae},
    .wanted = wanted,
    .run = run_vae,
};

vg_status hv_preview_encode(vg_engine *engine, const vg_model *model, const char *dir,
                            const float *sample, const int64_t shape[4], float *latents,
                            vg_err *err)
{
    const hv_vae_config *c = &hv_config_of(model)->vae;
    int64_t count = c->z * hv_vae_latent_frames(c, shape[1]) * (shape[2] / c->spatial) *
                    (shape[3] / c->spatial);
    hv_vae *vae;
    VG_TRY(hv_vae_open(engine, dir, c, VG_F32, HV_VAE_ENCODER, &vae, err));
    vg_status status = hv_vae_encode(vae, sample, shape, false, NULL, latents, err);
    hv_vae_close(vae);
    for (int64_t i = 0; status == VG_OK && i < count; i++)
        latents[i] *= (float)c->scaling_factor;
    return status;
}
