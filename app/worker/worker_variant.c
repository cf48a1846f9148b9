/* worker_variant.c: one variant from text to clip, beginning where an earlier run stopped. Each finished piece is a file, so what is done
 * is what is there: conditions.safetensors, calibration.json, state.safetensors (steps so far), latents.safetensors, frames, variant.json. */
#include "app/worker/worker_run.h"
#include "kernels/base/hash.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "app/job/job_media.h"
#include "app/media/frames.h"
#include "app/settings/paths.h"
#include "engine/run/budget.h"

/* Prompts and pictures to conditions. */
static vg_status encode(vg_worker *w, const vg_generate_params *params, vg_err *err)
{
    vg_generate_params p = *params;
    vg_job_media media;
    VG_TRY(vg_job_media_open(w->job.dir, &w->job.resolved, &media, err));
    for (int i = 0; i < media.count; i++)
        if (media.pictures[i].note[0])
            vg_worker_note(w, "%s: %s", vg_options[media.option[i]].key, media.pictures[i].note);
    vg_job_media_give(&media, &p);
    vg_status status = vg_encode(w->engine, w->model, &p, &w->callbacks, &w->conditions, err);
    vg_job_media_deinit(&media);
    return status;
}

static vg_status need_conditions(vg_worker *w, const vg_generate_params *params, vg_err *err)
{
    vg_status status = VG_OK;
    int owner = vg_job_owner(&w->job, w->variant, VG_DECIDES_CONDITIONS);
    if (w->conditions.count && w->conditions_owner == owner)
        return VG_OK;
    vg_conditions_deinit(&w->conditions);
    w->conditions_owner = owner;
    char *path = vg_job_shared_path(&w->job, w->variant, VG_DECIDES_CONDITIONS, VG_JOB_CONDITIONS);
    const char *const metadata[] = {VG_MADE_WITH, w->made_with_conditions[w->variant], NULL};
    if (vg_worker_find_conditions(w, params, path))
        goto done;
    VG_TRY_GOTO(status, encode(w, params, err), done);
    status = vg_conditions_write(path, &w->conditions, metadata, err);
done:
    free(path);
    return status;
}

/* ---- calibration ---- */

/* Everything that decides the scales: two jobs with the same key get the same file, bit for bit. */
static char *calibration_key(const vg_worker *w)
{
    const vg_job_variant *v = &w->job.variants[w->variant];
    uint64_t hash = VG_FNV1A_BEGIN;
    char tail[64];
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        const char *text = vg_settings_get(&v->resolved, (vg_option_id)i);
        if (vg_option_decides(&vg_options[i], VG_DECIDES_SCALES))
            hash = vg_fnv1a(hash, text, strlen(text) + 1);
    }
    snprintf(tail, sizeof tail, "-%s-%d-%s-%s", w->job.device, VG_WORKER_CALIBRATION_STEPS,
             VG_VERSION, "3");
    return vg_xstrf("%s-%016llx%s", v->identity ? v->identity : "unknown", (unsigned long long)hash,
                    tail);
}

static vg_status need_calibration(vg_worker *w, const vg_generate_params *params, const char *path,
                                  vg_err *err)
{
    const char *made_with = w->made_with_scales[w->variant],
               *identity = w->job.variants[w->variant].identity;
    if (vg_worker_scales_good(path, made_with))
        return VG_OK;
    char *cache = vg_paths_cache(), *folder = vg_xstrf("%s/calibration", cache),
         *key = calibration_key(w);
    char *cached = vg_xstrf("%s/%s.json", folder, key);
    vg_input_scales *scales = NULL;
    vg_status status = VG_OK;
    if (!params->init_latents &&
        vg_worker_scales_copy(cached, path, key, made_with, NULL) == VG_OK) {
        vg_worker_note(w, "input scales: from the cache (%s.json)", key);
        goto done;
    }
    VG_TRY_GOTO(status,
                vg_calibrate(w->engine, w->model, params, &w->conditions,
                             VG_WORKER_CALIBRATION_STEPS, &w->callbacks, &scales, err),
                done);
    VG_TRY_GOTO(status,
                vg_input_scales_write(scales, identity ? identity : "",
                                      vg_calibration_settings(params, VG_WORKER_CALIBRATION_STEPS),
                                      path, err),
                done);
    VG_TRY_GOTO(status, vg_worker_scales_seal(path, key, made_with, err), done);
    vg_worker_note(w, "input scales: measured on this prompt");
    if (!params->init_latents && vg_file_make_private_dirs(folder, NULL) == VG_OK)
        (void)vg_worker_scales_copy(path, cached, key, NULL, NULL);
done:
    vg_input_scales_free(scales);
    free(cache);
    free(folder);
    free(key);
    free(cached);
    return status;
}

