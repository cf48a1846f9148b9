/* kind_quantize.c: jobs that calibrate a checkpoint and export it as ModelOpt FP8 (vgen quantize). See kind.h.
 *
 *   encode   every sample's prompt and picture                        JOB/samples/NNN.conditions.safetensors
 *   passes   measure, or run what was measured (quantize.h)           JOB/ranges.json, JOB/samples/NNN.state.safetensors
 *   export   the other parts copied, each expert written, then its name given
 *
 * Each piece carries the mark of the settings that made it; a job that was killed begins behind the last whole one. */
#include "app/job/fold.h"
#include "app/job/job_create.h"
#include "app/job/kind.h"
#include "app/job/weights.h"
#include "app/settings/paths.h"
#include "app/worker/quantize_output.h"
#include "app/worker/quantize_plan.h"
#include "app/worker/quantize_ranges.h"
#include "app/worker/worker_run.h"
#include "engine/run/hub.h"
#include "engine/run/pass.h"
#include "kernels/base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAMPLES_FOLDER "samples"
#define RANGES_FILE    "ranges.json"
#define EXPORT_FILE    "export.json" /* what was written, for reading */
#define MIB            (1u << 20)

/* ---- making a job ---- */

static vg_status open_model(vg_job *job, vg_model **model, vg_err *err)
{
    vg_lines presets = {0};
    char *found = NULL;
    vg_paths_presets(&presets);
    vg_status status =
        vg_model_find(vg_settings_get(&job->settings, VG_OPT_model),
                      (const char *const *)presets.items, presets.count, &found, err);
    vg_lines_free(&presets);
    VG_TRY(status);
    job->model_dir = realpath(found, NULL);
    free(found);
    if (!job->model_dir)
        return VG_FAIL(err, VG_E_MISSING, "%s: there is no such folder",
                       vg_settings_get(&job->settings, VG_OPT_model));
    VG_TRY(vg_model_open(job->model_dir, vg_settings_load_format(&job->settings), model, err));
    return vg_model_check(*model, err);
}

static vg_status set_path(vg_settings *s, vg_option_id id, vg_err *err)
{
    if (!*vg_settings_get(s, id))
        return VG_OK;
    char *path = vg_paths_absolute(vg_settings_get(s, id));
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = 0;
    vg_status status = vg_settings_set(s, id, path, err);
    free(path);
    return status;
}

/* Rules of family, edges and person as one text, so that the worker need not make them again. */
static vg_status take_rules(vg_job *job, const vg_model *model, vg_err *err)
{
    char *rules;
    vg_settings *s = &job->resolved;
    VG_TRY(vg_quantize_rules(model, vg_settings_bool(s, VG_OPT_quantize_vace_proj_out),
                             vg_settings_int(s, VG_OPT_edge_blocks),
                             vg_settings_get(s, VG_OPT_precision), &rules, err));
    vg_status status = *rules ? vg_settings_set(s, VG_OPT_precision, rules, err) : VG_OK;
    free(rules);
    return status;
}

/* Every picture is opened once before anything is begun. */
static vg_status check_pictures(const vg_quantize_plan *plan, vg_err *err)
{
    for (int i = 0; i < plan->pictures.count; i++) {
        vg_picture picture = {0};
        vg_err why = {0};
        if (vg_picture_read(plan->pictures.items[i], &picture, &why) != VG_OK)
            return VG_FAIL(err, VG_E_ARG, "reference_images: %s", why.message);
        vg_picture_deinit(&picture);
    }
    return VG_OK;
}

static vg_status check_output(const vg_job *job, const vg_model *model,
                              const vg_generate_params *params, vg_err *err)
{
    const char *names[VG_QUANTIZE_EXPERTS_MAX + 1] = {NULL};
    int count = vg_quantize_experts(model, names);
    uint64_t bytes = vg_quantize_output_rest(job->model_dir, names);
    for (int e = 0; e < count; e++) {
        vg_export_counts counts;
        VG_TRY(vg_quantize_count(model, params, names[e], &counts, err));
        bytes += counts.bytes;
    }
    return vg_quantize_output_check(vg_settings_get(&job->resolved, VG_OPT_output), job->model_dir,
                                    vg_settings_bool(&job->resolved, VG_OPT_overwrite), bytes, err);
}

