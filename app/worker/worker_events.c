/* worker_events.c: what the engine says, written down as events. */
#include "app/worker/worker_run.h"
#include "app/job/preview_file.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_EVERY_MS 150

void vg_worker_tell(vg_worker *w, vg_job_event event)
{
    if (vg_job_event_describe(event.type)->of_variant)
        event.variant = w->snapshot.variants[w->variant].id;
    (void)vg_event_write(&w->events, &event,
                         NULL); /* a full disk must not end a run; files that matter report it */
}

void vg_worker_say(vg_worker *w, vg_job_event_type type)
{
    vg_worker_tell(w, vg_job_event_of(type));
}

void vg_worker_note(vg_worker *w, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_note);
    e.text = text;
    vg_worker_tell(w, e);
}

static void write_preview(vg_worker *w, const vg_event *event)
{
    char *path = vg_job_variant_path(&w->job, w->variant, VG_VARIANT_PREVIEW);
    if (vg_preview_write(path, event->preview, event->preview_width, event->preview_height, NULL) ==
        VG_OK) {
        vg_job_event e = vg_job_event_of(VG_JOB_EVENT_preview);
        e.width = event->preview_width;
        e.height = event->preview_height;
        e.step = event->step;
        vg_worker_tell(w, e);
    }
    free(path);
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

static void on_stage(vg_worker *w, const vg_event *event)
{
    bool ends = event->kind == VG_EVENT_STAGE_END;
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_stage);
    vg_worker_watch_mark(w, ends && event->stage == VG_STAGE_DENOISE);
    follow_stage(w, event);
    e.what = ends ? "end" : "begin";
    e.stage = vg_stage_name(event->stage);
    e.detail = event->detail ? event->detail : "";
    e.seconds = ends ? event->seconds : NAN;
    vg_worker_tell(w, e);
}

static void on_step(vg_worker *w, const vg_event *event)
{
    /* Calibration runs steps too; they are progress of that stage, not steps of the clip. */
    if (event->stage == VG_STAGE_CALIBRATE) {
        w->calibration_at = event->step;
        w->calibration_steps = event->steps;
        return;
    }
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_step);
    e.step = event->step;
    e.steps = event->steps;
    e.seconds = event->seconds;
    e.timestep = event->timestep;
    e.sigma = event->sigma;
    e.expert = event->expert;
    vg_worker_tell(w, e);
}

static void on_progress(vg_worker *w, const vg_event *event)
{
    int64_t now = vg_now_monotonic_ms();
    bool calibrates = event->stage == VG_STAGE_CALIBRATE,
         soon = now - w->last_progress_ms < PROGRESS_EVERY_MS;
    if (soon && (event->step < event->steps || event->stage == VG_STAGE_DENOISE))
        return;
    w->last_progress_ms = now;
    int before = calibrates ? w->calibration_at : 0, steps = calibrates ? w->calibration_steps : 1;
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_progress);
    e.stage = vg_stage_name(event->stage);
    e.part = before * event->steps + event->step;
    e.parts = steps * event->steps;
    vg_worker_tell(w, e);
}

static void tell_precision(vg_worker *w, const char *text)
{
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_precision);
    e.text = text;
    vg_worker_tell(w, e);
}

static void tell_attention(vg_worker *w, const vg_event *event)
{
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_attention);
    e.expert = event->expert;
    e.block = event->step;
    e.cosine = event->attention->cosine;
    e.relative_l2 = event->attention->relative_l2;
    e.largest_error = event->attention->largest_error;
    e.missed = event->attention->missed;
    vg_worker_tell(w, e);
}

static void on_event(void *user, const vg_event *event)
{
    vg_worker *w = user;
    watch_memory(w);
    switch (event->kind) {
    case VG_EVENT_BEGIN:
        vg_worker_begins(w, event->step);
        break;
    case VG_EVENT_PRECISION:
        tell_precision(w, event->detail);
        break;
    case VG_EVENT_STAGE_BEGIN:
    case VG_EVENT_STAGE_END:
        on_stage(w, event);
        break;
    case VG_EVENT_STEP:
        on_step(w, event);
        break;
    case VG_EVENT_PROGRESS:
        on_progress(w, event);
        break;
    case VG_EVENT_PREVIEW:
        write_preview(w, event);
        break;
    case VG_EVENT_ATTENTION:
        tell_attention(w, event);
        break;
    case VG_EVENT_NOTE:
        vg_worker_note(w, "%s", event->detail ? event->detail : "");
        break;
    }
}

/* The state of a step is saved before its event: an event never speaks of a step that a resume would have to do again. */
void vg_worker_callbacks(vg_worker *w)
{
    w->callbacks = (vg_callbacks){.user = w, .event = on_event, .cancel = &vg_worker_cancel_flag};
}
