/* editor.c: see editor.h. A single line scrolls sideways; several lines wrap at words and scroll down. */
#include "ui/widgets/editor.h"

#include "ui/term/text.h"

#include <stdlib.h>
#include <string.h>

static bool reserve(vg_editor *e, size_t size)
{
    if (size + 1 <= e->room)
        return true;
    size_t room = e->room ? e->room : 256;
    while (room < size + 1)
        room *= 2;
    char *bigger = realloc(e->text, room);
    if (!bigger)
        return false;
    e->text = bigger;
    e->room = room;
    return true;
}

void vg_editor_set(vg_editor *e, const char *text, bool multiline)
{
    size_t n = strlen(text);
    n = n > VG_EDITOR_MAX ? VG_EDITOR_MAX : n;
    e->multiline = multiline;
    if (!reserve(e, n))
        return;
    memcpy(e->text, text, n);
    e->text[n] = 0;
    e->size = e->cursor = n;
}

void vg_editor_deinit(vg_editor *e)
{
    free(e->text);
    memset(e, 0, sizeof *e);
}

static void erase(vg_editor *e, size_t from, size_t to)
{
    memmove(e->text + from, e->text + to, e->size - to + 1);
    e->size -= to - from;
    e->cursor = from;
}

/* Insert what may be drawn; line ends become spaces in a one-line text. */
static bool insert(vg_editor *e, const char *text, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t used = (size_t)vg_utf8_decode(text + i, n - i, &cp);
        i += used;
        if (cp == '\n' && !e->multiline)
            cp = ' ';
        if ((cp != '\n' && !vg_cp_safe(cp)) || cp == 0xfffd)
            continue;
        char s[4];
        size_t k = (size_t)vg_utf8_encode(cp, s);
        if (e->size + k > VG_EDITOR_MAX || !reserve(e, e->size + k))
            break;
        memmove(e->text + e->cursor + k, e->text + e->cursor, e->size - e->cursor + 1);
        memcpy(e->text + e->cursor, s, k);
        e->size += k;
        e->cursor += k;
        any = true;
    }
    return any;
}

static size_t line_start(const vg_editor *e)
{
    size_t at = e->cursor;
    while (at > 0 && e->text[at - 1] != '\n')
        at--;
    return at;
}

static size_t line_end(const vg_editor *e)
{
    size_t at = e->cursor;
    while (at < e->size && e->text[at] != '\n')
        at++;
    return at;
}

static size_t word_left(const vg_editor *e)
{
    size_t at = e->cursor;
    while (at > 0 && (e->text[at - 1] == ' ' || e->text[at - 1] == '\n'))
        at--;
    while (at > 0 && e->text[at - 1] != ' ' && e->text[at - 1] != '\n')
        at--;
    return at;
}

static size_t word_right(const vg_editor *e)
{
    size_t at = e->cursor;
    while (at < e->size && e->text[at] != ' ' && e->text[at] != '\n')
        at++;
    while (at < e->size && (e->text[at] == ' ' || e->text[at] == '\n'))
        at++;
    return at;
}

/* Steps through the wrapped lines from the start. A text that ends in '\n' has one more, empty line. */
typedef struct walk {
    size_t at;
    bool done;
} walk;

static bool walk_line(const vg_editor *e, int cols, walk *w, size_t *start, size_t *n)
{
    if (w->done)
        return false;
    size_t next = e->size;
    *start = w->at;
    *n = w->at < e->size ? vg_text_wrap(e->text, e->size, w->at, cols, &next) : 0;
    w->done = w->at >= e->size || (next >= e->size && e->text[e->size - 1] != '\n');
    w->at = next;
    return true;
}

static bool nth_line(const vg_editor *e, int cols, int want, size_t *start, size_t *n)
{
    walk w = {0};
    for (int line = 0; walk_line(e, cols, &w, start, n); line++)
        if (line == want)
            return true;
    return false;
}

int vg_editor_lines(const vg_editor *e, int cols)
{
    walk w = {0};
    size_t start, n;
    int lines = 0;
    while (walk_line(e, cols, &w, &start, &n))
        lines++;
    return lines;
}

/* Wrapped line and column of the cursor. */
static int cursor_line(const vg_editor *e, int cols, int *col)
{
    walk w = {0};
    size_t start = 0, s, n;
    int line = 0;
    for (; walk_line(e, cols, &w, &s, &n) && s <= e->cursor; line++)
        start = s;
    *col = vg_text_width_n(e->text + start, e->cursor - start);
    return line > 0 ? line - 1 : 0;
}

static void cursor_to(vg_editor *e, int cols, int line, int col)
{
    size_t start, n;
    if (line < 0)
        line = 0;
    if (!nth_line(e, cols, line, &start, &n)) {
        e->cursor = e->size;
        return;
    }
    size_t at = start;
    int width = 0;
    while (at < start + n) {
        size_t step = vg_utf8_after(e->text, start + n, at);
        int w = vg_text_width_n(e->text + at, step);
        if (width + w > col)
            break;
        width += w;
        at += step;
    }
    e->cursor = at;
}

static int moved(vg_editor *e, size_t at)
{
    e->cursor = at;
    return VG_EDITOR_MOVED;
}

static int cut(vg_editor *e, size_t from, size_t to)
{
    if (from >= to)
        return VG_EDITOR_MOVED;
    erase(e, from, to);
    return VG_EDITOR_CHANGED;
}

