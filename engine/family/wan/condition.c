/* condition.c: what an image-to-video transformer sees beside the noise: a mask of the known frames and the latents of a video that
 * has the image in front and nothing (0) behind it. Source: wan 7.5 (a). */
#include "engine/run/budget.h"
#include "engine/family/wan/vae.h"

#include <stdlib.h>
#include <string.h>

/* [3,F,H,W] in [-1,1] from the image, frames after the first 0. malloc'd. */
static vg_status padded_video(const vg_frames *image, int frames, float **video, vg_err *err)
{
    size_t plane = (size_t)image->height * (size_t)image->width;
    float *v = calloc(3 * (size_t)frames * plane, sizeof *v);
    if (!v)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %d frames of %dx%d", frames,
                       image->width, image->height);
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < plane; i++)
            v[k * (size_t)frames * plane + i] = (float)image->rgb[3 * i + k] / 255.0f * 2.0f - 1.0f;
    *video = v;
    return VG_OK;
}

/* The mask: one channel per frame of a latent frame, 1 where that frame is known. The first frame stands for itself four times. */
static void fill_mask(float *mask, const int64_t latent[4], int64_t temporal)
{
    int64_t plane = latent[2] * latent[3];
    for (int64_t k = 0; k < temporal; k++)
        for (int64_t i = 0; i < plane; i++)
            mask[k * latent[1] * plane + i] = 1;
}

static vg_status encode_image(vg_engine *engine, vg_model *model, const vg_generate_params *p,
                              const vg_frames *image, const vg_callbacks *cb, vg_latents *out,
                              vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    int64_t latent[4], whole[4], temporal = c->vae.temporal;
    wan_vae_hooks hooks = {.cancel = cb ? cb->cancel : NULL};
    wan_vae *vae = NULL;
    float *video = NULL, *values = NULL;
    char *dir = NULL;
    vg_status status;
    double begin = vg_now(), loaded;
    wan_latent_shape(c, p, latent);
    wan_condition_shape(c, p, whole);
    if (image->count < 1 || image->height != p->height || image->width != p->width)
        return VG_FAIL(err, VG_E_SHAPE, "the image is %dx%d; the clip is %dx%d", image->width,
                       image->height, p->width, p->height);
    int64_t plane = latent[1] * latent[2] * latent[3];
    VG_TRY_GOTO(status, padded_video(image, p->num_frames, &video, err), done);
    values = calloc((size_t)(whole[0] * plane), sizeof *values);
    if (!values) {
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for the image's latents");
        goto done;
    }
    VG_TRY_GOTO(status, vg_model_weights_dir(model, "vae", &dir, err), done);
    vg_emit_stage(cb, VG_EVENT_STAGE_BEGIN, VG_STAGE_LOAD, "vae", 0);
    VG_TRY_GOTO(status,
                wan_vae_open(engine, dir, &c->vae, vg_compute_dtype(p->vae_compute),
                             WAN_VAE_ENCODER, &vae, err),
                done);
    loaded = vg_now();
    vg_emit_stage(cb, VG_EVENT_STAGE_END, VG_STAGE_LOAD, "vae", loaded - begin);
    vg_emit_stage(cb, VG_EVENT_STAGE_BEGIN, VG_STAGE_ENCODE, "", 0);
    fill_mask(values, latent, temporal);
    float *mean = values + temporal * plane;
    const int64_t shape[4] = {3, p->num_frames, p->height, p->width};
    VG_TRY_GOTO(status, wan_vae_encode(vae, video, shape, p->vae_tiling, &hooks, mean, err), done);
    for (int64_t k = 0; k < latent[0]; k++) {
        float factor = 1.0f / (float)c->vae.std[k]; /* as FP32 tensors would have it */
        for (int64_t i = k * plane; i < (k + 1) * plane; i++)
            mean[i] = (mean[i] - (float)c->vae.mean[k]) * factor;
    }
    vg_emit_stage(cb, VG_EVENT_STAGE_END, VG_STAGE_ENCODE, "", vg_now() - loaded);
    *out = (vg_latents){.values = values};
    memcpy(out->shape, whole, sizeof out->shape);
    values = NULL;
done:
    wan_vae_close(vae);
    free(dir);
    free(values);
    free(video);
    return status;
}

vg_status wan_encode_image(vg_engine *engine, vg_model *model, const vg_generate_params *p,
                           const vg_frames *image, const vg_callbacks *cb, vg_latents *out,
                           vg_err *err)
{
    vg_plan plan;
    VG_TRY(vg_budget_begin(engine, model, p, (const char *const[]){"encode", NULL}, &plan, err));
    return vg_budget_end(engine, model, p, "encode",
                         encode_image(engine, model, p, image, cb, out, err), err);
}
