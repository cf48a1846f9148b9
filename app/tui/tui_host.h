/* tui_host.h: ui/host/host.h over a folder of jobs: what wakes the screens, and the four interfaces, each a file of its own: the form
 * (tui_setup.h), jobs (tui_store.h), media (tui_media.h), models (tui_models.h). Everything runs on the thread of the screens except reading
 * frames and writing a clip. */
#ifndef VG_APP_TUI_TUI_HOST_H
#define VG_APP_TUI_TUI_HOST_H

#include "app/tui/tui_device.h"
#include "app/tui/tui_media.h"
#include "app/tui/tui_models.h"
#include "app/tui/tui_setup.h"
#include "ui/host/host.h"

typedef struct vg_tui_host {
    vg_ui_host table; /* for the screens */
    vg_tui_wake wake;
    vg_tui_device device;
    vg_tui_store store;
    vg_tui_setup setup;
    vg_tui_media media;
    vg_tui_models models;
    bool was_alive; /* some job was, at the last refresh */
} vg_tui_host;

typedef struct vg_tui_host_options {
    const char *jobs_dir;    /* NULL for the usual one; made when missing */
    const vg_settings *form; /* copied */
    vg_tui_start start;      /* of workers */
    bool ask_device;         /* in a process of its own: see tui_device.h */
} vg_tui_host_options;

/* The caller closes *host. Errors: those of vg_tui_store_init. */
vg_status vg_tui_host_open(const vg_tui_host_options *options, vg_tui_host **host, vg_err *err);
/* Waits for an export under way; workers go on. NULL is a no-op. */
void vg_tui_host_close(vg_tui_host *host);
#endif
