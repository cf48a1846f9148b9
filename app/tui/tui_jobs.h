/* tui_jobs.h: jobs as the screens see them: snapshots rebuilt from views, previews, and frames loaded in the background. */
#ifndef VG_APP_TUI_TUI_JOBS_H
#define VG_APP_TUI_TUI_JOBS_H

#include <pthread.h>
#include "app/media/frames.h"
#include "app/job/snapshot.h"
#include "ui/host.h"

/* Frames of one variant on their way into memory, or there. */
typedef struct vg_tui_frames {
    pthread_t thread;
    bool started;
    atomic_int state; /* 0 loading, 1 there, -1 broken */
    atomic_int stop;  /* nobody wants them any more */
    char *dir;
    int wake_fd;
    int width, height; /* that the job has */
    vg_frames frames;
    char broken[VG_ERR_MESSAGE_MAX]; /* why, once the state says so */
} vg_tui_frames;

typedef struct vg_tui_variant {
    uint8_t *preview;
    int preview_w, preview_h;
    uint64_t preview_serial; /* of what is loaded */
    char *clip;
    vg_ui_metric metrics[VG_METRIC_COUNT];
    vg_tui_frames *frames;
} vg_tui_variant;

enum { VG_TUI_GAUGES = 6 };

typedef struct vg_tui_job {
    vg_job job;
    vg_snapshot snapshot;
    vg_tui_variant *variants; /* [variants_count of the snapshot] */
    vg_ui_variant *ui_variants;
    char *prompt, *comparison;
    vg_ui_log_line *log; /* [log_capacity] */
    int log_capacity;
    vg_ui_gauge gauges[VG_TUI_GAUGES];
    int watch;    /* inotify, -1 none */
    bool touched; /* inotify spoke, or it has never been read */
    bool seen;    /* during a scan */
    uint64_t built_serial;
    int64_t built_ms;
    vg_ui_job ui;
} vg_tui_job;

vg_status vg_tui_job_open(const char *dir, vg_tui_job **job, vg_err *err);
void vg_tui_job_close(vg_tui_job *job);
/* Read what is new and rebuild the snapshot when something changed. */
bool vg_tui_job_refresh(vg_tui_job *job);
/* Begin to load when needed; NULL while loading or when broken. */
const uint8_t *vg_tui_job_frame(vg_tui_job *job, int variant, int index, int wake_fd);
/* Why they cannot be had, NULL while nothing is known to be wrong; borrowed until they are dropped. */
const char *vg_tui_job_frames_broken(const vg_tui_job *job, int variant);
void vg_tui_job_drop_frames(vg_tui_job *job);
#endif
