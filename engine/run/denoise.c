/* denoise.c: the loop over the schedule: experts, guidance, scheduler steps, previews, saved states. See denoise.h. */
#include "engine/run/denoise.h"

#include "engine/run/budget.h"
#include "engine/run/emit.h"
#include "engine/sampling/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t numel(const int64_t shape[4])
{
    return (size_t)(shape[0] * shape[1] * shape[2] * shape[3]);
}

/* ---- one step ---- */

static void block_done(void *user, int done, int of)
{
    vg_denoise_run *r = user;
    double now = vg_now();
    int forwards = r->guided ? 2 : 1;
    if (now - r->progress_at < 0.2 && r->progress_at > 0)
        return;
    r->progress_at = now;
    vg_emit_progress(r->cb, r->stage, "blocks", r->forwards_done * of + done, forwards * of);
}

vg_guided vg_denoise_answer(const vg_denoise_run *r)
{
    double scale = r->expert == 0 ? r->p->guidance_scale : r->p->guidance_scale_2;
    return (vg_guided){
        .cond = &r->cond, .uncond = r->guided ? &r->uncond : NULL, .scale = (float)scale};
}

vg_status vg_denoise_follow(vg_denoise_run *r, double coef, vg_tensor *y, vg_err *err)
{
    return vg_guidance_step(r->be,
                            &(vg_guidance_step_args){
                                .x = &r->x, .v = vg_denoise_answer(r), .coef = (float)coef, .y = y},
                            err);
}

/* Condition first, then without, as two calls. */
vg_status vg_denoise_predict(vg_denoise_run *r, int step, vg_err *err)
{
    const vg_denoiser *d = r->family->denoiser;
    bool last = step + 1 == vg_scheduler_steps(r->scheduler);
    vg_denoise_step at = {
        .x = &r->x,
        .timestep = vg_scheduler_timestep(r->scheduler, step),
        .next_timestep = last ? 0 : vg_scheduler_timestep(r->scheduler, step + 1),
        .attention = vg_attention_for_step(r, step),
        .hooks = {.cancel = r->cb ? r->cb->cancel : NULL, .progress = block_done, .user = r},
    };
    VG_TRY(d->begin_step(r->denoiser, &at, err));
    r->forwards_done = 0;
    VG_TRY(d->forward(r->denoiser, 0, &r->cond, err));
    if (!r->guided)
        return VG_OK;
    r->forwards_done = 1;
    return d->forward(r->denoiser, 1, &r->uncond, err);
}

/* The prediction of the clean picture, x0 = x - sigma v, of the middle latent frame; r->x is still x. */
static vg_status emit_preview(vg_denoise_run *r, double sigma, int step, int steps, vg_err *err)
{
    VG_TRY(vg_denoise_follow(r, -sigma, &r->clean, err));
    VG_TRY(vg_backend_download(r->be, r->preview_latents, &r->clean, err));
    vg_preview_render(&r->model->preview, r->preview_latents, r->shape, r->shape[1] / 2,
                      r->picture);
    vg_emit(r->cb, &(vg_event){.kind = VG_EVENT_PREVIEW,
                               .stage = r->stage,
                               .detail = "",
                               .step = step,
                               .steps = steps,
                               .preview = r->picture,
                               .preview_width = (int)r->shape[3],
                               .preview_height = (int)r->shape[2]});
    return VG_OK;
}

vg_status vg_denoise_download(vg_denoise_run *r, int step, vg_err *err)
{
    char what[64];
    snprintf(what, sizeof what, "%s step %d: the latents", vg_stage_name(r->stage), step + 1);
    VG_TRY(vg_backend_download(r->be, r->latents, &r->x, err));
    return vg_latents_check_finite(r->latents, r->shape, what, err);
}

static vg_status save_state(vg_denoise_run *r, vg_err *err)
{
    vg_denoise_state state = {.shape = {r->shape[0], r->shape[1], r->shape[2], r->shape[3]},
                              .latents = r->latents,
                              .seconds_done = r->seconds_done,
                              .attention = r->attention.layers,
                              .attention_count = r->attention.experts * r->attention.per_expert};
    if (!r->cb || !r->cb->save)
        return VG_OK;
    VG_TRY(vg_scheduler_save(r->scheduler, &state.scheduler, err));
    vg_status status = r->cb->save(r->cb->user, &state, err);
    vg_scheduler_state_deinit(&state.scheduler);
    return status;
}

