/* grid.c: cells and text. Every code point is checked here once more, whatever the caller promised. */
#include "ui/term/grid.h"

#include "ui/term/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void vg_grid_resize(vg_grid *g, int rows, int cols)
{
    rows = rows < 1 ? 1 : rows > 1000 ? 1000 : rows;
    cols = cols < 1 ? 1 : cols > 1000 ? 1000 : cols;
    if (g->cells && g->rows == rows && g->cols == cols) {
        vg_grid_clear(g);
        return;
    }
    vg_cell *cells = realloc(g->cells, (size_t)rows * (size_t)cols * sizeof *cells);
    if (!cells)
        exit(1); /* the exit handler of term.c restores the terminal */
    g->cells = cells;
    g->rows = rows;
    g->cols = cols;
    vg_grid_clear(g);
}

void vg_grid_free(vg_grid *g)
{
    free(g->cells);
    g->cells = NULL;
    g->rows = g->cols = 0;
}

void vg_grid_clear(vg_grid *g)
{
    vg_cell blank = {.cp = {' '}, .width = 1};
    for (int i = 0; i < g->rows * g->cols; i++)
        g->cells[i] = blank;
    g->cursor_row = g->cursor_col = -1;
}

vg_style vg_role_style(const vg_grid *g, vg_text_role role)
{
    vg_style plain = {0, 0, 0};
    return g->theme && role < VG_R_COUNT ? g->theme[role] : plain;
}

/* Writing over one half of a wide glyph blanks the other half. */
static void split_wide(vg_grid *g, int row, int col)
{
    vg_cell *c = &g->cells[row * g->cols + col];
    if (c->width == 0 && col > 0) {
        c[-1].cp[0] = ' ';
        c[-1].cp[1] = 0;
        c[-1].width = 1;
    }
    if (c->width == 2 && col + 1 < g->cols) {
        c[1].cp[0] = ' ';
        c[1].cp[1] = 0;
        c[1].width = 1;
    }
}

int vg_put(vg_grid *g, int row, int col, uint32_t cp, vg_style style)
{
    if (row < 0 || row >= g->rows || col < 0 || col >= g->cols)
        return 1;
    if (!vg_cp_safe(cp))
        cp = '?';
    if (cp >= 0x80 && g->glyphs == VG_GLYPHS_ASCII)
        cp = '?';
    int width = vg_cp_width(cp);
    if (width == 0)
        cp = '?', width = 1;
    if (width == 2 && col + 1 >= g->cols)
        cp = ' ', width = 1;
    split_wide(g, row, col);
    if (width == 2)
        split_wide(g, row, col + 1);
    vg_cell *c = &g->cells[row * g->cols + col];
    uint32_t bg = style.bg ? style.bg : c->bg;
    *c = (vg_cell){.cp = {cp},
                   .fg = style.fg,
                   .bg = bg,
                   .attrs = (uint8_t)style.attrs,
                   .width = (uint8_t)width};
    if (width == 2)
        c[1] = (vg_cell){
            .cp = {' '}, .fg = style.fg, .bg = bg, .attrs = (uint8_t)style.attrs, .width = 0};
    return width;
}

/* Add a combining mark to the glyph at (row, col). */
static void put_mark(vg_grid *g, int row, int col, uint32_t cp)
{
    if (row < 0 || row >= g->rows || col < 0 || col >= g->cols || g->glyphs == VG_GLYPHS_ASCII)
        return;
    vg_cell *c = &g->cells[row * g->cols + col];
    if (c->width == 0 && col > 0)
        c--;
    if (c->cp[1] == 0)
        c->cp[1] = cp, c->cp[2] = 0;
    else if (c->cp[2] == 0)
        c->cp[2] = cp;
}

int vg_text_style(vg_grid *g, int row, int col, int cols, vg_style style, const char *s)
{
    if (cols <= 0 || !s)
        return 0;
    size_t length = strlen(s);
    bool cut = vg_text_width_n(s, length) > cols;
    const char *dots = g->glyphs == VG_GLYPHS_ASCII ? "~" : "\xe2\x80\xa6";
    int room = cut ? cols - 1 : cols, x = 0, last = -1;
    for (size_t i = 0; i < length;) {
        uint32_t cp;
        i += (size_t)vg_utf8_decode(s + i, length - i, &cp);
        int width = vg_cp_width(cp);
        if (width == 0) {
            if (last >= 0 && vg_cp_safe(cp))
                put_mark(g, row, last, cp);
            continue;
        }
        if (x + width > room)
            break;
        last = col + x;
        x += vg_put(g, row, col + x, cp, style);
    }
    if (cut) {
        uint32_t cp;
        vg_utf8_decode(dots, strlen(dots), &cp);
        x += vg_put(g, row, col + x, cp, style);
    }
    return x;
}

int vg_text(vg_grid *g, int row, int col, int cols, vg_text_role role, const char *s)
{
    return vg_text_style(g, row, col, cols, vg_role_style(g, role), s);
}

int vg_textf(vg_grid *g, int row, int col, int cols, vg_text_role role, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return vg_text(g, row, col, cols, role, line);
}

