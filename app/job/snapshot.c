/* snapshot.c: the fold over a job's events. See snapshot.h. */
#include "app/job/snapshot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "app/media/frames.h"

#define START_GRACE_S 10.0 /* a worker that was asked for has this long to take its lock */

const char *vg_job_view_state_name(vg_job_state state)
{
    static const char *const names[] = {"queued", "running",   "done",
                                        "failed", "cancelled", "interrupted"};
    return names[state];
}

bool vg_job_state_is_final(vg_job_state state)
{
    return state != VG_JOB_QUEUED && state != VG_JOB_RUNNING;
}

void vg_job_view_init(vg_job_view *view, const vg_job *job)
{
    *view = (vg_job_view){.job = job, .current = -1, .state = VG_JOB_QUEUED};
    vg_event_reader_init(&view->reader, job->dir);
    struct stat st;
    char *log = vg_job_path(job, VG_JOB_LOG);
    view->log_bytes = stat(log, &st) == 0 ? (size_t)st.st_size : 0;
    free(log);
    int steps = vg_settings_int(&job->resolved, VG_OPT_num_inference_steps);
    snprintf(view->device, sizeof view->device, "%s", job->device);
    for (int i = 0; i < VG_SCHEME_COUNT; i++) {
        view->variants[i].state = VG_JOB_QUEUED;
        view->variants[i].boundary_step = view->variants[i].expert = -1;
        view->variants[i].steps = steps > 0 ? steps : 0;
    }
}

void vg_job_view_deinit(vg_job_view *view)
{
    for (int i = 0; i < VG_SCHEME_COUNT; i++) {
        free(view->variants[i].step_s);
        vg_report_metrics_deinit(&view->variants[i].metrics);
    }
    vg_event_reader_deinit(&view->reader);
    free(view->gauge_history);
    *view = (vg_job_view){0};
}

static int variant_of(const vg_job_view *view, const cJSON *event)
{
    const char *name = vg_event_text(event, "variant");
    for (int i = 0; *name && i < view->job->variants_count; i++) {
        if (!strcmp(vg_scheme_name(view->job->schemes[i]), name))
            return i;
    }
    return -1;
}

/* A count from an event: nothing in the file is trusted. */
static int count_of(const cJSON *event, const char *key, int absent)
{
    double v = vg_event_number(event, key, absent);
    return v >= 0 && v <= 1e6 ? (int)v : absent;
}

static uint64_t bytes_of(const cJSON *event, const char *key, uint64_t absent)
{
    double v = vg_event_number(event, key, -1);
    return v >= 0 && v < 1e18 ? (uint64_t)v : absent;
}

static int stage_index(const char *name)
{
    for (int i = 0; i < VG_STAGE_COUNT; i++) {
        if (!strcmp(vg_stage_name((vg_stage)i), name))
            return i;
    }
    return -1;
}

static void fold_step(vg_variant_view *v, const cJSON *event)
{
    int step = count_of(event, "step", 0), steps = count_of(event, "steps", v->steps);
    if (step < 1 || step > 100000)
        return;
    if (step > v->step_s_capacity) {
        int capacity = step + 63;
        v->step_s = vg_xrealloc(v->step_s, (size_t)capacity * sizeof *v->step_s);
        for (int i = v->step_s_capacity; i < capacity; i++)
            v->step_s[i] = NAN;
        v->step_s_capacity = capacity;
    }
    v->step_s[step - 1] = vg_event_number(event, "seconds", NAN);
    snprintf(v->stage, sizeof v->stage, "%s",
             vg_stage_name(VG_STAGE_DENOISE)); /* over what was loaded in between */
    v->detail[0] = 0;
    v->step = step;
    v->steps = steps;
    v->part = v->parts = 0;
    int expert = count_of(event, "expert", 0);
    if (expert == 1 && v->boundary_step < 0)
        v->boundary_step = step - 1;
    v->expert = expert;
    v->denoise_s = 0;
    for (int i = 0; i < step; i++)
        v->denoise_s += isfinite(v->step_s[i]) ? v->step_s[i] : 0;
}

