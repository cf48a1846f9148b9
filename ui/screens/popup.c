/* popup.c: a list to choose from, a line to type, a question. One at a time; the screen that opened it gets the answer. */
#include "ui/term/text.h"
#include "ui/screens/ui.h"
#include "ui/widgets/widgets.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BOX_SIDES = 4 }; /* columns of a box that are not inside it */

static void open_popup(vg_ui *ui, vg_popup_kind kind, int tag, const char *title, const char *text)
{
    vg_popup_close(ui);
    vg_popup *p = &ui->popup;
    p->kind = kind;
    p->screen = ui->screen;
    p->tag = tag;
    snprintf(p->title, sizeof p->title, "%s", title);
    snprintf(p->text, sizeof p->text, "%s", text ? text : "");
    ui->dirty = true;
}

void vg_popup_list(vg_ui *ui, int tag, const char *title, const char *const *items, int selected,
                   bool filtered)
{
    open_popup(ui, VG_POPUP_LIST, tag, title, NULL);
    vg_popup *p = &ui->popup;
    int n = 0;
    while (items[n])
        n++;
    p->items = calloc((size_t)n + 1, sizeof *p->items);
    for (int i = 0; p->items && i < n; i++)
        if ((p->items[p->items_count] = strdup(items[i])))
            p->items_count++;
    p->selected = selected >= 0 && selected < n ? selected : 0;
    p->filtered = filtered;
    vg_editor_set(&p->editor, "", false);
}

void vg_popup_prompt(vg_ui *ui, int tag, const char *title, const char *text, const char *initial)
{
    open_popup(ui, VG_POPUP_PROMPT, tag, title, text);
    vg_editor_set(&ui->popup.editor, initial, false);
}

void vg_popup_confirm(vg_ui *ui, int tag, const char *title, const char *text)
{
    open_popup(ui, VG_POPUP_CONFIRM, tag, title, text);
}

void vg_popup_close(vg_ui *ui)
{
    vg_popup *p = &ui->popup;
    for (int i = 0; i < p->items_count; i++)
        free(p->items[i]);
    free(p->items);
    vg_editor_deinit(&p->editor);
    memset(p, 0, sizeof *p);
    ui->dirty = true;
}

static bool matches(const vg_popup *p, int i)
{
    return !p->editor.text || !p->editor.text[0] || strcasestr(p->items[i], p->editor.text) != NULL;
}

/* Matching items before `item`; all of them for item = items_count. */
static int rank(const vg_popup *p, int item)
{
    int n = 0;
    for (int i = 0; i < item; i++)
        n += matches(p, i);
    return n;
}

static int item_at(const vg_popup *p, int want)
{
    for (int i = 0; i < p->items_count; i++)
        if (matches(p, i) && want-- == 0)
            return i;
    return -1;
}

static void move(vg_popup *p, int by)
{
    int count = rank(p, p->items_count);
    int at = rank(p, p->selected) + by;
    if (count == 0)
        return;
    p->selected = item_at(p, at < 0 ? 0 : at >= count ? count - 1 : at);
}

/* Give the answer: the popup is closed first, so that the screen may open another. */
static void answer(vg_ui *ui, int index, const char *text)
{
    char copy[4096];
    int screen = ui->popup.screen, tag = ui->popup.tag;
    snprintf(copy, sizeof copy, "%s", text);
    vg_popup_close(ui);
    const vg_screen *s = vg_screen_get(screen);
    if (s->answer)
        s->answer(ui, ui->states[screen], tag, index, copy);
}

static vg_rect box_of(const vg_ui *ui, int *rows)
{
    const vg_popup *p = &ui->popup;
    int width = vg_text_width(p->title) + 8, inner = 3;
    if (p->kind == VG_POPUP_LIST) {
        for (int i = 0; i < p->items_count; i++)
            if (vg_text_width(p->items[i]) + 8 > width)
                width = vg_text_width(p->items[i]) + 8;
        inner = p->items_count + (p->filtered ? 2 : 0);
    } else if (vg_text_width(p->text) + 6 > width) {
        width = vg_text_width(p->text) + 6;
    }
    width = width < 44 ? 44 : width;
    width = width > ui->grid.cols - 4 ? ui->grid.cols - 4 : width;
    if (p->kind == VG_POPUP_CONFIRM)
        inner = vg_text_rows(p->text, width - BOX_SIDES) + 2;
    int most = ui->grid.rows - 6;
    inner = inner > most ? most : inner < 1 ? 1 : inner;
    *rows = inner - (p->filtered ? 2 : 0);
    int height = inner + 2;
    return (vg_rect){(ui->grid.rows - height) / 2, (ui->grid.cols - width) / 2, height, width};
}

static int top_of(const vg_popup *p, int rows)
{
    return vg_list_top(rank(p, p->selected) - rows / 2, rank(p, p->selected), rows,
                       rank(p, p->items_count));
}

