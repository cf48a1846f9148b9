/* screen_setup.h: the parts of the setup screen: its state, its picture (setup_draw.c) and its keys (screen_setup.c). */
#ifndef VG_UI_SCREENS_SCREEN_SETUP_H
#define VG_UI_SCREENS_SCREEN_SETUP_H

#include "ui/screens/ui.h"
#include "ui/widgets/form.h"

enum { VG_SETUP_FORM, VG_SETUP_PLAN, VG_SETUP_START, VG_SETUP_RECENT, VG_SETUP_RECTS };

typedef struct vg_setup {
    int focus;     /* field, -1: the start button */
    bool advanced; /* all settings shown */
    bool editing;
    vg_editor editor;
    char *before;    /* the value before editing, for Esc */
    char error[256]; /* why what is typed is not taken */
    int bad;         /* field that `error` is about, -1 none */
    int option;      /* cursor inside a CHOICES field */
    char *saving;    /* name of the preset that may be replaced, while that is asked */
} vg_setup;

/* The `layout` of its vg_screen: VG_SETUP_RECTS rectangles, the plan beside the form where that is wide enough, else below. */
void vg_setup_layout(const vg_ui *ui, const void *state, vg_rect area, vg_layout *out);
/* Fields placed inside the form's rectangle, scrolled so that the focus is visible. */
void vg_setup_form(const vg_ui *ui, const vg_setup *s, vg_rect area, vg_form *form, int *scroll);
/* The `draw` of its vg_screen: reads, writes cells, changes nothing. */
void vg_setup_draw(const vg_ui *ui, const void *state, vg_grid *g, vg_rect area);
/* Where the focused field is edited: its value's rectangle, larger for a text. */
vg_rect vg_setup_edit_rect(const vg_setup *s, const vg_ui_field *f, vg_rect value, vg_rect area);
/* True when `choice` is in the comma list `value`. */
bool vg_setup_has(const char *value, const char *choice);

#endif
