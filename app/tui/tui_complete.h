/* tui_complete.h: going on with the path of a picture or clip that is being typed. */
#ifndef VG_APP_TUI_TUI_COMPLETE_H
#define VG_APP_TUI_TUI_COMPLETE_H

#include <stddef.h>

/* *out: `text` and what all folders and files of these kinds (VG_MEDIA_PICTURE, VG_MEDIA_CLIP) that begin like it have in common; "~/" becomes
 * the home folder. message: the names that there are, when there are several and none of it is clear, or that there is none; else "".
 * Tests: test_ui_form. */
void vg_tui_complete(const char *text, unsigned kinds, char *out, size_t out_size, char *message,
                     size_t size);
#endif
