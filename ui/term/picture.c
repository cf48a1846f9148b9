/* picture.c: chafa's canvas copied into cells, so that text and pictures share one screen and one diff.
 *
 * Symbols: halves, quarters and the other block elements, which every monospace font since DejaVu has; no sextants (few fonts draw
 * them), no line or braille marks (they draw edges that are not in the picture). Without UTF-8 chafa's ASCII set is used. Without
 * colours the luminance is dithered here: chafa's own two-colour mode loses everything but outlines. No preprocessing: colours are compared by eye here, so chafa must not stretch contrast. */
#include "ui/term/picture.h"

#include "ui/term/text.h"

#include <chafa.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    uint64_t owner, serial, used;
    int rows, cols;
    vg_cell *cells;
} entry;

enum { ENTRIES = 512, CELLS_MAX = 1500000 }; /* about 36 MB of cells at most */

struct vg_pictures {
    vg_depth depth;
    vg_glyphs glyphs;
    double aspect;
    bool enabled;
    ChafaSymbolMap *symbols;
    entry entries[ENTRIES];
    uint64_t clock;
    long cells;
};

vg_pictures *vg_pictures_new(vg_depth depth, vg_glyphs glyphs, double cell_aspect, bool enabled)
{
    vg_pictures *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->depth = depth;
    p->glyphs = glyphs;
    p->aspect = cell_aspect;
    p->enabled = enabled;
    p->symbols = chafa_symbol_map_new();
    if (glyphs == VG_GLYPHS_ASCII) {
        chafa_symbol_map_add_by_tags(p->symbols, CHAFA_SYMBOL_TAG_SPACE);
        chafa_symbol_map_add_by_range(p->symbols, 0x21, 0x7e);
    } else if (glyphs == VG_GLYPHS_BASIC) {
        chafa_symbol_map_add_by_tags(p->symbols, CHAFA_SYMBOL_TAG_SPACE | CHAFA_SYMBOL_TAG_SOLID |
                                                     CHAFA_SYMBOL_TAG_HALF);
    } else {
        chafa_symbol_map_add_by_tags(p->symbols, CHAFA_SYMBOL_TAG_SPACE | CHAFA_SYMBOL_TAG_SOLID |
                                                     CHAFA_SYMBOL_TAG_HALF | CHAFA_SYMBOL_TAG_QUAD |
                                                     CHAFA_SYMBOL_TAG_BLOCK);
        chafa_symbol_map_remove_by_tags(p->symbols, CHAFA_SYMBOL_TAG_STIPPLE);
    }
    return p;
}

static void drop(vg_pictures *p, entry *e)
{
    p->cells -= (long)e->rows * e->cols;
    free(e->cells);
    memset(e, 0, sizeof *e);
}

void vg_pictures_free(vg_pictures *p)
{
    if (!p)
        return;
    for (int i = 0; i < ENTRIES; i++)
        if (p->entries[i].cells)
            drop(p, &p->entries[i]);
    chafa_symbol_map_unref(p->symbols);
    free(p);
}

void vg_pictures_set_aspect(vg_pictures *p, double cell_aspect)
{
    if (p->aspect == cell_aspect)
        return;
    p->aspect = cell_aspect; /* entries of other sizes age out by themselves */
}

vg_rect vg_picture_fit(vg_rect room, int w, int h, double cell_aspect)
{
    if (w <= 0 || h <= 0 || room.rows <= 0 || room.cols <= 0)
        return (vg_rect){room.row, room.col, 0, 0};
    double cols_per_row = (double)w / h * cell_aspect;
    int cols = room.cols, rows = (int)lround(cols / cols_per_row);
    if (rows > room.rows) {
        rows = room.rows;
        cols = (int)lround(rows * cols_per_row);
        cols = cols > room.cols ? room.cols : cols;
    }
    rows = rows < 1 ? 1 : rows;
    cols = cols < 1 ? 1 : cols;
    return (vg_rect){room.row + (room.rows - rows) / 2, room.col + (room.cols - cols) / 2, rows,
                     cols};
}

vg_rect vg_pictures_fit(const vg_pictures *p, vg_rect room, int w, int h)
{
    return vg_picture_fit(room, w, h, p->aspect);
}

static entry *find(const vg_pictures *p, vg_rect r, uint64_t owner, uint64_t serial)
{
    for (int i = 0; i < ENTRIES; i++) {
        const entry *e = &p->entries[i];
        if (e->cells && e->owner == owner && e->serial == serial && e->rows == r.rows &&
            e->cols == r.cols)
            return (entry *)e;
    }
    return NULL;
}

