/* tui_frames.h: the frames of one variant, read by a thread of its own. */
#ifndef VG_APP_TUI_TUI_FRAMES_H
#define VG_APP_TUI_TUI_FRAMES_H

#include "app/media/frames.h"
#include "app/tui/tui_wake.h"

typedef struct vg_tui_frames vg_tui_frames;

/* Begin to read those that lie in `dir`, which must be width x height; wake is called at the end. */
vg_tui_frames *vg_tui_frames_new(const char *dir, int width, int height, vg_tui_wake *wake);
void vg_tui_frames_free(vg_tui_frames *frames); /* waits for the thread, which stops soon */
/* One frame, RGB; NULL while they are read, when they are broken, or when there is no such frame. */
const uint8_t *vg_tui_frames_at(const vg_tui_frames *frames, int index);
/* Why they cannot be had; NULL while nothing is known to be wrong. Borrowed. */
const char *vg_tui_frames_broken(const vg_tui_frames *frames);
#endif
