/* encode_vace.c: what the control branch of a VACE transformer sees: the latents of what is kept and of what is made anew, and the mask of the
 * latter, in front of them reference pictures. Source: wan 3.3, 3.4. */
#include "engine/family/wan/vace_media.h"
#include "engine/family/wan/vae_part.h"
#include "kernels/base/numeric.h"

#include <stdlib.h>
#include <string.h>

static bool wanted(const vg_model *model, const vg_generate_params *p)
{
    (void)p;
    return wan_is_vace(wan_config_of(model));
}

static vg_status open_encoder(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                              const char *dir, void **self, vg_err *err)
{
    return wan_vae_part_open(engine, model, p, dir, WAN_VAE_ENCODER, self, err);
}

static vg_status rehearse(void *self, const vg_model *model, const vg_generate_params *p,
                          vg_err *err)
{
    (void)model;
    return wan_vae_part_rehearse(self, p, p->num_frames, true, err);
}

typedef struct job {
    wan_vae *vae;
    const vg_generate_params *p;
    const vg_hooks *hooks;
    const int64_t *shape; /* of the control */
    float *control;
    float *latents; /* [z, frames of a part, h, w] as the VAE gives them */
} job;

/* Latents of one part, normalised as a tensor of the VAE's dtype, to channels [first, first + z) of the control's frames from `frame` on. */
static void place(const job *j, int64_t first, int64_t frame, int64_t frames)
{
    const wan_vae_config *c = &j->vae->config;
    int64_t plane = j->shape[2] * j->shape[3], count = frames * plane;
    for (int64_t k = 0; k < c->z_dim; k++) {
        float factor = 1.0f / (float)c->std[k];
        float *to = j->control + ((first + k) * j->shape[1] + frame) * plane;
        for (int64_t i = 0; i < count; i++) {
            float v = (j->latents[k * count + i] - (float)c->mean[k]) * factor;
            to[i] = j->vae->compute == VG_BF16 ? vg_round_bf16(v) : v;
        }
    }
}

static vg_status encode_part(const job *j, const float *sample, int frames, vg_err *err)
{
    const int64_t shape[4] = {3, frames, j->p->height, j->p->width};
    return wan_vae_encode(j->vae, sample, shape, j->p->vae_tiling, j->hooks, j->latents, err);
}

/* The two halves of the clip; both are nothing where no video is. */
static vg_status encode_clip(const job *j, const wan_vace_clip *clip, int64_t references,
                             vg_err *err)
{
    int64_t z = j->vae->config.z_dim, frames = j->shape[1] - references;
    size_t values = 3 * (size_t)clip->frames * (size_t)clip->height * (size_t)clip->width;
    float *sample = malloc(values * sizeof *sample);
    vg_status status = VG_OK;
    if (!sample)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %d frames of %dx%d", clip->frames,
                       clip->width, clip->height);
    for (int reactive = 0; reactive < 2 && status == VG_OK; reactive++) {
        if (!reactive || clip->rgb) {
            wan_vace_clip_sample(clip, reactive, sample);
            status = encode_part(j, sample, clip->frames, err);
        }
        if (status == VG_OK)
            place(j, reactive ? z : 0, references, frames);
    }
    free(sample);
    return status;
}

/* The last one is in front, as the reference has it: it puts each before those that it has. */
static vg_status encode_references(const job *j, int64_t references, vg_err *err)
{
    const vg_generate_params *p = j->p;
    vg_status status = VG_OK;
    float *canvas = malloc(3 * (size_t)p->height * (size_t)p->width * sizeof *canvas);
    if (!canvas)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a reference picture");
    for (int64_t i = 0; i < references && status == VG_OK; i++) {
        const vg_media *m = vg_inputs_find(&p->inputs, VG_ROLE_REFERENCE, (int)i);
        status = wan_vace_reference(&m->frames, j->vae->config.spatial, p->height, p->width, canvas,
                                    err);
        if (status == VG_OK)
            status = encode_part(j, canvas, 1, err);
        if (status == VG_OK)
            place(j, 0, references - 1 - i, 1);
    }
    free(canvas);
    return status;
}

/* The mask's channels of the clip's frames; those of references stay 0. */
static vg_status fold_mask(const job *j, const wan_vace_clip *clip, int64_t references, vg_err *err)
{
    int spatial = j->vae->config.spatial;
    int64_t channels = (int64_t)spatial * spatial, frames = j->shape[1] - references,
            plane = j->shape[2] * j->shape[3], all = j->shape[1] * plane;
    float *folded = malloc((size_t)(channels * frames * plane) * sizeof *folded),
          *to = j->control + 2 * j->vae->config.z_dim * all;
    if (!folded)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the mask");
    wan_vace_clip_fold(clip, spatial, frames, folded);
    for (int64_t k = 0; k < channels; k++)
        memcpy(to + k * all + references * plane, folded + k * frames * plane,
               (size_t)(frames * plane) * sizeof *folded);
    free(folded);
    return VG_OK;
}

static vg_status fill(job *j, const wan_vace_clip *clip, int64_t references, vg_err *err)
{
    j->latents = malloc((size_t)(j->vae->config.z_dim * j->shape[1] * j->shape[2] * j->shape[3]) *
                        sizeof *j->latents);
    if (!j->latents)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the latents");
    vg_status status = encode_clip(j, clip, references, err);
    if (status == VG_OK)
        status = encode_references(j, references, err);
    if (status == VG_OK)
        status = fold_mask(j, clip, references, err);
    free(j->latents);
    return status;
}

static vg_status run(void *self, const vg_model *model, const vg_generate_params *p,
                     const vg_hooks *hooks, vg_conditions *out, vg_err *err)
{
    int64_t shape[4];
    wan_vace_clip clip;
    job j = {.vae = self, .p = p, .hooks = hooks, .shape = shape};
    VG_TRY(wan_vace_check_inputs(wan_config_of(model), p, err));
    wan_latent_shape(model, p, shape);
    shape[0] = wan_config_of(model)->dit[0].vace_channels;
    VG_TRY(vg_conditions_add(out, WAN_CONTROL, 4, shape, &j.control, err));
    VG_TRY(wan_vace_clip_make(p, &clip, err));
    vg_status status = fill(&j, &clip, wan_references(model, p), err);
    wan_vace_clip_deinit(&clip);
    return status;
}

const vg_encoder wan_vace_encoder_row = {
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
