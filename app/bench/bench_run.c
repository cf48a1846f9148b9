/* bench_run.c: one variant of a bench: load, text, encode, denoise, decode, each timed by the events that the engine sends anyway. */
#include "app/bench/bench.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "engine/run/budget.h"
#include "engine/run/store_memory.h"

/* Calibration of static scales runs at this size: how large the scales are does not change how fast the products are. */
#define CALIBRATION_SIDE   256 /* px */
#define CALIBRATION_FRAMES 5
#define CALIBRATION_STEPS  2

typedef struct bench {
    const vg_bench_plan *plan;
    vg_engine *engine;
    vg_model *model;
    vg_backend *be;
    vg_settings settings; /* of the variant */
    vg_generate_params params;
    vg_bench_result *r;
    vg_profile *profile;
    vg_bench_watch *watch;
    vg_callbacks callbacks;
    vg_bench_stage stage; /* that the engine is in, but for loading */
    bool loading;
    double load_inside; /* seconds of loading inside of the stage */
    vg_status status;   /* of what the callbacks tried */
    vg_err *err;
} bench;

const char *vg_bench_stage_name(vg_bench_stage stage)
{
    static const char *const names[VG_BENCH_STAGE_COUNT] = {"load",      "text",    "encode",
                                                            "calibrate", "denoise", "decode"};
    return names[stage];
}

void vg_bench_result_deinit(vg_bench_result *r)
{
    free(r->ops);
    vg_layer_attentions_deinit(&r->attentions);
    *r = (vg_bench_result){0};
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- events ---- */

static vg_bench_stage stage_of(vg_stage stage)
{
    static const vg_bench_stage of[VG_STAGE_COUNT] = {
        [VG_STAGE_LOAD] = VG_BENCH_LOAD,       [VG_STAGE_TEXT] = VG_BENCH_TEXT,
        [VG_STAGE_ENCODE] = VG_BENCH_ENCODE,   [VG_STAGE_CALIBRATE] = VG_BENCH_CALIBRATE,
        [VG_STAGE_DENOISE] = VG_BENCH_DENOISE, [VG_STAGE_DECODE] = VG_BENCH_DECODE,
    };
    return of[stage];
}

/* Memory belongs to the stage for which it was taken: weights of a stage count as the stage's. */
static void note_memory(bench *b)
{
    size_t *peak = &b->r->peak_bytes[b->stage];
    if (b->be->bytes_peak > *peak)
        *peak = b->be->bytes_peak;
    b->be->bytes_peak = b->be->bytes_now;
}

static void enter(bench *b, vg_bench_stage stage, bool loading)
{
    note_memory(b);
    b->stage = stage;
    b->loading = loading;
    vg_profile_section(b->profile, loading ? VG_BENCH_LOAD : (int)stage);
}

static void say(const bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const bench *b, const char *format, ...)
{
    va_list args;
    char text[256];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "%s: ", b->r->id);
    vg_text_print(stderr, text);
    fputc('\n', stderr);
}

static void on_step(bench *b, const vg_event *event)
{
    vg_bench_result *r = b->r;
    if (b->status == VG_OK)
        b->status = vg_profile_resolve(b->profile, b->err);
    if (event->step <= b->plan->warm_up) {
        say(b, "step %d of %d: %.3f s, to warm up", event->step,
            b->plan->warm_up + b->plan->steps_run, event->seconds);
        vg_profile_clear(b->profile, VG_BENCH_DENOISE);
        vg_bench_watch_start(b->watch);
        return;
    }
    say(b, "step %d of %d: %.3f s", event->step, b->plan->warm_up + b->plan->steps_run,
        event->seconds);
    if (r->steps < VG_BENCH_STEPS_MAX)
        r->step_s[r->steps++] = event->seconds;
}

