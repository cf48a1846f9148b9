/* pty.h: a terminal for tests: a child on a pseudo terminal, what it wrote as a screen of cells, its modes, and how it ended.
 *
 * The screen model understands what ncurses and term_direct.c write for xterm-256color: cursor movement, erase, insert and delete of
 * characters and lines, repeat, scroll regions, SGR (remembered as one hash per cell), private modes, wide characters. */
#ifndef VG_TESTS_PTY_PTY_H
#define VG_TESTS_PTY_PTY_H

#include "ui/term/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { PTY_ROWS = 320, PTY_COLS = 320 };

typedef struct pty_cell {
    uint32_t cp;
    bool reverse, bold, colored;
} pty_cell;

typedef struct pty {
    pid_t pid;
    int master, slave; /* the slave stays open here: modes can be read after the child ended */
    int rows, cols, row, col;
    pty_cell cells[PTY_ROWS][PTY_COLS], *last;
    bool wrap_pending, alternate, cursor_hidden, mouse, paste;
    bool reverse, bold, colored;
    int top, bottom; /* scroll region */
    char sequence[128];
    int sequence_size;
    bool in_sequence, in_string;
    char utf8[8];
    int utf8_size, utf8_need;
    unsigned long long bytes; /* read from the child */
    struct termios before;
    char after[8192]; /* what was written after the alternate screen was left */
    size_t after_size;
    bool ended;
    int status;
} pty;

static inline double pty_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + ts.tv_nsec * 1e-9;
}

/* ---- the screen model ---- */
static inline void pty_blank(pty *p, int row, int from, int to)
{
    for (int c = from; c < to && c < PTY_COLS; c++)
        if (row >= 0 && row < PTY_ROWS && c >= 0)
            p->cells[row][c] = (pty_cell){' ', false, false, false};
}

static inline void pty_clear(pty *p)
{
    for (int r = 0; r < PTY_ROWS; r++)
        pty_blank(p, r, 0, PTY_COLS);
}

static inline void pty_scroll(pty *p, int top, int bottom, int by)
{
    for (; by > 0; by--) {
        for (int r = top; r < bottom; r++)
            memcpy(p->cells[r], p->cells[r + 1], sizeof p->cells[r]);
        pty_blank(p, bottom, 0, PTY_COLS);
    }
    for (; by < 0; by++) {
        for (int r = bottom; r > top; r--)
            memcpy(p->cells[r], p->cells[r - 1], sizeof p->cells[r]);
        pty_blank(p, top, 0, PTY_COLS);
    }
}

static inline void pty_newline(pty *p)
{
    if (p->row == p->bottom)
        pty_scroll(p, p->top, p->bottom, 1);
    else if (p->row + 1 < p->rows)
        p->row++;
}

static inline void pty_print(pty *p, uint32_t cp)
{
    int width = vg_cp_width(cp);
    if (width == 0)
        return;
    if (p->wrap_pending || p->col + width > p->cols) {
        p->col = 0;
        pty_newline(p);
    }
    p->wrap_pending = false;
    for (int i = 0; i < width; i++)
        p->cells[p->row][p->col + i] = (pty_cell){i ? 0 : cp, p->reverse, p->bold, p->colored};
    p->last = &p->cells[p->row][p->col];
    p->col += width;
    if (p->col >= p->cols) {
        p->col = p->cols - 1;
        p->wrap_pending = true;
    }
}

static inline void pty_mode(pty *p, int mode, bool on)
{
    if (mode == 1049 || mode == 47 || mode == 1047) {
        if (p->alternate && !on)
            p->after_size = 0;
        p->alternate = on;
        if (on)
            pty_clear(p);
    } else if (mode == 25) {
        p->cursor_hidden = !on;
    } else if (mode == 1002 || mode == 1000) {
        p->mouse = on;
    } else if (mode == 2004) {
        p->paste = on;
    }
}

