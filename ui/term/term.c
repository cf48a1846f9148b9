/* term.c: curses. See term.h for who writes what. */
#define NCURSES_WIDECHAR 1
#include "ui/term/term.h"

#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <time.h>
#include <unistd.h>

static vg_term *
    open_term; /* for the exit handler: a library that calls exit() must not leave a raw terminal */

static double monotonic(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void write_tty(const char *s)
{
    size_t n = strlen(s);
    while (n > 0) {
        ssize_t done = write(STDOUT_FILENO, s, n);
        if (done <= 0) {
            if (done < 0 && errno == EINTR)
                continue;
            return;
        }
        s += done;
        n -= (size_t)done;
    }
}

static bool starts_with_any(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (strncmp(name, *list, strlen(*list)) == 0)
            return true;
    return false;
}

/* Terminals that speak xterm: may be asked questions and told RGB. */
static bool xterm_like(const char *name)
{
    static const char *const list[] = {"xterm",   "tmux",    "screen", "alacritty", "foot", "kitty",
                                       "wezterm", "ghostty", "rxvt",   "st-",       "vte",  "gnome",
                                       "konsole", "contour", "iterm",  "mlterm",    NULL};
    return starts_with_any(name, list);
}

static bool env_set(const char *name)
{
    const char *value = getenv(name);
    return value && value[0];
}

/* Explicit option, then NO_COLOR, then what the terminal says, then CLICOLOR_FORCE for one that says nothing. */
static vg_depth choose_depth(const char *wish, const char *name, int colors)
{
    bool rgb_known = xterm_like(name);
    vg_depth most = colors >= 256 ? VG_DEPTH_256 : colors >= 8 ? VG_DEPTH_16 : VG_DEPTH_MONO;
    if (wish && strcmp(wish, "mono") == 0)
        return VG_DEPTH_MONO;
    if (wish && strcmp(wish, "16") == 0)
        return most < VG_DEPTH_16 ? most : VG_DEPTH_16;
    if (wish && strcmp(wish, "256") == 0)
        return most < VG_DEPTH_256 ? most : VG_DEPTH_256;
    if (wish && strcmp(wish, "truecolor") == 0)
        return VG_DEPTH_TRUE;
    if (env_set("NO_COLOR"))
        return VG_DEPTH_MONO;
    const char *colorterm = getenv("COLORTERM");
    if (rgb_known && (colors > 256 || (colorterm && (strcmp(colorterm, "truecolor") == 0 ||
                                                     strcmp(colorterm, "24bit") == 0))))
        return VG_DEPTH_TRUE;
    if (most == VG_DEPTH_MONO && env_set("CLICOLOR_FORCE") &&
        strcmp(getenv("CLICOLOR_FORCE"), "0") != 0)
        return colors >= 8 ? VG_DEPTH_16 : VG_DEPTH_MONO;
    return most;
}

/* The program's locale decides what bytes mean. No LANG at all (a bare container over SSH) is not a wish for ASCII. */
static bool utf8_locale(void)
{
    const char *now = setlocale(LC_CTYPE, NULL);
    if (!now || strcmp(now, "C") == 0 || strcmp(now, "POSIX") == 0)
        setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0 && !env_set("LC_ALL") && !env_set("LC_CTYPE") &&
        !env_set("LANG"))
        setlocale(LC_CTYPE, "C.UTF-8");
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static vg_glyphs choose_glyphs(const vg_ui_options *options, const char *name, bool utf8)
{
    if (options->ascii || !utf8 || strncmp(name, "vt", 2) == 0 || strncmp(name, "ansi", 4) == 0)
        return VG_GLYPHS_ASCII;
    return strncmp(name, "linux", 5) == 0 ? VG_GLYPHS_BASIC
                                          : VG_GLYPHS_FULL; /* the console's font has no braille */
}

/* Append a terminfo string without its padding marks ($<5>). */
static void append_cap(char *out, size_t size, const char *cap)
{
    const char *s = tigetstr(cap);
    if (!s || s == (char *)-1)
        return;
    size_t n = strlen(out);
    while (*s && n + 1 < size) {
        if (s[0] == '$' && s[1] == '<') {
            const char *end = strchr(s, '>');
            s = end ? end + 1 : s + strlen(s);
            continue;
        }
        out[n++] = *s++;
    }
    out[n] = 0;
}

static void apply_modes(vg_term *t, bool mouse)
{
    raw();
    noecho();
    nonl();
    keypad(stdscr, TRUE); /* for smkx only; keys are decoded by input.c */
    idlok(stdscr, FALSE);
    scrollok(stdscr, FALSE);
    leaveok(stdscr, FALSE);
    curs_set(0);
    refresh();
    if (t->real && xterm_like(termname())) {
        write_tty("\x1b[?2004h");
        if (mouse)
            write_tty("\x1b[?1002h\x1b[?1006h");
    }
}

static const char extras_off[] = "\x1b[?2026l\x1b[?1006l\x1b[?1002l\x1b[?2004l";
static bool mouse_on;

static void at_exit(void)
{
    if (open_term)
        vg_term_close(open_term);
}

static void start_colors(vg_term *t)
{
    t->colors = 0;
    if (t->depth == VG_DEPTH_MONO || !has_colors())
        return;
    start_color();
    use_default_colors();
    t->colors = COLORS;
}

static void init_common(vg_term *t)
{
    t->cell_aspect = 2;
    t->force = true;
    t->shown = (vg_grid){.cursor_row = -1, .cursor_col = -1};
    vg_theme_fill(t->theme, t->depth, t->light);
}

bool vg_term_open(vg_term *t, const vg_ui_options *options, char *message, size_t message_size)
{
    static bool registered;
    memset(t, 0, sizeof *t);
    t->signal_fd = -1;
    if (open_term) {
        snprintf(message, message_size, "the screens are already open in this process");
        return false;
    }
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        snprintf(
            message, message_size,
            "the screens need a terminal on stdin and stdout; without one use: vgen compare --preset demo");
        return false;
    }
    const char *name = getenv("TERM");
    int error = 0;
    if (!name || !name[0] || setupterm(NULL, STDOUT_FILENO, &error) != OK) {
        snprintf(
            message, message_size,
            "the terminal type \"%.40s\" (TERM) is unknown here; try TERM=xterm-256color, or use: vgen compare --preset demo",
            name ? name : "");
        return false;
    }
    if (!tigetstr("cup") || tigetstr("cup") == (char *)-1 || !tigetstr("clear") ||
        tigetstr("clear") == (char *)-1) {
        snprintf(
            message, message_size,
            "the terminal (TERM=%.40s) cannot place text on the screen; use: vgen compare --preset demo",
            name);
        return false;
    }
    bool utf8 = utf8_locale();
    int colors = tigetnum("colors");
    t->depth = choose_depth(options->colors, name, colors);
    t->glyphs = choose_glyphs(options, name, utf8);
    t->direct = t->depth == VG_DEPTH_TRUE;
    t->real = true;
    mouse_on = options->mouse;
    char restore[256] = "";
    if (xterm_like(name))
        snprintf(restore, sizeof restore, "%s", extras_off);
    append_cap(restore, sizeof restore, "rmkx");
    append_cap(restore, sizeof restore, "sgr0");
    append_cap(restore, sizeof restore, "cnorm");
    append_cap(restore, sizeof restore, "rmcup");
    t->signal_fd = -1;
    /* Terminal settings are saved before curses changes them; signal handlers are set after curses set its own. */
    def_shell_mode();
    t->signal_fd = vg_guard_begin(restore, strlen(restore), STDIN_FILENO);
    t->screen = newterm(NULL, stdout, stdin);
    if (t->signal_fd < 0 || !t->screen) {
        vg_guard_end();
        snprintf(message, message_size, "the terminal (TERM=%.40s) cannot be opened", name);
        return false;
    }
    open_term = t;
    if (!registered)
        registered = atexit(at_exit) == 0;
    set_escdelay(25);
    if (!t->direct)
        start_colors(t);
    init_common(t);
    apply_modes(t, mouse_on);
    vg_term_update_size(t);
    if (xterm_like(
            name)) { /* cell size in pixels, background colour; answers come as keys, none is waited for */
        write_tty("\x1b[16t\x1b]11;?\x1b\\");
        t->asked = monotonic();
    }
    return true;
}

