/* pipeline.c: settings and the denoise loop, as diffusers' WanPipeline has them. Source: wan 7.1-7.4. One expert is resident at a time; the
 * text encoder (text.c) and the VAE (decode.c) are loaded for their stage only. */
#include "engine/family/wan/dit.h"
#include "engine/family/wan/vae.h"

#include "engine/run/budget.h"
#include "engine/run/limits.h"
#include "engine/layers/calibrate.h"
#include "engine/checkpoint/prefetch.h"
#include "engine/sampling/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings ---- */

static vg_status check_size(const char *name, int value, int multiple, vg_err *err)
{
    int nearest = value < multiple ? multiple : (value + multiple / 2) / multiple * multiple;
    if (value < 1 || value > VG_SIDE_MAX || value % multiple != 0)
        return VG_FAIL(err, VG_E_ARG, "%s is %d; it must be a multiple of %d, for example %d", name,
                       value, multiple, nearest > VG_SIDE_MAX ? VG_SIDE_MAX / multiple * multiple : nearest);
    return VG_OK;
}

static vg_status check_rope(const wan_config *c, const int64_t latent[4], vg_err *err)
{
    for (int e = 0; e < c->experts; e++)
        for (int i = 0; i < 3; i++)
            if (latent[i + 1] / c->dit[e].patch[i] > c->dit[e].rope_max)
                return VG_FAIL(
                    err, VG_E_ARG,
                    "this size is %lld patches long in one direction; the model goes to %lld",
                    (long long)(latent[i + 1] / c->dit[e].patch[i]), (long long)c->dit[e].rope_max);
    return VG_OK;
}

static int64_t numel(const int64_t shape[4])
{
    return shape[0] * shape[1] * shape[2] * shape[3];
}

static vg_status check_finite(const float *values, const int64_t shape[4], const char *what,
                              vg_err *err)
{
    int64_t count = numel(shape), bad = 0, first = -1;
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(values[i])) {
            first = first < 0 ? i : first;
            bad++;
        }
    if (bad)
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s are not finite: %lld of %lld values are NaN or infinite, the first is number %lld",
            what, (long long)bad, (long long)count, (long long)first);
    return VG_OK;
}

vg_status wan_defaults(const vg_model *model, vg_generate_params *p, vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    int64_t latent[4];
    VG_TRY(wan_need_vae(model, err));
    if (p->height == VG_UNSET_INT)
        p->height = 480;
    if (p->width == VG_UNSET_INT)
        p->width = 832;
    if (p->num_frames == VG_UNSET_INT)
        p->num_frames = 81;
    if (p->steps == VG_UNSET_INT)
        p->steps = 50;
    if (p->guidance_scale == VG_UNSET_DOUBLE)
        p->guidance_scale = 5.0;
    if (p->guidance_scale_2 == VG_UNSET_DOUBLE)
        p->guidance_scale_2 = p->guidance_scale;
    if (p->boundary_ratio == VG_UNSET_DOUBLE || c->experts == 1)
        p->boundary_ratio = c->boundary_ratio;
    if (p->flow_shift == VG_UNSET_DOUBLE)
        p->flow_shift = c->scheduler.flow_shift;
    if (p->flow_grid == VG_UNSET_INT)
        p->flow_grid = (int)c->scheduler.grid;
    if (!p->scheduler)
        p->scheduler = c->scheduler_kind;
    if (p->num_frames % c->vae.temporal != 1)
        p->num_frames = p->num_frames / c->vae.temporal * c->vae.temporal + 1;
    VG_TRY(check_size("height", p->height, c->vae.spatial * c->dit[0].patch[1], err));
    VG_TRY(check_size("width", p->width, c->vae.spatial * c->dit[0].patch[2], err));
    if (c->experts == 2 && p->boundary_ratio == VG_UNSET_DOUBLE)
        return VG_FAIL(
            err, VG_E_ARG,
            "model_index.json has a transformer_2 but no boundary_ratio; say "
            "--boundary-ratio (the published Wan2.2-A14B: 0.875 text to video, 0.9 image to "
            "video)");
    if (p->flow_grid < 0 || p->flow_grid >= VG_FLOW_GRID_COUNT)
        return VG_FAIL(err, VG_E_ARG, "flow_grid is %d, which is not known", p->flow_grid);
    wan_latent_shape(c, p, latent);
    VG_TRY(check_rope(c, latent, err));
    for (int i = 0; p->init_latents && i < 4; i++)
        if (!p->init_latents_shape || p->init_latents_shape[i] != latent[i])
            return VG_FAIL(err, VG_E_SHAPE,
                           "the initial latents must be [%lld, %lld, %lld, %lld] for this size",
                           (long long)latent[0], (long long)latent[1], (long long)latent[2],
                           (long long)latent[3]);
    if (p->init_latents)
        VG_TRY(check_finite(p->init_latents, latent, "the initial latents", err));
    return VG_OK;
}