/* Looks: v[0..n]. */
static inline void pty_sgr(pty *p, const int *v, int n)
{
    for (int i = 0; i <= n; i++) {
        if (v[i] == 0)
            p->reverse = p->bold = p->colored = false;
        else if (v[i] == 1)
            p->bold = true;
        else if (v[i] == 7)
            p->reverse = true;
        else if (v[i] == 22)
            p->bold = false;
        else if (v[i] == 27)
            p->reverse = false;
        else if (v[i] == 39 || v[i] == 49)
            p->colored = false;
        else if (v[i] >= 30)
            p->colored = true;
        if (v[i] == 38 || v[i] == 48)
            i += i < n && v[i + 1] == 2 ? 4 : 2;
    }
}

/* Erase, delete and insert in the row, or in the screen; `given` is the number as written. */
static inline void pty_edit(pty *p, char final, int given)
{
    int one = given ? given : 1;
    switch (final) {
    case 'J':
        pty_blank(p, p->row, given == 0 ? p->col : 0, given == 1 ? p->col + 1 : PTY_COLS);
        for (int r = 0; r < PTY_ROWS; r++)
            if ((given == 0 && r > p->row) || (given == 1 && r < p->row) || given >= 2)
                pty_blank(p, r, 0, PTY_COLS);
        break;
    case 'K':
        pty_blank(p, p->row, given == 0 ? p->col : 0, given == 1 ? p->col + 1 : PTY_COLS);
        break;
    case 'X':
        pty_blank(p, p->row, p->col, p->col + one);
        break;
    case 'P':
        for (int c = p->col; c < p->cols; c++)
            p->cells[p->row][c] = c + one < p->cols ? p->cells[p->row][c + one]
                                                    : (pty_cell){' ', false, false, false};
        break;
    case '@':
        for (int c = p->cols - 1; c >= p->col; c--)
            p->cells[p->row][c] = c - one >= p->col ? p->cells[p->row][c - one]
                                                    : (pty_cell){' ', false, false, false};
        break;
    default:
        break;
    }
}

static inline void pty_csi(pty *p)
{
    char final = p->sequence[p->sequence_size - 1];
    int v[16] = {0}, n = 0;
    bool given = false, private = p->sequence[0] == '?';
    for (int i = private ? 1 : 0; i + 1 < p->sequence_size; i++) {
        if (p->sequence[i] >= '0' && p->sequence[i] <= '9' && n < 16)
            v[n] = v[n] * 10 + p->sequence[i] - '0', given = true;
        else if ((p->sequence[i] == ';' || p->sequence[i] == ':') && n < 15)
            n++;
    }
    int one = v[0] ? v[0] : 1;
    if (final != 'm')
        p->wrap_pending = false;
    (void)given;
    switch (final) {
    case 'H':
    case 'f':
        p->row = one - 1, p->col = (v[1] ? v[1] : 1) - 1;
        break;
    case 'A':
        p->row -= one;
        break;
    case 'B':
        p->row += one;
        break;
    case 'C':
        p->col += one;
        break;
    case 'D':
        p->col -= one;
        break;
    case 'G':
        p->col = one - 1;
        break;
    case 'd':
        p->row = one - 1;
        break;
    case 'J':
    case 'K':
    case 'X':
    case 'P':
    case '@':
        pty_edit(p, final, v[0]);
        break;
    case 'L':
        pty_scroll(p, p->row, p->bottom, -one);
        break;
    case 'M':
        pty_scroll(p, p->row, p->bottom, one);
        break;
    case 'S':
        pty_scroll(p, p->top, p->bottom, one);
        break;
    case 'T':
        pty_scroll(p, p->top, p->bottom, -one);
        break;
    case 'b':
        for (int i = 0; i < one && p->last; i++)
            pty_print(p, p->last->cp);
        break;
    case 'r':
        p->top = one - 1;
        p->bottom = (v[1] ? v[1] : p->rows) - 1;
        p->row = p->col = 0;
        break;
    case 'h':
    case 'l':
        for (int i = 0; private && i <= n; i++)
            pty_mode(p, v[i], final == 'h');
        break;
    case 'm':
        pty_sgr(p, v, n);
        break;
    default:
        break;
    }
    p->row = p->row < 0 ? 0 : p->row >= p->rows ? p->rows - 1 : p->row;
    p->col = p->col < 0 ? 0 : p->col >= p->cols ? p->cols - 1 : p->col;
}

