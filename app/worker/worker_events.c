/* worker_events.c: what the engine says, written down as events. */
#include "app/worker/worker_run.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_EVERY_MS 150

void vg_worker_tell(vg_worker *w, const char *type, cJSON *fields)
{
    bool is_state = !strcmp(type, "done") || !strcmp(type, "failed") ||
                    !strcmp(type, "cancelled") || !strcmp(type, "stopped") ||
                    !strcmp(type, "started");
    (void)vg_event_write(&w->events, type, fields, is_state,
                         NULL); /* a full disk must not end a run; files that matter report it */
}

void vg_worker_tell_variant(vg_worker *w, const char *type, cJSON *fields)
{
    cJSON *o = fields ? fields : cJSON_CreateObject();
    cJSON_AddStringToObject(o, "variant", vg_scheme_name(w->job.schemes[w->variant]));
    vg_worker_tell(w, type, o);
}

void vg_worker_note(vg_worker *w, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "text", text);
    vg_worker_tell_variant(w, "note", o);
}

static void write_preview(vg_worker *w, const vg_event *event)
{
    if (event->preview_width <= 0 || event->preview_height <= 0 || event->preview_width > 8192 ||
        event->preview_height > 8192)
        return;
    char head[64];
    size_t n = (size_t)snprintf(head, sizeof head, "P6\n%d %d\n255\n", event->preview_width,
                                event->preview_height);
    size_t pixels = (size_t)event->preview_width * (size_t)event->preview_height * 3;
    char *file = vg_xcalloc(n + pixels, 1);
    memcpy(file, head, n);
    memcpy(file + n, event->preview, pixels);
    char *path = vg_job_variant_path(&w->job, w->variant, VG_VARIANT_PREVIEW);
    if (vg_file_write_atomic(path, file, n + pixels, NULL) == VG_OK) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddNumberToObject(o, "width", event->preview_width);
        cJSON_AddNumberToObject(o, "height", event->preview_height);
        cJSON_AddNumberToObject(o, "step", event->step);
        vg_worker_tell_variant(w, "preview", o);
    }
    free(path);
    free(file);
}

static void watch_memory(vg_worker *w)
{
    vg_backend *be = vg_engine_backend(w->engine);
    if (w->calibrating) {
        if (be->bytes_peak > w->calibration_peak_bytes)
            w->calibration_peak_bytes = be->bytes_peak;
    } else if (be->bytes_peak > w->peak_bytes) {
        w->peak_bytes = be->bytes_peak;
        w->peak_stage = w->stage;
    }
    if (!be->ops->host_memory) {
        atomic_store(&w->device_now, be->bytes_now);
        atomic_store(&w->device_peak, be->bytes_peak);
    }
}

/* w->stage: the innermost stage that is open. */
static void follow_stage(vg_worker *w, const vg_event *event)
{
    vg_backend *be = vg_engine_backend(w->engine);
    int most = (int)(sizeof w->outer / sizeof *w->outer);
    if (event->kind == VG_EVENT_STAGE_BEGIN) {
        if (w->depth < most)
            w->outer[w->depth] = w->stage;
        w->depth++;
        w->stage = event->stage;
    } else if (w->depth > 0 && --w->depth < most)
        w->stage = w->outer[w->depth];
    if (event->stage == VG_STAGE_CALIBRATE) {
        w->calibrating = event->kind == VG_EVENT_STAGE_BEGIN;
        w->calibration_at = 0;
        w->calibration_steps = VG_WORKER_CALIBRATION_STEPS;
        be->bytes_peak = be->bytes_now;
    }
}

static void on_event(void *user, const vg_event *event)
{
    vg_worker *w = user;
    cJSON *o;
    watch_memory(w);
    switch (event->kind) {
    case VG_EVENT_STAGE_BEGIN:
    case VG_EVENT_STAGE_END:
        vg_worker_watch_mark(w,
                             event->kind == VG_EVENT_STAGE_END && event->stage == VG_STAGE_DENOISE);
        follow_stage(w, event);
        o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "stage", vg_stage_name(event->stage));
        cJSON_AddStringToObject(o, "what", event->kind == VG_EVENT_STAGE_BEGIN ? "begin" : "end");
        if (event->detail && *event->detail)
            cJSON_AddStringToObject(o, "detail", event->detail);
        if (event->kind == VG_EVENT_STAGE_END)
            cJSON_AddNumberToObject(o, "seconds", event->seconds);
        vg_worker_tell_variant(w, "stage", o);
        break;
    case VG_EVENT_STEP:
        /* Calibration runs steps too; they are progress of that stage, not steps of the clip. */
        if (event->stage == VG_STAGE_CALIBRATE) {
            w->calibration_at = event->step;
            w->calibration_steps = event->steps;
            break;
        }
        o = cJSON_CreateObject();
        cJSON_AddNumberToObject(o, "step", event->step);
        cJSON_AddNumberToObject(o, "steps", event->steps);
        cJSON_AddNumberToObject(o, "seconds", event->seconds);
        cJSON_AddNumberToObject(o, "timestep", event->timestep);
        cJSON_AddNumberToObject(o, "sigma", event->sigma);
        cJSON_AddNumberToObject(o, "expert", event->expert);
        vg_worker_tell_variant(w, "step", o);
        break;
    case VG_EVENT_PROGRESS: {
        int64_t now = vg_now_monotonic_ms();
        if (now - w->last_progress_ms < PROGRESS_EVERY_MS && event->step < event->steps)
            break;
        if (event->stage == VG_STAGE_DENOISE && now - w->last_progress_ms < PROGRESS_EVERY_MS)
            break;
        w->last_progress_ms = now;
        o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "stage", vg_stage_name(event->stage));
        int before = event->stage == VG_STAGE_CALIBRATE ? w->calibration_at : 0,
            steps = event->stage == VG_STAGE_CALIBRATE ? w->calibration_steps : 1;
        cJSON_AddNumberToObject(o, "part", before * event->steps + event->step);
        cJSON_AddNumberToObject(o, "parts", steps * event->steps);
        vg_worker_tell_variant(w, "progress", o);
        break;
    }
    case VG_EVENT_PREVIEW:
        write_preview(w, event);
        break;
    case VG_EVENT_NOTE:
        vg_worker_note(w, "%s", event->detail ? event->detail : "");
        break;
    }
}

/* After each step. In the order state, then event: an event never speaks of a step that a resume would have to do again. */
static vg_status on_save(void *user, const vg_denoise_state *state, vg_err *err)
{
    vg_worker *w = user;
    const char *const metadata[] = {VG_MADE_WITH, w->made_with[w->variant], NULL};
    return w->state_path ? vg_denoise_state_write(w->state_path, state, metadata, err) : VG_OK;
}

void vg_worker_callbacks(vg_worker *w)
{
    w->callbacks = (vg_callbacks){
        .user = w, .event = on_event, .save = on_save, .cancel = &vg_worker_cancel_flag};
}