/* The image's part of the transformer's input: there when the model wants it, of the right shape. */
static vg_status check_condition(const wan_config *c, const vg_generate_params *p, vg_err *err)
{
    int64_t wanted[4];
    wan_condition_shape(c, p, wanted);
    if (!c->image)
        return p->condition ? VG_FAIL(err, VG_E_ARG, "this model takes no image") : VG_OK;
    if (!p->condition || !p->condition_shape)
        return VG_FAIL(err, VG_E_ARG, "this model makes a video from an image, and none was given");
    if (memcmp(p->condition_shape, wanted, sizeof wanted) != 0)
        return VG_FAIL(
            err, VG_E_SHAPE, "the image's latents must be [%lld, %lld, %lld, %lld] for this size",
            (long long)wanted[0], (long long)wanted[1], (long long)wanted[2], (long long)wanted[3]);
    return check_finite(p->condition, wanted, "the image's latents", err);
}

void wan_latent_shape(const wan_config *c, const vg_generate_params *p, int64_t shape[4])
{
    shape[0] = c->dit[0].out_channels;
    shape[1] = (p->num_frames - 1) / c->vae.temporal + 1;
    shape[2] = p->height / c->vae.spatial;
    shape[3] = p->width / c->vae.spatial;
}

void wan_condition_shape(const wan_config *c, const vg_generate_params *p, int64_t shape[4])
{
    wan_latent_shape(c, p, shape);
    shape[0] = wan_condition_channels(c);
}

/* ---- denoise ---- */

typedef struct denoise_run {
    vg_engine *engine;
    vg_model *model;
    const wan_config *config;
    const vg_generate_params *p;
    const vg_conditioning *text;
    const vg_callbacks *cb;
    vg_calibration *calibration; /* NULL in a normal run */
    int calibration_steps;
    vg_stage stage;
    char identity[17];
    vg_backend *be;
    vg_arena *arena;
    vg_scheduler *scheduler;
    wan_dit *dit;
    int expert;                    /* what dit holds, -1 = nothing */
    int streamed[WAN_EXPERTS_MAX]; /* blocks of each expert that stay on the host */
    int failed;                    /* the expert last loaded */
    vg_prefetch *prefetch;         /* of the next expert's files */
    size_t grown;                  /* be->grown at the beginning */
    bool guided, preview;
    int64_t shape[4];
    vg_tensor x, x_in, cond, uncond, clean; /* [C,T,h,w] */
    float *latents;                         /* host copy of the last finished step */
    float *preview_latents;                 /* and of what it would be without its noise */
    uint8_t *picture;
    double seconds_done, progress_at;
    int forwards_done; /* of this step */
} denoise_run;

static void release_expert(denoise_run *r)
{
    wan_dit_close(r->dit);
    r->be->ops->trim(
        r->be); /* the next expert finds the memory as this one did, and as it was planned */
    r->dit = NULL;
    r->expert = -1;
}

typedef struct collect {
    denoise_run *run;
    const char *component;
    vg_status status;
    vg_err *err;
} collect;

static void collect_amax(void *user, const char *layer, float amax)
{
    collect *c = user;
    if (c->status == VG_OK)
        c->status = vg_calibration_add(c->run->calibration, c->component, layer, amax, c->err);
}