/* x as a model in its dtype has it; r->cond is free between steps. */
static vg_status round_latents(vg_denoise_run *r, vg_err *err)
{
    if (!r->family->rounds_latents || r->cond.dtype == VG_F32)
        return VG_OK;
    VG_TRY(vg_cast(r->be, &(vg_cast_args){.x = &r->x, .y = &r->cond}, err));
    return vg_cast(r->be, &(vg_cast_args){.x = &r->cond, .y = &r->x}, err);
}

vg_status vg_denoise_advance(vg_denoise_run *r, vg_err *err)
{
    int step = vg_scheduler_at(r->scheduler);
    vg_guided v = vg_denoise_answer(r);
    VG_TRY(vg_scheduler_step(r->scheduler, &v, &r->x, err));
    VG_TRY(round_latents(r, err));
    return vg_denoise_download(r, step, err);
}

static vg_status run_step(vg_denoise_run *r, vg_err *err)
{
    int step = vg_scheduler_at(r->scheduler), steps = vg_scheduler_steps(r->scheduler);
    double timestep = vg_scheduler_timestep(r->scheduler, step),
           sigma = vg_scheduler_sigma(r->scheduler, step);
    VG_TRY(vg_expert_load(r, vg_model_expert(r->model, r->p, timestep), err));
    int expert = r->expert;
    double begin = vg_now();
    VG_TRY(vg_denoise_predict(r, step, err));
    if (r->preview)
        VG_TRY(emit_preview(r, sigma, step + 1, steps, err));
    VG_TRY(vg_denoise_advance(r, err));
    double seconds = vg_now() - begin;
    r->seconds_done += seconds;
    VG_TRY(save_state(r, err));
    vg_attention_tell(r);
    vg_emit(r->cb, &(vg_event){.kind = VG_EVENT_STEP,
                               .stage = r->stage,
                               .detail = "",
                               .step = step + 1,
                               .steps = steps,
                               .seconds = seconds,
                               .timestep = timestep,
                               .sigma = sigma,
                               .expert = expert});
    return VG_OK;
}

vg_status vg_denoise_check_cancel(const vg_denoise_run *r, int step, vg_err *err)
{
    if (r->cb && vg_cancelled(r->cb->cancel))
        return VG_FAIL(err, VG_E_CANCELLED, "cancelled before step %d", step + 1);
    return VG_OK;
}

static vg_status loop(vg_denoise_run *r, vg_err *err)
{
    int begin = vg_scheduler_at(r->scheduler), steps = vg_scheduler_steps(r->scheduler);
    vg_attention_tell(r); /* what a run before this one found */
    while (vg_scheduler_at(r->scheduler) < steps) {
        if (r->p->max_steps_run != VG_UNSET_INT &&
            vg_scheduler_at(r->scheduler) - begin >= r->p->max_steps_run)
            break;
        VG_TRY(vg_denoise_check_cancel(r, vg_scheduler_at(r->scheduler), err));
        VG_TRY(run_step(r, err));
    }
    return vg_expert_finish(r, err);
}

/* ---- beginning and end ---- */

static vg_status allocate(vg_denoise_run *r, vg_err *err)
{
    vg_dtype compute = vg_compute_dtype(r->p->compute);
    size_t count = numel(r->shape);
    VG_TRY(vg_arena_new(r->be, (size_t)1 << 20, &r->arena, err));
    VG_TRY(vg_arena_tensor(r->arena, VG_F32, 4, r->shape, &r->x, err));
    VG_TRY(vg_arena_tensor(r->arena, compute, 4, r->shape, &r->cond, err));
    if (r->guided)
        VG_TRY(vg_arena_tensor(r->arena, compute, 4, r->shape, &r->uncond, err));
    if (r->preview)
        VG_TRY(vg_arena_tensor(r->arena, VG_F32, 4, r->shape, &r->clean, err));
    r->latents = malloc(count * sizeof *r->latents);
    r->preview_latents = malloc(count * sizeof *r->preview_latents);
    r->picture = malloc((size_t)(r->shape[2] * r->shape[3]) * 3);
    if (!r->latents || !r->preview_latents || !r->picture)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for latents of %zu values", count);
    return VG_OK;
}