static void fold_stage(vg_variant_view *v, const cJSON *event)
{
    const char *stage = vg_event_text(event, "stage");
    int i = stage_index(stage);
    if (!strcmp(vg_event_text(event, "what"), "end")) {
        double s = vg_event_number(event, "seconds", 0);
        if (i < 0 || v->stage_open[i] <= 0)
            return;
        /* A stage inside itself counts once. */
        if (--v->stage_open[i] == 0 && s > 0 && s < 1e9)
            v->stage_s[i] += s;
        return;
    }
    if (i >= 0 && v->stage_open[i] < 16)
        v->stage_open[i]++;
    vg_text_clean_to(v->stage, sizeof v->stage, stage);
    vg_text_clean_to(v->detail, sizeof v->detail, vg_event_text(event, "detail"));
    v->part = v->parts = 0;
}

static void fold_variant_end(vg_job_view *view, int i, const cJSON *event)
{
    vg_variant_view *v = &view->variants[i];
    v->state = VG_JOB_DONE;
    v->stage[0] = 0;
    v->peak_bytes = bytes_of(event, "peak_bytes", v->peak_bytes);
    v->calibration_peak_bytes =
        bytes_of(event, "calibration_peak_bytes", v->calibration_peak_bytes);
    v->weight_bytes = bytes_of(event, "weight_bytes", v->weight_bytes);
    if (*vg_event_text(event, "peak_stage"))
        vg_text_clean_to(v->peak_stage, sizeof v->peak_stage, vg_event_text(event, "peak_stage"));
    if (view->current == i)
        view->current = -1;
}

static void fold_variant(vg_job_view *view, int i, const cJSON *event)
{
    vg_variant_view *v = &view->variants[i];
    const char *type = vg_event_text(event, "type"), *what = vg_event_text(event, "what");
    double t = vg_event_number(event, "t", 0);
    if (!strcmp(type, "variant") && !strcmp(what, "begin")) {
        view->current = i;
        v->state = VG_JOB_RUNNING;
        memset(v->stage_open, 0, sizeof v->stage_open);
        v->anchor_t = t;
        v->wall_base = v->wall_s;
        v->planned_bytes = bytes_of(event, "planned_bytes", v->planned_bytes);
        v->step = count_of(event, "step", 0);
        if (v->step > v->step_s_capacity)
            v->step = v->step_s_capacity;
    } else if (view->current == i && v->anchor_t > 0 && t >= v->anchor_t && t - v->anchor_t < 1e8) {
        v->wall_s = v->wall_base + (t - v->anchor_t);
    }
    if (!strcmp(type, "variant") && !strcmp(what, "end"))
        fold_variant_end(view, i, event);
    else if (!strcmp(type, "stage"))
        fold_stage(v, event);
    else if (!strcmp(type, "step"))
        fold_step(v, event);
    else if (!strcmp(type, "progress")) {
        v->part = count_of(event, "part", 0);
        v->parts = count_of(event, "parts", 0);
        vg_text_clean_to(v->stage, sizeof v->stage, vg_event_text(event, "stage"));
    } else if (!strcmp(type, "preview")) {
        v->preview_w = count_of(event, "width", 0);
        v->preview_h = count_of(event, "height", 0);
        v->preview_serial++;
    } else if (!strcmp(type, "precision"))
        vg_text_clean_to(v->precision, sizeof v->precision, vg_event_text(event, "text"));
    else if (!strcmp(type, "note"))
        vg_text_clean_to(v->note, sizeof v->note, vg_event_text(event, "text"));
    else if (!strcmp(type, "frames"))
        v->frames_ready = true;
    else if (!strcmp(type, "clip"))
        v->clip_ready = true;
    else if (!strcmp(type, "metrics")) {
        char *dir = vg_job_variant_path(view->job, i, NULL);
        vg_report_metrics fresh = {0};
        if (vg_report_metrics_read(dir, &fresh, NULL) == VG_OK) {
            vg_report_metrics_deinit(&v->metrics);
            v->metrics = fresh;
            v->metrics_ready = true;
        }
        free(dir);
    }
}

