/* screen_help.c: every key of every screen, from the same tables that act on them. */
#include "ui/term/text.h"
#include "ui/screens/ui.h"
#include "ui/widgets/widgets.h"

#include <stdio.h>
#include <string.h>

enum { DO_UP = 1, DO_DOWN, DO_PAGE_UP, DO_PAGE_DOWN, DO_HOME, DO_END };

typedef struct help_state {
    int top;
} help_state;

static const vg_binding bindings[] = {
    {{VG_KEY(DOWN), VG_CH('j')}, DO_DOWN, "scroll", "down a line", NULL},
    {{VG_KEY(UP), VG_CH('k')}, DO_UP, NULL, "up a line", NULL},
    {{VG_KEY(PAGE_DOWN), VG_CH(' ')}, DO_PAGE_DOWN, "page", "down a page", NULL},
    {{VG_KEY(PAGE_UP)}, DO_PAGE_UP, NULL, "up a page", NULL},
    {{VG_KEY(HOME)}, DO_HOME, NULL, "to the first key", NULL},
    {{VG_KEY(END)}, DO_END, NULL, "to the last key", NULL},
};

/* Lines of the whole text: a heading, its keys, an empty line, for each table. */
typedef struct line {
    const char *heading;
    const vg_binding *binding;
} line;

enum { LINES_MAX = 160, KEY_COLS = 20 };

static int add_table(line *lines, int n, const char *heading, const vg_binding *rows, int count)
{
    if (n + count + 2 > LINES_MAX)
        return n;
    lines[n++] = (line){heading, NULL};
    for (int i = 0; i < count; i++)
        lines[n++] = (line){NULL, &rows[i]};
    lines[n++] = (line){NULL, NULL};
    return n;
}

static int collect(line *lines)
{
    int count, n = 0;
    const vg_binding *common = vg_common_bindings(&count);
    n = add_table(lines, n, "Everywhere", common, count);
    for (int i = 0; i < VG_SCREEN_COUNT; i++) {
        const vg_screen *s = vg_screen_get(i);
        n = add_table(lines, n, vg_screen_title(i), s->bindings, s->bindings_count);
    }
    return n;
}

static void layout(const vg_ui *ui, const void *state, vg_rect area, vg_layout *out)
{
    (void)ui, (void)state;
    memset(out, 0, sizeof *out);
    out->count = area.cols >= 150 ? 2 : 1; /* columns of text */
    int width = (area.cols - 4 * (out->count - 1)) / out->count;
    for (int i = 0; i < out->count; i++)
        out->r[i] = (vg_rect){area.row, area.col + i * (width + 4), area.rows,
                              i + 1 < out->count ? width : width - 2}; /* the bar beside it */
}

static void key_names(const vg_binding *b, char *out, size_t size)
{
    out[0] = 0;
    for (int i = 0; i < 4 && b->keys[i].code != VG_K_NONE; i++) {
        char name[32];
        size_t n = strlen(out);
        vg_chord_name(&b->keys[i], name, sizeof name);
        snprintf(out + n, size - n, "%s%s", n ? "  " : "", name);
    }
}

void vg_ui_print_keys(FILE *out, const char *indent)
{
    line lines[LINES_MAX];
    int count = collect(lines);
    for (int i = 0; i + 1 < count; i++) {
        char keys[96];
        if (lines[i].heading) {
            fprintf(out, "%s%s\n", indent, lines[i].heading);
        } else if (lines[i].binding) {
            key_names(lines[i].binding, keys, sizeof keys);
            fprintf(out, "%s  %-*s %s\n", indent, KEY_COLS, keys, lines[i].binding->help);
        } else {
            fputc('\n', out);
        }
    }
}

static void draw_line(vg_grid *g, int row, vg_rect r, const line *l)
{
    if (l->heading) {
        vg_text(g, row, r.col, r.cols, VG_R_TITLE, l->heading);
        return;
    }
    if (!l->binding)
        return;
    char keys[96];
    key_names(l->binding, keys, sizeof keys);
    vg_text(g, row, r.col + 2, KEY_COLS, VG_R_ACCENT, keys);
    vg_text(g, row, r.col + 3 + KEY_COLS, r.cols - KEY_COLS - 3, VG_R_TEXT, l->binding->help);
}

static void draw(const vg_ui *ui, const void *state, vg_grid *g, vg_rect area)
{
    const help_state *s = state;
    line lines[LINES_MAX];
    int count = collect(lines);
    vg_layout l;
    layout(ui, state, area, &l);
    int rows = area.rows, top = vg_list_top(s->top, s->top, rows * l.count, count);
    /* Two columns that hold everything break between tables. */
    int split = rows;
    for (int i = count - rows > 0 ? count - rows : 0;
         l.count == 2 && i <= rows && count <= 2 * rows; i++)
        if (lines[i].heading)
            split = i;
    for (int c = 0; c < l.count; c++)
        for (int i = 0; i < rows; i++) {
            int at = top + c * split + i;
            if (at < count && (c > 0 || l.count == 1 || i < split))
                draw_line(g, area.row + i, l.r[c], &lines[at]);
        }
    vg_list_bar(g, area.row, area.col + area.cols - 1, rows, top / l.count,
                (count + l.count - 1) / l.count);
}

static void action(vg_ui *ui, void *state, int action_)
{
    help_state *s = state;
    line lines[LINES_MAX];
    vg_layout l;
    vg_rect area = vg_ui_area(ui);
    layout(ui, state, area, &l);
    int page = area.rows > 2 ? area.rows - 1 : 1, most = collect(lines) - area.rows * l.count;
    switch (action_) {
    case DO_UP:
        s->top--;
        break;
    case DO_DOWN:
        s->top++;
        break;
    case DO_PAGE_UP:
        s->top -= page;
        break;
    case DO_PAGE_DOWN:
        s->top += page;
        break;
    case DO_HOME:
        s->top = 0;
        break;
    default:
        s->top = most;
        break;
    }
    s->top = s->top > most ? most : s->top;
    s->top = s->top < 0 ? 0 : s->top;
}

static bool mouse(vg_ui *ui, void *state, vg_rect area, const vg_key *key)
{
    (void)area;
    if (key->code != VG_K_WHEEL)
        return false;
    for (int i = 0; i < 3; i++)
        action(ui, state, key->step < 0 ? DO_UP : DO_DOWN);
    return true;
}

const vg_screen vg_screen_help = {
    VG_BINDINGS(bindings), .state_size = sizeof(help_state),
    .layout = layout,      .draw = draw,
    .action = action,      .mouse = mouse,
};