static vg_status check_settings(const vg_settings *s, vg_err *err)
{
    vg_scheme schemes[VG_SCHEME_COUNT];
    if (!*vg_settings_get(s, VG_OPT_output))
        return VG_FAIL(err, VG_E_ARG, "output: the folder to write is missing");
    if (vg_settings_schemes(s, schemes) != 1 ||
        vg_scheme_precision(schemes[0]) == VG_PRECISION_HIGH)
        return VG_FAIL(err, VG_E_ARG,
                       "quantization: one of fp8 (per tensor) and fp8-block (128x128) is wanted");
    return VG_OK;
}

static vg_status resolve(vg_job *job, const vg_model *model, vg_err *err)
{
    vg_quantize_plan plan = {.model = NULL};
    vg_generate_params params;
    vg_media media;
    vg_status status;
    VG_TRY(vg_settings_draw_seed(&job->settings, err));
    VG_TRY(set_path(&job->settings, VG_OPT_output, err));
    VG_TRY(set_path(&job->settings, VG_OPT_reference_images, err));
    vg_settings_copy(&job->resolved, &job->settings);
    VG_TRY(take_rules(job, model, err));
    VG_TRY_GOTO(status, vg_quantize_plan_make(&job->resolved, model, &plan, err), done);
    VG_TRY_GOTO(status, check_pictures(&plan, err), done);
    VG_TRY_GOTO(status, vg_quantize_sample(&plan, 0, &params, &media, err), done);
    VG_TRY_GOTO(status, check_output(job, model, &params, err), done);
    /* Modes differ from sample to sample. */
    if (!vg_settings_is_set(&job->settings, VG_OPT_mode))
        params.mode = NULL;
    VG_TRY_GOTO(status, vg_settings_take_resolved(&job->resolved, &params, err), done);
    VG_TRY_GOTO(status, vg_job_weights(model, &job->identity, err), done);
    job->family = vg_xstrdup(vg_model_family_name(model));
done:
    vg_quantize_plan_deinit(&plan);
    return status;
}

static vg_status create(vg_job *job, const vg_job_media *media, int batch, vg_err *err)
{
    vg_model *model = NULL;
    (void)media;
    (void)batch;
    VG_TRY(check_settings(&job->settings, err));
    if (job->variants_count != 1)
        return VG_FAIL(err, VG_E_ARG, "quantization: a job quantises in one way");
    vg_status status = open_model(job, &model, err);
    if (status == VG_OK)
        status = resolve(job, model, err);
    vg_model_close(model);
    VG_TRY(status);
    vg_job_variant *v = &job->variants[0];
    v->model_dir = vg_xstrdup(job->model_dir);
    v->identity = vg_xstrdup(job->identity);
    vg_settings_copy(&v->resolved, &job->resolved);
    return VG_OK;
}

/* ---- the worker's ---- */

typedef struct run {
    vg_worker *w;
    vg_model *model;
    vg_quantize_plan plan;
    vg_ranges ranges;
    char made_with[17];
    vg_callbacks callbacks;
    const vg_quantize_pass *pass;
    vg_input_scales *scales; /* of the first expert, while it runs quantised */
    vg_media media;
    int steps_done;
    double begin, encode_s, passes_s, export_s;
    /* the export */
    const char *output;
    char *hidden;
    uint64_t rest_bytes, bytes_before, bytes_all;
    int64_t told_ms;
} run;

static char *sample_path(const run *r, int i, const char *what)
{
    char *file = vg_xstrf(SAMPLES_FOLDER "/%04d.%s.safetensors", i + 1, what),
         *path = vg_job_path(&r->w->job, file);
    free(file);
    return path;
}

static char *conditions_path(const run *r, int i)
{
    return sample_path(r, vg_quantize_sample_like(&r->plan, i), "conditions");
}

/* Steps are those of all passes; all else is told as always. */
static void on_event(void *user, const vg_event *event)
{
    run *r = user;
    if (event->stage == VG_STAGE_CALIBRATE && event->kind == VG_EVENT_PROGRESS)
        return;
    if (event->kind != VG_EVENT_STEP) {
        r->w->callbacks.event(r->w->callbacks.user, event);
        return;
    }
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_step);
    e.step = ++r->steps_done;
    e.steps = r->plan.steps;
    e.seconds = event->seconds;
    e.timestep = event->timestep;
    e.sigma = event->sigma;
    e.expert = event->expert;
    vg_worker_tell(r->w, e);
}

