/* host.h: all that the screens know of the world: a form, jobs as snapshots, frames as pixels, models. The app implements it over job
 * directories; tests replay recorded ones. Every call returns at once (no call waits for the engine); text is UTF-8 and already free of control
 * characters. Pointers inside snapshots stay valid until the next refresh. */
#ifndef VG_UI_HOST_HOST_H
#define VG_UI_HOST_HOST_H

#include "ui/host/form.h"
#include "ui/host/jobs.h"
#include "ui/host/media.h"
#include "ui/host/models.h"

typedef struct vg_ui_host {
    void *self;
    /* Readable when something changed (inotify, child exit, a frame that was loaded); -1 when only polling works. The screens call refresh,
     * which must make it unreadable again, and draw anew whatever refresh returns. They also refresh every two seconds (four times a second
     * when this is -1). */
    int (*wake_fd)(void *self);
    /* Take in what changed since the last call; true when a snapshot is different. Cheap when nothing happened. */
    bool (*refresh)(void *self);
    vg_ui_form_host form;
    vg_ui_jobs_host jobs;
    vg_ui_media_host media;
    vg_ui_models_host models;
} vg_ui_host;
#endif