static void on_stage(bench *b, const vg_event *event)
{
    vg_bench_stage stage = stage_of(event->stage);
    bool begins = event->kind == VG_EVENT_STAGE_BEGIN;
    if (stage == VG_BENCH_LOAD) {
        enter(b, stage_of(event->load_for), begins);
        if (begins)
            return;
        b->r->wall_s[VG_BENCH_LOAD] += event->seconds;
        b->load_inside += event->seconds;
        say(b, "%s loaded: %.2f s", event->detail, event->seconds);
        return;
    }
    enter(b, stage, false);
    if (begins) {
        b->load_inside = 0;
        if (stage == VG_BENCH_DENOISE && b->plan->warm_up == 0)
            vg_bench_watch_start(b->watch);
        return;
    }
    if (stage == VG_BENCH_DENOISE)
        vg_bench_watch_stop(b->watch, &b->r->clocks);
    b->r->wall_s[stage] += event->seconds - b->load_inside;
    say(b, "%s: %.2f s", vg_bench_stage_name(stage), event->seconds - b->load_inside);
}

static void on_event(void *user, const vg_event *event)
{
    bench *b = user;
    note_memory(b);
    if (event->kind == VG_EVENT_STAGE_BEGIN || event->kind == VG_EVENT_STAGE_END)
        on_stage(b, event);
    else if (event->kind == VG_EVENT_STEP && event->stage == VG_STAGE_DENOISE)
        on_step(b, event);
    else if (event->kind == VG_EVENT_PRECISION) /* what denoising begins with is its own */
        enter(b, VG_BENCH_DENOISE, false);
    else if (event->kind == VG_EVENT_ATTENTION)
        vg_layer_attentions_take(
            &b->r->attentions,
            &(vg_layer_attention){event->expert, event->step, event->attention->cosine,
                                  event->attention->relative_l2, event->attention->largest_error,
                                  event->attention->missed});
    else if (event->kind == VG_EVENT_NOTE)
        say(b, "%s", event->detail);
}

/* ---- stages ---- */

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Of roles of which one is enough, the first. */
static unsigned roles_of(const vg_mode *mode)
{
    return mode->needs | (mode->one_of & ~(mode->one_of - 1));
}

/* A picture or a video of noise for every role that the mode needs; `media` has room for all roles. */
static vg_status noise_media(const bench *b, vg_media *media, int *count, vg_err *err)
{
    const vg_generate_params *p = &b->params;
    unsigned needs = roles_of(vg_model_mode(b->model, p));
    uint32_t state = 1;
    for (int role = 0; role < VG_ROLE_COUNT; role++) {
        bool video = role == VG_ROLE_VIDEO || role == VG_ROLE_MASK;
        vg_frames f = {.count = video ? p->num_frames : 1, .height = p->height, .width = p->width};
        size_t bytes = (size_t)f.count * (size_t)f.height * (size_t)f.width * 3;
        if (!(needs >> role & 1))
            continue;
        f.rgb = malloc(bytes);
        if (!f.rgb)
            return VG_FAIL(err, VG_E_NOMEM, "out of memory for a picture of %zu bytes", bytes);
        for (size_t i = 0; i < bytes; i++) {
            state = state * 1664525u + 1013904223u;
            f.rgb[i] = (uint8_t)(state >> 24);
        }
        media[(*count)++] = (vg_media){(vg_role)role, f};
    }
    return VG_OK;
}

/* Latents of as many steps as are measured: nothing is kept, and what must be calibrated is at a small size. */
static vg_status run_denoise(bench *b, const vg_sequence *sequence, vg_latents *latents,
                             vg_err *err)
{
    bool found;
    enter(b, VG_BENCH_TEXT, false);
    VG_TRY(vg_sequence_latents(sequence, latents, &found, err));
    if (b->status != VG_OK && err)
        *err = *b->err;
    if (b->r->wall_s[VG_BENCH_CALIBRATE] > 0)
        snprintf(b->r->scales, sizeof b->r->scales, "static, calibrated at %dx%dx%d",
                 smaller(b->params.height, CALIBRATION_SIDE),
                 smaller(b->params.width, CALIBRATION_SIDE),
                 smaller(b->params.num_frames, CALIBRATION_FRAMES));
    return b->status;
}

