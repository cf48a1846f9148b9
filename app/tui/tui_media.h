/* tui_media.h: the frames of a job in memory, and its comparison clip written in the background. */
#ifndef VG_APP_TUI_TUI_MEDIA_H
#define VG_APP_TUI_TUI_MEDIA_H

#include <pthread.h>
#include <stdatomic.h>
#include "app/tui/tui_store.h"
#include "ui/host/media.h"

typedef struct vg_tui_media {
    vg_tui_store *store; /* borrowed, with its wake */
    char framed[256];    /* the job whose frames are in memory: they are large */
    /* the export */
    pthread_t thread;
    bool started;
    atomic_int state; /* vg_ui_export_state */
    char *dir;
    double gain;
    char message[VG_ERR_MESSAGE_MAX];
} vg_tui_media;

/* store: borrowed, must outlive it. */
void vg_tui_media_init(vg_tui_media *media, vg_tui_store *store);
/* Waits for a clip that is being written. */
void vg_tui_media_deinit(vg_tui_media *media);
/* Fill the calls that the screens make; valid as long as media, which must not move. */
void vg_tui_media_host(vg_tui_media *media, vg_ui_media_host *host);
#endif
