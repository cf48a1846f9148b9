/* decode.c: latents to frames; the VAE is loaded for this stage only. Source: wan 7.4. */
#include "engine/family/wan/vae.h"

#include "engine/run/budget.h"

#include <stdlib.h>

static void frame_done(void *user, int done, int of)
{
    vg_emit_progress(user, VG_STAGE_DECODE, "frames", done, of);
}

static vg_status check_latents(const wan_config *c, const vg_latents *l, vg_err *err)
{
    if (!l->values || l->shape[1] < 1 || l->shape[2] < 1 || l->shape[3] < 1)
        return VG_FAIL(err, VG_E_SHAPE, "there are no latents to decode");
    if (l->shape[0] != c->vae.z_dim)
        return VG_FAIL(err, VG_E_SHAPE, "the latents have %lld channels; the VAE wants %lld",
                       (long long)l->shape[0], (long long)c->vae.z_dim);
    return VG_OK;
}

static vg_status decode(vg_engine *engine, vg_model *model, const vg_generate_params *p,
                        const vg_latents *latents, const vg_callbacks *cb, vg_frames *out,
                        vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    wan_vae_hooks hooks = {cb ? cb->cancel : NULL, frame_done, (void *)(uintptr_t)cb};
    wan_vae *vae = NULL;
    char *dir = NULL;
    vg_status status;
    double begin = vg_now(), loaded;
    VG_TRY(check_latents(c, latents, err));
    vg_frames frames = {.count = (int)wan_vae_frames(latents->shape[1]),
                        .height = (int)latents->shape[2] * c->vae.spatial,
                        .width = (int)latents->shape[3] * c->vae.spatial};
    frames.rgb = malloc((size_t)frames.count * (size_t)frames.height * (size_t)frames.width * 3);
    if (!frames.rgb)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %d frames of %dx%d", frames.count,
                       frames.width, frames.height);
    vg_emit_stage(cb, VG_EVENT_STAGE_BEGIN, VG_STAGE_LOAD, "vae", 0);
    VG_TRY_GOTO(status, vg_model_weights_dir(model, "vae", &dir, err), done);
    VG_TRY_GOTO(status,
                wan_vae_open(engine, dir, &c->vae, vg_compute_dtype(p->vae_compute),
                             WAN_VAE_DECODER, &vae, err),
                done);
    loaded = vg_now();
    vg_emit_stage(cb, VG_EVENT_STAGE_END, VG_STAGE_LOAD, "vae", loaded - begin);
    vg_emit_stage(cb, VG_EVENT_STAGE_BEGIN, VG_STAGE_DECODE, "", 0);
    VG_TRY_GOTO(status,
                wan_vae_decode(vae, latents->values, latents->shape, true, p->vae_tiling, &hooks,
                               frames.rgb, NULL, err),
                done);
    vg_emit_stage(cb, VG_EVENT_STAGE_END, VG_STAGE_DECODE, "", vg_now() - loaded);
    *out = frames;
    frames.rgb = NULL;
done:
    free(frames.rgb);
    wan_vae_close(vae);
    free(dir);
    return status;
}

vg_status wan_decode(vg_engine *engine, vg_model *model, const vg_generate_params *p,
                     const vg_latents *latents, const vg_callbacks *cb, vg_frames *out, vg_err *err)
{
    vg_plan plan;
    VG_TRY(vg_budget_begin(engine, model, p, (const char *const[]){"decode", NULL}, &plan, err));
    return vg_budget_end(engine, model, p, "decode",
                         decode(engine, model, p, latents, cb, out, err), err);
}
