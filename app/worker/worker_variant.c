/* worker_variant.c: one variant from text to clip, beginning where an earlier run stopped: the engine's sequence of stages over the job's folder
 * (worker_store.c), then what is made of its frames: clip, metrics, outputs, and variant.json, which says that all is done. */
#include "app/worker/worker_run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "app/media/frames.h"
#include "engine/run/budget.h"

/* ---- report ---- */

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
    vg_energy_json(root, "joules_per_step", &v->energy, v->s_per_it);
    cJSON *gpu = v->gauges ? vg_gauges_json(v->gauges) : NULL;
    cJSON_AddItemToObject(root, "gpu", gpu ? gpu : cJSON_CreateNull());
    cJSON *precision = vg_precision_report_json(report);
    cJSON_AddStringToObject(
        precision, "rules",
        vg_settings_get(&w->job.variants[w->variant].resolved, VG_OPT_precision));
    cJSON_AddItemToObject(root, "precision", precision);
    const vg_attention_request asked = vg_settings_attention(&w->job.variants[w->variant].resolved);
    cJSON_AddItemToObject(root, "attention", vg_layer_attentions_json(&v->attention, &asked));
    cJSON *calls = cJSON_AddObjectToObject(root, "op_calls");
    const vg_backend *be = vg_engine_backend(w->engine);
    for (int i = 0; i < VG_OP_COUNT; i++)
        cJSON_AddNumberToObject(calls, ops[i], (double)(be->calls[i] - calls_before[i]));
    vg_worker_seal(root);
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

void vg_worker_begins(vg_worker *w, int step)
{
    char *file = vg_job_variant_path(&w->job, w->variant, VG_VARIANT_FILE);
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_variant);
    unlink(file); /* its figures are those of another run */
    free(file);
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

/* From latents to everything that is made of them. Each piece that is there already is left alone; the same latents give the same bytes.
 * again: the latents are new, so are the rest. */
static vg_status need_pictures(vg_worker *w, const vg_sequence *sequence, const vg_latents *latents,
                               bool again, vg_err *err)
{
    char *dir = vg_job_variant_path(&w->job, w->variant, NULL);
    vg_status status;
    w->frames_made = false;
    VG_TRY_GOTO(status, vg_sequence_frames(sequence, latents, again, err), done);
    if (w->frames_made && w->decoder_replaced[w->variant])
        again = w->pictures_again = true;
    if (again || !vg_worker_find_clip(w))
        VG_TRY_GOTO(status, vg_worker_keep_clip(w, err), done);
    if (w->variant > 0 &&
        (again || w->pictures_again || !vg_worker_find_metrics(w, w->params, dir)))
        VG_TRY_GOTO(status, vg_worker_measure(w, err), done);
done:
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

/* max_steps was reached: nothing is kept but the state, and the latents so far where somebody asked for them. */
static vg_status stop_here(vg_worker *w, const vg_latents *latents, vg_err *err)
{
    const char *wanted = w->job.variants[w->variant].outputs.save_latents;
    w->stopped = true;
    vg_worker_note(w, "stopped after step %d of %d, as asked", latents->steps_done, latents->steps);
    return wanted ? vg_worker_write_latents(wanted, latents, NULL, err) : VG_OK;
}

/* The latents say it all now. */
static void drop_leftovers(const vg_worker *w)
{
    static const char *const files[] = {VG_VARIANT_STATE, VG_VARIANT_PREVIEW};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = vg_job_variant_path(&w->job, w->variant, files[i]);
        unlink(path);
        free(path);
    }
}

static vg_status run_sequence(vg_worker *w, vg_sequence *sequence, vg_err *err)
{
    /* What is missing of a finished variant is restored without a word to the journal: its figures are those of the run that made it. */
    const vg_callbacks silent = {.cancel = &vg_worker_cancel_flag};
    char *file = vg_job_variant_path(&w->job, w->variant, VG_VARIANT_FILE);
    bool finished = vg_worker_find_report(w, file), found;
    int64_t calls_before[VG_OP_COUNT];
    vg_latents latents = {0};
    vg_status status;
    free(file);
    memcpy(calls_before, vg_engine_backend(w->engine)->calls, sizeof calls_before);
    VG_TRY(vg_sequence_latents(sequence, &latents, &found, err));
    finished = finished && found;
    if (latents.steps_done < latents.steps) {
        status = stop_here(w, &latents, err);
        goto done;
    }
    if (found && !finished)
        vg_worker_begins(w, w->params->steps);
    if (finished)
        sequence->callbacks = &silent;
    VG_TRY_GOTO(status, need_pictures(w, sequence, &latents, !found, err), done);
    VG_TRY_GOTO(status, vg_worker_write_outputs(w, w->variant, finished && !w->pictures_again, err),
                done);
    if (!finished)
        VG_TRY_GOTO(status, keep_report(w, w->params, calls_before, err), done);
    drop_leftovers(w);
done:
    vg_latents_deinit(&latents);
    return status;
}

static vg_status run(vg_worker *w, vg_err *err)
{
    vg_generate_params params;
    vg_backend *be = vg_engine_backend(w->engine);
    const vg_store store = vg_worker_store(w);
    vg_sequence sequence = {.engine = w->engine,
                            .model = w->model,
                            .params = &params,
                            .store = &store,
                            .callbacks = &w->callbacks,
                            .calibration_steps = VG_WORKER_CALIBRATION_STEPS};
    char *dir = vg_job_variant_path(&w->job, w->variant, NULL);
    vg_status status;
    be->bytes_peak = be->bytes_now;
    w->peak_bytes = w->calibration_peak_bytes = 0;
    w->calibrating = false;
    w->depth = 0;
    vg_settings_params(&w->job.variants[w->variant].resolved, &params);
    vg_job_media_roles(&w->job.variants[w->variant].resolved, &w->roles);
    vg_job_media_give(&w->roles, &params);
    params.max_steps_run = w->max_steps;
    params.init_latents = w->init_latents;
    params.init_latents_shape = w->init_latents ? w->init_shape : NULL;
    VG_TRY_GOTO(status, vg_model_defaults(w->model, &params, err), done);
    VG_TRY_GOTO(status, vg_file_make_private_dirs(dir, err), done);
    w->params = &params;
    plan_memory(w, &params);
    status = run_sequence(w, &sequence, err);
done:
    w->params = NULL;
    free(dir);
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