bool vg_term_open_null(vg_term *t, const char *name, vg_depth depth, vg_glyphs glyphs, int rows,
                       int cols)
{
    memset(t, 0, sizeof *t);
    utf8_locale();
    t->signal_fd = -1;
    t->depth = depth;
    t->glyphs = glyphs;
    FILE *in = fopen("/dev/null", "r"), *out = fopen("/dev/null", "w");
    t->streams[0] = in;
    t->streams[1] = out;
    t->screen = in && out ? newterm(name, out, in) : NULL;
    if (!t->screen)
        return false;
    start_colors(t);
    init_common(t);
    apply_modes(t, false);
    vg_term_set_size(t, rows, cols);
    return true;
}

/* Answers that were asked for a moment ago must not end up on the shell's command line. */
static void drain_answers(vg_term *t)
{
    if (t->asked <= 0 || monotonic() - t->asked > 1.0)
        return;
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    char waste[256];
    while (poll(&p, 1, 60) > 0 && (p.revents & POLLIN))
        if (read(STDIN_FILENO, waste, sizeof waste) <= 0)
            return;
}

void vg_term_close(vg_term *t)
{
    if (!t->screen)
        return;
    if (t->real) {
        drain_answers(t);
        if (xterm_like(termname()))
            write_tty(extras_off);
    }
    if (!t->suspended) {
        curs_set(1);
        endwin();
    }
    if (open_term == t)
        open_term = NULL;
    if (t->real)
        vg_guard_end();
    delscreen(t->screen);
    t->screen = NULL;
    for (int i = 0; i < 2; i++)
        if (t->streams[i])
            fclose(t->streams[i]);
    vg_grid_free(&t->shown);
}

