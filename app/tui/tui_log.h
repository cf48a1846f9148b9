/* tui_log.h: a job's events as lines a person reads: stages with how long each took, notes, endings. Steps, memory and progress are left
 * out: the gauges show them. */
#ifndef VG_APP_TUI_TUI_LOG_H
#define VG_APP_TUI_TUI_LOG_H

#include "app/job/events.h"
#include "app/job/job.h"
#include "ui/host.h"

enum { VG_TUI_LOG_LINES = 128 }; /* older ones go */

typedef struct vg_tui_log {
    const vg_job *job; /* borrowed */
    vg_ui_log_line lines[VG_TUI_LOG_LINES];
    char text[VG_TUI_LOG_LINES][160];
    char stage[VG_TUI_LOG_LINES][24]; /* of a line about a stage, else "" */
    int count;
    double began; /* Unix time of the first event */
} vg_tui_log;

void vg_tui_log_init(vg_tui_log *log, const vg_job *job);
/* For vg_job_view_refresh: user is the log. */
void vg_tui_log_take(void *user, const cJSON *event, const char *line);
#endif
