/* frames_compose.c: layout and drawing of comparison pictures. All integer arithmetic: same input,
 * same bytes anywhere. */
#include "app/media/frames_compose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCALE_SIDE       400 /* pixels: the longer side of a picture reaches this by enlarging */
#define SCALE_MAX        64
#define COLUMN_WIDTH_MIN 288  /* pixels: room for 36 characters under the narrowest picture */
#define CANVAS_WIDTH_MAX 4096 /* pixels: what H.264 players accept; a row breaks before it */
#define COLUMN_CHARS     48

#define COLOUR_BACKGROUND 0x14171Cu
#define COLOUR_TITLE      0xC8CED8u
#define COLOUR_COUNTER    0xFFFFFFu
#define COLOUR_LABEL      0xFFFFFFu
#define COLOUR_REFERENCE  0x6FD6C8u
#define COLOUR_DIFFERENCE 0xF2B45Cu
#define COLOUR_CAPTION    0xB2BAC6u

/* ---- text ---- */

#define GLYPH_WIDTH  16
#define GLYPH_HEIGHT 32

typedef struct glyph {
    uint32_t code;
    int first_row;
    const char *rows;
} glyph;

static const glyph glyphs[] = {
#define FONT_GLYPH(code, first_row, rows) {code, first_row, rows},
#include "app/media/frames_font.def"
#undef FONT_GLYPH
};