/* ---- encoding ---- */

static vg_status encode_sample(run *r, int i, const char *path, vg_err *err)
{
    const char *const metadata[] = {VG_MADE_WITH, r->made_with, NULL};
    int picture = vg_quantize_sample_picture(&r->plan, i);
    vg_generate_params params;
    vg_conditions conditions = {0};
    vg_picture pixels = {0};
    vg_status status;
    VG_TRY(vg_quantize_sample(&r->plan, i, &params, &r->media, err));
    if (picture >= 0) {
        VG_TRY(vg_picture_read(r->plan.pictures.items[picture], &pixels, err));
        r->media.frames = pixels.frames;
    }
    VG_TRY_GOTO(status, vg_encode(r->w->engine, r->model, &params, &r->callbacks, &conditions, err),
                done);
    status = vg_conditions_write(path, &conditions, metadata, err);
done:
    vg_conditions_deinit(&conditions);
    vg_picture_deinit(&pixels);
    return status;
}

static vg_status encode_all(run *r, vg_err *err)
{
    char *folder = vg_job_path(&r->w->job, SAMPLES_FOLDER);
    double begin = vg_now();
    vg_status status = vg_file_make_private_dirs(folder, err);
    free(folder);
    for (int i = 0; status == VG_OK && i < r->plan.samples; i++) {
        char *path = conditions_path(r, i);
        if (!vg_worker_tensors_good(path, r->made_with))
            status = encode_sample(r, i, path, err);
        free(path);
        if (status == VG_OK && vg_cancelled(&vg_worker_cancel_flag))
            status = VG_FAIL(err, VG_E_CANCELLED, "cancelled");
    }
    r->encode_s = vg_now() - begin;
    return status;
}

/* ---- passes ---- */

static vg_status load_sample(void *user, int i, vg_pass_sample *sample, vg_err *err)
{
    run *r = user;
    char *path = conditions_path(r, i), *state = sample_path(r, i, "state");
    vg_status status = vg_quantize_sample(&r->plan, i, &sample->params, &r->media, err);
    sample->params.boundary_ratio = r->pass->boundary_ratio;
    sample->params.input_scales = r->scales;
    if (status == VG_OK)
        status = vg_conditions_read(path, &sample->conditions, err);
    if (status == VG_OK && r->pass->expert > 0)
        status = vg_denoise_state_read(state, &sample->state, err);
    free(path);
    free(state);
    return status;
}

static vg_status take_range(void *user, int i, int step, const char *layer, float amax, vg_err *err)
{
    run *r = user;
    (void)err;
    vg_ranges_add(&r->ranges, r->pass->expert, i, step, layer, amax);
    return VG_OK;
}

static vg_status sample_done(void *user, int i, const vg_denoise_state *state, vg_err *err)
{
    run *r = user;
    vg_status status;
    char *path;
    if (r->pass->measure) {
        r->ranges.experts[r->pass->expert].samples = i + 1;
        path = vg_job_path(&r->w->job, RANGES_FILE);
        status = vg_ranges_write(&r->ranges, path, r->made_with, err);
    } else {
        const char *const metadata[] = {VG_MADE_WITH, r->made_with, NULL};
        path = sample_path(r, i, "state");
        status = vg_denoise_state_write(path, state, metadata, err);
    }
    free(path);
    return status;
}

/* Samples that this pass has behind it. */
static int samples_done(const run *r, const vg_quantize_pass *pass)
{
    int i = 0;
    if (pass->measure)
        return r->ranges.experts[pass->expert].samples;
    for (bool good = true; good && i < r->plan.samples; i += good) {
        char *path = sample_path(r, i, "state");
        good = vg_worker_tensors_good(path, r->made_with);
        free(path);
    }
    return i;
}

static void tell_stage(vg_worker *w, const char *what, const char *stage, const char *detail,
                       double seconds)
{
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_stage);
    e.what = what;
    e.stage = stage;
    e.detail = detail;
    e.seconds = seconds;
    vg_worker_tell(w, e);
}

