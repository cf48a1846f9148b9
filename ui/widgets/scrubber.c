/* scrubber.c: where in the clip we are. */
#include "ui/widgets/widgets.h"

int vg_scrubber_col(int frame, int cols, int count)
{
    if (count <= 1 || cols <= 1)
        return 0;
    frame = frame < 0 ? 0 : frame >= count ? count - 1 : frame;
    return (int)((long)frame * (cols - 1) / (count - 1));
}

int vg_scrubber_frame(int col, int cols, int count)
{
    if (count <= 1 || cols <= 1)
        return 0;
    col = col < 0 ? 0 : col >= cols ? cols - 1 : col;
    return (int)(((long)col * (count - 1) + (cols - 1) / 2) / (cols - 1));
}

void vg_scrubber(vg_grid *g, int row, int col, int cols, int position, int count, int worst,
                 vg_text_role role)
{
    if (cols < 1)
        return;
    int at = vg_scrubber_col(position, cols, count);
    for (int i = 0; i < cols; i++) {
        bool done = i <= at && count > 0;
        vg_put(g, row, col + i,
               done ? vg_glyph(g, '=', 0x2588, 0x2501) : vg_glyph(g, '-', 0x2500, 0x2500),
               vg_role_style(g, done ? role : VG_R_FAINT));
    }
    if (worst >= 0 && count > 0)
        vg_put(g, row, col + vg_scrubber_col(worst, cols, count), vg_glyph(g, 'v', 'v', 0x25be),
               vg_role_style(g, VG_R_WARN));
    if (count > 0)
        vg_put(g, row, col + at, vg_glyph(g, 'O', 'O', 0x25cf), vg_role_style(g, role));
}