/* ---- report ---- */

static void tell_precision(vg_worker *w, const vg_generate_params *params,
                           vg_precision_report *report)
{
    char text[640];
    *report = (vg_precision_report){0};
    if (vg_model_precision(w->model, params, report, NULL) != VG_OK)
        return;
    vg_precision_report_text(report, text, sizeof text);
    size_t n = strlen(text);
    if (params->precision && params->precision[0])
        snprintf(text + n, sizeof text - n, "; rules %s", params->precision);
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_precision);
    e.text = text;
    vg_worker_tell(w, e);
}

/* May the plan be held against the measured peak? A backend that reads host memory never allocates most weights. */
static bool may_compare(const vg_worker *w)
{
    return w->planned_bytes && !vg_backend_reads_host(vg_engine_backend(w->engine));
}

static vg_status write_variant_file(vg_worker *w, const vg_precision_report *report,
                                    const int64_t calls_before[VG_OP_COUNT], vg_err *err)
{
    static const char *const ops[] = {
#define VG_OP(name, help) #name,
#include "kernels/op/ops.def"
#undef VG_OP
    };
    vg_snapshot_refresh(&w->snapshot, NULL, NULL);
    const vg_variant_snapshot *v = &w->snapshot.variants[w->variant];
    char *path = vg_job_variant_path(&w->job, w->variant, VG_VARIANT_FILE);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, VG_MADE_WITH, w->made_with[w->variant]);
    cJSON_AddStringToObject(root, "id", v->id);
    cJSON_AddStringToObject(root, "label", v->label);
    cJSON_AddStringToObject(root, "quantization",
                            vg_scheme_name(vg_job_variant_scheme(&w->job, w->variant)));
    cJSON_AddNumberToObject(root, "steps", v->step);
    cJSON_AddNumberToObject(root, "denoise_s_per_it", v->s_per_it);
    cJSON_AddNumberToObject(root, "denoise_s", v->denoise_s);
    cJSON_AddNumberToObject(root, "wall_s", v->wall_s);
    for (int s = 0; s < VG_STAGE_COUNT; s++) {
        char key[40];
        snprintf(key, sizeof key, "%s_s", vg_stage_name((vg_stage)s));
        if (s != VG_STAGE_DENOISE)
            cJSON_AddNumberToObject(root, key, v->stage_s[s]);
    }
    cJSON_AddNumberToObject(root, "peak_bytes",
                            w->peak_bytes ? (double)w->peak_bytes : (double)v->peak_bytes);
    cJSON_AddStringToObject(root, "peak_stage",
                            w->peak_bytes ? vg_stage_name(w->peak_stage) : v->peak_stage);
    if (w->calibration_peak_bytes)
        cJSON_AddNumberToObject(root, "calibration_peak_bytes", (double)w->calibration_peak_bytes);
    if (may_compare(w)) {
        cJSON_AddNumberToObject(root, "planned_bytes", (double)w->planned_bytes);
        cJSON_AddStringToObject(root, "planned_stage", w->planned_stage);
    }
    cJSON *gpu = v->gauges ? vg_gauges_json(v->gauges) : NULL;
    cJSON_AddItemToObject(root, "gpu", gpu ? gpu : cJSON_CreateNull());
    cJSON *precision = vg_precision_report_json(report);
    cJSON_AddStringToObject(
        precision, "rules",
        vg_settings_get(&w->job.variants[w->variant].resolved, VG_OPT_precision));
    cJSON_AddItemToObject(root, "precision", precision);
    cJSON *calls = cJSON_AddObjectToObject(root, "op_calls");
    const vg_backend *be = vg_engine_backend(w->engine);
    for (int i = 0; i < VG_OP_COUNT; i++)
        cJSON_AddNumberToObject(calls, ops[i], (double)(be->calls[i] - calls_before[i]));
    vg_status status = vg_json_save(path, root, err);
    cJSON_Delete(root);
    free(path);
    return status;
}

