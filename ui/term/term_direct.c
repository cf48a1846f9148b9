/* term_direct.c: cells to a terminal with 24-bit colour. Writes the cells that differ from what is shown, inside a synchronised update
 * (DEC 2026; ignored where unknown), in one write. Only xterm-style terminals come here, so CUP and SGR are known to work. */
#include "ui/term/term.h"

#include "ui/term/text.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct out {
    char *data;
    size_t size, room;
} out;

static void put(out *o, const char *s, size_t n)
{
    if (o->size + n > o->room) {
        size_t room = o->room ? o->room : 8192;
        while (room < o->size + n)
            room *= 2;
        char *bigger = realloc(o->data, room);
        if (!bigger)
            exit(1);
        o->data = bigger;
        o->room = room;
    }
    memcpy(o->data + o->size, s, n);
    o->size += n;
}

static void puts_(out *o, const char *s)
{
    put(o, s, strlen(s));
}

static void put_color(out *o, uint32_t color, bool background)
{
    char s[32];
    if (color >> 24 == 1)
        snprintf(s, sizeof s, ";%d;2;%u;%u;%u", background ? 48 : 38, color >> 16 & 255,
                 color >> 8 & 255, color & 255);
    else if (color >> 24 == 2)
        snprintf(s, sizeof s, ";%d;5;%u", background ? 48 : 38, color & 255);
    else
        snprintf(s, sizeof s, ";%d", background ? 49 : 39);
    puts_(o, s);
}

/* SGR from one style to the next; a lost attribute needs a reset. */
static void put_style(out *o, vg_style *now, const vg_cell *c)
{
    if (now->fg == c->fg && now->bg == c->bg && now->attrs == c->attrs)
        return;
    puts_(o, "\x1b[");
    size_t mark = o->size;
    if (now->attrs & ~(unsigned)c->attrs) {
        puts_(o, ";0");
        *now = (vg_style){0, 0, 0};
    }
    unsigned add = c->attrs & ~now->attrs;
    if (add & VG_BOLD)
        puts_(o, ";1");
    if (add & VG_DIM)
        puts_(o, ";2");
    if (add & VG_UNDERLINE)
        puts_(o, ";4");
    if (add & VG_REVERSE)
        puts_(o, ";7");
    if (now->fg != c->fg)
        put_color(o, c->fg, false);
    if (now->bg != c->bg)
        put_color(o, c->bg, true);
    /* drop the first ';' */
    if (o->size > mark) {
        memmove(o->data + mark, o->data + mark + 1, o->size - mark - 1);
        o->size--;
    }
    puts_(o, "m");
    *now = (vg_style){c->fg, c->bg, c->attrs};
}

static void write_all(const char *s, size_t n)
{
    while (n > 0) {
        ssize_t done = write(STDOUT_FILENO, s, n);
        if (done > 0) {
            s += done;
            n -= (size_t)done;
        } else if (done < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
            if (poll(&p, 1, 1000) <= 0)
                return;
        } else if (done < 0 && errno != EINTR) {
            return; /* the terminal is gone; reading will tell */
        }
    }
}

void vg_direct_flush(vg_term *t, const vg_grid *g)
{
    out o = {0};
    vg_style now = {0, 0, 0};
    bool all = t->force || t->shown.rows != g->rows || t->shown.cols != g->cols;
    int at_row = -1, at_col = -1;
    puts_(&o, "\x1b[?2026h\x1b[?25l\x1b[0m");
    size_t head = o.size;
    if (all)
        puts_(&o, "\x1b[2J");
    for (int row = 0; row < g->rows; row++) {
        for (int col = 0; col < g->cols; col++) {
            const vg_cell *c = &g->cells[row * g->cols + col];
            static const vg_cell blank = {.cp = {' '}, .width = 1};
            const vg_cell *before = all ? &blank : &t->shown.cells[row * g->cols + col];
            if (c->width == 0 || vg_cell_same(c, before))
                continue;
            if (at_row != row || at_col != col) {
                char s[32];
                if (at_row == row && col > at_col && at_col >= 0)
                    snprintf(s, sizeof s, "\x1b[%dC", col - at_col);
                else
                    snprintf(s, sizeof s, "\x1b[%d;%dH", row + 1, col + 1);
                puts_(&o, s);
            }
            put_style(&o, &now, c);
            for (int i = 0; i < 3 && c->cp[i]; i++) {
                char u[4];
                put(&o, u, (size_t)vg_utf8_encode(c->cp[i], u));
            }
            at_row = row;
            at_col = col + c->width;
            if (at_col >= g->cols)
                at_row = -1; /* at the margin the cursor waits; go by address */
        }
    }
    bool cursor_moved =
        g->cursor_row != t->shown.cursor_row || g->cursor_col != t->shown.cursor_col;
    if (o.size == head && !cursor_moved && !all) {
        free(o.data);
        return;
    }
    puts_(&o, "\x1b[0m");
    if (g->cursor_row >= 0) {
        char s[48];
        snprintf(s, sizeof s, "\x1b[%d;%dH\x1b[?25h", g->cursor_row + 1, g->cursor_col + 1);
        puts_(&o, s);
    }
    puts_(&o, "\x1b[?2026l");
    write_all(o.data, o.size);
    t->bytes += o.size;
    free(o.data);
}
