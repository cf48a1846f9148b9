/* plot.c: curves of several rows. Braille gives 2x4 dots a cell; one cell has one colour, the later series wins. The ASCII form puts
 * one mark a cell, another letter for each series. */
#include "ui/widgets/widgets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { AXIS = 8 };

static void dot(uint8_t *dots, int rows, int cols, int x, int y)
{
    static const uint8_t bits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    if (x >= 0 && y >= 0 && x < cols * 2 && y < rows * 4)
        dots[(y / 4) * cols + x / 2] |= bits[y & 3][x & 1];
}

static double height_of(double v, double lo, double hi)
{
    return v >= hi ? 1 : v <= lo ? 0 : (v - lo) / (hi - lo);
}

void vg_curve(vg_grid *g, vg_rect r, const vg_series *s, int index, int points, double lo,
              double hi)
{
    uint8_t *dots = r.cols > 0 && r.rows > 0 && points > 0
                        ? calloc((size_t)r.cols * (size_t)r.rows, sizeof *dots)
                        : NULL;
    if (!dots)
        return;
    int across = points > 1 ? points - 1 : 1, last_x = -1, last_y = -1;
    vg_style style = vg_role_style(g, s->role);
    for (int i = 0; i < s->count && i < points; i++) {
        double v = s->samples[i];
        if (isnan(v)) {
            last_x = -1;
            continue;
        }
        double t = height_of(v, lo, hi);
        if (g->glyphs != VG_GLYPHS_FULL) {
            int x = (int)lround((double)i * (r.cols - 1) / across),
                y = (int)lround((1 - t) * (r.rows - 1));
            vg_put(g, r.row + y, r.col + x, (uint32_t)("*ox+"[index & 3]), style);
            continue;
        }
        int x = (int)lround((double)i * (r.cols * 2 - 1) / across),
            y = (int)lround((1 - t) * (r.rows * 4 - 1));
        dot(dots, r.rows, r.cols, x, y);
        if (last_x >= 0)
            for (int k = last_x + 1; k < x; k++)
                dot(dots, r.rows, r.cols, k,
                    last_y + (int)lround((double)(y - last_y) * (k - last_x) / (x - last_x)));
        if (last_x >= 0 && x - last_x <= 1) /* steep: join upright */
            for (int k = last_y < y ? last_y : y; k < (last_y < y ? y : last_y); k++)
                dot(dots, r.rows, r.cols, x, k);
        last_x = x;
        last_y = y;
    }
    for (int row = 0; row < r.rows; row++)
        for (int col = 0; col < r.cols; col++)
            if (dots[row * r.cols + col])
                vg_put(g, r.row + row, r.col + col, 0x2800u + dots[row * r.cols + col], style);
    free(dots);
}

void vg_plot(vg_grid *g, vg_rect r, const vg_plot_spec *spec)
{
    vg_rect field = {r.row, r.col + AXIS, r.rows, r.cols - AXIS};
    double lo = 0, hi = 1;
    if (field.cols < 4 || r.rows < 2)
        return;
    if (!vg_series_range(spec->series, spec->series_count, &lo, &hi)) {
        bool infinite = false;
        for (int s = 0; s < spec->series_count; s++)
            for (int i = 0; i < spec->series[s].count; i++)
                infinite = infinite || isinf(spec->series[s].samples[i]);
        vg_text(g, r.row + r.rows / 2, field.col, field.cols, VG_R_DIM,
                infinite ? "identical in every frame" : "no data yet");
        return;
    }
    if (spec->zero_based && lo > 0)
        lo = 0;
    double span = hi - lo, pad = span > 0 ? span * 0.05 : fabs(hi) * 0.1 + 1e-6;
    hi += pad;
    if (!(spec->zero_based && lo == 0))
        lo -= pad;
    vg_style rule = vg_role_style(g, VG_R_FAINT);
    for (int col = 0; col < field.cols; col += 2)
        for (int row = 0; row<r.rows; row += r.rows> 8 ? 4 : r.rows - 1)
            vg_put(g, r.row + row, field.col + col, vg_glyph(g, '.', 0xb7, 0xb7), rule);
    double top = hi, bottom = lo;
    int digits = fabs(top) >= 100 ? 0 : fabs(top) >= 10 ? 1 : fabs(top) >= 1 ? 2 : 3;
    char label[32];
    snprintf(label, sizeof label, "%.*f", digits, top);
    vg_text_right(g, r.row, r.col, AXIS - 1, VG_R_DIM, label);
    snprintf(label, sizeof label, "%.*f", digits, bottom);
    vg_text_right(g, r.row + r.rows - 1, r.col, AXIS - 1, VG_R_DIM, label);
    if (r.rows > 2)
        vg_text_right(g, r.row + r.rows / 2, r.col, AXIS - 1, VG_R_DIM,
                      spec->unit ? spec->unit : "");
    if (spec->cursor >= 0 && spec->points > 0) {
        int across = spec->points > 1 ? spec->points - 1 : 1;
        int x = (int)lround((double)spec->cursor * (field.cols - 1) / across);
        for (int row = 0; row < r.rows; row++)
            vg_put(g, r.row + row, field.col + (x < field.cols ? x : field.cols - 1),
                   vg_glyph(g, ':', 0x2502, 0x250a), vg_role_style(g, VG_R_DIM));
    }
    for (int s = 0; s < spec->series_count; s++)
        vg_curve(g, field, &spec->series[s], s, spec->points, lo, hi);
}