static void mouse(vg_ui *ui, const vg_key *key)
{
    vg_popup *p = &ui->popup;
    int rows;
    vg_rect r = box_of(ui, &rows);
    if (key->code == VG_K_WHEEL) {
        move(p, key->step);
    } else if (!vg_inside(r, key->row, key->col)) {
        if (!(key->mods & VG_MOD_DRAG))
            vg_popup_close(ui);
    } else if (p->kind == VG_POPUP_LIST && !(key->mods & VG_MOD_DRAG)) {
        int row = key->row - r.row - 1 - (p->filtered ? 2 : 0);
        int item = row >= 0 && row < rows ? item_at(p, top_of(p, rows) + row) : -1;
        if (item >= 0)
            answer(ui, item, p->items[item]);
    }
}

void vg_popup_key(vg_ui *ui, const vg_key *key)
{
    vg_popup *p = &ui->popup;
    ui->dirty = true;
    if (key->code == VG_K_CLICK || key->code == VG_K_WHEEL) {
        mouse(ui, key);
        return;
    }
    if (key->code == VG_K_ESC ||
        (key->code == VG_K_CHAR && key->cp == 'c' && key->mods == VG_MOD_CTRL)) {
        vg_popup_close(ui);
        return;
    }
    if (p->kind == VG_POPUP_CONFIRM) {
        uint32_t c = key->code == VG_K_CHAR && key->mods == 0 ? key->cp : 0;
        if (key->code == VG_K_ENTER || c == 'y' || c == 'Y')
            answer(ui, 1, "");
        else if (c == 'n' || c == 'N' || c == 'q')
            vg_popup_close(ui);
        return;
    }
    if (p->kind == VG_POPUP_PROMPT) {
        if (key->code == VG_K_ENTER)
            answer(ui, 0, p->editor.text ? p->editor.text : "");
        else
            vg_editor_key(&p->editor, key, 60);
        return;
    }
    switch (key->code) {
    case VG_K_ENTER:
        if (p->items_count > 0 && matches(p, p->selected))
            answer(ui, p->selected, p->items[p->selected]);
        break;
    case VG_K_UP:
    case VG_K_BACKTAB:
        move(p, -1);
        break;
    case VG_K_DOWN:
    case VG_K_TAB:
        move(p, 1);
        break;
    case VG_K_PAGE_UP:
        move(p, -10);
        break;
    case VG_K_PAGE_DOWN:
        move(p, 10);
        break;
    default:
        if (p->filtered) {
            if (vg_editor_key(&p->editor, key, 60) == VG_EDITOR_CHANGED &&
                (p->items_count == 0 || !matches(p, p->selected)))
                move(p, 0);
        } else if (key->code == VG_K_CHAR && (key->cp == 'j' || key->cp == 'k')) {
            move(p, key->cp == 'j' ? 1 : -1);
        } else if (key->code == VG_K_CHAR && key->cp == 'q') {
            vg_popup_close(ui);
        }
        break;
    }
}

void vg_popup_draw(const vg_ui *ui, vg_grid *g)
{
    const vg_popup *p = &ui->popup;
    if (p->kind == VG_POPUP_NONE)
        return;
    int rows;
    vg_rect r = box_of(ui, &rows);
    g->cursor_row = g->cursor_col = -1;
    vg_rect in = vg_box(g, r, p->title);
    if (p->kind == VG_POPUP_CONFIRM) {
        int row = in.row + in.rows - 1; /* of the answers */
        vg_text_block(g, (vg_rect){in.row, in.col, in.rows - 2, in.cols}, VG_R_TEXT, p->text);
        int x = in.col + vg_text(g, row, in.col, in.cols, VG_R_BUTTON, " Enter yes ");
        vg_text(g, row, x + 2, in.cols, VG_R_DIM, "Esc no");
        return;
    }
    if (p->kind == VG_POPUP_PROMPT) {
        vg_text(g, in.row, in.col, in.cols, VG_R_DIM, p->text);
        vg_editor_draw(&p->editor, g, (vg_rect){in.row + 1, in.col, 1, in.cols}, VG_R_EDIT, true);
        vg_text(g, in.row + 2, in.col, in.cols, VG_R_DIM,
                g->glyphs == VG_GLYPHS_ASCII ? "Enter ok - Esc cancel"
                                             : "Enter ok \xc2\xb7 Esc cancel");
        return;
    }
    if (p->filtered) {
        vg_text(g, in.row, in.col, 8, VG_R_DIM, "Filter");
        vg_editor_draw(&p->editor, g, (vg_rect){in.row, in.col + 8, 1, in.cols - 8}, VG_R_EDIT,
                       true);
        in.row += 2;
        in.rows -= 2;
    }
    int count = rank(p, p->items_count), top = top_of(p, rows);
    for (int i = 0; i < rows && top + i < count; i++) {
        int item = item_at(p, top + i);
        bool here = item == p->selected;
        if (here)
            vg_fill(g, (vg_rect){in.row + i, in.col - 1, 1, in.cols + 2}, VG_R_SELECT);
        if (here)
            vg_put(g, in.row + i, in.col, vg_glyph(g, '>', '>', 0x25b8),
                   vg_role_style(g, VG_R_SELECT));
        vg_text(g, in.row + i, in.col + 2, in.cols - 2, here ? VG_R_SELECT : VG_R_TEXT,
                p->items[item]);
    }
    if (count == 0)
        vg_text(g, in.row, in.col + 2, in.cols - 2, VG_R_DIM,
                p->items_count ? "nothing matches" : "there are none yet");
    vg_list_bar(g, in.row, r.col + r.cols - 2, rows, top, count);
}