static vg_status run_pass(run *r, int number, vg_err *err)
{
    const char *names[VG_QUANTIZE_EXPERTS_MAX];
    vg_pass pass = {.user = r,
                    .count = r->plan.samples,
                    .load = load_sample,
                    .range = take_range,
                    .done = sample_done};
    r->pass = &r->plan.passes[number];
    pass.expert = r->pass->expert;
    pass.measure = r->pass->measure;
    pass.first = samples_done(r, r->pass);
    vg_quantize_experts(r->model, names);
    if (pass.first >= pass.count)
        return VG_OK;
    vg_worker_note(r->w, "pass %d of %d: %s %s, boundary %g, samples %d to %d", number + 1,
                   r->plan.passes_count, names[pass.expert],
                   pass.measure ? "is measured" : "runs quantised for the next",
                   r->pass->boundary_ratio, pass.first + 1, pass.count);
    if (!pass.measure)
        VG_TRY(vg_ranges_scales(&r->ranges, &r->scales, err));
    vg_status status = vg_pass_run(r->w->engine, r->model, &pass, &r->callbacks, err);
    vg_input_scales_free(r->scales);
    r->scales = NULL;
    return status;
}

static vg_status run_passes(run *r, vg_err *err)
{
    double begin = vg_now();
    for (int i = 0; i < r->plan.passes_count; i++)
        VG_TRY(run_pass(r, i, err));
    r->passes_s = vg_now() - begin;
    return VG_OK;
}

/* ---- export ---- */

static void tell_bytes(run *r, uint64_t done)
{
    int64_t now = vg_now_monotonic_ms();
    if (now - r->told_ms < 150)
        return;
    r->told_ms = now;
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_progress);
    e.stage = "export";
    e.part = (int)((r->bytes_before + done) / MIB);
    e.parts = (int)(r->bytes_all / MIB) + 1;
    vg_worker_tell(r->w, e);
}

static void on_copy(void *user, uint64_t bytes)
{
    tell_bytes(user, bytes);
}

static void on_export(void *user, uint64_t done, uint64_t of)
{
    (void)of;
    tell_bytes(user, done);
}

/* An expert's folder that is whole has its config, which is written last. */
static vg_status export_expert(run *r, const char *name, const vg_generate_params *params,
                               const vg_export_options *options, vg_export_counts *counts,
                               vg_err *err)
{
    char *dir = vg_xstrf("%s/%s", r->hidden, name), *config = vg_xstrf("%s/config.json", dir);
    vg_status status = VG_OK;
    if (!vg_file_exists(config)) {
        status = vg_file_remove_tree(dir, err);
        if (status == VG_OK)
            status = vg_file_make_dirs(dir, err);
        if (status == VG_OK)
            status = vg_quantize_export(r->model, params, name, dir, *options, counts, err);
    }
    r->bytes_before += counts->bytes;
    free(dir);
    free(config);
    return status;
}

/* ---- how it was made ---- */

static cJSON *samples_json(const run *r)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < r->plan.samples; i++) {
        vg_generate_params p;
        vg_media media;
        int picture = vg_quantize_sample_picture(&r->plan, i);
        if (vg_quantize_sample(&r->plan, i, &p, &media, NULL) != VG_OK)
            continue;
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "prompt", p.inputs.prompt);
        cJSON_AddNumberToObject(o, "seed", (double)p.seed);
        cJSON_AddStringToObject(o, "mode", p.mode);
        if (picture >= 0) {
            const char *path = r->plan.pictures.items[picture], *slash = strrchr(path, '/');
            cJSON_AddStringToObject(o, "picture", slash ? slash + 1 : path);
        }
        cJSON_AddItemToArray(list, o);
    }
    return list;
}

static cJSON *passes_json(const run *r)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < r->plan.passes_count; i++) {
        const vg_quantize_pass *pass = &r->plan.passes[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "expert", r->ranges.experts[pass->expert].name);
        cJSON_AddBoolToObject(o, "measured", pass->measure);
        cJSON_AddNumberToObject(o, "boundary_ratio", pass->boundary_ratio);
        cJSON_AddNumberToObject(o, "steps_per_sample", pass->steps);
        cJSON_AddItemToArray(list, o);
    }
    return list;
}