void vg_term_set_size(vg_term *t, int rows, int cols)
{
    t->rows = rows < 1 ? 1 : rows > 1000 ? 1000 : rows;
    t->cols = cols < 1 ? 1 : cols > 1000 ? 1000 : cols;
    resize_term(t->rows, t->cols);
    t->force = true;
}

bool vg_term_update_size(vg_term *t)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) {
        size.ws_row = t->rows ? (unsigned short)t->rows : 24;
        size.ws_col = t->cols ? (unsigned short)t->cols : 80;
    }
    if (size.ws_xpixel > size.ws_col && size.ws_ypixel > size.ws_row) {
        double aspect =
            ((double)size.ws_ypixel / size.ws_row) / ((double)size.ws_xpixel / size.ws_col);
        if (aspect > 1 && aspect < 4)
            t->cell_aspect = aspect;
    }
    if (size.ws_row == t->rows && size.ws_col == t->cols)
        return false;
    vg_term_set_size(t, size.ws_row, size.ws_col);
    return true;
}

void vg_term_set_light(vg_term *t, bool light)
{
    t->light = light;
    vg_theme_fill(t->theme, t->depth, light);
}

void vg_term_suspend(vg_term *t)
{
    if (xterm_like(termname()))
        write_tty(extras_off);
    curs_set(1);
    t->suspended = true;
    endwin();
    vg_guard_stop();
    t->suspended = false;
    reset_prog_mode();
    vg_term_update_size(t);
    clearok(stdscr, TRUE);
    apply_modes(t, mouse_on);
    t->force = true;
}

int vg_term_read(vg_term *t, char *out, size_t size)
{
    (void)t;
    ssize_t n = read(STDIN_FILENO, out, size);
    if (n > 0)
        return (int)n;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    return -1;
}

static int color_index(const vg_term *t, uint32_t color, bool *bright)
{
    int index = color >> 24 == 2 ? (int)(color & 255) : -1;
    if (index >= t->colors && index < 16 && t->colors >= 8) {
        *bright = true;
        index &= 7;
    }
    return index >= t->colors ? -1 : index;
}

/* Number of the pair for two palette colours (-1: default). curses remembers pairs by colour (alloc_pair) and forgets the
 * oldest when there are no more, which the 64 pairs of a console
 * just avoid when black backgrounds count as default. */