static void finish(vg_job_view *view, vg_last last, const cJSON *event)
{
    view->last = last;
    view->ended = vg_event_number(event, "t", 0);
    vg_text_clean_to(view->message, sizeof view->message, vg_event_text(event, "message"));
    view->stopped = last == VG_LAST_STOPPED;
}

/* What the gauges read belongs to the variant that runs. Variants are compared by their denoise steps, so that is where means are taken;
 * loading and decoding differ in length, not in kind. */
static void fold_gpu(vg_job_view *view, const cJSON *event)
{
    vg_gpu_sample sample;
    vg_gauges_read_event(event, &sample);
    if (!sample.valid)
        return;
    view->gpu = sample;
    vg_gauges_add(&view->gauges, &sample, true);
    if (!view->gauge_history)
        view->gauge_history = vg_xcalloc(1, sizeof *view->gauge_history);
    vg_gauges_remember(view->gauge_history, &sample);
    if (view->current < 0)
        return;
    vg_variant_view *v = &view->variants[view->current];
    vg_gauges_add(&v->gauges, &sample, !strcmp(v->stage, vg_stage_name(VG_STAGE_DENOISE)));
}

static void fold_job(vg_job_view *view, const cJSON *event)
{
    const char *type = vg_event_text(event, "type");
    if (!strcmp(type, "created") || !strcmp(type, "resume")) {
        view->last = VG_LAST_ASKED;
        view->message[0] = 0;
        view->stopped = false;
    } else if (!strcmp(type, "queued")) {
        char who[128];
        view->last = VG_LAST_QUEUED;
        snprintf(view->message, sizeof view->message, "waiting for %s",
                 vg_text_clean_to(who, sizeof who, vg_event_text(event, "waiting_for")));
    } else if (!strcmp(type, "started")) {
        view->last = VG_LAST_STARTED;
        view->message[0] = 0;
        view->runs++;
        view->stopped = false;
        view->memory_total = bytes_of(event, "memory_total", view->memory_total);
        view->memory_is_device =
            cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(event, "memory_is_device"));
        if (*vg_event_text(event, "device"))
            vg_text_clean_to(view->device, sizeof view->device, vg_event_text(event, "device"));
    } else if (!strcmp(type, "memory")) {
        view->memory_now = bytes_of(event, "now", view->memory_now);
        view->memory_peak = bytes_of(event, "peak", view->memory_peak);
        view->memory_total = bytes_of(event, "total", view->memory_total);
    } else if (!strcmp(type, "gpu"))
        fold_gpu(view, event);
    else if (!strcmp(type, "comparison"))
        view->comparison_ready = true;
    else if (!strcmp(type, "done")) {
        finish(view, VG_LAST_DONE, event);
        view->finished = true;
    } else if (!strcmp(type, "failed"))
        finish(view, VG_LAST_FAILED, event);
    else if (!strcmp(type, "cancelled"))
        finish(view, VG_LAST_CANCELLED, event);
    else if (!strcmp(type, "stopped"))
        finish(view, VG_LAST_STOPPED, event);
}

typedef struct fold_context {
    vg_job_view *view;
    void (*tell)(void *user, const cJSON *event, const char *line);
    void *user;
} fold_context;

static void fold(void *user, const cJSON *event, const char *line)
{
    fold_context *c = user;
    int variant = variant_of(c->view, event);
    c->view->last_t = vg_event_number(event, "t", c->view->last_t);
    if (variant >= 0) {
        /* Whoever works on a variant has begun, whatever was said in between (two people asking for a resume). */
        c->view->last = VG_LAST_STARTED;
        fold_variant(c->view, variant, event);
    } else
        fold_job(c->view, event);
    if (c->tell)
        c->tell(c->user, event, line);
}

/* The journal may be gone; finished variants are known from their files as well. */
static bool all_files_there(const vg_job_view *view)
{
    for (int i = 0; i < view->job->variants_count; i++) {
        char *path = vg_job_variant_path(view->job, i, VG_VARIANT_FILE);
        bool there = vg_file_exists(path);
        free(path);
        if (!there)
            return false;
    }
    return true;
}