static inline void pty_byte(pty *p, unsigned char c)
{
    if (!p->alternate && p->after_size + 1 < sizeof p->after)
        p->after[p->after_size++] = (char)c, p->after[p->after_size] = 0;
    if (p->in_string) {
        p->in_string = c != 7 && c != '\\';
        return;
    }
    if (p->in_sequence) {
        if (p->sequence_size == 0 && p->sequence[127] == 0) { /* the byte after ESC */
            p->sequence[127] = 1;
            if (c == '[')
                return;
            p->in_sequence = false;
            p->in_string = c == ']' || c == 'P' || c == '_';
            if (c == '(' || c == ')')
                p->in_sequence = true, p->sequence[127] = 2;
            if (c == 'M' && p->row > 0)
                p->row--;
            return;
        }
        if (p->sequence[127] == 2) { /* a character set */
            p->in_sequence = false;
            return;
        }
        if (p->sequence_size < 120)
            p->sequence[p->sequence_size++] = (char)c;
        if (c >= 0x40 && c <= 0x7e) {
            p->in_sequence = false;
            pty_csi(p);
        }
        return;
    }
    if (c == 0x1b) {
        p->in_sequence = true;
        p->sequence_size = 0;
        p->sequence[127] = 0;
    } else if (c == '\r') {
        p->col = 0, p->wrap_pending = false;
    } else if (c == '\n') {
        pty_newline(p);
    } else if (c == '\b') {
        p->col -= p->col > 0, p->wrap_pending = false;
    } else if (c >= 0x20) {
        if (p->utf8_need == 0)
            p->utf8_need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1, p->utf8_size = 0;
        p->utf8[p->utf8_size++] = (char)c;
        if (p->utf8_size == p->utf8_need) {
            uint32_t cp;
            vg_utf8_decode(p->utf8, (size_t)p->utf8_size, &cp);
            p->utf8_need = 0;
            pty_print(p, cp);
        }
    }
}

/* ---- the child ---- */
static inline void pty_resize(pty *p, int rows, int cols)
{
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};
    p->rows = rows < PTY_ROWS ? rows : PTY_ROWS;
    p->cols = cols < PTY_COLS - 2 ? cols : PTY_COLS - 2;
    p->top = 0;
    p->bottom = p->rows - 1;
    p->row = p->row >= p->rows ? p->rows - 1 : p->row;
    p->col = p->col >= p->cols ? p->cols - 1 : p->col;
    ioctl(p->master, TIOCSWINSZ, &size);
}