int vg_text_path(vg_grid *g, int row, int col, int cols, vg_text_role role, const char *s)
{
    const char *path = s[0] == '/' ? s : strstr(s, " /");
    int head = path ? vg_text_width_n(s, (size_t)(path - s)) + (path != s) : 0,
        dots = g->glyphs == VG_GLYPHS_ASCII ? 3 : 1;
    int room = cols - head - dots;
    if (!path || room < 8 || vg_text_width(s) <= cols)
        return vg_text(g, row, col, cols, role, s);
    const char *tail = path;
    while (vg_text_width(tail) > room)
        tail += vg_utf8_after(tail, strlen(tail), 0);
    const char *whole = strchr(tail, '/'); /* from a folder's beginning where one is near */
    tail = whole && whole[1] && whole - tail <= 12 ? whole : tail;
    char start[256];
    size_t bytes = (size_t)(path - s) + (path != s);
    snprintf(start, sizeof start, "%.*s", (int)(bytes < sizeof start ? bytes : sizeof start - 1),
             s);
    int x = vg_text(g, row, col, cols, role, start);
    x += vg_text(g, row, col + x, cols - x, role, dots == 3 ? "..." : "\xe2\x80\xa6");
    return x + vg_text(g, row, col + x, cols - x, role, tail);
}

int vg_text_right(vg_grid *g, int row, int col, int cols, vg_text_role role, const char *s)
{
    int width = vg_text_width(s);
    int from = width < cols ? col + cols - width : col;
    return vg_text(g, row, from, col + cols - from, role, s);
}

int vg_text_block(vg_grid *g, vg_rect r, vg_text_role role, const char *s)
{
    size_t length = strlen(s), at = 0;
    int rows = 0;
    while (at < length && rows < r.rows) {
        size_t next, n = vg_text_wrap(s, length, at, r.cols, &next);
        char line[2048];
        bool last = rows + 1 == r.rows && next < length;
        size_t take = last ? length - at : n;
        if (take >= sizeof line)
            take = sizeof line - 1;
        memcpy(line, s + at, take);
        line[take] = 0;
        vg_text(g, r.row + rows++, r.col, r.cols, role, line);
        at = next;
    }
    return rows;
}

void vg_fill(vg_grid *g, vg_rect r, vg_text_role role)
{
    vg_style style = vg_role_style(g, role);
    for (int row = r.row; row < r.row + r.rows; row++)
        for (int col = r.col; col < r.col + r.cols; col++) {
            if (row < 0 || row >= g->rows || col < 0 || col >= g->cols)
                continue;
            split_wide(g, row, col);
            g->cells[row * g->cols + col] = (vg_cell){.cp = {' '},
                                                      .fg = style.fg,
                                                      .bg = style.bg,
                                                      .attrs = (uint8_t)style.attrs,
                                                      .width = 1};
        }
}

void vg_paint(vg_grid *g, vg_rect r, vg_text_role role)
{
    vg_style style = vg_role_style(g, role);
    for (int row = r.row; row < r.row + r.rows; row++)
        for (int col = r.col; col < r.col + r.cols; col++) {
            if (row < 0 || row >= g->rows || col < 0 || col >= g->cols)
                continue;
            vg_cell *c = &g->cells[row * g->cols + col];
            c->bg = style.bg;
            c->attrs |= (uint8_t)(style.attrs & VG_REVERSE);
        }
}

void vg_hline(vg_grid *g, int row, int col, int cols, vg_text_role role)
{
    for (int i = 0; i < cols; i++)
        vg_put(g, row, col + i, vg_glyph(g, '-', 0x2500, 0x2500), vg_role_style(g, role));
}

void vg_vline(vg_grid *g, int row, int col, int rows, vg_text_role role)
{
    for (int i = 0; i < rows; i++)
        vg_put(g, row + i, col, vg_glyph(g, '|', 0x2502, 0x2502), vg_role_style(g, role));
}

vg_rect vg_box(vg_grid *g, vg_rect r, const char *title)
{
    vg_fill(g, r, VG_R_TEXT);
    vg_style edge = vg_role_style(g, VG_R_FAINT);
    int right = r.col + r.cols - 1, bottom = r.row + r.rows - 1;
    vg_hline(g, r.row, r.col, r.cols, VG_R_FAINT);
    vg_hline(g, bottom, r.col, r.cols, VG_R_FAINT);
    vg_vline(g, r.row, r.col, r.rows, VG_R_FAINT);
    vg_vline(g, r.row, right, r.rows, VG_R_FAINT);
    vg_put(g, r.row, r.col, vg_glyph(g, '+', 0x250c, 0x256d), edge);
    vg_put(g, r.row, right, vg_glyph(g, '+', 0x2510, 0x256e), edge);
    vg_put(g, bottom, r.col, vg_glyph(g, '+', 0x2514, 0x2570), edge);
    vg_put(g, bottom, right, vg_glyph(g, '+', 0x2518, 0x256f), edge);
    if (title && title[0] && r.cols > 8) {
        vg_text(g, r.row, r.col + 2, 1, VG_R_TEXT, " ");
        int n = vg_text(g, r.row, r.col + 3, r.cols - 7, VG_R_TITLE, title);
        vg_text(g, r.row, r.col + 3 + n, 1, VG_R_TEXT, " ");
    }
    return (vg_rect){r.row + 1, r.col + 2, r.rows - 2, r.cols - 4};
}

const char *vg_dot(const vg_grid *g)
{
    return g->glyphs == VG_GLYPHS_ASCII ? "-" : "\xc2\xb7";
}