static void derive_state(vg_job_view *view)
{
    bool running = vg_job_running(view->job->dir, &view->pid);
    vg_job_state state = VG_JOB_INTERRUPTED;
    switch (view->last) {
    case VG_LAST_DONE:
        state = VG_JOB_DONE;
        break;
    case VG_LAST_FAILED:
        state = VG_JOB_FAILED;
        break;
    case VG_LAST_CANCELLED:
        state = VG_JOB_CANCELLED;
        break;
    case VG_LAST_STOPPED:
        break;
    case VG_LAST_QUEUED:
        state = running ? VG_JOB_QUEUED : VG_JOB_INTERRUPTED;
        break;
    case VG_LAST_STARTED:
        state = running ? VG_JOB_RUNNING : VG_JOB_INTERRUPTED;
        break;
    case VG_LAST_ASKED:
        state = running || fabs(vg_now_unix() - view->last_t) < START_GRACE_S ? VG_JOB_QUEUED
                                                                              : VG_JOB_INTERRUPTED;
        break;
    case VG_LAST_NONE:
        state = running ? VG_JOB_RUNNING : all_files_there(view) ? VG_JOB_DONE : VG_JOB_INTERRUPTED;
        break;
    }
    if (state == VG_JOB_INTERRUPTED && view->last != VG_LAST_STOPPED)
        snprintf(view->message, sizeof view->message,
                 "the worker ended without finishing; resume goes on from the last finished step");
    if (state != view->state)
        view->serial++;
    view->state = state;
    /* A variant that was running when the job ended shares the job's fate. */
    for (int i = 0; i < view->job->variants_count; i++) {
        vg_variant_view *v = &view->variants[i];
        if (v->state != VG_JOB_DONE && v->state != VG_JOB_QUEUED)
            v->state = i != view->current     ? VG_JOB_QUEUED
                       : state == VG_JOB_DONE ? VG_JOB_DONE
                                              : state;
        else if (v->state == VG_JOB_QUEUED && state == VG_JOB_DONE)
            v->state = VG_JOB_DONE;
    }
}

bool vg_job_view_refresh(vg_job_view *view,
                         void (*tell)(void *user, const cJSON *event, const char *line), void *user)
{
    fold_context context = {view, tell, user};
    uint64_t before = view->serial;
    if (vg_event_reader_poll(&view->reader, fold, &context) > 0)
        view->serial++;
    derive_state(view);
    return view->serial != before;
}

double vg_variant_s_per_it(const vg_variant_view *v)
{
    int n = 0;
    double sum = 0;
    for (int i = 0; i < v->step && i < v->step_s_capacity; i++) {
        if (isfinite(v->step_s[i])) {
            sum += v->step_s[i];
            n++;
        }
    }
    return n ? sum / n : NAN;
}

double vg_variant_wall_s(const vg_variant_view *v)
{
    double wall = v->wall_s;
    if (v->state == VG_JOB_RUNNING && v->anchor_t > 0) {
        double now = v->wall_base + (vg_now_unix() - v->anchor_t);
        if (now > wall && now - wall < 3600)
            wall = now;
    }
    return wall;
}

vg_job_memory vg_job_view_memory(const vg_job_view *view)
{
    vg_job_memory m = {.is_device = view->memory_is_device,
                       .now = view->memory_now,
                       .peak = view->memory_peak,
                       .total = view->memory_total};
    double ours_peak = vg_gauges_peak(&view->gauges, VG_GPU_memory_ours_bytes);
    if (isfinite(ours_peak)) {
        /* With the context and the libraries' workspaces; a peak between two readings is known to the backend alone. */
        m.peak = (uint64_t)fmax(m.is_device ? (double)m.peak : 0, ours_peak);
        if (vg_gpu_has(&view->gpu, VG_GPU_memory_ours_bytes))
            m.now = (uint64_t)view->gpu.value[VG_GPU_memory_ours_bytes];
        else if (!m.is_device)
            m.now = 0; /* the process's own is not what is asked for */
        m.is_device = true;
    }
    if (m.is_device && view->current >= 0)
        m.planned = view->variants[view->current].planned_bytes;
    if (m.is_device && vg_gpu_has(&view->gpu, VG_GPU_memory_total_bytes))
        m.total = (uint64_t)view->gpu.value[VG_GPU_memory_total_bytes];
    if (m.is_device && vg_gpu_has(&view->gpu, VG_GPU_memory_used_bytes)) {
        uint64_t used = (uint64_t)view->gpu.value[VG_GPU_memory_used_bytes];
        m.others = used > m.now ? used - m.now : 0;
    }
    return m;
}

