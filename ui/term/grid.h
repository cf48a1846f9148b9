/* grid.h: the screen as cells, and the few ways to write into it. Screens and widgets draw here; only term.c knows what a
 * terminal is. A grid can be compared, printed and tested without one. */
#ifndef VG_UI_TERM_GRID_H
#define VG_UI_TERM_GRID_H

#include <stdbool.h>
#include <stdint.h>

typedef struct vg_rect {
    int row, col, rows, cols;
} vg_rect;

/* Colour of a cell: 0 is the terminal's own, else one of these. */
#define VG_RGB(r, g, b) (0x01000000u | (uint32_t)(r) << 16 | (uint32_t)(g) << 8 | (uint32_t)(b))
#define VG_INDEXED(i)   (0x02000000u | (uint32_t)(i))

enum { VG_BOLD = 1, VG_DIM = 2, VG_UNDERLINE = 4, VG_REVERSE = 8 };

typedef struct vg_style {
    uint32_t fg, bg;
    unsigned attrs;
} vg_style;

typedef struct vg_cell {
    uint32_t cp[3]; /* base and up to two combining marks, 0 ends */
    uint32_t fg, bg;
    uint8_t attrs;
    uint8_t width; /* 1, 2, or 0: right half of the cell before */
} vg_cell;

/* Would they look alike? */
static inline bool vg_cell_same(const vg_cell *a, const vg_cell *b)
{
    return a->cp[0] == b->cp[0] && a->cp[1] == b->cp[1] && a->cp[2] == b->cp[2] && a->fg == b->fg &&
           a->bg == b->bg && a->attrs == b->attrs && a->width == b->width;
}

/* Meanings, not colours; theme.c says how each looks at each colour depth. */
typedef enum vg_text_role {
    VG_R_TEXT,
    VG_R_DIM,   /* labels, units, what is not asked for now */
    VG_R_FAINT, /* rules, empty parts of bars */
    VG_R_TITLE, /* headings */
    VG_R_ACCENT,
    VG_R_GOOD,
    VG_R_WARN,
    VG_R_BAD,
    VG_R_VARIANT0, /* the reference, then what is compared with it */
    VG_R_VARIANT1,
    VG_R_VARIANT2,
    VG_R_VARIANT3,
    VG_R_SELECT, /* row or field that has the focus */
    VG_R_FIELD,  /* the ground of a text that can be edited */
    VG_R_EDIT,   /* text being typed */
    VG_R_KEY,    /* key names in the footer and the help */
    VG_R_TAB,    /* the open tab */
    VG_R_BUTTON, /* what Enter does */
    VG_R_COUNT
} vg_text_role;

/* What the terminal can show. */
typedef enum vg_glyphs { VG_GLYPHS_ASCII, VG_GLYPHS_BASIC, VG_GLYPHS_FULL } vg_glyphs;

typedef struct vg_grid {
    int rows, cols;
    vg_cell *cells;
    int cursor_row, cursor_col; /* -1: hidden */
    const vg_style *theme;      /* [VG_R_COUNT] */
    vg_glyphs glyphs;
} vg_grid;

/* Make (or remake) room for rows x cols cells, all blank. Sizes are clamped to 1..1000; 0 memory left ends the program cleanly. */
void vg_grid_resize(vg_grid *g, int rows, int cols);
/* NULL is a no-op. */
void vg_grid_free(vg_grid *g);
/* Blanks in the plain role. */
void vg_grid_clear(vg_grid *g);

/* The grid's theme for a role; all zero without a theme. */
vg_style vg_role_style(const vg_grid *g, vg_text_role role);
/* The role of a variant's colour; the four repeat, and a number below 0 takes the first. */
static inline vg_text_role vg_variant_role(int variant)
{
    return (vg_text_role)(VG_R_VARIANT0 + (variant < 0 ? 0 : variant % 4));
}

/* One glyph at a cell; outside the grid nothing happens. Keeps the background when style.bg is 0. Returns its columns. */
int vg_put(vg_grid *g, int row, int col, uint32_t cp, vg_style style);

/* Text from (row, col) in at most `cols` columns; what does not fit ends with an ellipsis. Control characters become '?'.
 * Returns the columns written. */
int vg_text(vg_grid *g, int row, int col, int cols, vg_text_role role, const char *s);
/* vg_text in a style instead of a role; NULL writes nothing. */
int vg_text_style(vg_grid *g, int row, int col, int cols, vg_style style, const char *s);
/* vg_text of what printf would write, cut at 1023 bytes. */
int vg_textf(vg_grid *g, int row, int col, int cols, vg_text_role role, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
/* The same for text that ends in a path: what does not fit is left out of the path's middle, so that the file's name stays. */
int vg_text_path(vg_grid *g, int row, int col, int cols, vg_text_role role, const char *s);
/* The same, ending at column col + cols. */
int vg_text_right(vg_grid *g, int row, int col, int cols, vg_text_role role, const char *s);
/* Wrapped text in a rectangle; returns the rows used. */
int vg_text_block(vg_grid *g, vg_rect r, vg_text_role role, const char *s);

/* Blank a rectangle in a role's background; make it look like a role without touching its glyphs (focus bars). */
void vg_fill(vg_grid *g, vg_rect r, vg_text_role role);
/* Cells outside the grid are left out. */
void vg_paint(vg_grid *g, vg_rect r, vg_text_role role);
/* Lines from (row, col) to the right; '-' in ASCII. */
void vg_hline(vg_grid *g, int row, int col, int cols, vg_text_role role);
/* Lines down from (row, col); '|' in ASCII. */
void vg_vline(vg_grid *g, int row, int col, int rows, vg_text_role role);
/* A box with an optional title in its top edge; the inside is blanked. Returns the inside. */
vg_rect vg_box(vg_grid *g, vg_rect r, const char *title);

/* Common glyphs at the grid's level: pick(g, ascii, basic, full). */
static inline uint32_t vg_glyph(const vg_grid *g, uint32_t ascii, uint32_t basic, uint32_t full)
{
    return g->glyphs == VG_GLYPHS_ASCII ? ascii : g->glyphs == VG_GLYPHS_BASIC ? basic : full;
}

/* Middle dot, dash and the like as text. */
const char *vg_dot(const vg_grid *g);

/* Is the cell in the rectangle? */
static inline bool vg_inside(vg_rect r, int row, int col)
{
    return row >= r.row && row < r.row + r.rows && col >= r.col && col < r.col + r.cols;
}

#endif