static cJSON *report_json(const run *r, const vg_export_counts *counts)
{
    const vg_job *job = &r->w->job;
    cJSON *root = cJSON_CreateObject(), *folders;
    cJSON_AddStringToObject(root, "format", "vgen-calibration");
    cJSON_AddNumberToObject(root, "version", 1);
    cJSON_AddStringToObject(root, "job", job->id);
    cJSON_AddStringToObject(root, "vgen", VG_VERSION);
    cJSON_AddStringToObject(root, "device", job->device);
    cJSON *source = cJSON_AddObjectToObject(root, "source");
    const char *slash = strrchr(job->model_dir, '/');
    cJSON_AddStringToObject(source, "model", vg_settings_get(&job->settings, VG_OPT_model));
    cJSON_AddStringToObject(source, "folder", slash ? slash + 1 : job->model_dir);
    cJSON_AddStringToObject(source, "family", job->family ? job->family : "");
    cJSON_AddStringToObject(source, "weights_identity", job->identity ? job->identity : "");
    cJSON_AddItemToObject(root, "settings", vg_settings_to_json(&job->resolved));
    cJSON_AddItemToObject(root, "samples", samples_json(r));
    cJSON_AddItemToObject(root, "passes", passes_json(r));
    folders = cJSON_AddObjectToObject(root, "folders");
    for (int e = 0; e < r->ranges.count; e++) {
        cJSON *o = cJSON_AddObjectToObject(folders, r->ranges.experts[e].name);
        cJSON_AddNumberToObject(o, "quantised_layers", counts[e].quantised);
        cJSON_AddNumberToObject(o, "kept_layers", counts[e].kept);
        cJSON_AddNumberToObject(o, "bytes", (double)counts[e].bytes);
        cJSON_AddItemToObject(o, "inputs",
                              vg_range_expert_json(&r->ranges.experts[e], r->ranges.steps));
    }
    return root;
}

/* For --json and print: the same without the layers. */
static vg_status write_summary(const run *r, const vg_export_counts *counts, vg_err *err)
{
    char *path = vg_job_path(&r->w->job, EXPORT_FILE);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, VG_MADE_WITH, r->made_with);
    cJSON_AddStringToObject(root, "output", r->output);
    cJSON_AddStringToObject(root, "scheme", vg_scheme_label(vg_job_variant_scheme(&r->w->job, 0)));
    cJSON_AddNumberToObject(root, "samples", r->plan.samples);
    cJSON_AddNumberToObject(root, "steps", r->plan.steps);
    cJSON_AddNumberToObject(root, "encode_s", r->encode_s);
    cJSON_AddNumberToObject(root, "calibrate_s", r->passes_s);
    cJSON_AddNumberToObject(root, "export_s", r->export_s);
    cJSON_AddNumberToObject(root, "peak_bytes", (double)r->w->calibration_peak_bytes);
    cJSON *folders = cJSON_AddArrayToObject(root, "folders");
    for (int e = 0; e < r->ranges.count; e++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "folder", r->ranges.experts[e].name);
        cJSON_AddNumberToObject(o, "quantised_layers", counts[e].quantised);
        cJSON_AddNumberToObject(o, "kept_layers", counts[e].kept);
        cJSON_AddNumberToObject(o, "bytes", (double)counts[e].bytes);
        cJSON_AddItemToArray(folders, o);
    }
    vg_status status = vg_json_save(path, root, err);
    cJSON_Delete(root);
    free(path);
    return status;
}

static vg_status write_report(const run *r, const vg_export_counts *counts, vg_err *err)
{
    char *path = vg_xstrf("%s/" VG_QUANTIZE_REPORT, r->hidden);
    cJSON *root = report_json(r, counts);
    vg_status status = vg_json_save(path, root, err);
    cJSON_Delete(root);
    free(path);
    return status;
}

static void tell_counts(vg_worker *w, const vg_export_counts *counts, int count)
{
    char text[96];
    int quantised = 0, kept = 0;
    for (int e = 0; e < count; e++) {
        quantised += counts[e].quantised;
        kept += counts[e].kept;
    }
    snprintf(text, sizeof text, "%d layers %s, %d kept in BF16", quantised,
             vg_scheme_label(vg_job_variant_scheme(&w->job, 0)), kept);
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_precision);
    e.text = text;
    vg_worker_tell(w, e);
}

