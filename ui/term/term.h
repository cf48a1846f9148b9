/* term.h: the terminal. Opens it, shows a grid, gives it back as it was. The only door to curses.
 *
 * DESIGN: curses owns the terminal's modes (raw, keypad, alternate screen) and, at up to 256 colours, its cells. On a terminal with
 * 24-bit colour the cells are written by term_direct.c instead: curses cannot say "this RGB" unless a -direct terminfo entry is
 * installed, which most machines lack, and mixing raw escape strings with curses' own idea of the screen breaks at the first
 * clear-to-end-of-line. So exactly one of the two writes cells, chosen once. One terminal per process. */
#ifndef VG_UI_TERM_TERM_H
#define VG_UI_TERM_TERM_H

#include "ui/term/grid.h"
#include "ui/host/run.h"
#include "ui/term/theme.h"

typedef struct vg_term {
    int rows, cols;
    vg_depth depth;
    vg_glyphs glyphs;
    bool light;         /* light background */
    double cell_aspect; /* height of a cell over its width; 2 when unknown */
    bool direct;        /* cells by term_direct.c */
    bool real;          /* a tty; false for the tests' null terminal */
    bool suspended;
    bool force;    /* repaint everything at the next flush */
    vg_grid shown; /* what the terminal has */
    vg_style theme[VG_R_COUNT];
    int colors, signal_fd;
    void *screen;             /* curses' SCREEN */
    void *streams[2];         /* of the null terminal */
    double asked;             /* when the terminal was asked questions, 0 = not */
    unsigned long long bytes; /* written by term_direct.c */
} vg_term;

/* Open the terminal on stdin and stdout. False with one clear line in message when it cannot be used (not a terminal, TERM=dumb). */
bool vg_term_open(vg_term *t, const vg_ui_options *options, char *message, size_t message_size);

/* A terminal that goes nowhere, for tests: curses on a null stream at the given size; depth and glyphs as told. */
bool vg_term_open_null(vg_term *t, const char *name, vg_depth depth, vg_glyphs glyphs, int rows,
                       int cols);

/* Give the terminal back: modes, screen, signals, stderr (what was printed meanwhile is replayed). Safe to call twice. */
void vg_term_close(vg_term *t);

/* Show the grid: only what differs from the last call is written. */
void vg_term_flush(vg_term *t, const vg_grid *g);

/* Read the size again (after SIGWINCH); true when it changed. For the null terminal use vg_term_set_size. */
bool vg_term_update_size(vg_term *t);
/* Each from 1 to 1000; the next flush draws everything again. */
void vg_term_set_size(vg_term *t, int rows, int cols);

/* Ctrl-Z: leave the screen, stop, come back when continued. */
void vg_term_suspend(vg_term *t);

/* Theme again after `light` changed. */
void vg_term_set_light(vg_term *t, bool light);

/* Read what was typed: bytes, 0 nothing, -1 the terminal is gone. */
int vg_term_read(vg_term *t, char *out, size_t size);

/* Test access: the cell that curses holds. */
bool vg_term_cell(vg_term *t, int row, int col, vg_cell *out);

/* ---- term_direct.c ---- */
/* vg_term_flush where t->direct: the cells that differ as escape sequences with 24-bit colour, in one write. */
void vg_direct_flush(vg_term *t, const vg_grid *g);

/* ---- term_guard.c: signals, crash, stderr. Process-wide by nature, so its state is static there. ---- */
/* Returns the descriptor that signal numbers can be read from (one byte each), -1 on failure. */
int vg_guard_begin(const char *restore, size_t restore_size, int tty);
/* Signals and terminal modes as before _begin, and what stderr caught is printed. Nothing without a _begin. */
void vg_guard_end(void);
/* Next signal that arrived, 0 none. */
int vg_guard_take(void);
/* Default stop behaviour for a moment: raise SIGTSTP, return after SIGCONT. */
void vg_guard_stop(void);

#endif
