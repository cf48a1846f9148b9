/* encode_image.c: pictures to latents. Either what an image-to-video transformer sees beside the noise: a mask of the known frames and the
 * latents of a video that has the picture in front, nothing (0) behind it, and in mode flf2v another picture at its end; or the latents of the
 * picture alone, which are the clip's first frame. Source: wan 7.5 (a) and (b). */
#include "engine/family/wan/vae_part.h"
#include "engine/vision/resize.h"

#include <stdlib.h>

static bool wanted(const vg_model *model, const vg_generate_params *p)
{
    const wan_config *c = wan_config_of(model);
    return c->image || (c->first_frame && wan_begins_with_picture(p));
}

static vg_status open_encoder(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                              const char *dir, void **self, vg_err *err)
{
    return wan_vae_part_open(engine, model, p, dir, WAN_VAE_ENCODER, self, err);
}

/* Frames of the video that is encoded. */
static int frames_of(const vg_model *model, const vg_generate_params *p)
{
    return wan_config_of(model)->first_frame ? 1 : p->num_frames;
}

static vg_status rehearse(void *self, const vg_model *model, const vg_generate_params *p,
                          vg_err *err)
{
    return wan_vae_part_rehearse(self, p, frames_of(model, p), true, err);
}

/* One frame of the video [3,count,H,W] in [-1,1] from a picture of any size. */
static vg_status put_picture(const vg_frames *picture, const vg_generate_params *p, int frame,
                             int count, float *video, vg_err *err)
{
    size_t plane = (size_t)p->height * (size_t)p->width, frames = (size_t)count;
    uint8_t *rgb = malloc(3 * plane);
    if (!rgb)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a picture of %dx%d", p->width,
                       p->height);
    vg_status status = vg_resize_lanczos(picture->rgb, picture->height, picture->width, rgb,
                                         p->height, p->width, err);
    for (size_t k = 0; status == VG_OK && k < 3; k++)
        for (size_t i = 0; i < plane; i++)
            video[(k * frames + (size_t)frame) * plane + i] =
                (float)rgb[3 * i + k] / 255.0f * 2.0f - 1.0f;
    free(rgb);
    return status;
}

/* The pictures at their places in a video that is 0 elsewhere, malloc'd. */
static vg_status make_video(const vg_frames *first, const vg_media *last,
                            const vg_generate_params *p, int frames, float **video, vg_err *err)
{
    size_t plane = (size_t)p->height * (size_t)p->width;
    float *v = calloc(3 * (size_t)frames * plane, sizeof *v);
    if (!v)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %d frames of %dx%d", frames, p->width,
                       p->height);
    vg_status status = put_picture(first, p, 0, frames, v, err);
    if (status == VG_OK && last)
        status = put_picture(&last->frames, p, frames - 1, frames, v, err);
    if (status == VG_OK)
        *video = v;
    else
        free(v);
    return status;
}

/* The mask: one channel per frame of a latent frame, 1 where that frame is known. The first frame stands for itself four times, the last one
 * is the last of its latent frame. */
static void fill_mask(float *mask, const int64_t latent[4], int64_t temporal, bool last)
{
    int64_t plane = latent[2] * latent[3], channel = latent[1] * plane;
    for (int64_t k = 0; k < temporal; k++)
        for (int64_t i = 0; i < plane; i++)
            mask[k * channel + i] = 1;
    for (int64_t i = 0; last && i < plane; i++)
        mask[temporal * channel - plane + i] = 1;
}

/* Posterior mean to the transformer's space, as FP32 tensors would have it. */
static void normalise(const wan_vae_config *c, int64_t plane, float *latents)
{
    for (int64_t k = 0; k < c->z_dim; k++) {
        float factor = 1.0f / (float)c->std[k];
        for (int64_t i = k * plane; i < (k + 1) * plane; i++)
            latents[i] = (latents[i] - (float)c->mean[k]) * factor;
    }
}

/* Room for the latents of `shape` under its name; *mean: where the posterior mean belongs, behind the mask if there is one. */
static vg_status add_condition(const vg_model *model, const vg_generate_params *p, bool last,
                               int64_t shape[4], float **mean, vg_conditions *out, vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    int64_t temporal = c->vae.temporal;
    wan_latent_shape(model, p, shape);
    if (c->first_frame) {
        shape[1] = 1;
        return vg_conditions_add(out, WAN_FIRST, 4, shape, mean, err);
    }
    shape[0] = wan_condition_channels(c);
    VG_TRY(vg_conditions_add(out, WAN_IMAGE, 4, shape, mean, err));
    fill_mask(*mean, shape, temporal, last);
    *mean += temporal * shape[1] * shape[2] * shape[3];
    return VG_OK;
}

static vg_status run(void *self, const vg_model *model, const vg_generate_params *p,
                     const vg_hooks *hooks, vg_conditions *out, vg_err *err)
{
    const vg_media *first = vg_inputs_find(&p->inputs, VG_ROLE_IMAGE, 0),
                   *last = vg_inputs_find(&p->inputs, VG_ROLE_LAST_IMAGE, 0);
    int frames = frames_of(model, p);
    const int64_t sample[4] = {3, frames, p->height, p->width};
    int64_t shape[4];
    float *video = NULL, *mean;
    VG_TRY(add_condition(model, p, last != NULL, shape, &mean, out, err));
    VG_TRY(make_video(&first->frames, last, p, frames, &video, err));
    vg_status status = wan_vae_encode(self, video, sample, p->vae_tiling, hooks, mean, err);
    free(video);
    if (status == VG_OK)
        normalise(&wan_config_of(model)->vae, shape[1] * shape[2] * shape[3], mean);
    return status;
}

const vg_encoder wan_image_encoder_row = {
    .part = {.name = "encode",
             .stage = VG_STAGE_ENCODE,
             .component = "vae",
             .open = open_encoder,
             .close = wan_vae_part_close,
             .weight_bytes = wan_vae_part_bytes,
             .rehearse = rehearse},
    .wanted = wanted,
    .run = run,
};

vg_status wan_preview_encode(vg_engine *engine, const vg_model *model, const char *dir,
                             const float *sample, const int64_t shape[4], float *latents,
                             vg_err *err)
{
    const wan_vae_config *c = &wan_config_of(model)->vae;
    int64_t plane = wan_vae_latent_frames(shape[1]) * wan_vae_latent_size(c, shape[2]) *
                    wan_vae_latent_size(c, shape[3]);
    wan_vae *vae;
    VG_TRY(wan_vae_open(engine, dir, c, VG_F32, WAN_VAE_ENCODER, &vae, err));
    vg_status status = wan_vae_encode(vae, sample, shape, false, NULL, latents, err);
    wan_vae_close(vae);
    for (int64_t i = 0; status == VG_OK && i < c->z_dim * plane; i++)
        latents[i] = (float)((latents[i] - c->mean[i / plane]) / c->std[i / plane]);
    return status;
}
