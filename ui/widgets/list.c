/* list.c: the arithmetic of scrolling, and its bar. */
#include "ui/widgets/widgets.h"

int vg_list_top(int top, int selected, int rows, int count)
{
    if (rows < 1)
        return 0;
    if (selected < top)
        top = selected;
    if (selected >= top + rows)
        top = selected - rows + 1;
    if (top > count - rows)
        top = count - rows;
    return top < 0 ? 0 : top;
}

void vg_list_bar(vg_grid *g, int row, int col, int rows, int top, int count)
{
    if (count <= rows || rows < 1)
        return;
    int size = rows * rows / count, from = rows * top / count;
    size = size < 1 ? 1 : size;
    if (from + size > rows)
        from = rows - size;
    for (int i = 0; i < rows; i++) {
        bool thumb = i >= from && i < from + size;
        vg_put(g, row + i, col,
               thumb ? vg_glyph(g, '#', 0x2588, 0x2503) : vg_glyph(g, '|', 0x2502, 0x2502),
               vg_role_style(g, thumb ? VG_R_DIM : VG_R_FAINT));
    }
}
