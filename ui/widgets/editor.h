/* editor.h: a text being typed: one line or many, UTF-8, soft wrap. Holds text and cursor; draws by function of a rectangle. */
#ifndef VG_UI_WIDGETS_EDITOR_H
#define VG_UI_WIDGETS_EDITOR_H

#include "ui/term/grid.h"
#include "ui/term/input.h"

#include <stddef.h>

#define VG_EDITOR_MAX 65536

typedef struct vg_editor {
    char *text; /* always terminated once set */
    size_t size, room, cursor;
    bool multiline;
} vg_editor;

/* Replace the text; the cursor goes to the end. */
void vg_editor_set(vg_editor *e, const char *text, bool multiline);
/* All zero is empty. */
void vg_editor_deinit(vg_editor *e);

enum { VG_EDITOR_IGNORED, VG_EDITOR_MOVED, VG_EDITOR_CHANGED };

/* One key. `cols` is the width of the last drawing (for up and down). Enter, Tab and Esc are left to the caller; Alt-Enter and
 * Ctrl-J break the line in a multi-line text. Ctrl-A/E line start and end, Ctrl-W word back, Ctrl-U to line start, Ctrl-K to its end. */
int vg_editor_key(vg_editor *e, const vg_key *key, int cols);

/* Draw in r, scrolled so that the cursor is visible; with focus the grid's cursor is placed. */
void vg_editor_draw(const vg_editor *e, vg_grid *g, vg_rect r, vg_text_role role, bool focus);
/* Put the cursor under a click. */
void vg_editor_click(vg_editor *e, vg_rect r, int row, int col);
/* Lines of the text wrapped at cols. */
int vg_editor_lines(const vg_editor *e, int cols);

#endif
