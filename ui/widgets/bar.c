/* bar.c: progress line and memory gauge. Done and rest differ in weight as well as in colour, so both read in monochrome. */
#include "ui/widgets/widgets.h"

#include <math.h>

void vg_bar(vg_grid *g, int row, int col, int cols, double fraction, double mark, vg_role role)
{
    if (cols < 1)
        return;
    bool known = isfinite(fraction);
    fraction = !known || fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
    int halves = (int)(fraction * cols * 2 + 1e-9);
    int mark_col = mark >= 0 && mark <= 1 ? (int)(mark * cols) : -1;
    if (mark_col >= cols)
        mark_col = cols - 1;
    vg_style full = vg_role_style(g, role), rest = vg_role_style(g, VG_R_FAINT);
    for (int i = 0; i < cols; i++) {
        bool done = halves >= 2 * (i + 1), half = halves == 2 * i + 1;
        uint32_t cp = done   ? vg_glyph(g, '=', 0x2588, 0x2501)
                      : half ? vg_glyph(g, '>', 0x258c, 0x2578)
                             : vg_glyph(g, '-', 0x2500, 0x2500);
        vg_style style = done || half ? full : rest;
        if (i == mark_col) {
            cp = vg_glyph(g, '|', 0x2502, 0x2503);
            style = done ? full : vg_role_style(g, VG_R_DIM);
        }
        vg_put(g, row, col + i, cp, style);
    }
}

void vg_gauge(vg_grid *g, int row, int col, int cols, double now, double peak, double total,
              vg_role role)
{
    if (cols < 1)
        return;
    bool known = total > 0 && isfinite(total);
    double level = known && now > 0 ? fmin(now / total, 1) : 0;
    int eighths = (int)lround(level * cols * 8);
    if (known && now > 0 && eighths == 0)
        eighths = 1;
    int peak_col = known && peak > 0 ? (int)(fmin(peak / total, 1) * cols) : -1;
    peak_col = peak_col >= cols ? cols - 1 : peak_col;
    vg_style full = vg_role_style(g, role), rest = vg_role_style(g, VG_R_FAINT);
    for (int i = 0; i < cols; i++) {
        int part = eighths - 8 * i;
        if (part >= 8 || (part > 3 && g->glyphs != VG_GLYPHS_FULL))
            vg_put(g, row, col + i, vg_glyph(g, '#', 0x2588, 0x2588), full);
        else if (part > 0 && g->glyphs == VG_GLYPHS_FULL)
            vg_put(g, row, col + i, 0x2590 - (uint32_t)part,
                   full); /* left 1/8 .. 7/8: U+258F .. U+2589 */
        else
            vg_put(g, row, col + i, vg_glyph(g, '.', 0x2591, 0xb7), rest);
        if (i == peak_col && part < 8)
            vg_put(g, row, col + i, vg_glyph(g, '|', 0x2502, 0x2502), vg_role_style(g, VG_R_WARN));
    }
}
