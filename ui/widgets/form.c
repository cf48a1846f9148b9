/* form.c: see form.h. */
#include "ui/widgets/form.h"

#include "ui/term/text.h"

#include <stdlib.h>
#include <string.h>

enum { GROUPS_MAX = 16, LABEL_COLS = 16, GAP = 4 };

typedef struct group {
    const char *name;
    int rows;
} group;

static bool shown(const vg_ui_field *f, bool advanced)
{
    return advanced || !f->advanced;
}

static int label_width(int most, const vg_ui_field *f)
{
    int width = vg_text_width(f->label) + 2;
    width = width > most ? width : most;
    return width > LABEL_COLS + 2 ? LABEL_COLS + 2 : width;
}

int vg_form_choice_at(const vg_ui_field *f, int choice, int cols, int *row)
{
    int col = 0;
    *row = 0;
    for (int i = 0; f->choices && f->choices[i]; i++) {
        int width = vg_text_width(f->choices[i]) + 2;
        if (col > 0 && col + width > cols) {
            col = 0;
            (*row)++;
        }
        if (i == choice)
            return col;
        col += width + 1;
    }
    return 0;
}

/* Rows of a field's value: the boxes of several choices wrap. */
static int value_rows(const vg_ui_field *f, int cols)
{
    int row = 0, last = -1;
    while (f->kind == VG_UI_CHOICES && f->choices && f->choices[last + 1])
        last++;
    if (last >= 0)
        vg_form_choice_at(f, last, cols, &row);
    return row + 1;
}

/* Heights of the columns if a new one begins when `limit` rows are passed; returns the columns used. */
static int split(const group *groups, int count, int limit, int *column_of)
{
    int column = 0, rows = 0;
    for (int i = 0; i < count; i++) {
        int need = groups[i].rows + (rows ? 1 : 0);
        if (rows && rows + need > limit) {
            column++;
            rows = 0;
            need = groups[i].rows;
        }
        rows += need;
        column_of[i] = column;
    }
    return count ? column + 1 : 0;
}

void vg_form_place(const vg_ui_field *fields, int count, bool advanced, vg_rect area, int columns,
                   int text_rows, vg_form *out)
{
    memset(out, 0, sizeof *out);
    int labels = 0, row = area.row, texts = 0;
    for (int i = 0; i < count; i++)
        if (fields[i].kind == VG_UI_TEXT && shown(&fields[i], advanced))
            labels = label_width(labels, &fields[i]);
    for (int i = 0; i < count && out->count < VG_FORM_MAX; i++) {
        if (fields[i].kind != VG_UI_TEXT || !shown(&fields[i], advanced))
            continue;
        int rows = texts++ == 0 ? text_rows : (text_rows + 1) / 2; /* the first is the prompt */
        out->items[out->count++] =
            (vg_form_item){i,
                           NULL,
                           {row, area.col, 1, labels},
                           {row, area.col + labels, rows, area.cols - labels}};
        row += rows + (text_rows > 3 ? 1 : 0);
    }
    if (texts && text_rows <= 3)
        row++;
    group groups[GROUPS_MAX];
    int n = 0;
    for (int i = 0; i < count; i++) {
        if (fields[i].kind == VG_UI_TEXT || !shown(&fields[i], advanced))
            continue;
        int k = 0;
        while (k < n && strcmp(groups[k].name, fields[i].group) != 0)
            k++;
        if (k == n) {
            if (n == GROUPS_MAX)
                k = n - 1;
            else
                groups[n++] = (group){fields[i].group, 1};
        }
        groups[k].rows++;
    }
    int column_of[GROUPS_MAX] = {0}, limit = 1;
    while (limit < 4 * VG_FORM_MAX && split(groups, n, limit, column_of) > columns)
        limit++;
    int width = (area.cols - GAP * (columns - 1)) / columns, deepest = row;
    int at[8];
    for (int c = 0; c < 8; c++)
        at[c] = row;
    for (int k = 0; k < n; k++) {
        int c = column_of[k] < 8 ? column_of[k] : 7, col = area.col + c * (width + GAP);
        labels = 0;
        for (int i = 0; i < count; i++) /* one width in a column, so that values line up */
            for (int other = 0; other < n; other++)
                if (column_of[other] == column_of[k] && fields[i].kind != VG_UI_TEXT &&
                    shown(&fields[i], advanced) && strcmp(fields[i].group, groups[other].name) == 0)
                    labels = label_width(labels, &fields[i]);
        if (at[c] > row)
            at[c]++;
        if (out->count < VG_FORM_MAX)
            out->items[out->count++] =
                (vg_form_item){-1, groups[k].name, {at[c]++, col, 1, width}, {0, 0, 0, 0}};
        for (int i = 0; i < count && out->count < VG_FORM_MAX; i++) {
            if (fields[i].kind == VG_UI_TEXT || !shown(&fields[i], advanced) ||
                strcmp(fields[i].group, groups[k].name) != 0)
                continue;
            int rows = value_rows(&fields[i], width - labels);
            out->items[out->count++] = (vg_form_item){
                i, NULL, {at[c], col, 1, labels}, {at[c], col + labels, rows, width - labels}};
            at[c] += rows;
        }
        deepest = at[c] > deepest ? at[c] : deepest;
    }
    out->rows = deepest - area.row;
}

const vg_form_item *vg_form_item_of(const vg_form *form, int field)
{
    for (int i = 0; i < form->count; i++)
        if (form->items[i].field == field && field >= 0)
            return &form->items[i];
    return NULL;
}

int vg_form_next(const vg_form *form, int from, int step)
{
    int at = from < 0 ? (step > 0 ? -1 : form->count) : -2;
    for (int i = 0; i < form->count && at == -2; i++)
        if (form->items[i].field == from)
            at = i;
    if (at == -2)
        at = step > 0 ? -1 : form->count;
    for (at += step; at >= 0 && at < form->count; at += step)
        if (form->items[at].field >= 0)
            return form->items[at].field;
    return -1;
}

int vg_form_beside(const vg_form *form, int from, int step)
{
    const vg_form_item *here = vg_form_item_of(form, from), *best = NULL;
    int distance = 1 << 20;
    for (int i = 0; here && i < form->count; i++) {
        const vg_form_item *item = &form->items[i];
        if (item->field < 0 || (item->label.col - here->label.col) * step <= 0)
            continue;
        int d = abs(item->label.row - here->label.row) + 4 * abs(item->label.col - here->label.col);
        if (d < distance) {
            distance = d;
            best = item;
        }
    }
    return best ? best->field : -1;
}