/* Prompts, and noise where the mode needs pictures; or noise in place of all that encoders would make. */
static vg_status run_sequence(bench *b, vg_memory_store *store, vg_latents *latents, vg_err *err)
{
    vg_generate_params p = b->params;
    vg_media media[VG_ROLE_COUNT];
    int count = 0;
    const vg_sequence sequence = {.engine = b->engine,
                                  .model = b->model,
                                  .params = &p,
                                  .store = &store->store,
                                  .callbacks = &b->callbacks,
                                  .calibration_steps = CALIBRATION_STEPS,
                                  .calibration_side = CALIBRATION_SIDE,
                                  .calibration_frames = CALIBRATION_FRAMES,
                                  .latents_only = b->plan->denoise_only};
    vg_status status = b->plan->denoise_only
                           ? vg_model_fill_conditions(b->model, &p, &store->conditions, err)
                           : noise_media(b, media, &count, err);
    p.inputs.media = media;
    p.inputs.media_count = count;
    if (status == VG_OK)
        status = run_denoise(b, &sequence, latents, err);
    if (status == VG_OK && !b->plan->denoise_only) {
        enter(b, VG_BENCH_DECODE, false);
        status = vg_sequence_frames(&sequence, latents, true, err);
    }
    for (int i = 0; i < count; i++)
        vg_frames_deinit(&media[i].frames);
    return status;
}

static vg_status run_stages(bench *b, vg_err *err)
{
    vg_memory_store store;
    vg_latents latents = {0};
    vg_memory_store_init(&store);
    /* Copies are made for nobody, and beside what is measured. */
    store.store.save_conditions = NULL;
    store.store.save_scales = NULL;
    store.store.save_state = NULL;
    store.store.save_latents = NULL;
    store.store.save_frames = NULL;
    vg_status status = run_sequence(b, &store, &latents, err);
    note_memory(b);
    if (status == VG_OK)
        status = vg_profile_resolve(b->profile, err);
    vg_latents_deinit(&latents);
    vg_memory_store_deinit(&store);
    return status;
}

/* ---- the whole ---- */

static vg_status keep_ops(const bench *b, vg_err *err)
{
    int count = vg_profile_count(b->profile);
    b->r->ops = calloc((size_t)count + 1, sizeof *b->r->ops);
    if (!b->r->ops)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a profile of %d entries", count);
    for (int i = 0; i < count; i++) {
        const vg_profile_entry *e = vg_profile_at(b->profile, i);
        if (e->calls > 0)
            b->r->ops[b->r->ops_count++] = *e;
    }
    return VG_OK;
}

/* FLOPs and floor of a step, from what really ran. */
static void add_up(vg_bench_result *r)
{
    const vg_device_rates *rates = vg_device_rates_find(r->device.name);
    double flops = 0, floor = 0;
    for (int i = 0; i < r->ops_count; i++) {
        const vg_profile_entry *e = &r->ops[i];
        if (e->section != VG_BENCH_DENOISE)
            continue;
        flops += (double)e->calls * e->cost.flops;
        floor += rates ? (double)e->calls * vg_op_floor_s(&e->cost, rates) : 0;
    }
    if (r->steps > 0) {
        r->flop_per_it = flops / r->steps;
        r->floor_s_per_it = floor / r->steps;
    }
    r->per_it = vg_bench_range_of(r->step_s, r->steps);
    for (int s = 0; s < VG_BENCH_STAGE_COUNT; s++) {
        if (s != VG_BENCH_CALIBRATE && r->peak_bytes[s] > r->peak_bytes[r->peak_stage])
            r->peak_stage = (vg_bench_stage)s;
    }
}