bool vg_picture_cached(const vg_pictures *p, vg_rect r, uint64_t owner, uint64_t serial)
{
    return !p->enabled || find(p, r, owner, serial) != NULL;
}

static ChafaCanvasMode canvas_mode(vg_depth depth)
{
    switch (depth) {
    case VG_DEPTH_TRUE:
        return CHAFA_CANVAS_MODE_TRUECOLOR;
    case VG_DEPTH_256:
        return CHAFA_CANVAS_MODE_INDEXED_240;
    case VG_DEPTH_16:
        return CHAFA_CANVAS_MODE_INDEXED_16_8;
    default:
        return CHAFA_CANVAS_MODE_INDEXED_16_8;
    }
}

static uint32_t color_of(vg_depth depth, int raw)
{
    if (raw < 0 || depth == VG_DEPTH_MONO)
        return 0;
    return depth == VG_DEPTH_TRUE ? 0x01000000u | ((uint32_t)raw & 0xffffff)
                                  : VG_INDEXED(raw & 255);
}

/* Mean brightness, 0..1, of the part (x, y) of a nx x ny division of the picture. */
static double luminance(const uint8_t *rgb, int w, int h, int x, int y, int nx, int ny)
{
    int x0 = (int)((long)x * w / nx), x1 = (int)((long)(x + 1) * w / nx),
        y0 = (int)((long)y * h / ny), y1 = (int)((long)(y + 1) * h / ny);
    double sum = 0;
    x1 = x1 > x0 ? x1 : x0 + 1;
    y1 = y1 > y0 ? y1 : y0 + 1;
    for (int j = y0; j < y1 && j < h; j++)
        for (int i = x0; i < x1 && i < w; i++) {
            const uint8_t *c = rgb + ((size_t)j * (size_t)w + (size_t)i) * 3;
            sum +=
                0.5 * c[0] + 0.35 * c[1] +
                0.15 *
                    c[2]; /* as red-sensitive film: red on green of equal luminance stays visible */
        }
    return sum / (255.0 * (x1 - x0) * (y1 - y0));
}

/* Without colours: braille dots by an ordered 4x4 threshold, half blocks on the console, a ramp of characters in ASCII. */
static void render_mono(vg_pictures *p, entry *e, const uint8_t *rgb, int w, int h)
{
    static const char ramp[] = " .,:;-=+*o#%@";
    static const int bayer[4][4] = {{0, 8, 2, 10}, {12, 4, 14, 6}, {3, 11, 1, 9}, {15, 7, 13, 5}};
    static const uint8_t bits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    for (int row = 0; row < e->rows; row++)
        for (int col = 0; col < e->cols; col++) {
            uint32_t cp = 0x2800;
            if (p->glyphs == VG_GLYPHS_FULL) {
                for (int y = 0; y < 4; y++)
                    for (int x = 0; x < 2; x++) {
                        int px = col * 2 + x, py = row * 4 + y;
                        if (luminance(rgb, w, h, px, py, e->cols * 2, e->rows * 4) >
                            (bayer[py & 3][px & 3] + 0.5) / 16)
                            cp |= bits[y][x];
                    }
            } else {
                double level = luminance(rgb, w, h, col, row, e->cols, e->rows);
                cp = (unsigned char)ramp[(int)(level * (sizeof ramp - 2) + 0.5)];
            }
            e->cells[row * e->cols + col] = (vg_cell){.cp = {cp}, .width = 1};
        }
}

static void render(vg_pictures *p, entry *e, const uint8_t *rgb, int w, int h)
{
    if (p->depth == VG_DEPTH_MONO) {
        render_mono(p, e, rgb, w, h);
        return;
    }
    ChafaCanvasConfig *config = chafa_canvas_config_new();
    chafa_canvas_config_set_geometry(config, e->cols, e->rows);
    chafa_canvas_config_set_canvas_mode(config, canvas_mode(p->depth));
    chafa_canvas_config_set_symbol_map(config, p->symbols);
    chafa_canvas_config_set_color_space(config, CHAFA_COLOR_SPACE_RGB);
    chafa_canvas_config_set_preprocessing_enabled(config, FALSE);
    /* A palette turns soft backgrounds into bands; a little ordered noise that never moves hides them. */
    chafa_canvas_config_set_dither_mode(config, p->depth == VG_DEPTH_256 ? CHAFA_DITHER_MODE_ORDERED
                                                                         : CHAFA_DITHER_MODE_NONE);
    chafa_canvas_config_set_dither_grain_size(config, 4, 4);
    chafa_canvas_config_set_dither_intensity(config, 0.3f);
    chafa_canvas_config_set_work_factor(config, 0.3f);
    ChafaCanvas *canvas = chafa_canvas_new(config);
    chafa_canvas_draw_all_pixels(canvas, CHAFA_PIXEL_RGB8, rgb, w, h, w * 3);
    for (int row = 0; row < e->rows; row++)
        for (int col = 0; col < e->cols; col++) {
            int fg, bg;
            gunichar c = chafa_canvas_get_char_at(canvas, col, row);
            chafa_canvas_get_raw_colors_at(canvas, col, row, &fg, &bg);
            vg_cell cell = {.cp = {c ? c : ' '},
                            .fg = color_of(p->depth, fg),
                            .bg = color_of(p->depth, bg),
                            .width = 1};
            e->cells[row * e->cols + col] = cell;
        }
    chafa_canvas_unref(canvas);
    chafa_canvas_config_unref(config);
}