static vg_status export_within(run *r, const vg_export_options *options, vg_err *err)
{
    const char *names[VG_QUANTIZE_EXPERTS_MAX + 1] = {NULL};
    const char *model_dir = r->w->job.model_dir;
    int count = vg_quantize_experts(r->model, names);
    vg_export_counts counts[VG_QUANTIZE_EXPERTS_MAX] = {0};
    vg_generate_params params;
    double begin = vg_now();
    bool overwrite = vg_settings_bool(&r->w->job.resolved, VG_OPT_overwrite);
    VG_TRY(vg_quantize_sample(&r->plan, 0, &params, &r->media, err));
    r->rest_bytes = r->bytes_all = vg_quantize_output_rest(model_dir, names);
    for (int e = 0; e < count; e++) {
        VG_TRY(vg_quantize_count(r->model, &params, names[e], &counts[e], err));
        r->bytes_all += counts[e].bytes;
    }
    tell_counts(r->w, counts, count);
    tell_stage(r->w, "begin", "export", "", NAN);
    VG_TRY(vg_quantize_output_copy(model_dir, names, r->hidden, &vg_worker_cancel_flag, on_copy, r,
                                   err));
    r->bytes_before = r->rest_bytes;
    for (int e = 0; e < count; e++)
        VG_TRY(export_expert(r, names[e], &params, options, &counts[e], err));
    VG_TRY(write_report(r, counts, err));
    VG_TRY(vg_quantize_output_name(r->hidden, r->output, overwrite, err));
    r->export_s = vg_now() - begin;
    tell_stage(r->w, "end", "export", "", r->export_s);
    return write_summary(r, counts, err);
}

static vg_status export_all(run *r, vg_err *err)
{
    vg_threads *pool;
    vg_export_options options = {
        .compat_rounding = vg_settings_bool(&r->w->job.resolved, VG_OPT_modelopt_compat_rounding),
        .cancel = &vg_worker_cancel_flag,
        .progress = on_export,
        .user = r};
    vg_input_scales *scales = NULL;
    VG_TRY(vg_threads_new(vg_settings_int(&r->w->job.resolved, VG_OPT_threads), &pool, err));
    vg_status status = vg_ranges_scales(&r->ranges, &scales, err);
    options.input_scales = scales;
    options.pool = pool;
    if (status == VG_OK)
        status = export_within(r, &options, err);
    vg_input_scales_free(scales);
    vg_threads_free(pool);
    return status;
}

/* ---- from the beginning to the end ---- */

static void tell_end(vg_worker *w)
{
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_variant);
    e.what = "end";
    e.peak_bytes = w->peak_bytes;
    e.peak_stage = w->peak_bytes ? vg_stage_name(w->peak_stage) : "";
    e.calibration_peak_bytes = w->calibration_peak_bytes;
    vg_worker_tell(w, e);
}

static vg_status run_all(run *r, vg_err *err)
{
    const vg_job *job = &r->w->job;
    const char *names[VG_QUANTIZE_EXPERTS_MAX];
    char *path = vg_job_path(job, RANGES_FILE);
    vg_generate_params params;
    vg_status status;
    r->output = vg_settings_get(&job->resolved, VG_OPT_output);
    r->hidden = vg_quantize_output_hidden(r->output, job->id);
    VG_TRY_GOTO(status, vg_quantize_plan_make(&job->resolved, r->model, &r->plan, err), done);
    VG_TRY_GOTO(status, vg_quantize_sample(&r->plan, 0, &params, &r->media, err), done);
    vg_ranges_init(&r->ranges, names, vg_quantize_experts(r->model, names), params.steps);
    (void)vg_ranges_read(&r->ranges, path, r->made_with);
    for (int i = 0; i < r->plan.passes_count; i++)
        r->steps_done += samples_done(r, &r->plan.passes[i]) * r->plan.passes[i].steps;
    if (vg_quantize_output_is_of(r->output, job->id))
        goto done; /* a resume of what is finished */
    VG_TRY_GOTO(status,
                vg_job_weights_check(job->identity, r->model, &params, VG_STAGE_CALIBRATE, err),
                done);
    vg_worker_begins(r->w, r->steps_done);
    VG_TRY_GOTO(status, encode_all(r, err), done);
    VG_TRY_GOTO(status, run_passes(r, err), done);
    VG_TRY_GOTO(status, export_all(r, err), done);
    tell_end(r->w);
done:
    free(path);
    return status;
}

