/* pass.c: see pass.h. */
#include "engine/run/pass.h"

#include "engine/run/denoise.h"
#include "engine/run/emit.h"

#include <math.h>
#include <stdlib.h>

void vg_pass_sample_deinit(vg_pass_sample *s)
{
    vg_conditions_deinit(&s->conditions);
    vg_denoise_state_deinit(&s->state);
}

vg_status vg_pass_steps(const vg_model *model, const vg_generate_params *p, int expert, int *steps,
                        vg_err *err)
{
    vg_scheduler_params sp = {.kind = p->scheduler,
                              .steps = p->steps,
                              .flow_shift = p->flow_shift,
                              .grid = (vg_flow_grid)p->flow_grid};
    vg_scheduler *scheduler = NULL;
    vg_backend *be;
    int count = 0;
    VG_TRY(vg_dry_backend_open(VG_DEVICE_CPU, &be, err));
    vg_status status = vg_scheduler_new(&sp, be, 1, &scheduler, err);
    for (int i = 0; status == VG_OK && i < vg_scheduler_steps(scheduler); i++)
        count += vg_model_expert(model, p, vg_scheduler_timestep(scheduler, i)) == expert;
    vg_scheduler_free(scheduler);
    vg_backend_close(be);
    if (status == VG_OK)
        *steps = count;
    return status;
}

/* ---- one sample ---- */

typedef struct handing {
    const vg_pass *pass;
    const char *component;
    int sample, step;
    vg_status status;
    vg_err *err;
} handing;

static void hand_range(void *user, const char *layer, float amax)
{
    handing *h = user;
    if (h->status != VG_OK)
        return;
    if (!isfinite(amax))
        h->status = VG_FAIL(h->err, VG_E_FORMAT,
                            "%s: the input of layer %s holds NaN or infinity (sample %d, step %d)",
                            h->component, layer, h->sample + 1, h->step + 1);
    else
        h->status = h->pass->range(h->pass->user, h->sample, h->step, layer, amax, h->err);
}

/* What was recorded since the last time; recording begins anew. */
static vg_status hand_ranges(vg_denoise_run *r, int i, int step, vg_err *err)
{
    const vg_denoiser *d = r->family->denoiser;
    handing h = {r->pass, r->family->experts[r->expert], i, step, VG_OK, err};
    VG_TRY(d->calibrate_each(r->denoiser, hand_range, &h, err));
    VG_TRY(h.status);
    return d->calibrate_begin(r->denoiser, err);
}

static vg_status run_step(vg_denoise_run *r, int i, vg_err *err)
{
    int step = vg_scheduler_at(r->scheduler), steps = vg_scheduler_steps(r->scheduler);
    double begin = vg_now();
    VG_TRY(vg_denoise_check_cancel(r, step, err));
    VG_TRY(vg_denoise_predict(r, step, err));
    VG_TRY(vg_denoise_advance(r, err));
    if (r->pass->measure)
        VG_TRY(hand_ranges(r, i, step, err));
    vg_emit(r->cb, &(vg_event){.kind = VG_EVENT_STEP,
                               .stage = r->stage,
                               .detail = "",
                               .step = step + 1,
                               .steps = steps,
                               .seconds = vg_now() - begin,
                               .timestep = vg_scheduler_timestep(r->scheduler, step),
                               .sigma = vg_scheduler_sigma(r->scheduler, step),
                               .expert = r->expert});
    return VG_OK;
}

static bool is_ours(const vg_denoise_run *r)
{
    int step = vg_scheduler_at(r->scheduler);
    return step < vg_scheduler_steps(r->scheduler) &&
           vg_model_expert(r->model, r->p, vg_scheduler_timestep(r->scheduler, step)) ==
               r->pass->expert;
}

static vg_status hand_state(vg_denoise_run *r, int i, vg_err *err)
{
    vg_denoise_state state = {.shape = {r->shape[0], r->shape[1], r->shape[2], r->shape[3]},
                              .latents = r->latents};
    VG_TRY(vg_scheduler_save(r->scheduler, &state.scheduler, err));
    vg_status status = r->pass->done(r->pass->user, i, &state, err);
    vg_scheduler_state_deinit(&state.scheduler);
    return status;
}

/* The expert stays loaded between samples; each has conditions of its own. */
static vg_status take_expert(vg_denoise_run *r, vg_err *err)
{
    return r->denoiser ? vg_expert_bind(r, err) : vg_expert_load(r, r->pass->expert, err);
}

static vg_status run_sample(vg_denoise_run *r, int i, const vg_pass_sample *s, vg_err *err)
{
    vg_status status;
    r->p = &s->params;
    r->conditions = &s->conditions;
    VG_TRY(vg_model_check_conditions(r->model, r->p, r->conditions, err));
    VG_TRY_GOTO(status, vg_denoise_run_begin(r, s->state.latents ? &s->state : NULL, err), done);
    if (is_ours(r))
        VG_TRY_GOTO(status, take_expert(r, err), done);
    while (is_ours(r))
        VG_TRY_GOTO(status, run_step(r, i, err), done);
    status = hand_state(r, i, err);
done:
    vg_denoise_run_end(r);
    return status;
}

/* ---- all of them ---- */

/* Measured is what the files have. */
static vg_status load_sample(const vg_pass *pass, int i, vg_pass_sample *sample, vg_err *err)
{
    *sample = (vg_pass_sample){.conditions = {0}};
    VG_TRY(pass->load(pass->user, i, sample, err));
    if (pass->measure) {
        sample->params.scheme = VG_SCHEME_BF16;
        sample->params.precision = sample->params.ignore_layers = NULL;
    }
    return VG_OK;
}

vg_status vg_pass_loop(vg_denoise_run *r, vg_err *err)
{
    const vg_generate_params *p = r->p;
    vg_status status = VG_OK;
    for (int i = r->pass->first; status == VG_OK && i < r->pass->count; i++) {
        vg_pass_sample sample;
        status = load_sample(r->pass, i, &sample, err);
        if (status == VG_OK)
            status = run_sample(r, i, &sample, err);
        /* What is loaded may look at its conditions until it is closed. */
        if (status != VG_OK || i + 1 == r->pass->count)
            vg_expert_release(r);
        vg_pass_sample_deinit(&sample);
    }
    r->p = p;
    return status;
}

vg_status vg_pass_run(vg_engine *engine, vg_model *model, const vg_pass *pass,
                      const vg_callbacks *cb, vg_err *err)
{
    vg_callbacks quiet = cb ? *cb : (vg_callbacks){0};
    vg_pass_sample first;
    vg_denoise_run r;
    vg_status status;
    quiet.save = NULL;
    if (pass->first >= pass->count)
        return VG_OK;
    VG_TRY(vg_model_need_decoder(model, err));
    VG_TRY_GOTO(status, load_sample(pass, pass->first, &first, err), done);
    vg_denoise_run_init(&r, engine, model, &first.params, &first.conditions);
    r.cb = &quiet;
    r.stage = VG_STAGE_CALIBRATE;
    r.pass = pass;
    if (pass->measure)
        VG_TRY_GOTO(status, vg_calibration_new(&r.calibration, err), done);
    status = vg_denoise_run_all(&r, model, NULL, NULL, err);
    vg_calibration_free(r.calibration);
done:
    vg_pass_sample_deinit(&first);
    return status;
}