/* A free entry, the oldest ones given up for it. */
static entry *room_for(vg_pictures *p, long cells)
{
    for (;;) {
        entry *empty = NULL, *oldest = NULL;
        for (int i = 0; i < ENTRIES; i++) {
            entry *e = &p->entries[i];
            if (!e->cells)
                empty = e;
            else if (!oldest || e->used < oldest->used)
                oldest = e;
        }
        if (empty && (p->cells + cells <= CELLS_MAX || !oldest))
            return empty;
        drop(p, oldest);
    }
}

bool vg_picture_prepare(vg_pictures *p, vg_rect r, uint64_t owner, uint64_t serial,
                        const uint8_t *rgb, int w, int h)
{
    if (r.rows < 1 || r.cols < 1 || !p->enabled)
        return true;
    entry *e = find(p, r, owner, serial);
    if (!e) {
        if (!rgb || w < 1 || h < 1)
            return false;
        vg_cell *cells = calloc((size_t)r.rows * (size_t)r.cols, sizeof *cells);
        if (!cells)
            return false;
        e = room_for(p, (long)r.rows * r.cols);
        *e = (entry){
            .owner = owner, .serial = serial, .rows = r.rows, .cols = r.cols, .cells = cells};
        p->cells += (long)r.rows * r.cols;
        render(p, e, rgb, w, h);
    }
    e->used = ++p->clock;
    return true;
}

bool vg_picture_draw(vg_pictures *p, vg_grid *g, vg_rect r, uint64_t owner, uint64_t serial,
                     const uint8_t *rgb, int w, int h)
{
    if (r.rows < 1 || r.cols < 1)
        return true;
    if (!p->enabled) {
        vg_picture_absent(g, r, " pictures are off ");
        return true;
    }
    if (!vg_picture_prepare(p, r, owner, serial, rgb, w, h))
        return false;
    const entry *e = find(p, r, owner, serial);
    for (int row = 0; row < r.rows; row++)
        for (int col = 0; col < r.cols; col++) {
            int y = r.row + row, x = r.col + col;
            if (y < 0 || y >= g->rows || x < 0 || x >= g->cols)
                continue;
            vg_cell c = e->cells[row * r.cols + col];
            vg_put(g, y, x, c.cp[0], (vg_style){c.fg, c.bg, c.attrs});
        }
    return true;
}

void vg_picture_absent(vg_grid *g, vg_rect r, const char *text)
{
    vg_style dots = vg_role_style(g, VG_R_FAINT);
    for (int y = 0; y < r.rows; y += 2)
        for (int x = y % 4; x < r.cols; x += 4)
            vg_put(g, r.row + y, r.col + x, vg_glyph(g, '.', 0xb7, 0xb7), dots);
    int width = vg_text_width(text);
    vg_text(g, r.row + r.rows / 2, r.col + (r.cols > width ? (r.cols - width) / 2 : 0), r.cols,
            VG_R_DIM, text);
}

void vg_picture_broken(vg_grid *g, vg_rect r, const char *why)
{
    char text[640];
    int margin = r.cols < 30 ? 1 : 2;
    vg_rect inside = {r.row + r.rows / 3, r.col + margin, r.rows - r.rows / 3, r.cols - 2 * margin};
    vg_picture_absent(g, r, "");
    vg_text(g, inside.row, inside.col, inside.cols, VG_R_BAD, "Frames cannot be read");
    snprintf(text, sizeof text, "%s; vgen resume makes them again", why);
    inside.row++;
    inside.rows--;
    vg_text_block(g, inside, VG_R_TEXT, text);
}

void vg_picture_difference(uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n, double gain)
{
    uint8_t table[256];
    for (int i = 0; i < 256; i++) {
        double v = i * gain + 0.5;
        table[i] = v > 255 ? 255 : (uint8_t)v;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = table[a[i] > b[i] ? a[i] - b[i] : b[i] - a[i]];
}