static vg_status restore(vg_denoise_run *r, const vg_denoise_state *state, vg_err *err)
{
    if (memcmp(state->shape, r->shape, sizeof r->shape) != 0)
        return VG_FAIL(err, VG_E_SHAPE, "the saved state is of another size than these settings");
    VG_TRY(vg_scheduler_restore(r->scheduler, &state->scheduler, err));
    memcpy(r->latents, state->latents, numel(r->shape) * sizeof *r->latents);
    r->seconds_done = state->seconds_done;
    return vg_latents_check_finite(r->latents, r->shape, "the latents of the saved state", err);
}

void vg_denoise_run_init(vg_denoise_run *r, vg_engine *engine, const vg_model *model,
                         const vg_generate_params *p, const vg_conditions *conditions)
{
    *r = (vg_denoise_run){.engine = engine,
                          .model = model,
                          .family = model->family,
                          .p = p,
                          .conditions = conditions,
                          .stage = VG_STAGE_DENOISE,
                          .be = engine->be,
                          .guided = vg_model_guided(model, p),
                          .expert = -1};
    model->family->latent_shape(model, p, r->shape);
}

vg_status vg_denoise_run_begin(vg_denoise_run *r, const vg_denoise_state *resume, vg_err *err)
{
    const vg_generate_params *p = r->p;
    vg_scheduler_params sp = {.kind = p->scheduler,
                              .steps = p->steps,
                              .flow_shift = p->flow_shift,
                              .grid = (vg_flow_grid)p->flow_grid,
                              .even = r->family->even_sigmas};
    size_t count = numel(r->shape);
    VG_TRY(allocate(r, err));
    VG_TRY(vg_attention_begin(r, resume, err));
    VG_TRY(vg_scheduler_new(&sp, r->be, (int64_t)count, &r->scheduler, err));
    if (resume)
        VG_TRY(restore(r, resume, err));
    else if (p->init_latents)
        memcpy(r->latents, p->init_latents, count * sizeof *r->latents);
    else if (!r->be->ops->dry)
        vg_rng_torch_normal(p->seed, r->latents, count);
    VG_TRY(vg_backend_upload(r->be, &r->x, r->latents, err));
    VG_TRY(round_latents(r, err));
    return vg_backend_sync(r->be, err);
}

void vg_denoise_run_end(vg_denoise_run *r)
{
    vg_attention_release(r);
    vg_scheduler_free(r->scheduler);
    vg_arena_free(r->arena);
    free(r->latents);
    free(r->preview_latents);
    free(r->picture);
    r->scheduler = NULL;
    r->arena = NULL;
    r->latents = r->preview_latents = NULL;
    r->picture = NULL;
}

void vg_denoise_run_release(vg_denoise_run *r)
{
    vg_expert_release(r);
    vg_denoise_run_end(r);
}

/* ---- memory ---- */

static vg_generate_params memory_params(const vg_denoise_run *r)
{
    vg_generate_params p = *r->p;
    p.calibrating = r->calibration != NULL;
    return p;
}

static vg_status begin_memory(vg_denoise_run *r, vg_err *err)
{
    static const char *const calibration[] = {"calibrate", NULL};
    const char *experts[VG_EXPERTS_MAX + 1] = {NULL};
    int count = r->family->experts_count(r->model);
    vg_generate_params p = memory_params(r);
    vg_plan plan;
    memcpy(experts, r->family->experts, (size_t)count * sizeof *experts);
    VG_TRY(vg_budget_begin(r->engine, r->model, &p, r->calibration ? calibration : experts, &plan,
                           err));
    for (int i = 0; i < plan.count; i++) {
        const vg_plan_stage *s = &plan.stages[i];
        for (int e = 0; e < count; e++)
            if (strcmp(s->name, r->calibration ? "calibrate" : experts[e]) == 0)
                r->streamed[e] = s->streamed;
    }
    for (int e = 0; e < count && !r->calibration; e++)
        if (r->streamed[e])
            vg_emit_note(r->cb, VG_STAGE_LOAD,
                         "%s: %d of %d blocks stay on the host and are streamed: memory limit",
                         experts[e], r->streamed[e], r->family->denoiser->blocks(r->model, e));
    return VG_OK;
}

static vg_status end_memory(vg_denoise_run *r, size_t grown, vg_status status, vg_err *err)
{
    vg_generate_params p = memory_params(r);
    const char *stage = r->calibration ? "calibrate" : r->family->experts[r->failed];
    if (r->be->grown > grown)
        vg_emit_note(r->cb, r->stage, "the memory plan was %zu bytes short", r->be->grown - grown);
    return vg_budget_end(r->engine, r->model, &p, stage, status, err);
}