static int control_key(vg_editor *e, uint32_t letter)
{
    switch (letter) {
    case 'a':
        return moved(e, line_start(e));
    case 'e':
        return moved(e, line_end(e));
    case 'u':
        return cut(e, line_start(e), e->cursor);
    case 'k':
        return cut(e, e->cursor, line_end(e));
    case 'w':
        return cut(e, word_left(e), e->cursor);
    case 'j':
        return e->multiline && insert(e, "\n", 1) ? VG_EDITOR_CHANGED : VG_EDITOR_IGNORED;
    default:
        return VG_EDITOR_IGNORED;
    }
}

int vg_editor_key(vg_editor *e, const vg_key *key, int cols)
{
    int col, line;
    char s[4];
    if (!e->text)
        vg_editor_set(e, "", e->multiline);
    if (!e->text)
        return VG_EDITOR_IGNORED;
    switch (key->code) {
    case VG_K_CHAR:
        if (key->mods & VG_MOD_CTRL)
            return control_key(e, key->cp);
        if (key->mods & VG_MOD_ALT)
            return key->cp == 'b'   ? moved(e, word_left(e))
                   : key->cp == 'f' ? moved(e, word_right(e))
                                    : VG_EDITOR_IGNORED;
        return insert(e, s, (size_t)vg_utf8_encode(key->cp, s)) ? VG_EDITOR_CHANGED
                                                                : VG_EDITOR_MOVED;
    case VG_K_PASTE:
        return insert(e, key->text, key->text_size) ? VG_EDITOR_CHANGED : VG_EDITOR_MOVED;
    case VG_K_ENTER:
        if (!e->multiline || !(key->mods & VG_MOD_ALT))
            return VG_EDITOR_IGNORED;
        return insert(e, "\n", 1) ? VG_EDITOR_CHANGED : VG_EDITOR_MOVED;
    case VG_K_BACKSPACE:
        return cut(e,
                   key->mods & VG_MOD_ALT
                       ? word_left(e)
                       : e->cursor - (e->cursor ? vg_utf8_before(e->text, e->cursor) : 0),
                   e->cursor);
    case VG_K_DELETE:
        return cut(e, e->cursor, e->cursor + vg_utf8_after(e->text, e->size, e->cursor));
    case VG_K_LEFT:
        if (key->mods & VG_MOD_CTRL)
            return moved(e, word_left(e));
        return moved(e, e->cursor - (e->cursor ? vg_utf8_before(e->text, e->cursor) : 0));
    case VG_K_RIGHT:
        if (key->mods & VG_MOD_CTRL)
            return moved(e, word_right(e));
        return moved(e, e->cursor + vg_utf8_after(e->text, e->size, e->cursor));
    case VG_K_HOME:
        return moved(e, line_start(e));
    case VG_K_END:
        return moved(e, line_end(e));
    case VG_K_UP:
    case VG_K_DOWN:
        if (!e->multiline)
            return VG_EDITOR_IGNORED;
        line = cursor_line(e, cols, &col);
        if ((key->code == VG_K_UP && line == 0) ||
            (key->code == VG_K_DOWN && line + 1 >= vg_editor_lines(e, cols)))
            return VG_EDITOR_IGNORED;
        cursor_to(e, cols, line + (key->code == VG_K_UP ? -1 : 1), col);
        return VG_EDITOR_MOVED;
    default:
        return VG_EDITOR_IGNORED;
    }
}

/* First wrapped line shown. */
static int first_line(const vg_editor *e, vg_rect r)
{
    int col, line = cursor_line(e, r.cols, &col);
    return line >= r.rows ? line - r.rows + 1 : 0;
}

/* Bytes scrolled off at the left of a one-line text. */
static size_t first_byte(const vg_editor *e, vg_rect r)
{
    size_t from = 0;
    while (from < e->cursor && vg_text_width_n(e->text + from, e->cursor - from) > r.cols - 1)
        from += vg_utf8_after(e->text, e->size, from);
    return from;
}

static void draw_part(vg_grid *g, int row, vg_rect r, vg_text_role role, const char *s, size_t n)
{
    char line[1024];
    n = n >= sizeof line ? sizeof line - 1 : n;
    memcpy(line, s, n);
    line[n] = 0;
    line[vg_text_fit(line, r.cols)] = 0; /* scrolled text is cut, not dotted */
    vg_text(g, row, r.col, r.cols, role, line);
}

void vg_editor_draw(const vg_editor *e, vg_grid *g, vg_rect r, vg_text_role role, bool focus)
{
    vg_fill(g, r, role);
    if (!e->text || r.rows < 1 || r.cols < 2)
        return;
    if (!e->multiline) {
        size_t from = focus ? first_byte(e, r) : 0;
        draw_part(g, r.row, r, role, e->text + from, e->size - from);
        if (focus) {
            g->cursor_row = r.row;
            g->cursor_col = r.col + vg_text_width_n(e->text + from, e->cursor - from);
        }
        return;
    }
    int top = focus ? first_line(e, r) : 0;
    walk w = {0};
    size_t start, n;
    for (int i = 0; i < top + r.rows && walk_line(e, r.cols, &w, &start, &n); i++)
        if (i >= top)
            draw_part(g, r.row + i - top, r, role, e->text + start, n);
    if (focus) {
        int col, line = cursor_line(e, r.cols, &col);
        g->cursor_row = r.row + line - top;
        g->cursor_col = r.col + (col < r.cols ? col : r.cols - 1);
    }
}

void vg_editor_click(vg_editor *e, vg_rect r, int row, int col)
{
    if (!e->text)
        return;
    if (e->multiline) {
        cursor_to(e, r.cols, first_line(e, r) + row - r.row, col - r.col);
        return;
    }
    size_t from = first_byte(e, r), at = from;
    while (at < e->size && vg_text_width_n(e->text + from, at - from) < col - r.col)
        at += vg_utf8_after(e->text, e->size, at);
    e->cursor = at;
}
