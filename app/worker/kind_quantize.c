/* kind_quantize.c: jobs that calibrate a checkpoint and export it as ModelOpt FP8 (vgen quantize). See kind.h.
 *
 *   encode   every sample's prompt and picture                        JOB/samples/NNN.conditions.safetensors
 *   passes   measure, or run what was measured (quantize.h)           JOB/ranges.json, JOB/samples/NNN.state.safetensors
 *   export   the other parts copied, each expert written, then its name given
 *
 * Each piece carries the mark of the settings that made it; a job that was killed begins behind the last whole one. */
#include "app/job/fold.h"
#include "app/job/kind.h"
#include "app/job/weights.h"
#include "app/worker/quantize_output.h"
#include "app/worker/quantize_run.h"
#include "engine/run/pass.h"
#include "kernels/base/clock.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLES_FOLDER "samples"
#define RANGES_FILE    "ranges.json"

/* ---- pieces, and what is told ---- */

static char *sample_path(const vg_quantize_run *r, int i, const char *what)
{
    char *file = vg_xstrf(SAMPLES_FOLDER "/%04d.%s.safetensors", i + 1, what),
         *path = vg_job_path(&r->w->job, file);
    free(file);
    return path;
}

static char *conditions_path(const vg_quantize_run *r, int i)
{
    return sample_path(r, vg_quantize_sample_like(&r->plan, i), "conditions");
}

/* Steps are those of all passes; all else is told as always. */
static void on_event(void *user, const vg_event *event)
{
    vg_quantize_run *r = user;
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

static vg_status encode_sample(vg_quantize_run *r, int i, const char *path, vg_err *err)
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

static vg_status encode_all(vg_quantize_run *r, vg_err *err)
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
    vg_quantize_run *r = user;
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
    vg_quantize_run *r = user;
    (void)err;
    vg_ranges_add(&r->ranges, r->pass->expert, i, step, layer, amax);
    return VG_OK;
}

static vg_status sample_done(void *user, int i, const vg_denoise_state *state, vg_err *err)
{
    vg_quantize_run *r = user;
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
static int samples_done(const vg_quantize_run *r, const vg_quantize_pass *pass)
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

static vg_status run_pass(vg_quantize_run *r, int number, vg_err *err)
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

static vg_status run_passes(vg_quantize_run *r, vg_err *err)
{
    double begin = vg_now();
    for (int i = 0; i < r->plan.passes_count; i++)
        VG_TRY(run_pass(r, i, err));
    r->passes_s = vg_now() - begin;
    return VG_OK;
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

static vg_status run_all(vg_quantize_run *r, vg_err *err)
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
                vg_quantize_output_check(r->output, job->model_dir,
                                         vg_settings_bool(&job->resolved, VG_OPT_overwrite), 0,
                                         err),
                done);
    VG_TRY_GOTO(status,
                vg_job_weights_check(job->identity, r->model, &params, VG_STAGE_CALIBRATE, err),
                done);
    vg_worker_begins(r->w, r->steps_done);
    vg_worker_note(
        r->w,
        "calibrates on %d samples of %dx%d, %d frames, %d steps, guidance %g, seeds from %llu; "
        "%s, written to %s",
        r->plan.samples, params.height, params.width, params.num_frames, params.steps,
        params.guidance_scale, (unsigned long long)params.seed,
        vg_scheme_label(vg_job_variant_scheme(job, 0)), r->output);
    VG_TRY_GOTO(status, encode_all(r, err), done);
    VG_TRY_GOTO(status, run_passes(r, err), done);
    VG_TRY_GOTO(status, vg_quantize_export_all(r, err), done);
    tell_end(r->w);
done:
    free(path);
    return status;
}

static vg_status run_job(vg_worker *w, vg_err *err)
{
    vg_quantize_run r = {.w = w};
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
    char *path = vg_job_path(s->job, VG_QUANTIZE_EXPORT_FILE);
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
    .create = vg_quantize_create,
    .run = run_job,
    .fold = fold,
    .report = report,
    .print = print,
};