/* ---- the whole ---- */

static void give_latents(vg_denoise_run *r, vg_latents *out)
{
    if (r->family->finish && vg_scheduler_at(r->scheduler) == vg_scheduler_steps(r->scheduler))
        r->family->finish(r->model, r->p, r->conditions, r->latents);
    *out = (vg_latents){.shape = {r->shape[0], r->shape[1], r->shape[2], r->shape[3]},
                        .values = r->latents,
                        .steps_done = vg_scheduler_at(r->scheduler),
                        .steps = vg_scheduler_steps(r->scheduler),
                        .denoise_seconds = r->seconds_done,
                        .peak_bytes = r->be->bytes_peak};
    r->latents = NULL;
}

/* Let the backend take the kernels that the settings ask for. VG_E_UNSUPPORTED: the device has no such. */
static vg_status take_kernels(vg_backend *be, const vg_generate_params *p, vg_err *err)
{
    vg_device_info info;
    if (p->attention_kernel == VG_ATTENTION_SM90 && be->ops->kind == VG_DEVICE_CUDA) {
        VG_TRY(vg_backend_info(be, &info, err));
        if (info.capability != 90)
            return VG_FAIL(err, VG_E_UNSUPPORTED,
                           "attention_kernel sm90 needs compute capability 9.0, this GPU has %d.%d",
                           info.capability / 10, info.capability % 10);
    }
    be->fp8_exact = p->fp8_exact;
    be->attention = p->attention_kernel;
    return VG_OK;
}

static vg_status run_body(vg_denoise_run *r, const vg_denoise_state *resume, vg_err *err)
{
    if (r->pass)
        return vg_pass_loop(r, err);
    VG_TRY(vg_denoise_run_begin(r, resume, err));
    return r->calibration ? vg_calibrate_loop(r, err) : loop(r, err);
}

static vg_status run_within(vg_denoise_run *r, vg_model *model, const vg_denoise_state *resume,
                            vg_latents *out, vg_err *err)
{
    const vg_generate_params *p = r->p;
    vg_status status;
    r->be->bytes_peak = r->be->bytes_now; /* the peak of this stage */
    VG_TRY(vg_model_check_conditions(model, p, r->conditions, err));
    r->preview = !r->calibration && !r->pass && r->cb && r->cb->event &&
                 vg_preview_prepare(r->engine, model, r->shape[1] > 1 ? 1 : 0);
    VG_TRY(begin_memory(r, err));
    size_t grown = r->be->grown;
    r->be->bytes_peak = r->be->bytes_now;
    double begin = vg_now();
    vg_emit_stage(r->cb, VG_EVENT_STAGE_BEGIN, r->stage, "", 0);
    status = run_body(r, resume, err);
    if (status == VG_OK)
        vg_emit_stage(r->cb, VG_EVENT_STAGE_END, r->stage, "", vg_now() - begin);
    if (out && (status == VG_OK || (status == VG_E_CANCELLED && vg_scheduler_at(r->scheduler) > 0)))
        give_latents(r, out);
    vg_denoise_run_release(r);
    return end_memory(r, grown, status, err);
}

/* While it runs, the cancel flag reaches into single operations. The kernels that its settings ask for end with it. */
vg_status vg_denoise_run_all(vg_denoise_run *r, vg_model *model, const vg_denoise_state *resume,
                             vg_latents *out, vg_err *err)
{
    VG_TRY(take_kernels(r->be, r->p, err));
    r->be->cancel = r->cb ? r->cb->cancel : NULL;
    vg_status status = run_within(r, model, resume, out, err);
    r->be->cancel = NULL;
    r->be->attention = VG_ATTENTION_AUTO;
    return status;
}

vg_status vg_denoise(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                     const vg_conditions *conditions, const vg_denoise_state *resume,
                     const vg_callbacks *cb, vg_latents *out, vg_err *err)
{
    vg_denoise_run r;
    VG_TRY(vg_model_need_decoder(model, err));
    if (params->attention_kernel != VG_ATTENTION_AUTO && engine->be->ops->kind == VG_DEVICE_CPU)
        vg_emit_note(cb, VG_STAGE_DENOISE, "attention_kernel %s: the CPU has one kernel only",
                     vg_attention_kernel_name(params->attention_kernel));
    vg_denoise_run_init(&r, engine, model, params, conditions);
    r.cb = cb;
    return vg_denoise_run_all(&r, model, resume, out, err);
}
