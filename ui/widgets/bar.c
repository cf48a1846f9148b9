/* bar.c: progress line and memory gauge. Done and rest differ in weight as well as in colour, so both read in monochrome. */
#include "ui/widgets/widgets.h"

#include <math.h>

void vg_bar(vg_grid *g, int row, int col, int cols, double fraction, double mark, vg_text_role role)
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

/* Column of a value on a line of `cols`, -1 when there is none. */
static int column_of(double value, double total, int cols)
{
    int at = total > 0 && value > 0 ? (int)(fmin(value / total, 1) * cols) : -1;
    return at >= cols ? cols - 1 : at;
}

void vg_gauge(vg_grid *g, int row, int col, int cols, const vg_level *level, vg_text_role role)
{
    if (cols < 1)
        return;
    double total = isfinite(level->total) && level->total > 0 ? level->total : 0;
    double share = total > 0 && level->now > 0 ? fmin(level->now / total, 1) : 0;
    int eighths = (int)lround(share * cols * 8);
    if (share > 0 && eighths == 0)
        eighths = 1;
    int others =
        total > 0 && level->others > 0 ? (int)lround(fmin(level->others / total, 1) * cols) : 0;
    if (others == 0 && total > 0 && level->others > 0)
        others = 1;
    int peak = column_of(level->peak, total, cols),
        planned = column_of(level->planned, total, cols);
    vg_style full = vg_role_style(g, role), rest = vg_role_style(g, VG_R_FAINT),
             dim = vg_role_style(g, VG_R_DIM);
    for (int i = 0; i < cols; i++) {
        int part = eighths - 8 * i;
        if (part >= 8 || (part > 3 && g->glyphs != VG_GLYPHS_FULL))
            vg_put(g, row, col + i, vg_glyph(g, '#', 0x2588, 0x2588), full);
        else if (part > 0 && g->glyphs == VG_GLYPHS_FULL)
            vg_put(g, row, col + i, 0x2590 - (uint32_t)part,
                   full); /* left 1/8 .. 7/8: U+258F .. U+2589 */
        else if (i >= cols - others)
            vg_put(g, row, col + i, vg_glyph(g, '%', 0x2592, 0x2592), dim);
        else
            vg_put(g, row, col + i, vg_glyph(g, '.', 0x2591, 0xb7), rest);
        if (part >= 8)
            continue;
        if (i == planned)
            vg_put(g, row, col + i, vg_glyph(g, ':', 0x2502, 0x250a), dim);
        if (i == peak)
            vg_put(g, row, col + i, vg_glyph(g, '|', 0x2502, 0x2502), vg_role_style(g, VG_R_WARN));
    }
}