/* What the plan says of the stage that will set the peak. */
static void plan_memory(vg_worker *w, const vg_generate_params *params)
{
    vg_generate_params p = *params;
    vg_backend *be = vg_engine_backend(w->engine);
    vg_plan plan;
    w->planned_bytes = 0;
    if (vg_budget_limit(w->engine, &p, &p.memory_limit, NULL) != VG_OK)
        return;
    p.device = be->ops->kind;
    if (vg_plan_make(w->model, &p, &plan, NULL) != VG_OK || plan.count == 0)
        return;
    int peak = 0;
    for (int i = 1; i < plan.count; i++) /* calibration is told apart */
        if (strcmp(plan.stages[i].name, "calibrate") != 0 &&
            vg_plan_total(&plan.stages[i]) > vg_plan_total(&plan.stages[peak]))
            peak = i;
    w->planned_bytes = vg_plan_total(&plan.stages[peak]);
    snprintf(w->planned_stage, sizeof w->planned_stage, "%s", plan.stages[peak].name);
}

/* ---- the variant ---- */

static void tell_begin(vg_worker *w, int step)
{
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_variant);
    e.what = "begin";
    e.step = step;
    e.planned_bytes = w->planned_bytes;
    vg_worker_tell(w, e);
}

static void tell_end(vg_worker *w, const vg_precision_report *report)
{
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_variant);
    e.what = "end";
    e.peak_bytes = w->peak_bytes; /* 0: nothing ran, when only a small file was lost */
    e.peak_stage = w->peak_bytes ? vg_stage_name(w->peak_stage) : "";
    e.calibration_peak_bytes = w->calibration_peak_bytes;
    if (may_compare(w)) {
        e.planned_bytes = w->planned_bytes;
        e.planned_stage = w->planned_stage;
    }
    e.weight_bytes = report->weight_bytes;
    vg_worker_tell(w, e);
}

/* What comes after the text must fit, or nothing is begun: a decode that fails for memory would waste all the steps before it. */
static vg_status check_memory(vg_worker *w, const vg_generate_params *params, vg_err *err)
{
    static const char *const stages[] = {"encode",        "calibrate", "transformer",
                                         "transformer_2", "decode",    NULL};
    return vg_budget_check(w->engine, w->model, params, stages, err);
}

/* Denoise, or read what was denoised. Unfinished because of max_steps: *latents holds the steps so far and nothing is kept but the state. */
static vg_status need_latents(vg_worker *w, vg_generate_params *params, const char *path,
                              vg_latents *latents, vg_err *err)
{
    vg_denoise_state state = {0};
    vg_status status = VG_OK;
    char *calibration =
        vg_job_shared_path(&w->job, w->variant, VG_DECIDES_SCALES, VG_JOB_CALIBRATION);
    vg_input_scales *scales = NULL;
    vg_precision_report report;
    bool have_state = vg_worker_find_state(w, params, &state);
    tell_begin(w, have_state ? state.scheduler.at : 0);
    if (have_state)
        vg_worker_note(w, "going on after step %d", state.scheduler.at);
    VG_TRY_GOTO(status, check_memory(w, params, err), done);
    VG_TRY_GOTO(status, need_conditions(w, params, err), done);
    bool needed = false;
    VG_TRY_GOTO(status, vg_model_needs_input_scales(w->model, params, &needed, err), done);
    if (needed) {
        VG_TRY_GOTO(status, need_calibration(w, params, calibration, err), done);
        VG_TRY_GOTO(status, vg_input_scales_read(calibration, w->job.identity, &scales, err), done);
        params->input_scales = scales;
    }
    tell_precision(w, params, &report);
    VG_TRY_GOTO(status,
                vg_denoise(w->engine, w->model, params, &w->conditions, have_state ? &state : NULL,
                           &w->callbacks, latents, err),
                done);
    if (latents->steps_done >= latents->steps)
        status = vg_worker_write_latents(path, latents, w->made_with[w->variant], err);
done:
    params->input_scales = NULL;
    vg_input_scales_free(scales);
    vg_denoise_state_deinit(&state);
    free(calibration);
    return status;
}

/* From latents to everything that is made of them. Each piece that is there already is left alone; the same latents give the same bytes.
 * again: the latents are new, so are the rest. */