static int pair_of(int fg, int bg)
{
    if (fg < 0 && bg < 0)
        return 0;
    if (COLOR_PAIRS <= 64 && bg == 0)
        bg = -1;
    int pair = alloc_pair(fg, bg);
    return pair < 0 ? 0 : pair;
}

static void curses_cell(const vg_term *t, int row, int col, const vg_cell *c)
{
    wchar_t text[4];
    int n = 0;
    for (; n < 3 && c->cp[n]; n++)
        text[n] = (wchar_t)c->cp[n];
    text[n] = 0;
    attr_t attrs = 0;
    bool bright = false, ignored = false;
    int pair =
        t->colors ? pair_of(color_index(t, c->fg, &bright), color_index(t, c->bg, &ignored)) : 0;
    if ((c->attrs & VG_BOLD) || bright)
        attrs |= A_BOLD;
    if (c->attrs & VG_DIM)
        attrs |= A_DIM;
    if (c->attrs & VG_UNDERLINE)
        attrs |= A_UNDERLINE;
    if (c->attrs & VG_REVERSE)
        attrs |= A_REVERSE;
    cchar_t cell;
    if (setcchar(&cell, text, attrs, (short)(pair > 32767 ? 32767 : pair), &pair) == OK)
        mvadd_wch(row, col, &cell);
}

static void curses_flush(vg_term *t, const vg_grid *g)
{
    bool all = t->force || t->shown.rows != g->rows || t->shown.cols != g->cols;
    if (all) {
        erase();
        clearok(stdscr, TRUE);
    }
    for (int row = 0; row < g->rows; row++)
        for (int col = 0; col < g->cols; col++) {
            const vg_cell *c = &g->cells[row * g->cols + col];
            if (c->width == 0 || (!all && vg_cell_same(c, &t->shown.cells[row * g->cols + col])))
                continue;
            curses_cell(t, row, col, c);
        }
    if (g->cursor_row >= 0)
        move(g->cursor_row, g->cursor_col);
    if (all || (g->cursor_row >= 0) != (t->shown.cursor_row >= 0))
        curs_set(g->cursor_row >= 0 ? 1 : 0);
    wnoutrefresh(stdscr);
    doupdate();
}

void vg_term_flush(vg_term *t, const vg_grid *g)
{
    if (t->suspended || g->rows != t->rows || g->cols != t->cols)
        return;
    if (t->direct)
        vg_direct_flush(t, g);
    else
        curses_flush(t, g);
    vg_style *none = NULL;
    if (t->shown.rows != g->rows || t->shown.cols != g->cols)
        vg_grid_resize(&t->shown, g->rows, g->cols);
    memcpy(t->shown.cells, g->cells, (size_t)g->rows * (size_t)g->cols * sizeof *g->cells);
    t->shown.cursor_row = g->cursor_row;
    t->shown.cursor_col = g->cursor_col;
    t->shown.theme = none;
    t->force = false;
}

bool vg_term_cell(vg_term *t, int row, int col, vg_cell *out)
{
    cchar_t cell;
    wchar_t text[CCHARW_MAX + 1] = {0};
    attr_t attrs;
    short pair;
    int wide = 0;
    (void)t;
    memset(out, 0, sizeof *out);
    if (mvin_wch(row, col, &cell) != OK || getcchar(&cell, text, &attrs, &pair, &wide) != OK)
        return false;
    for (int i = 0; i < 3 && text[i]; i++)
        out->cp[i] = (uint32_t)text[i];
    int fg = -1, bg = -1;
    if (wide > 0)
        extended_pair_content(wide, &fg, &bg);
    out->fg = fg < 0 ? 0 : VG_INDEXED(fg);
    out->bg = bg < 0 ? 0 : VG_INDEXED(bg);
    out->attrs =
        (uint8_t)((attrs & A_BOLD ? VG_BOLD : 0) | (attrs & A_DIM ? VG_DIM : 0) |
                  (attrs & A_UNDERLINE ? VG_UNDERLINE : 0) | (attrs & A_REVERSE ? VG_REVERSE : 0));
    out->width = 1;
    return true;
}