double vg_variant_eta_s(const vg_job_view *view, int variant)
{
    const vg_variant_view *v = &view->variants[variant];
    double s_per_it = vg_variant_s_per_it(v);
    if (v->state != VG_JOB_RUNNING || !isfinite(s_per_it) || !v->steps)
        return NAN;
    double left = s_per_it * (v->steps - v->step);
    /* Decoding: as long as an earlier variant took. Without one, what is left after the last step is not known. */
    double decode = 0;
    for (int i = 0; i < view->job->variants_count; i++)
        decode = view->variants[i].stage_s[VG_STAGE_DECODE] > 0
                     ? view->variants[i].stage_s[VG_STAGE_DECODE]
                     : decode;
    if (v->stage_s[VG_STAGE_DECODE] > 0)
        decode = 0;
    else if (v->step >= v->steps && decode <= 0)
        return NAN;
    return left + decode;
}

int vg_job_view_rows(const vg_job_view *view, vg_report_row rows[VG_SCHEME_COUNT], vg_lines *paths)
{
    for (int i = 0; i < view->job->variants_count; i++) {
        const vg_variant_view *v = &view->variants[i];
        rows[i] = (vg_report_row){
            .variant = vg_scheme_name(view->job->schemes[i]),
            .reference = i == 0 && view->job->variants_count > 1,
            .steps = v->step,
            .denoise_seconds = v->step ? v->denoise_s : -1,
            .wall_seconds = v->wall_s > 0 ? v->wall_s : -1,
            .peak_bytes = v->peak_bytes,
            .calibration_peak_bytes = v->calibration_peak_bytes,
            .planned_bytes = view->memory_is_device ? v->planned_bytes : 0,
            .peak_stage = v->peak_stage[0] ? v->peak_stage : NULL,
            .weight_bytes = v->weight_bytes,
            .metrics = v->metrics_ready ? &v->metrics : NULL,
        };
        if (v->clip_ready) {
            vg_lines_add(paths, vg_job_variant_path(view->job, i, VG_VARIANT_CLIP));
            rows[i].clip = paths->items[paths->count - 1];
        }
        if (v->state != VG_JOB_DONE)
            rows[i].note = vg_job_view_state_name(v->state);
    }
    return view->job->variants_count;
}

static void add_number(cJSON *o, const char *key, double value, bool known)
{
    if (known && isfinite(value))
        cJSON_AddNumberToObject(o, key, value);
    else
        cJSON_AddNullToObject(o, key);
}

static void add_path(cJSON *o, const char *key, char *owned, bool known)
{
    if (known)
        cJSON_AddStringToObject(o, key, owned);
    else
        cJSON_AddNullToObject(o, key);
    free(owned);
}

static cJSON *outputs_json(const vg_job_outputs *outputs)
{
    cJSON *o = cJSON_CreateObject();
    if (outputs->output)
        cJSON_AddStringToObject(o, "output", outputs->output);
    if (outputs->save_latents)
        cJSON_AddStringToObject(o, "save_latents", outputs->save_latents);
    if (outputs->save_frames)
        cJSON_AddStringToObject(o, "save_frames", outputs->save_frames);
    return o;
}

