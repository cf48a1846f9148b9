/* tui_log.c: see tui_log.h. */
#include "app/tui/tui_log.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "kernels/base/text.h"

void vg_tui_log_init(vg_tui_log *log, const vg_job *job)
{
    *log = (vg_tui_log){.job = job};
}

static int variant_of(const vg_job *job, const char *name)
{
    for (int i = 0; *name && i < job->variants_count; i++) {
        if (!strcmp(vg_scheme_name(job->schemes[i]), name))
            return i;
    }
    return -1;
}

/* A new last line; `text` is cleaned on its way in. */
static void add(vg_tui_log *log, double t, int variant, vg_ui_log_kind kind, const char *stage,
                const char *text)
{
    if (log->count == VG_TUI_LOG_LINES) {
        log->count--;
        memmove(log->lines, log->lines + 1, sizeof log->lines[0] * (size_t)log->count);
        memmove(log->text, log->text + 1, sizeof log->text[0] * (size_t)log->count);
        memmove(log->stage, log->stage + 1, sizeof log->stage[0] * (size_t)log->count);
    }
    int i = log->count++;
    vg_text_clean_to(log->text[i], sizeof log->text[i], text);
    snprintf(log->stage[i], sizeof log->stage[i], "%s", stage);
    log->lines[i] =
        (vg_ui_log_line){.at = t - log->began, .variant = variant, .kind = kind, .seconds = NAN};
    for (int k = 0; k < log->count; k++)
        log->lines[k].text = log->text[k];
}

static void take_stage(vg_tui_log *log, double t, int variant, const cJSON *event)
{
    const char *stage = vg_event_text(event, "stage"), *detail = vg_event_text(event, "detail");
    char line[160];
    if (strcmp(vg_event_text(event, "what"), "end") != 0) {
        /* A stage inside itself is one. */
        int last = log->count - 1;
        if (last >= 0 && log->lines[last].variant == variant && *stage &&
            !strcmp(log->stage[last], stage) && !*detail && isnan(log->lines[last].seconds))
            return;
        snprintf(line, sizeof line, "%.40s%s%.100s", stage, *detail ? " " : "", detail);
        add(log, t, variant, VG_UI_LOG_STAGE, stage, line);
        return;
    }
    for (int i = log->count - 1; i >= 0; i--) {
        if (log->lines[i].variant == variant && *stage &&
            !strncmp(log->stage[i], stage, sizeof log->stage[i] - 1)) {
            log->lines[i].seconds = vg_event_number(event, "seconds", NAN);
            return;
        }
    }
}

void vg_tui_log_take(void *user, const cJSON *event, const char *line)
{
    vg_tui_log *log = user;
    const char *type = vg_event_text(event, "type"), *message = vg_event_text(event, "message");
    double t = vg_event_number(event, "t", 0);
    int variant = variant_of(log->job, vg_event_text(event, "variant"));
    char text[160];
    (void)line;
    if (log->began <= 0)
        log->began = t;
    if (!strcmp(type, "stage")) {
        take_stage(log, t, variant, event);
    } else if (!strcmp(type, "note")) {
        add(log, t, variant, VG_UI_LOG_NOTE, "", vg_event_text(event, "text"));
    } else if (!strcmp(type, "precision")) {
        snprintf(text, sizeof text, "layers: %.140s", vg_event_text(event, "text"));
        add(log, t, variant, VG_UI_LOG_NOTE, "", text);
    } else if (!strcmp(type, "started")) {
        const char *device = vg_event_text(event, "device");
        snprintf(text, sizeof text, "started%s%.120s", *device ? " on " : "", device);
        add(log, t, -1, VG_UI_LOG_STAGE, "", text);
    } else if (!strcmp(type, "queued")) {
        snprintf(text, sizeof text, "waiting for %.120s", vg_event_text(event, "waiting_for"));
        add(log, t, -1, VG_UI_LOG_NOTE, "", text);
    } else if (!strcmp(type, "resume")) {
        if (log->count > 0) /* the first start asks in the same way */
            add(log, t, -1, VG_UI_LOG_NOTE, "", "asked to go on");
    } else if (!strcmp(type, "metrics")) {
        add(log, t, variant, VG_UI_LOG_STAGE, "", "compared with the reference");
    } else if (!strcmp(type, "comparison")) {
        add(log, t, -1, VG_UI_LOG_STAGE, "", "comparison clip written");
    } else if (!strcmp(type, "variant") && !strcmp(vg_event_text(event, "what"), "end")) {
        add(log, t, variant, VG_UI_LOG_END, "", "done");
    } else if (!strcmp(type, "done") || !strcmp(type, "stopped") || !strcmp(type, "cancelled")) {
        add(log, t, -1, strcmp(type, "done") ? VG_UI_LOG_NOTE : VG_UI_LOG_END, "", type);
    } else if (!strcmp(type, "failed")) {
        snprintf(text, sizeof text, "failed: %.140s", message);
        add(log, t, -1, VG_UI_LOG_BAD, "", text);
    }
}
