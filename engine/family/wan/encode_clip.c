/* encode_clip.c: pictures to the image encoder's hidden states, which Wan2.1's image to video attends to. It sees the pictures as they were given,
 * not as the clip has them. It runs in the VAE's precision: diffusers' examples load both in FP32. Source: wan 6, 7.5. */
#include "engine/family/wan/wan.h"

#include <stdlib.h>

#define FOLDER "image_encoder"

static bool wanted(const vg_model *model, const vg_generate_params *p)
{
    (void)p;
    return wan_config_of(model)->dit[0].image_dim > 0;
}

static vg_status open_encoder(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                              const char *dir, void **self, vg_err *err)
{
    vg_clip *clip;
    VG_TRY(vg_clip_open(engine, dir, FOLDER, &wan_config_of(model)->clip,
                        vg_compute_dtype(p->vae_compute), &clip, err));
    *self = clip;
    return VG_OK;
}

static void close_encoder(void *self)
{
    vg_clip_close(self);
}

static vg_status run(void *self, const vg_model *model, const vg_generate_params *p,
                     const vg_hooks *hooks, vg_conditions *out, vg_err *err)
{
    static const vg_role roles[] = {VG_ROLE_IMAGE, VG_ROLE_LAST_IMAGE};
    const wan_config *c = wan_config_of(model);
    int pictures = c->dit[0].image_places ? 2 : 1;
    int64_t tokens = vg_clip_tokens(&c->clip), side = c->clip.image;
    const int64_t shape[2] = {pictures * tokens, c->clip.dim};
    float *rows, *pixels = malloc((size_t)(3 * side * side) * sizeof *pixels);
    vg_status status;
    if (!pixels)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the image encoder's pixels");
    VG_TRY_GOTO(status, vg_conditions_add(out, WAN_CLIP, 2, shape, &rows, err), done);
    for (int i = 0; i < pictures; i++) {
        const vg_frames *f = &vg_inputs_find(&p->inputs, roles[i], 0)->frames;
        VG_TRY_GOTO(status, vg_clip_pixels(&c->processor, f->rgb, f->height, f->width, pixels, err),
                    done);
        VG_TRY_GOTO(status,
                    vg_clip_run(self, pixels, hooks->cancel, rows + i * tokens * c->clip.dim, err),
                    done);
    }
done:
    free(pixels);
    return status;
}

static vg_status rehearse(void *self, const vg_model *model, const vg_generate_params *p,
                          vg_err *err)
{
    (void)p;
    const vg_clip_config *c = &wan_config_of(model)->clip;
    float *pixels = calloc((size_t)(3 * c->image * c->image), sizeof *pixels),
          *rows = calloc((size_t)(vg_clip_tokens(c) * c->dim), sizeof *rows);
    vg_status status = pixels && rows
                           ? vg_clip_run(self, pixels, NULL, rows, err)
                           : VG_FAIL(err, VG_E_NOMEM, "out of memory for planning a picture");
    free(pixels);
    free(rows);
    return status;
}

const vg_encoder wan_clip_row = {
    .part = {.name = "image",
             .stage = VG_STAGE_ENCODE,
             .component = FOLDER,
             .open = open_encoder,
             .close = close_encoder,
             .rehearse = rehearse},
    .wanted = wanted,
    .run = run,
};