static const glyph *find_glyph(uint32_t code)
{
    size_t low = 0, high = sizeof glyphs / sizeof *glyphs;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (glyphs[middle].code == code)
            return &glyphs[middle];
        if (glyphs[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Next code point of *text, which moves on; broken UTF-8 gives U+FFFD for each bad byte, control
 * characters '?'. */
static uint32_t next_code(const char **text)
{
    const unsigned char *s = (const unsigned char *)*text;
    int extra = s[0] < 0x80                   ? 0
                : s[0] >= 0xC2 && s[0] < 0xE0 ? 1
                : s[0] >= 0xE0 && s[0] < 0xF0 ? 2
                : s[0] >= 0xF0 && s[0] < 0xF5 ? 3
                                              : -1;
    if (extra <= 0) {
        *text += 1;
        if (extra < 0)
            return 0xFFFD;
        return s[0] < 0x20 || s[0] == 0x7F ? '?' : s[0];
    }
    uint32_t code = s[0] & (0x3Fu >> extra);
    for (int i = 1; i <= extra; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            *text += 1;
            return 0xFFFD;
        }
        code = code << 6 | (s[i] & 0x3Fu);
    }
    *text += extra + 1;
    return code >= 0x80 && code < 0xA0 ? '?' : code == 0xA0 ? ' ' : code;
}

static int count_cells(const char *text)
{
    int n = 0;
    while (*text) {
        next_code(&text);
        n++;
    }
    return n;
}

static int hex_value(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Coverage 0..255 of cell pixel (x, y): the glyph's alpha averaged over the area that the pixel
 * covers. */
static int glyph_coverage(const glyph *g, int rows, int cell_width, int x, int y)
{
    int cell_height = 2 * cell_width;
    int64_t sum = 0;
    int y0 = y * GLYPH_HEIGHT, y1 = y0 + GLYPH_HEIGHT; /* in 1/cell_height of a glyph row */
    int x0 = x * GLYPH_WIDTH, x1 = x0 + GLYPH_WIDTH;
    for (int sy = y0 / cell_height; sy * cell_height < y1 && sy < GLYPH_HEIGHT; sy++) {
        int top = sy * cell_height > y0 ? sy * cell_height : y0;
        int bottom = (sy + 1) * cell_height < y1 ? (sy + 1) * cell_height : y1;
        int row = sy - g->first_row;
        if (row < 0 || row >= rows)
            continue;
        for (int sx = x0 / cell_width; sx * cell_width < x1 && sx < GLYPH_WIDTH; sx++) {
            int left = sx * cell_width > x0 ? sx * cell_width : x0;
            int right = (sx + 1) * cell_width < x1 ? (sx + 1) * cell_width : x1;
            sum += (int64_t)hex_value(g->rows[row * GLYPH_WIDTH + sx]) * (bottom - top) *
                   (right - left);
        }
    }
    return (int)(sum * 255 / (15 * (int64_t)GLYPH_WIDTH * GLYPH_HEIGHT));
}

static void draw_glyph(uint8_t *canvas, int width, int height, int x0, int y0, int cell_width,
                       uint32_t rgb, uint32_t code)
{
    const glyph *g = find_glyph(code);
    if (!g)
        g = find_glyph(0xFFFD);
    int rows = (int)(strlen(g->rows) / GLYPH_WIDTH);
    int colour[3] = {(int)(rgb >> 16 & 255), (int)(rgb >> 8 & 255), (int)(rgb & 255)};
    for (int y = 0; y < 2 * cell_width; y++) {
        if (y0 + y < 0 || y0 + y >= height)
            continue;
        for (int x = 0; x < cell_width; x++) {
            if (x0 + x < 0 || x0 + x >= width)
                continue;
            int cover = glyph_coverage(g, rows, cell_width, x, y);
            uint8_t *p = canvas + ((size_t)(y0 + y) * width + x0 + x) * 3;
            for (int c = 0; c < 3 && cover; c++)
                p[c] = (uint8_t)((p[c] * (255 - cover) + colour[c] * cover + 127) / 255);
        }
    }
}

int vg_compose_text(uint8_t *canvas, int width, int height, int x, int y, int cell_width,
                    uint32_t rgb, const char *text, int max_cells)
{
    int n = 0, total = count_cells(text);
    while (*text && n < max_cells) {
        uint32_t code = next_code(&text);
        if (n == max_cells - 1 && total > max_cells)
            code = 0x2026;
        draw_glyph(canvas, width, height, x + n * cell_width, y, cell_width, rgb, code);
        n++;
    }
    return n;
}

/* Take one line of at most max_cells from *text into line, breaking after a space where there is
 * one. The two spaces that separate figures in captions are better places than the one between a
 * figure and its unit. */
static void take_line(const char **text, int max_cells, bool last, char *line, size_t size)
{
    while (**text == ' ')
        *text += 1;
    const char *s = *text, *break_single = NULL, *break_double = NULL;
    int n = 0;
    while (*s && n < max_cells) {
        if (*s == ' ' && s[1] == ' ')
            break_double = s;
        else if (*s == ' ')
            break_single = s;
        next_code(&s);
        n++;
    }
    const char *end = s;
    if (*s && !last)
        end = *s == ' ' ? s : break_double ? break_double : break_single ? break_single : s;
    if (last)
        end = *text + strlen(*text); /* the drawing puts the ellipsis */
    size_t bytes = (size_t)(end - *text);
    if (bytes >= size)
        bytes = size - 1;
    memcpy(line, *text, bytes);
    line[bytes] = '\0';
    *text = end;
}

/* ---- layout ---- */

static int at_least(int a, int b)
{
    return a > b ? a : b;
}

vg_status vg_compose_plan(int width, int height, int count, bool differences, int caption_lines,
                          vg_compose_layout *layout, vg_err *err)
{
    if (count < 1 || count > VG_COMPOSE_PANES_MAX)
        return VG_FAIL(err, VG_E_ARG, "a comparison shows 1 to %d variants, not %d",
                       VG_COMPOSE_PANES_MAX, count);
    if (width < 1 || height < 1 || width > VG_FRAMES_SIDE_MAX || height > VG_FRAMES_SIDE_MAX)
        return VG_FAIL(err, VG_E_ARG, "pictures of %dx%d cannot be compared; sides are 1 to %d",
                       width, height, VG_FRAMES_SIDE_MAX);
    vg_compose_layout l;
    memset(&l, 0, sizeof l);
    int longer = at_least(width, height);
    l.scale = (SCALE_SIDE + longer - 1) / longer;
    l.scale = l.scale < 1 ? 1 : l.scale > SCALE_MAX ? SCALE_MAX : l.scale;
    int picture_width = width * l.scale, picture_height = height * l.scale;
    int column = at_least(picture_width, COLUMN_WIDTH_MIN);
    l.cell_width = column / COLUMN_CHARS;
    l.cell_width = l.cell_width < 8 ? 8 : l.cell_width > 20 ? 20 : l.cell_width;
    int cell_height = 2 * l.cell_width, gap = l.cell_width + l.cell_width / 2;

    /* The items of a row, and how many rows stand under each other for one row of variants. */
    bool pair = differences && count == 2;
    bool below = differences && count > 2;
    int items = count + (pair ? 1 : 0);
    int difference_height = cell_height + gap / 2 + picture_height; /* without a caption */
    int item_height =
        difference_height + (caption_lines ? gap / 2 + caption_lines * cell_height : 0);
    int block_height = item_height + gap + (below ? difference_height + gap : 0);
    int columns = items;
    if (items > 3 && !below) {
        double best = 0;
        for (int c = 1; c <= items; c++) {
            int lines = (items + c - 1) / c;
            double aspect =
                (double)(c * (column + gap)) / ((double)lines * block_height) / (16.0 / 9.0);
            double fit = aspect > 1 ? 1 / aspect : aspect;
            if (fit > best) {
                best = fit;
                columns = c;
            }
        }
    }
    while (columns > 1 && columns * (column + gap) + gap > CANVAS_WIDTH_MAX)
        columns--;
    int rows = (items + columns - 1) / columns;
    columns = (items + rows - 1) / rows;

    int64_t total_width = (int64_t)columns * (column + gap) + gap;
    int64_t total_height = (int64_t)rows * block_height + gap + cell_height + gap;
    l.width = (int)(total_width + (total_width & 1));
    l.height = (int)(total_height + (total_height & 1));
    if (total_width > VG_FRAMES_SIDE_MAX || total_height > VG_FRAMES_SIDE_MAX)
        return VG_FAIL(err, VG_E_ARG,
                       "%d pictures of %dx%d need a canvas of %dx%d; the largest side is %d", count,
                       width, height, l.width, l.height, VG_FRAMES_SIDE_MAX);
    l.header = (vg_compose_rect){gap, gap, l.width - 2 * gap, cell_height};
    for (int i = 0; i < items + (below ? count : 0); i++) {
        bool difference = below ? i >= items : i >= count;
        int variant = difference ? (below ? i - items : 1) : i;
        int cell = below && difference ? variant : i;
        if (difference && variant == 0)
            continue; /* the reference has no difference to itself */
        vg_compose_pane *p = &l.pane[l.pane_count++];
        int x = gap + cell % columns * (column + gap);
        int y = 2 * gap + cell_height + cell / columns * block_height +
                (below && difference ? item_height + gap : 0);
        p->variant = variant;
        p->difference = difference;
        p->label = (vg_compose_rect){x, y, column, cell_height};
        y += cell_height + gap / 2;
        p->picture =
            (vg_compose_rect){x + (column - picture_width) / 2, y, picture_width, picture_height};
        y += picture_height + gap / 2;
        p->caption = (vg_compose_rect){x, y, column, difference ? 0 : caption_lines * cell_height};
    }
    *layout = l;
    return VG_OK;
}

int vg_compose_caption_lines(const vg_compose_layout *layout, const char *const *captions,
                             int count)
{
    int most = 0, cells = layout->pane[0].caption.w / layout->cell_width;
    for (int i = 0; i < count; i++) {
        const char *text = captions[i] ? captions[i] : "";
        char line[1024];
        int n = 0;
        while (*text && n < VG_COMPOSE_CAPTION_LINES) {
            take_line(&text, cells, n == VG_COMPOSE_CAPTION_LINES - 1, line, sizeof line);
            n++;
        }
        most = at_least(most, n);
    }
    return most;
}

/* ---- drawing ---- */

static void fill(uint8_t *canvas, int width, vg_compose_rect r, uint32_t rgb)
{
    for (int y = r.y; y < r.y + r.h; y++)
        for (int x = r.x; x < r.x + r.w; x++) {
            uint8_t *p = canvas + ((size_t)y * width + x) * 3;
            p[0] = (uint8_t)(rgb >> 16);
            p[1] = (uint8_t)(rgb >> 8);
            p[2] = (uint8_t)rgb;
        }
}

static int draw_in(const vg_compose_layout *l, uint8_t *canvas, vg_compose_rect r, uint32_t rgb,
                   const char *text)
{
    return vg_compose_text(canvas, l->width, l->height, r.x, r.y, l->cell_width, rgb, text,
                           r.w / l->cell_width);
}

/* Room kept at the right of the header for "frame 1234/1234  123.45 s". */
#define COUNTER_CELLS 28

void vg_compose_background(const vg_compose_layout *l, const char *const *labels,
                           const char *const *captions, const char *title, double gain,
                           uint8_t *canvas)
{
    fill(canvas, l->width, (vg_compose_rect){0, 0, l->width, l->height}, COLOUR_BACKGROUND);
    if (title) {
        vg_compose_rect r = l->header;
        r.w = at_least(r.w - COUNTER_CELLS * l->cell_width, 0);
        draw_in(l, canvas, r, COLOUR_TITLE, title);
    }
    for (int i = 0; i < l->pane_count; i++) {
        const vg_compose_pane *p = &l->pane[i];
        const char *name = labels[p->variant] ? labels[p->variant] : "";
        /* What follows a long name must stay readable: the name gets what is left. */
        char suffix[96];
        if (p->difference)
            snprintf(suffix, sizeof suffix, " \xE2\x88\x92 ref|  \xC3\x97%g", gain);
        else
            snprintf(suffix, sizeof suffix, "%s", i == 0 ? "  reference" : "");
        if (l->scale > 1)
            snprintf(suffix + strlen(suffix), sizeof suffix - strlen(suffix), "  %dx", l->scale);
        vg_compose_rect r = p->label;
        uint32_t colour = p->difference ? COLOUR_DIFFERENCE : COLOUR_LABEL;
        int used = 0;
        if (p->difference)
            used = draw_in(l, canvas, r, colour, "|");
        r.x += used * l->cell_width;
        r.w -= (used + count_cells(suffix)) * l->cell_width;
        if (r.w > 0)
            used += draw_in(l, canvas, r, colour, name);
        r = p->label;
        r.x += used * l->cell_width;
        r.w -= used * l->cell_width;
        draw_in(l, canvas, r,
                p->difference ? COLOUR_DIFFERENCE
                : i == 0      ? COLOUR_REFERENCE
                              : COLOUR_CAPTION,
                suffix);

        const char *text = p->difference || !captions[p->variant] ? "" : captions[p->variant];
        int lines = p->caption.h / (2 * l->cell_width);
        for (int n = 0; n < lines && *text; n++) {
            char line[1024];
            take_line(&text, p->caption.w / l->cell_width, n == lines - 1, line, sizeof line);
            r = p->caption;
            r.y += n * 2 * l->cell_width;
            draw_in(l, canvas, r, COLOUR_CAPTION, line);
        }
    }
}

static void draw_picture(const vg_compose_layout *l, const vg_compose_pane *p, const uint8_t *a,
                         const uint8_t *reference, int width, int height, const uint8_t *amplified,
                         uint8_t *canvas)
{
    size_t row_bytes = (size_t)p->picture.w * 3;
    for (int y = 0; y < height; y++) {
        uint8_t *row =
            canvas + ((size_t)(p->picture.y + y * l->scale) * l->width + p->picture.x) * 3;
        uint8_t *out = row;
        for (int x = 0; x < width; x++) {
            size_t at = ((size_t)y * width + x) * 3;
            uint8_t rgb[3];
            for (int c = 0; c < 3; c++)
                rgb[c] = p->difference ? amplified[abs(a[at + c] - reference[at + c])] : a[at + c];
            for (int k = 0; k < l->scale; k++, out += 3)
                memcpy(out, rgb, 3);
        }
        for (int k = 1; k < l->scale; k++)
            memcpy(row + (size_t)k * l->width * 3, row, row_bytes);
    }
}

void vg_compose_frame(const vg_compose_layout *l, const uint8_t *const *pictures, int width,
                      int height, double gain, int index, int count, double fps, uint8_t *canvas)
{
    uint8_t amplified[256];
    for (int i = 0; i < 256; i++) {
        double v = i * gain + 0.5;
        amplified[i] = v >= 255 ? 255 : (uint8_t)v;
    }
    for (int i = 0; i < l->pane_count; i++)
        draw_picture(l, &l->pane[i], pictures[l->pane[i].variant], pictures[0], width, height,
                     amplified, canvas);

    char text[64];
    snprintf(text, sizeof text, "frame %d/%d  %.2f s", index + 1, count, index / fps);
    vg_compose_rect r = l->header;
    int cells = count_cells(text);
    if (cells > COUNTER_CELLS)
        cells = COUNTER_CELLS;
    vg_compose_rect area = {r.x + r.w - COUNTER_CELLS * l->cell_width, r.y,
                            COUNTER_CELLS * l->cell_width, r.h};
    if (area.x < 0) {
        area.w += area.x;
        area.x = 0;
    }
    fill(canvas, l->width, area, COLOUR_BACKGROUND);
    r.x += r.w - cells * l->cell_width;
    r.w = cells * l->cell_width;
    draw_in(l, canvas, r, COLOUR_COUNTER, text);
}