static vg_status finish_expert(denoise_run *r, vg_err *err)
{
    collect c = {r, r->expert >= 0 ? wan_expert_names[r->expert] : "", VG_OK, err};
    vg_status status = VG_OK;
    if (r->dit && r->calibration)
        status = wan_dit_calibrate_each(r->dit, collect_amax, &c, err);
    release_expert(r);
    return status != VG_OK ? status : c.status;
}

static vg_status open_expert(denoise_run *r, int expert, vg_err *err)
{
    const char *name = wan_expert_names[expert];
    vg_module_options options = {.compute = vg_compute_dtype(r->p->compute),
                                 .scheme = (int)r->p->scheme,
                                 .fp8_act = r->p->fp8_act,
                                 .input_scales = r->p->input_scales,
                                 .identity = r->identity[0] ? r->identity : NULL,
                                 .streamed = r->streamed[expert]};
    char *dir;
    VG_TRY(vg_model_weights_dir(r->model, name, &dir, err));
    vg_status status =
        wan_dit_open(r->engine, dir, name, &r->config->dit[expert], &options, &r->dit, err);
    free(dir);
    return status;
}

static vg_status set_texts(denoise_run *r, vg_err *err)
{
    const atomic_int *cancel = r->cb ? r->cb->cancel : NULL;
    VG_TRY(wan_dit_set_text(r->dit, 0, r->text->cond, r->text->tokens, cancel, err));
    if (r->guided)
        VG_TRY(wan_dit_set_text(r->dit, 1, r->text->uncond, r->text->tokens, cancel, err));
    return VG_OK;
}

static vg_status prepare_expert(denoise_run *r, vg_err *err)
{
    VG_TRY(set_texts(r, err));
    if (r->calibration) { /* once more with recording on, for the layers that see the text */
        VG_TRY(wan_dit_calibrate_begin(r->dit, err));
        VG_TRY(set_texts(r, err));
    }
    return VG_OK;
}

static int expert_of(const denoise_run *r, double timestep)
{
    return r->config->experts == 2 && timestep < r->p->boundary_ratio * 1000.0 ? 1 : 0;
}

/* While this expert runs, the files of the one that follows it come into memory. */
static void prefetch_next(denoise_run *r)
{
    char *dir;
    int next = r->expert;
    for (int i = vg_scheduler_at(r->scheduler); i < vg_scheduler_steps(r->scheduler); i++)
        if (expert_of(r, vg_scheduler_timestep(r->scheduler, i)) != r->expert)
            next = 1 - r->expert;
    if (next == r->expert ||
        vg_model_weights_dir(r->model, wan_expert_names[next], &dir, NULL) != VG_OK)
        return;
    r->prefetch = vg_prefetch_start(dir);
    free(dir);
}

static void stop_prefetch(denoise_run *r)
{
    vg_prefetch_stop(r->prefetch);
    r->prefetch = NULL;
}

static vg_status load_expert(denoise_run *r, int expert, vg_err *err)
{
    const char *name = wan_expert_names[expert];
    if (r->expert == expert)
        return VG_OK;
    stop_prefetch(r);
    VG_TRY(finish_expert(r, err));
    double begin = vg_now();
    vg_emit_stage(r->cb, VG_EVENT_STAGE_BEGIN, VG_STAGE_LOAD, name, 0);
    r->failed = expert;
    VG_TRY(open_expert(r, expert, err));
    r->expert = expert;
    VG_TRY(prepare_expert(r, err));
    if (wan_dit_dequantised(r->dit) > 0)
        vg_emit_note(r->cb, VG_STAGE_LOAD,
                     "%s: %d FP8 layers of the checkpoint were dequantised, as scheme bf16 asks",
                     name, wan_dit_dequantised(r->dit));
    const char *unused;
    int unused_count = wan_dit_unused(r->dit, &unused);
    if (unused_count > 0)
        vg_emit_note(
            r->cb, VG_STAGE_LOAD,
            "%s: %d tensors of the checkpoint are not used, the first is %s: does config.json fit the weights?",
            name, unused_count, unused);
    vg_emit_stage(r->cb, VG_EVENT_STAGE_END, VG_STAGE_LOAD, name, vg_now() - begin);
    prefetch_next(r);
    return VG_OK;
}

