/* form.h: where the rows of a form go. Pure arithmetic; the setup screen draws and edits. */
#ifndef VG_UI_WIDGETS_FORM_H
#define VG_UI_WIDGETS_FORM_H

#include "ui/term/grid.h"
#include "ui/host/host.h"

enum { VG_FORM_MAX = 96 };

typedef struct vg_form_item {
    int field;         /* index, -1: a group's heading */
    const char *group; /* of a heading */
    vg_rect label, value;
} vg_form_item;

typedef struct vg_form {
    vg_form_item items[VG_FORM_MAX];
    int count, rows; /* rows needed, from area.row */
} vg_form;

/* Place the fields: texts over the whole width first, then the groups in columns, balanced, in their own order.
 * Fields that are advanced are left out unless asked for. Rows may exceed the area: the caller scrolls. */
void vg_form_place(const vg_ui_field *fields, int count, bool advanced, vg_rect area, int columns,
                   int text_rows, vg_form *out);

/* The field after or before `from` in reading order (step +1, -1), -1 at the end. By column: fields are ordered as placed. */
int vg_form_next(const vg_form *form, int from, int step);
/* The field beside `from` in the next column (step +1, -1), -1 none. */
int vg_form_beside(const vg_form *form, int from, int step);
/* Column of a CHOICES field's box inside its value, its row in *row: boxes wrap at cols. */
int vg_form_choice_at(const vg_ui_field *f, int choice, int cols, int *row);
/* Where a field stands; borrowed from form, NULL when it is not placed. */
const vg_form_item *vg_form_item_of(const vg_form *form, int field);

#endif