static vg_status run_job(vg_worker *w, vg_err *err)
{
    run r = {.w = w};
    vg_status status =
        vg_model_open(w->job.model_dir, vg_settings_load_format(&w->job.resolved), &r.model, err);
    w->variant = 0;
    r.callbacks = (vg_callbacks){.user = &r, .event = on_event, .cancel = &vg_worker_cancel_flag};
    vg_job_fingerprint(&w->job, 0, r.made_with);
    if (status == VG_OK)
        status = run_all(&r, err);
    vg_ranges_deinit(&r.ranges);
    vg_quantize_plan_deinit(&r.plan);
    free(r.hidden);
    vg_model_close(r.model);
    return status;
}

/* ---- telling ---- */

static void fold(vg_snapshot *s, int variant, const vg_job_event *e)
{
    if (variant >= 0 && e->type == VG_JOB_EVENT_precision)
        vg_fold_text(&s->variants[variant].precision, e->text);
}

static cJSON *read_summary(const vg_snapshot *s)
{
    char *path = vg_job_path(s->job, EXPORT_FILE);
    cJSON *root = NULL;
    if (vg_file_exists(path) && vg_json_load(path, &root, NULL) != VG_OK)
        root = NULL;
    free(path);
    return root;
}

static void report(const vg_snapshot *s, cJSON *o)
{
    const vg_job *job = s->job;
    cJSON *model = cJSON_AddObjectToObject(o, "model"), *made = read_summary(s);
    cJSON_AddStringToObject(model, "dir", job->model_dir);
    cJSON_AddStringToObject(model, "family", job->family ? job->family : "");
    cJSON_AddStringToObject(model, "weights_identity", job->identity ? job->identity : "");
    cJSON_AddItemToObject(o, "settings", vg_settings_to_json(&job->resolved));
    cJSON_AddNumberToObject(o, "steps_done", s->variants[0].step);
    cJSON_AddNumberToObject(o, "steps", s->variants[0].steps);
    cJSON_AddStringToObject(o, "precision", s->variants[0].precision);
    cJSON_AddItemToObject(o, "export", made ? made : cJSON_CreateNull());
}

static double number(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static void print(const vg_snapshot *s, FILE *out, bool markdown)
{
    cJSON *made = read_summary(s);
    const cJSON *folder, *output = cJSON_GetObjectItemCaseSensitive(made, "output");
    char bytes[32];
    if (!made)
        return;
    if (markdown)
        fputs("| folder | quantised layers | kept | size |\n|---|---|---|---|\n", out);
    cJSON_ArrayForEach(folder, cJSON_GetObjectItemCaseSensitive(made, "folders"))
    {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(folder, "folder");
        fputs(markdown ? "| " : "  ", out);
        vg_text_print(out, cJSON_IsString(name) ? name->valuestring : "?");
        fprintf(out,
                markdown ? " | %.0f | %.0f | %s |\n" : ": %.0f layers quantised, %.0f kept, %s\n",
                number(folder, "quantised_layers"), number(folder, "kept_layers"),
                vg_text_bytes((uint64_t)number(folder, "bytes"), bytes, sizeof bytes));
    }
    fprintf(out, "%scalibrated in %.1f s (%.0f steps of %.0f samples), exported in %.1f s\n",
            markdown ? "\n" : "  ", number(made, "calibrate_s"), number(made, "steps"),
            number(made, "samples"), number(made, "export_s"));
    if (cJSON_IsString(output)) {
        fputs(markdown ? "" : "  saved to ", out);
        vg_text_print(out, output->valuestring);
        fputs("\n", out);
    }
    cJSON_Delete(made);
}

const vg_job_kind vg_job_kind_quantize = {
    .name = "quantize",
    .help = "calibrate a checkpoint and export it as ModelOpt FP8",
    .create = create,
    .run = run_job,
    .fold = fold,
    .report = report,
    .print = print,
};