static vg_status prepare(bench *b, const vg_variant *variant, vg_err *err)
{
    vg_generate_params *p = &b->params;
    const vg_bench_plan *plan = b->plan;
    vg_plan memory;
    vg_variant_settings(&plan->settings, variant, &b->settings);
    vg_settings_params(&b->settings, p);
    p->max_steps_run = plan->warm_up + plan->steps_run;
    /* Both experts are of one size; stay with the first, so that no step is measured beside the loading of the other. */
    if (!vg_settings_is_set(&b->settings, VG_OPT_boundary_ratio))
        p->boundary_ratio = 0;
    VG_TRY(vg_model_defaults(b->model, p, err));
    b->r->attention = p->attention;
    if (p->max_steps_run > p->steps)
        return VG_FAIL(err, VG_E_ARG,
                       "--steps-run %d and %d to warm up are more than the %d steps of the job",
                       plan->steps_run, plan->warm_up, p->steps);
    vg_generate_params planned = *p;
    planned.device = b->be->ops->kind;
    VG_TRY(vg_budget_limit(b->engine, p, &planned.memory_limit, err));
    VG_TRY(vg_plan_make(b->model, &planned, &memory, err));
    for (int i = 0; i < memory.count; i++) {
        const vg_plan_stage *stage = &memory.stages[i];
        if (vg_plan_total(stage) > b->r->planned_bytes)
            b->r->planned_bytes = vg_plan_total(stage);
        if (stage->streamed > b->r->streamed_blocks)
            b->r->streamed_blocks = stage->streamed;
    }
    b->r->tokens = memory.tokens;
    b->r->forwards = p->guidance_scale > 1 ? 2 : 1;
    b->r->height = p->height;
    b->r->width = p->width;
    b->r->num_frames = p->num_frames;
    b->r->guidance_scale = p->guidance_scale;
    if (p->scheme == VG_SCHEME_FP8)
        snprintf(b->r->scales, sizeof b->r->scales, "%s",
                 p->fp8_act == VG_FP8_ACT_DYNAMIC       ? "dynamic"
                 : p->fp8_act == VG_FP8_ACT_WEIGHT_ONLY ? "none"
                                                        : "the checkpoint's own");
    return vg_model_precision(b->model, p, &b->r->precision, err);
}

vg_status vg_bench_run(vg_engine *engine, vg_model *model, const vg_bench_plan *plan,
                       const vg_variant *variant, vg_bench_result *out, vg_err *err)
{
    vg_bench_result r = {
        .scheme = vg_variant_scheme(variant), .warm_up = plan->warm_up, .timed = plan->profile};
    vg_err in_callback = {0};
    bench b = {.plan = plan,
               .engine = engine,
               .model = model,
               .be = vg_engine_backend(engine),
               .r = &r,
               .err = &in_callback};
    const char *beside = getenv("VGEN_GAUGE_PCI"); /* a GPU beside the device: for the tests */
    vg_gpu_gauge *gauge = NULL;
    vg_status status;
    double begin = now();
    b.callbacks = (vg_callbacks){.user = &b, .event = on_event, .cancel = plan->cancel};
    snprintf(r.id, sizeof r.id, "%s", variant->id);
    snprintf(r.label, sizeof r.label, "%s", variant->label);
    VG_TRY_GOTO(status, prepare(&b, variant, err), done);
    VG_TRY_GOTO(status, vg_profile_new(b.be, plan->profile, &b.profile, err), done);
    VG_TRY_GOTO(status, vg_backend_info(b.be, &r.device, err), done);
    bool other = beside && *beside;
    if (vg_gpu_gauge_open(other ? beside : r.device.pci_bus_id, other ? NULL : r.device.uuid,
                          &gauge, NULL) == VG_OK)
        b.watch = vg_bench_watch_new(gauge);
    b.be->profile = b.profile;
    b.be->bytes_peak = b.be->bytes_now;
    VG_TRY_GOTO(status, run_stages(&b, err), done);
    VG_TRY_GOTO(status, vg_backend_info(b.be, &r.device, err),
                done); /* now with the library's version */
    VG_TRY_GOTO(status, keep_ops(&b, err), done);
    r.total_s = now() - begin;
    add_up(&r);
    *out = r;
done:
    vg_bench_watch_free(b.watch);
    vg_gpu_gauge_close(gauge);
    vg_profile_free(b.profile);
    vg_settings_deinit(&b.settings);
    if (status != VG_OK) {
        vg_bench_result_deinit(&r);
        if (status != VG_E_CANCELLED && status != VG_E_ARG)
            vg_err_prefix(err, "%s", variant->id);
    }
    return status;
}
