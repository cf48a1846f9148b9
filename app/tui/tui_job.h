/* tui_job.h: one job as the screens see it. Known by its summary until somebody wants to see all of it: then its journal is read and followed,
 * and its pictures are loaded, until nobody has looked for a while. */
#ifndef VG_APP_TUI_TUI_JOB_H
#define VG_APP_TUI_TUI_JOB_H

#include "app/job/snapshot.h"
#include "app/tui/tui_frames.h"
#include "ui/host/jobs.h"

/* What only an opened job has, for each variant. */
typedef struct vg_tui_detail {
    uint8_t *preview;
    int preview_w, preview_h;
    uint64_t preview_serial; /* of what is loaded */
    vg_ui_metric metrics[VG_METRIC_COUNT];
    vg_tui_frames *frames; /* NULL while nobody asked */
} vg_tui_detail;

enum { VG_TUI_GAUGES = 6 };

typedef struct vg_tui_job {
    char *dir, *id; /* the folder, and its name as people read it */
    bool known;     /* what follows was read; else only that there is a folder */
    char *damaged;  /* why the folder cannot be read, or NULL; there is no snapshot then */
    vg_job job;     /* zero while it is not opened */
    vg_snapshot snapshot;
    vg_ui_variant *variants;   /* [variants_count of the snapshot] */
    vg_tui_detail *details;    /* the same count; NULL while it is not opened */
    char *prompt, *comparison; /* for ui */
    vg_ui_log_line *log;       /* [log_capacity] */
    int log_capacity;
    vg_ui_gauge gauges[VG_TUI_GAUGES];
    uint64_t built_serial;
    int64_t built_ms;
    vg_ui_job ui;
    /* of the store */
    int watch;           /* inotify, -1 none */
    bool touched;        /* something happened in its folder */
    bool seen;           /* during a scan */
    uint64_t used;       /* when it was last asked for */
    double cancel_asked; /* Unix time, 0 not yet */
} vg_tui_job;

vg_tui_job *vg_tui_job_new(const char *dir); /* nothing is read yet */
/* NULL is a no-op. */
void vg_tui_job_free(vg_tui_job *job);
/* For the list: by its summary, or else by its journal. */
void vg_tui_job_read(vg_tui_job *job);
/* In full detail; false: it cannot be. */
bool vg_tui_job_open(vg_tui_job *job);
/* Is its full detail in memory? */
bool vg_tui_job_is_open(const vg_tui_job *job);
/* Forget the detail again, but for what the list shows. Only of one that is over: another has to be followed. */
void vg_tui_job_close(vg_tui_job *job);
/* A worker is or will be on it. */
bool vg_tui_job_alive(const vg_tui_job *job);
/* Take in what is new; true when ui changed. */
bool vg_tui_job_refresh(vg_tui_job *job);
#endif