static vg_status need_pictures(vg_worker *w, const vg_generate_params *params,
                               const vg_latents *latents, const vg_callbacks *callbacks, bool again,
                               vg_err *err)
{
    char *dir = vg_job_variant_path(&w->job, w->variant, NULL);
    vg_frames frames = {0};
    vg_status status = VG_OK;
    if (again || !vg_worker_find_frames(w, params, dir)) {
        VG_TRY_GOTO(status,
                    vg_decode(w->engine, w->model, params, latents, callbacks, &frames, err), done);
        VG_TRY_GOTO(status, vg_worker_keep_frames(w, &frames, err), done);
    }
    if (again || !vg_worker_find_clip(w, params))
        VG_TRY_GOTO(status, vg_worker_keep_clip(w, err), done);
    if (w->variant > 0 && (again || !vg_worker_find_metrics(w, params, dir)))
        VG_TRY_GOTO(status, vg_worker_measure(w, err), done);
done:
    vg_frames_deinit(&frames);
    free(dir);
    return status;
}

static vg_status keep_report(vg_worker *w, const vg_generate_params *params,
                             const int64_t calls_before[VG_OP_COUNT], vg_err *err)
{
    vg_precision_report report = {0};
    if (vg_model_precision(w->model, params, &report, NULL) != VG_OK)
        report = (vg_precision_report){0};
    VG_TRY(write_variant_file(w, &report, calls_before, err));
    tell_end(w, &report);
    return VG_OK;
}

static vg_status run(vg_worker *w, vg_err *err)
{
    vg_generate_params params;
    vg_latents latents = {0};
    int64_t calls_before[VG_OP_COUNT];
    vg_backend *be = vg_engine_backend(w->engine);
    char *dir = vg_job_variant_path(&w->job, w->variant, NULL),
         *path = vg_job_variant_path(&w->job, w->variant, VG_VARIANT_LATENTS);
    char *preview = vg_job_variant_path(&w->job, w->variant, VG_VARIANT_PREVIEW),
         *file = vg_job_variant_path(&w->job, w->variant, VG_VARIANT_FILE);
    /* What is missing of a finished variant is restored without a word to the journal: its figures are those of the run that made it. */
    const vg_callbacks silent = {.cancel = &vg_worker_cancel_flag};
    bool finished = vg_worker_find_report(w, file), denoised;
    vg_status status;
    w->state_path = vg_job_variant_path(&w->job, w->variant, VG_VARIANT_STATE);
    be->bytes_peak = be->bytes_now;
    w->peak_bytes = w->calibration_peak_bytes = 0;
    w->calibrating = false;
    w->depth = 0;
    memcpy(calls_before, be->calls, sizeof calls_before);
    vg_settings_params(&w->job.variants[w->variant].resolved, &params);
    params.max_steps_run = w->max_steps;
    params.init_latents = w->init_latents;
    params.init_latents_shape = w->init_latents ? w->init_shape : NULL;
    VG_TRY_GOTO(status, vg_model_defaults(w->model, &params, err), done);
    VG_TRY_GOTO(status, vg_file_make_private_dirs(dir, err), done);
    denoised = vg_worker_find_latents(w, &params, path, &latents);
    finished = finished && denoised;
    if (!finished)
        unlink(file);
    plan_memory(w, &params);
    if (denoised && !finished)
        tell_begin(w, params.steps);
    if (!denoised)
        VG_TRY_GOTO(status, need_latents(w, &params, path, &latents, err), done);
    if (latents.steps_done < latents.steps) {
        w->stopped = true;
        vg_worker_note(w, "stopped after step %d of %d, as asked", latents.steps_done,
                       latents.steps);
        const char *wanted = w->job.variants[w->variant].outputs.save_latents;
        if (wanted)
            status = vg_worker_write_latents(wanted, &latents, NULL, err);
        goto done;
    }
    VG_TRY_GOTO(
        status,
        need_pictures(w, &params, &latents, finished ? &silent : &w->callbacks, !denoised, err),
        done);
    VG_TRY_GOTO(status, vg_worker_write_outputs(w, w->variant, finished, err), done);
    if (!finished)
        VG_TRY_GOTO(status, keep_report(w, &params, calls_before, err), done);
    /* The latents say it all now. */
    unlink(w->state_path);
    unlink(preview);
done:
    vg_latents_deinit(&latents);
    free(w->state_path);
    w->state_path = NULL;
    free(dir);
    free(path);
    free(preview);
    free(file);
    return status;
}

vg_status vg_worker_variant(vg_worker *w, int variant, vg_err *err)
{
    w->variant = variant;
    w->model = w->models[variant];
    vg_status status = run(w, err);
    if (status != VG_OK && status != VG_E_CANCELLED)
        vg_err_prefix(err, "%s", w->snapshot.variants[variant].id);
    return status;
}