/* Open a terminal and fork; returns 0 in the child, which has it as stdin, stdout and stderr and TERM set. */
static inline pid_t pty_fork(pty *p, int rows, int cols, const char *term, const char *colorterm)
{
    memset(p, 0, sizeof *p);
    p->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (p->master < 0 || grantpt(p->master) != 0 || unlockpt(p->master) != 0)
        return -1;
    p->slave = open(ptsname(p->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (p->slave < 0)
        return -1;
    pty_clear(p);
    pty_resize(p, rows, cols);
    tcgetattr(p->slave, &p->before);
    fcntl(p->master, F_SETFL, O_NONBLOCK);
    fflush(NULL);
    p->pid = fork();
    if (p->pid == 0) {
        close(p->master);
        setsid();
        ioctl(p->slave, TIOCSCTTY, 0);
        for (int fd = 0; fd < 3; fd++)
            dup2(p->slave, fd);
        setenv("TERM", term, 1);
        if (colorterm)
            setenv("COLORTERM", colorterm, 1);
        else
            unsetenv("COLORTERM");
        unsetenv("NO_COLOR");
        setenv("LC_ALL", "C.UTF-8", 1);
    }
    return p->pid;
}

static inline void pty_reap(pty *p, int flags)
{
    if (!p->ended && waitpid(p->pid, &p->status, flags) == p->pid)
        p->ended = true;
}

/* Take in what the child writes for at most `seconds`, or until it was quiet for `quiet` seconds, or it ended. */
static inline void pty_read(pty *p, double seconds, double quiet)
{
    double end = pty_now() + seconds, last = pty_now();
    for (;;) {
        char buffer[65536];
        ssize_t n = read(p->master, buffer, sizeof buffer);
        double now = pty_now();
        if (n > 0) {
            for (ssize_t i = 0; i < n; i++)
                pty_byte(p, (unsigned char)buffer[i]);
            p->bytes += (unsigned long long)n;
            last = now;
            continue;
        }
        pty_reap(p, WNOHANG);
        if (p->ended || now >= end || now - last >= quiet)
            return;
        struct pollfd fd = {.fd = p->master, .events = POLLIN};
        poll(&fd, 1, 10);
    }
}

static inline void pty_row_text(const pty *p, int row, char *out, size_t size)
{
    size_t n = 0;
    for (int c = 0; c < p->cols && n + 5 < size; c++)
        if (p->cells[row][c].cp)
            n += (size_t)vg_utf8_encode(p->cells[row][c].cp, out + n);
    out[n] = 0;
}

static inline bool pty_shows(const pty *p, const char *text)
{
    char line[PTY_COLS * 4 + 8];
    for (int r = 0; r < p->rows; r++) {
        pty_row_text(p, r, line, sizeof line);
        if (strstr(line, text))
            return true;
    }
    return false;
}

/* `seconds` below are what an idle machine could need. A busy one, or sanitizers, may take so many times as long before a test fails; a
 * wait ends with what it waits for. */
#define PTY_PATIENCE 5

/* Until the screen shows `text`; false after `seconds`. */
static inline bool pty_wait(pty *p, const char *text, double seconds)
{
    double end = pty_now() + seconds * PTY_PATIENCE;
    while (pty_now() < end && !p->ended) {
        pty_read(p, 0.05, 0.03);
        if (pty_shows(p, text))
            return true;
    }
    pty_read(p, 0.05, 0.03);
    return pty_shows(p, text);
}

static inline void pty_send(pty *p, const char *bytes)
{
    size_t n = strlen(bytes);
    while (n > 0) {
        ssize_t k = write(p->master, bytes, n);
        if (k > 0)
            bytes += k, n -= (size_t)k;
        else
            pty_read(p, 0.05, 0.02);
        if (p->ended)
            return;
    }
}

static inline void pty_print_screen(const pty *p)
{
    char line[PTY_COLS * 4 + 8];
    for (int r = 0; r < p->rows; r++) {
        pty_row_text(p, r, line, sizeof line);
        fprintf(stderr, "%3d|%s\n", r, line);
    }
}

/* Wait for the end; false when it did not come. */
static inline bool pty_end(pty *p, double seconds)
{
    double end = pty_now() + seconds * PTY_PATIENCE;
    while (!p->ended && pty_now() < end)
        pty_read(p, 0.1, 0.05);
    pty_read(p, 0.1, 0.02);
    return p->ended;
}

/* The terminal is as it was: echo and canonical mode, main screen, cursor, no mouse or paste reports. */
static inline bool pty_restored(pty *p)
{
    struct termios now;
    if (tcgetattr(p->slave, &now) != 0)
        return false;
    bool modes =
        (now.c_lflag & (ECHO | ICANON | ISIG)) == (p->before.c_lflag & (ECHO | ICANON | ISIG)) &&
        (now.c_iflag & ICRNL) == (p->before.c_iflag & ICRNL);
    if (!modes || p->alternate || p->cursor_hidden || p->mouse || p->paste)
        fprintf(stderr, "not restored: modes %d alternate %d hidden %d mouse %d paste %d\n", modes,
                p->alternate, p->cursor_hidden, p->mouse, p->paste);
    return modes && !p->alternate && !p->cursor_hidden && !p->mouse && !p->paste;
}

static inline void pty_close(pty *p)
{
    if (!p->ended && p->pid > 0) {
        kill(p->pid, SIGKILL);
        pty_reap(p, 0);
    }
    if (p->master >= 0)
        close(p->master);
    close(p->slave);
}

#endif
