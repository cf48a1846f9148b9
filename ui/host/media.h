/* media.h: the pictures of a job, and the clip that is written of them. */
#ifndef VG_UI_HOST_MEDIA_H
#define VG_UI_HOST_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum vg_ui_export_state {
    VG_UI_EXPORT_RUNNING,
    VG_UI_EXPORT_DONE,   /* the path in message */
    VG_UI_EXPORT_FAILED, /* why in message */
    VG_UI_EXPORT_NONE    /* nothing was started */
} vg_ui_export_state;

typedef struct vg_ui_media_host {
    void *self;
    /* RGB frame [height, width, 3] of a finished variant, or NULL while it is loading (ask again after refresh) or broken. Borrowed
     * until the next call for the same variant. */
    const uint8_t *(*frame)(void *self, const char *id, int variant, int index);
    /* Why the frames of a variant cannot be had, in one line; NULL while nothing is known to be wrong. Borrowed until the next refresh. */
    const char *(*broken)(void *self, const char *id, int variant);
    /* Write the comparison clip (diff_gain > 0 adds the amplified difference pane) in the background. */
    bool (*export_start)(void *self, const char *id, double diff_gain, char *message,
                         size_t message_size);
    /* An end is told once. */
    vg_ui_export_state (*export_poll)(void *self, char *message, size_t message_size);
} vg_ui_media_host;
#endif
