/* fold_log.c: events as lines that a person reads. See snapshot.h, vg_log_line. */
#include "app/job/fold.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define DROP 500 /* lines at once, when there are too many */

void vg_job_log_deinit(vg_job_log *log)
{
    for (int i = 0; i < log->count; i++)
        free(log->lines[i].text);
    free(log->lines);
    *log = (vg_job_log){0};
}

static void make_room(vg_job_log *log)
{
    if (log->count == VG_LOG_LINES_MAX) {
        for (int i = 0; i < DROP; i++)
            free(log->lines[i].text);
        log->count -= DROP;
        memmove(log->lines, log->lines + DROP, (size_t)log->count * sizeof *log->lines);
    }
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? log->capacity * 2 : 32;
        log->lines = vg_xrealloc(log->lines, (size_t)log->capacity * sizeof *log->lines);
    }
}

/* A new last line of at most 160 bytes. */
__attribute__((format(printf, 6, 7))) static void add(vg_job_log *log, double t, int variant,
                                                      vg_log_level level, const char *stage,
                                                      const char *format, ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_room(log);
    vg_log_line *line = &log->lines[log->count++];
    *line = (vg_log_line){.at = isfinite(t) ? t - log->began : 0,
                          .variant = variant,
                          .level = level,
                          .text = vg_text_clean(text),
                          .seconds = NAN};
    snprintf(line->stage, sizeof line->stage, "%s", stage);
}

static void end_stage(vg_job_log *log, const vg_job_event *e, int variant)
{
    for (int i = log->count - 1; i >= 0; i--) {
        vg_log_line *line = &log->lines[i];
        if (line->variant == variant && *e->stage &&
            !strncmp(line->stage, e->stage, sizeof line->stage - 1)) {
            line->seconds = e->seconds;
            return;
        }
    }
}

static void take_stage(vg_job_log *log, const vg_job_event *e, int variant)
{
    const vg_log_line *last = log->count ? &log->lines[log->count - 1] : NULL;
    if (!strcmp(e->what, "end")) {
        end_stage(log, e, variant);
        return;
    }
    /* A stage inside itself is one. */
    if (last && last->variant == variant && *e->stage && !strcmp(last->stage, e->stage) &&
        !*e->detail && isnan(last->seconds))
        return;
    add(log, e->t, variant, VG_LOG_STAGE, e->stage, "%.40s%s%.100s", e->stage,
        *e->detail ? " " : "", e->detail);
}

void vg_fold_log(vg_job_log *log, const vg_job_event *e, int variant)
{
    double t = e->t;
    if (log->began <= 0 && isfinite(t))
        log->began = t;
    switch (e->type) {
    case VG_JOB_EVENT_stage:
        take_stage(log, e, variant);
        break;
    case VG_JOB_EVENT_note:
        add(log, t, variant, VG_LOG_NOTE, "", "%s", e->text);
        break;
    case VG_JOB_EVENT_precision:
        add(log, t, variant, VG_LOG_NOTE, "", "layers: %s", e->text);
        break;
    case VG_JOB_EVENT_started:
        add(log, t, -1, VG_LOG_STAGE, "", "started%s%s", *e->device ? " on " : "", e->device);
        break;
    case VG_JOB_EVENT_queued:
        add(log, t, -1, VG_LOG_NOTE, "", "waiting for %s", e->waiting_for);
        break;
    case VG_JOB_EVENT_resume:
        if (log->count > 0) /* the first start asks in the same way */
            add(log, t, -1, VG_LOG_NOTE, "", "asked to go on");
        break;
    case VG_JOB_EVENT_metrics:
        add(log, t, variant, VG_LOG_STAGE, "", "compared with the reference");
        break;
    case VG_JOB_EVENT_comparison:
        add(log, t, -1, VG_LOG_STAGE, "", "comparison clip written");
        break;
    case VG_JOB_EVENT_variant:
        if (!strcmp(e->what, "end"))
            add(log, t, variant, VG_LOG_END, "", "done");
        break;
    case VG_JOB_EVENT_done:
        add(log, t, -1, VG_LOG_END, "", "done");
        break;
    case VG_JOB_EVENT_stopped:
    case VG_JOB_EVENT_cancelled:
        add(log, t, -1, VG_LOG_NOTE, "", "%s", vg_job_event_describe(e->type)->name);
        break;
    case VG_JOB_EVENT_failed:
        add(log, t, -1, VG_LOG_BAD, "", "failed: %s", e->message);
        break;
    default:
        break;
    }
}
