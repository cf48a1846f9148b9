/* decode.c: latents to frames; the decoder is loaded for this stage only. */
#include "engine/run/budget.h"
#include "engine/run/emit.h"
#include "engine/run/stage.h"

#include <stdlib.h>

static vg_status decode(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                        const vg_latents *latents, const vg_callbacks *cb, vg_frames *out,
                        vg_err *err)
{
    const vg_decoder *decoder = model->family->decoder;
    vg_part_progress progress;
    vg_hooks hooks = vg_part_hooks(&progress, cb, VG_STAGE_DECODE);
    vg_frames frames = {0};
    void *self = NULL;
    vg_status status;
    VG_TRY(decoder->frames(model, p, latents, &frames, err));
    frames.rgb = malloc((size_t)frames.count * (size_t)frames.height * (size_t)frames.width * 3);
    if (!frames.rgb)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %d frames of %dx%d", frames.count,
                       frames.width, frames.height);
    VG_TRY_GOTO(status, vg_part_open(engine, model, p, &decoder->part, cb, &self, err), done);
    double begin = vg_now();
    vg_emit_stage(cb, VG_EVENT_STAGE_BEGIN, VG_STAGE_DECODE, "", 0);
    VG_TRY_GOTO(status, decoder->run(self, model, p, latents, &hooks, &frames, err), done);
    vg_emit_stage(cb, VG_EVENT_STAGE_END, VG_STAGE_DECODE, "", vg_now() - begin);
    *out = frames;
    frames.rgb = NULL;
done:
    free(frames.rgb);
    if (self)
        decoder->part.close(self);
    return status;
}

/* The decoder's values become bytes, where NaN is black: how many there were is known to the backend alone. */
static vg_status decode_finite(vg_engine *engine, const vg_model *model,
                               const vg_generate_params *p, const vg_latents *latents,
                               const vg_callbacks *cb, vg_frames *out, vg_err *err)
{
    vg_backend *be = engine->be;
    void *pinned;
    vg_frames frames = {0};
    VG_TRY(be->ops->pin(be, sizeof *be->unfinite, &pinned, err));
    be->unfinite = pinned;
    *be->unfinite = 0;
    vg_status status = decode(engine, model, p, latents, cb, &frames, err);
    if (status == VG_OK)
        status = vg_backend_sync(be, err);
    if (status == VG_OK && *be->unfinite)
        status = VG_FAIL(
            err, VG_E_FORMAT,
            "the frames that %s made are not finite: %llu of %lld values are NaN or infinite",
            model->family->decoder->part.component, (unsigned long long)*be->unfinite,
            (long long)frames.count * frames.height * frames.width * 3);
    be->unfinite = NULL;
    be->ops->unpin(be, pinned, sizeof *be->unfinite);
    if (status == VG_OK)
        *out = frames;
    else
        vg_frames_deinit(&frames);
    return status;
}

vg_status vg_decode(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                    const vg_latents *latents, const vg_callbacks *cb, vg_frames *out, vg_err *err)
{
    const char *name = model->family->decoder->part.name;
    vg_plan plan;
    VG_TRY(vg_model_need_decoder(model, err));
    VG_TRY(vg_budget_begin(engine, model, params, (const char *const[]){name, NULL}, &plan, err));
    engine->be->cancel = cb ? cb->cancel : NULL;
    vg_status status = decode_finite(engine, model, params, latents, cb, out, err);
    engine->be->cancel = NULL;
    return vg_budget_end(engine, model, params, name, status, err);
}