static void block_done(void *user, int done, int of)
{
    denoise_run *r = user;
    double now = vg_now();
    int forwards = r->guided ? 2 : 1;
    if (now - r->progress_at < 0.2 && r->progress_at > 0)
        return;
    r->progress_at = now;
    vg_emit_progress(r->cb, r->stage, "blocks", r->forwards_done * of + done, forwards * of);
}

/* What the model said last, with the guidance of its expert. */
static vg_guided answer(const denoise_run *r)
{
    double scale = r->expert == 0 ? r->p->guidance_scale : r->p->guidance_scale_2;
    return (vg_guided){
        .cond = &r->cond, .uncond = r->guided ? &r->uncond : NULL, .scale = (float)scale};
}

/* *y = x + coef v, v being the answer. */
static vg_status follow(denoise_run *r, double coef, vg_tensor *y, vg_err *err)
{
    return vg_guidance_step(
        r->be, &(vg_guidance_step_args){.x = &r->x, .v = answer(r), .coef = (float)coef, .y = y},
        err);
}

/* The prediction of the clean picture, x0 = x - sigma v, of the middle latent frame; r->x is still x. */
static vg_status emit_preview(denoise_run *r, double sigma, int step, int steps, vg_err *err)
{
    VG_TRY(follow(r, -sigma, &r->clean, err));
    VG_TRY(vg_backend_download(r->be, r->preview_latents, &r->clean, err));
    vg_preview_render(&r->config->preview, r->preview_latents, r->shape, r->shape[1] / 2,
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

/* Model output at `timestep`: r->cond and, guided, r->uncond. Condition first, then without, as two calls. */
static vg_status predict(denoise_run *r, double timestep, vg_err *err)
{
    const atomic_int *cancel = r->cb ? r->cb->cancel : NULL;
    const vg_tensor *in = &r->x;
    if (r->x_in.data) {
        vg_tensor noise = vg_tensor_rows(&r->x_in, 0, r->shape[0]); /* the image's channels stay */
        VG_TRY(vg_cast(r->be, &(vg_cast_args){.x = &r->x, .y = &noise}, err));
        in = &r->x_in;
    }
    r->forwards_done = 0;
    VG_TRY(wan_dit_forward(r->dit, in, timestep, 0, cancel, block_done, r, &r->cond, err));
    if (!r->guided)
        return VG_OK;
    r->forwards_done = 1;
    return wan_dit_forward(r->dit, in, timestep, 1, cancel, block_done, r, &r->uncond, err);
}

/* x to the host, refused when something made it NaN: the steps after it would only spread it. */
static vg_status download_latents(denoise_run *r, int step, vg_err *err)
{
    char what[64];
    snprintf(what, sizeof what, "%s step %d: the latents", vg_stage_name(r->stage), step + 1);
    VG_TRY(vg_backend_download(r->be, r->latents, &r->x, err));
    return check_finite(r->latents, r->shape, what, err);
}

static vg_status run_step(denoise_run *r, vg_err *err)
{
    int step = vg_scheduler_at(r->scheduler), steps = vg_scheduler_steps(r->scheduler);
    double timestep = vg_scheduler_timestep(r->scheduler, step),
           sigma = vg_scheduler_sigma(r->scheduler, step);
    VG_TRY(load_expert(r, expert_of(r, timestep), err));
    int expert = r->expert;
    double begin = vg_now();
    VG_TRY(predict(r, timestep, err));
    if (r->preview)
        VG_TRY(emit_preview(r, sigma, step + 1, steps, err));
    vg_guided v = answer(r);
    VG_TRY(vg_scheduler_step(r->scheduler, &v, &r->x, err));
    VG_TRY(download_latents(r, step, err));
    double seconds = vg_now() - begin;
    r->seconds_done += seconds;
    if (r->cb && r->cb->save) {
        vg_denoise_state state = {.shape = {r->shape[0], r->shape[1], r->shape[2], r->shape[3]},
                                  .latents = r->latents,
                                  .seconds_done = r->seconds_done};
        VG_TRY(vg_scheduler_save(r->scheduler, &state.scheduler, err));
        vg_status status = r->cb->save(r->cb->user, &state, err);
        vg_scheduler_state_deinit(&state.scheduler);
        VG_TRY(status);
    }
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

static vg_status allocate_run(denoise_run *r, vg_err *err)
{
    vg_dtype compute = vg_compute_dtype(r->p->compute);
    size_t count = (size_t)numel(r->shape);
    VG_TRY(vg_arena_new(r->be, (size_t)1 << 20, &r->arena, err));
    VG_TRY(vg_arena_tensor(r->arena, VG_F32, 4, r->shape, &r->x, err));
    VG_TRY(vg_arena_tensor(r->arena, compute, 4, r->shape, &r->cond, err));
    if (r->guided)
        VG_TRY(vg_arena_tensor(r->arena, compute, 4, r->shape, &r->uncond, err));
    int64_t in[4] = {r->config->dit[0].in_channels, r->shape[1], r->shape[2], r->shape[3]};
    if (compute != VG_F32 || r->config->image)
        VG_TRY(vg_arena_tensor(r->arena, compute, 4, in, &r->x_in, err));
    if (r->preview)
        VG_TRY(vg_arena_tensor(r->arena, VG_F32, 4, r->shape, &r->clean, err));
    r->latents = malloc(count * sizeof *r->latents);
    r->preview_latents = malloc(count * sizeof *r->preview_latents);
    r->picture = malloc((size_t)(r->shape[2] * r->shape[3]) * 3);
    if (!r->latents || !r->preview_latents || !r->picture)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for latents of %zu values", count);
    return VG_OK;
}

/* The image's channels of x_in, once: no step changes them. */
static vg_status upload_condition(denoise_run *r, vg_err *err)
{
    int64_t channels = wan_condition_channels(r->config);
    size_t mark = vg_arena_mark(r->arena);
    vg_tensor raw, to = vg_tensor_rows(&r->x_in, r->shape[0], channels);
    VG_TRY(vg_arena_tensor(r->arena, VG_F32, 4, to.shape, &raw, err));
    VG_TRY(vg_backend_upload(r->be, &raw, r->p->condition, err));
    VG_TRY(vg_cast(r->be, &(vg_cast_args){.x = &raw, .y = &to}, err));
    vg_arena_reset(r->arena, mark);
    return VG_OK;
}

static vg_status start_run(denoise_run *r, const vg_denoise_state *resume, vg_err *err)
{
    const vg_generate_params *p = r->p;
    vg_scheduler_params sp = {.kind = p->scheduler,
                              .steps = p->steps,
                              .flow_shift = p->flow_shift,
                              .grid = (vg_flow_grid)p->flow_grid};
    size_t count = (size_t)numel(r->shape);
    VG_TRY(vg_scheduler_new(&sp, r->be, (int64_t)count, &r->scheduler, err));
    if (resume) {
        for (int i = 0; i < 4; i++)
            if (resume->shape[i] != r->shape[i])
                return VG_FAIL(err, VG_E_SHAPE,
                               "the saved state is of another size than these settings");
        VG_TRY(vg_scheduler_restore(r->scheduler, &resume->scheduler, err));
        memcpy(r->latents, resume->latents, count * sizeof *r->latents);
        VG_TRY(check_finite(r->latents, r->shape, "the latents of the saved state", err));
        r->seconds_done = resume->seconds_done;
    } else if (p->init_latents) {
        memcpy(r->latents, p->init_latents, count * sizeof *r->latents);
    } else if (!r->be->ops->dry) {
        vg_rng_torch_normal(p->seed, r->latents, count);
    }
    VG_TRY(vg_backend_upload(r->be, &r->x, r->latents, err));
    if (r->config->image)
        VG_TRY(upload_condition(r, err));
    return vg_backend_sync(r->be, err);
}

static vg_status check_text(const denoise_run *r, vg_err *err)
{
    if (!r->text || !r->text->cond || r->text->tokens < 1)
        return VG_FAIL(err, VG_E_ARG, "denoising needs an encoded prompt");
    if (r->text->dim != r->config->dit[0].text_dim)
        return VG_FAIL(err, VG_E_SHAPE,
                       "the encoded prompt has rows of %lld values; this model wants %lld",
                       (long long)r->text->dim, (long long)r->config->dit[0].text_dim);
    if (r->guided && !r->text->uncond)
        return VG_FAIL(err, VG_E_ARG, "guidance %g needs an encoded negative prompt as well",
                       r->p->guidance_scale);
    return VG_OK;
}

static vg_status check_cancel(const denoise_run *r, int step, vg_err *err)
{
    if (r->cb && vg_cancelled(r->cb->cancel))
        return VG_FAIL(err, VG_E_CANCELLED, "cancelled before step %d", step + 1);
    return VG_OK;
}

static vg_status loop(denoise_run *r, vg_err *err)
{
    int begin = vg_scheduler_at(r->scheduler), steps = vg_scheduler_steps(r->scheduler);
    while (vg_scheduler_at(r->scheduler) < steps) {
        if (r->p->max_steps_run != VG_UNSET_INT &&
            vg_scheduler_at(r->scheduler) - begin >= r->p->max_steps_run)
            break;
        VG_TRY(check_cancel(r, vg_scheduler_at(r->scheduler), err));
        VG_TRY(run_step(r, err));
    }
    return finish_expert(r, err);
}

/* ---- calibration ---- */

#define STEPS_MAX 1000 /* of any scheduler */

/* Mark `wanted` steps of the job's own schedule, spread evenly with both ends, and at least the first and the last of every expert
 * that the schedule uses: what the job will run with is what gets measured, and an expert it never reaches needs no scales. */
static int choose_steps(const denoise_run *r, int wanted, bool *chosen)
{
    int steps = vg_scheduler_steps(r->scheduler), count = 0;
    for (int k = 0; k < wanted; k++)
        chosen[wanted > 1 ? (int)(((int64_t)k * (steps - 1) + (wanted - 1) / 2) / (wanted - 1))
                          : 0] = true;
    for (int e = 0; e < r->config->experts; e++) {
        int first = -1, last = -1, have = 0;
        for (int i = 0; i < steps; i++) {
            if (expert_of(r, vg_scheduler_timestep(r->scheduler, i)) != e)
                continue;
            first = first < 0 ? i : first;
            last = i;
            have += chosen[i];
        }
        if (first >= 0 && have < 2)
            chosen[first] = chosen[last] = true;
    }
    for (int i = 0; i < steps; i++)
        count += chosen[i];
    return count;
}

/* One measured step: predict at step i of the schedule, then follow the straight line to the next chosen one. */
static vg_status calibrate_step(denoise_run *r, int i, int next, vg_err *err)
{
    double timestep = vg_scheduler_timestep(r->scheduler, i),
           sigma = vg_scheduler_sigma(r->scheduler, i);
    VG_TRY(load_expert(r, expert_of(r, timestep), err));
    VG_TRY(predict(r, timestep, err));
    VG_TRY(follow(r, vg_scheduler_sigma(r->scheduler, next) - sigma, &r->x, err));
    return download_latents(r, i, err);
}

static vg_status calibrate_loop(denoise_run *r, vg_err *err)
{
    int steps = vg_scheduler_steps(r->scheduler), done = 0, next;
    bool chosen[STEPS_MAX] = {false};
    int count =
        choose_steps(r, r->calibration_steps < steps ? r->calibration_steps : steps, chosen);
    for (int i = 0; i < steps; i = next) {
        double begin = vg_now();
        for (next = i + 1; next < steps && !chosen[next];)
            next++;
        VG_TRY(check_cancel(r, i, err));
        VG_TRY(calibrate_step(r, i, next, err));
        vg_emit(r->cb, &(vg_event){.kind = VG_EVENT_STEP,
                                   .stage = r->stage,
                                   .detail = "",
                                   .step = ++done,
                                   .steps = count,
                                   .seconds = vg_now() - begin,
                                   .timestep = vg_scheduler_timestep(r->scheduler, i),
                                   .sigma = vg_scheduler_sigma(r->scheduler, i),
                                   .expert = r->expert});
    }
    return finish_expert(r, err);
}

static void release_run(denoise_run *r)
{
    stop_prefetch(r);
    release_expert(r);
    vg_scheduler_free(r->scheduler);
    vg_arena_free(r->arena);
    free(r->latents);
    free(r->preview_latents);
    free(r->picture);
}

/* ---- memory ---- */

static vg_generate_params memory_params(const denoise_run *r)
{
    vg_generate_params p = *r->p;
    p.calibrating = r->calibration != NULL;
    return p;
}

static vg_status begin_memory(denoise_run *r, vg_err *err)
{
    static const char *const experts[] = {"transformer", "transformer_2", NULL};
    static const char *const calibration[] = {"calibrate", NULL};
    vg_generate_params p = memory_params(r);
    vg_plan plan;
    VG_TRY(vg_budget_begin(r->engine, r->model, &p, r->calibration ? calibration : experts, &plan,
                           err));
    for (int i = 0; i < plan.count; i++) {
        const vg_plan_stage *s = &plan.stages[i];
        for (int e = 0; e < r->config->experts; e++)
            if (strcmp(s->name, r->calibration ? "calibrate" : wan_expert_names[e]) == 0)
                r->streamed[e] = s->streamed;
    }
    for (int e = 0; e < r->config->experts && !r->calibration; e++)
        if (r->streamed[e])
            vg_emit_note(r->cb, VG_STAGE_LOAD,
                         "%s: %d of %lld blocks stay on the host and are streamed: memory limit",
                         wan_expert_names[e], r->streamed[e], (long long)r->config->dit[e].layers);
    r->grown = r->be->grown;
    return VG_OK;
}

static vg_status end_memory(denoise_run *r, vg_status status, vg_err *err)
{
    vg_generate_params p = memory_params(r);
    const char *stage = r->calibration  ? "calibrate"
                        : r->failed > 0 ? wan_expert_names[r->failed]
                                        : wan_expert_names[0];
    if (r->be->grown > r->grown)
        vg_emit_note(r->cb, r->stage, "the memory plan was %zu bytes short",
                     r->be->grown - r->grown);
    return vg_budget_end(r->engine, r->model, &p, stage, status, err);
}

#define REHEARSED_STEPS 3 /* until the scheduler has all of its history */

vg_status wan_rehearse(vg_engine *engine, const vg_model *model, const vg_generate_params *p,
                       int expert, int streamed, vg_plan_stage *s, vg_err *err)
{
    float nothing = 0; /* never read */
    vg_conditioning text = {.tokens = p->max_text_tokens, .cond = &nothing, .uncond = &nothing};
    vg_calibration *calibration = NULL;
    denoise_run r = {.engine = engine,
                     .model = (vg_model *)(uintptr_t)model,
                     .config = wan_config_of(model),
                     .p = p,
                     .text = &text,
                     .be = engine->be,
                     .expert = -1,
                     .guided = p->guidance_scale > 1,
                     .preview = !p->calibrating};
    vg_backend *be = engine->be;
    vg_status status = VG_OK;
    r.streamed[expert] = streamed;
    wan_latent_shape(r.config, p, r.shape);
    if (p->calibrating)
        VG_TRY(vg_calibration_new(&calibration, err));
    r.calibration = calibration;
    VG_TRY_GOTO(status, allocate_run(&r, err), done);
    VG_TRY_GOTO(status, start_run(&r, NULL, err), done);
    size_t before = be->bytes_now;
    VG_TRY_GOTO(status, open_expert(&r, expert, err), done);
    size_t weights = be->bytes_now - before;
    be->bytes_peak = be->bytes_now;
    VG_TRY_GOTO(status, prepare_expert(&r, err), done);
    VG_TRY_GOTO(status, predict(&r, 500.0, err), done);
    vg_guided v = answer(&r);
    for (int i = 0; i < REHEARSED_STEPS && i < p->steps; i++)
        VG_TRY_GOTO(status, vg_scheduler_step(r.scheduler, &v, &r.x, err), done);
    *s = (vg_plan_stage){.weights = weights,
                         .activations = be->bytes_peak - weights,
                         .workspace = be->reached - be->bytes_peak, /* staging, holes */
                         .blocks = (int)r.config->dit[expert].layers,
                         .streamed = streamed,
                         .host = wan_dit_host_bytes(r.dit)};
    if (be->ops->host_memory) /* views into files are weights as well */
        s->weights = wan_dit_weight_bytes(r.dit);
done:
    release_run(&r);
    vg_calibration_free(calibration);
    return status;
}

static vg_status run_denoise(denoise_run *r, const vg_denoise_state *resume, vg_latents *out,
                             vg_err *err)
{
    vg_status status;
    r->be = r->engine->be;
    r->expert = -1;
    r->guided = r->p->guidance_scale > 1;
    r->be->bytes_peak = r->be->bytes_now; /* the peak of this stage */
    VG_TRY(wan_need_vae(r->model, err));
    wan_latent_shape(r->config, r->p, r->shape);
    VG_TRY(check_text(r, err));
    VG_TRY(check_condition(r->config, r->p, err));
    if (r->p->scheme == VG_SCHEME_FP8 && r->p->fp8_act == VG_FP8_ACT_STATIC && r->p->input_scales)
        VG_TRY(vg_model_identity(r->model, r->identity, err));
    r->preview = !r->calibration && r->cb && r->cb->event &&
                 wan_prepare_preview(r->engine, r->model, r->shape[1] > 1 ? 1 : 0);
    VG_TRY(begin_memory(r, err));
    r->be->bytes_peak = r->be->bytes_now;
    double begin = vg_now();
    vg_emit_stage(r->cb, VG_EVENT_STAGE_BEGIN, r->stage, "", 0);
    VG_TRY_GOTO(status, allocate_run(r, err), done);
    VG_TRY_GOTO(status, start_run(r, resume, err), done);
    status = r->calibration ? calibrate_loop(r, err) : loop(r, err);
    if (status == VG_OK)
        vg_emit_stage(r->cb, VG_EVENT_STAGE_END, r->stage, "", vg_now() - begin);
    int at = vg_scheduler_at(r->scheduler);
    if (out && (status == VG_OK || (status == VG_E_CANCELLED && at > 0))) {
        *out = (vg_latents){.shape = {r->shape[0], r->shape[1], r->shape[2], r->shape[3]},
                            .values = r->latents,
                            .steps_done = at,
                            .steps = vg_scheduler_steps(r->scheduler),
                            .denoise_seconds = r->seconds_done,
                            .peak_bytes = r->be->bytes_peak};
        r->latents = NULL;
    }
done:
    release_run(r);
    return end_memory(r, status, err);
}

vg_status wan_denoise(vg_engine *engine, vg_model *model, const vg_generate_params *p,
                      const vg_conditioning *text, const vg_denoise_state *resume,
                      const vg_callbacks *cb, vg_latents *out, vg_err *err)
{
    denoise_run r = {.engine = engine,
                     .model = model,
                     .config = wan_config_of(model),
                     .p = p,
                     .text = text,
                     .cb = cb,
                     .stage = VG_STAGE_DENOISE};
    return run_denoise(&r, resume, out, err);
}

vg_status wan_calibrate(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                        const vg_conditioning *text, int steps, const vg_callbacks *cb,
                        vg_calibration *calibration, vg_err *err)
{
    vg_generate_params p = *params;
    vg_callbacks quiet = cb ? *cb : (vg_callbacks){0};
    p.max_steps_run = VG_UNSET_INT;
    quiet.save = NULL;
    denoise_run r = {.engine = engine,
                     .model = model,
                     .config = wan_config_of(model),
                     .p = &p,
                     .text = text,
                     .cb = &quiet,
                     .calibration = calibration,
                     .calibration_steps = steps,
                     .stage = VG_STAGE_CALIBRATE};
    return run_denoise(&r, NULL, NULL, err);
}
