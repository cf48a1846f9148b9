/* tui_store.h: all jobs of a folder, newest first, kept up to date. A few are read at a time, so that thousands of them keep no key waiting; those
 * that somebody looks at are open, and so is each that a worker is on. */
#ifndef VG_APP_TUI_TUI_STORE_H
#define VG_APP_TUI_TUI_STORE_H

#include "app/tui/tui_job.h"

/* How a worker is started: vg_worker_start, or a player of recorded jobs in the tests. */
typedef vg_status (*vg_tui_start)(const char *dir, int max_steps, pid_t *pid, vg_err *err);

typedef struct vg_tui_store {
    vg_tui_start start;
    vg_tui_wake *wake; /* borrowed */
    char *dir;         /* absolute */
    vg_tui_job **jobs; /* all, newest first */
    int count;
    const vg_ui_job **list; /* what list hands out: those that are known */
    int list_count, unread;
    uint64_t serial;
    int watch; /* of the folder, -1 none */
    bool scan_wanted;
    int64_t scanned_ms, looked_ms, polled_ms;
    double changed_s; /* the folder's own time at the last scan */
    int cursor;       /* where looking at unwatched jobs goes on */
    uint64_t uses;
    bool alive; /* some job is */
} vg_tui_store;

/* The folder is made when missing. wake: stays as long as the store. */
vg_status vg_tui_store_init(vg_tui_store *store, const char *dir, vg_tui_start start,
                            vg_tui_wake *wake, vg_err *err);
/* Free all jobs in memory; folders and workers stay as they are. */
void vg_tui_store_deinit(vg_tui_store *store);
/* From the wake: a folder changed (-1: any), the worker of the job in `dir` ended. */
void vg_tui_store_changed(vg_tui_store *store, int watch);
/* Its job is looked at in the next refresh; nothing happens for a folder that is not in the list, or "". */
void vg_tui_store_ended(vg_tui_store *store, const char *dir);
/* Take in what changed; true when the list or a job did. More is to come while `unread` is not 0, and the wake is called for it. */
bool vg_tui_store_refresh(vg_tui_store *store);
/* By its name; opened, so that all of it is there. NULL: gone. */
vg_tui_job *vg_tui_store_find(vg_tui_store *store, const char *id);

/* The jobs of ui/host/jobs.h. */
void vg_tui_store_host(vg_tui_store *store, vg_ui_jobs_host *host);
/* Start a worker on a job and follow it. */
bool vg_tui_store_start(vg_tui_store *store, const char *dir, int max_steps, char *message,
                        size_t size);
#endif