static cJSON *variant_json(const vg_job_view *view, int i)
{
    const vg_variant_view *v = &view->variants[i];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "quantization", vg_scheme_name(view->job->schemes[i]));
    cJSON_AddStringToObject(o, "label", vg_scheme_label(view->job->schemes[i]));
    cJSON_AddStringToObject(o, "state", vg_job_view_state_name(v->state));
    cJSON_AddBoolToObject(o, "reference", i == 0);
    cJSON_AddNumberToObject(o, "steps_done", v->step);
    cJSON_AddNumberToObject(o, "steps", v->steps);
    add_path(o, "clip", vg_job_variant_path(view->job, i, VG_VARIANT_CLIP), v->clip_ready);
    char *latents = vg_job_variant_path(view->job, i, VG_VARIANT_LATENTS);
    add_path(o, "latents", latents, vg_file_exists(latents));
    char *frames = vg_job_variant_path(view->job, i, VG_FRAMES_FILE_CLIP);
    if (!vg_file_exists(frames)) {
        free(frames);
        frames = vg_job_variant_path(view->job, i, VG_FRAMES_FILE_TENSORS);
    }
    add_path(o, "frames", frames, vg_file_exists(frames));
    cJSON_AddItemToObject(o, "outputs", outputs_json(&view->job->outputs[i]));
    add_number(o, "denoise_s_per_it", vg_variant_s_per_it(v), true);
    add_number(o, "wall_s_per_it", v->step ? v->wall_s / v->step : NAN, true);
    cJSON *timings = cJSON_AddObjectToObject(o, "timings");
    for (int s = 0; s < VG_STAGE_COUNT; s++) {
        char key[40];
        snprintf(key, sizeof key, "%s_s", vg_stage_name((vg_stage)s));
        add_number(timings, key,
                   s == VG_STAGE_DENOISE && v->denoise_s > 0 ? v->denoise_s : v->stage_s[s], true);
    }
    add_number(timings, "wall_s", v->wall_s, v->wall_s > 0);
    add_number(o, "peak_bytes", (double)v->peak_bytes, v->peak_bytes > 0);
    cJSON_AddStringToObject(o, "peak_stage", v->peak_stage);
    add_number(o, "calibration_peak_bytes", (double)v->calibration_peak_bytes,
               v->calibration_peak_bytes > 0);
    add_number(o, "planned_bytes", (double)v->planned_bytes, v->planned_bytes > 0);
    add_number(o, "weight_bytes", (double)v->weight_bytes, v->weight_bytes > 0);
    cJSON_AddStringToObject(o, "precision", v->precision);
    cJSON *gpu = vg_gauges_json(&v->gauges);
    cJSON_AddItemToObject(o, "gpu", gpu ? gpu : cJSON_CreateNull());
    cJSON *metrics = v->metrics_ready ? vg_report_metrics_json(&v->metrics) : NULL;
    cJSON_AddItemToObject(o, "metrics", metrics ? metrics : cJSON_CreateNull());
    return o;
}

cJSON *vg_job_view_json(const vg_job_view *view)
{
    const vg_job *job = view->job;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "job", job->id);
    cJSON_AddStringToObject(o, "dir", job->dir);
    cJSON_AddStringToObject(o, "state", vg_job_view_state_name(view->state));
    if (view->message[0])
        cJSON_AddStringToObject(o, "message", view->message);
    cJSON_AddNumberToObject(o, "created", job->created);
    cJSON_AddStringToObject(o, "device", view->device);
    cJSON *model = cJSON_AddObjectToObject(o, "model");
    cJSON_AddStringToObject(model, "dir", job->model_dir);
    cJSON_AddStringToObject(model, "family", job->family ? job->family : "");
    cJSON_AddStringToObject(model, "weights_identity", job->identity ? job->identity : "");
    cJSON_AddItemToObject(o, "settings", vg_settings_to_json(&job->resolved));
    cJSON *variants = cJSON_AddArrayToObject(o, "variants");
    for (int i = 0; i < job->variants_count; i++)
        cJSON_AddItemToArray(variants, variant_json(view, i));
    char *comparison = vg_job_path(job, VG_JOB_COMPARISON);
    add_path(o, "comparison_clip", comparison,
             view->comparison_ready && vg_file_exists(comparison));
    if (job->comparison_output)
        cJSON_AddStringToObject(o, "comparison_output", job->comparison_output);
    return o;
}
