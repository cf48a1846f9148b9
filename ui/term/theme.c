/* theme.c: one row per meaning. The variants' colours (blue, orange, violet, teal) stay apart for the common kinds of
 * colour blindness; good, warn and bad always come with a word or sign. The terminal's own background is kept. */
#include "ui/term/theme.h"

typedef struct row {
    uint32_t dark, light;     /* truecolor foreground, 0 = default */
    short index, index_light; /* 256 colours, -1 = default */
    short ansi;               /* 16 colours, -1 = default */
    unsigned attrs, mono;     /* attributes with colours, and without */
    uint32_t bg_dark, bg_light;
    short bg_index, bg_index_light, bg_ansi;
} row;

#define FG(d, l, i, il, a, at, mo)                                                                 \
    {                                                                                              \
        d, l, i, il, a, at, mo, 0, 0, -1, -1, -1                                                   \
    }

static const row rows[VG_R_COUNT] = {
    [VG_R_TEXT] = FG(0, 0, -1, -1, -1, 0, 0),
    [VG_R_DIM] = FG(0x8b949e, 0x666d75, 246, 242, -1, 0, 0),
    [VG_R_FAINT] = FG(0x474e57, 0xb4bac1, 239, 250, 8, 0, VG_DIM),
    [VG_R_TITLE] = FG(0, 0, -1, -1, -1, VG_BOLD, VG_BOLD),
    [VG_R_ACCENT] = FG(0x5cc8c2, 0x00706a, 80, 30, 6, 0, VG_BOLD),
    [VG_R_GOOD] = FG(0x7fc98f, 0x1a7f37, 114, 28, 2, 0, 0),
    [VG_R_WARN] = FG(0xe3b856, 0x8a6100, 179, 94, 3, 0, VG_BOLD),
    [VG_R_BAD] = FG(0xf07a7f, 0xc0202c, 210, 124, 1, 0, VG_BOLD),
    [VG_R_VARIANT0] = FG(0x79b0ff, 0x1f5fbf, 111, 25, 12, 0, 0),
    [VG_R_VARIANT1] = FG(0xf2a65a, 0xb05500, 215, 130, 3, 0, 0),
    [VG_R_VARIANT2] = FG(0xc39bf5, 0x7a3fc9, 141, 92, 5, 0, 0),
    [VG_R_VARIANT3] = FG(0x6fd0a5, 0x0f7a4d, 79, 29, 2, 0, 0),
    [VG_R_SELECT] = {0, 0, -1, -1, 15, VG_BOLD, VG_REVERSE, 0x26313c, 0xdbe7f2, 236, 254, 4},
    [VG_R_FIELD] = {0, 0, -1, -1, -1, 0, 0, 0x171e26, 0xeff2f5, 234, 255, -1},
    [VG_R_EDIT] = {0, 0, -1, -1, 15, 0, VG_UNDERLINE, 0x1d3a44, 0xd4eef0, 23, 195, 4},
    [VG_R_KEY] = FG(0, 0, -1, -1, -1, VG_BOLD, VG_BOLD),
    [VG_R_TAB] = {0x0b1416, 0xffffff, 16, 231, 0, 0, VG_REVERSE | VG_BOLD, 0x5cc8c2, 0x00706a, 80,
                  30, 6},
    [VG_R_BUTTON] = {0x0b1416, 0xffffff, 16, 231, 0, 0, VG_REVERSE | VG_BOLD, 0x5cc8c2, 0x00706a,
                     80, 30, 6},
};

static uint32_t indexed(short i)
{
    return i < 0 ? 0 : VG_INDEXED(i);
}

static uint32_t rgb(uint32_t c)
{
    return c ? 0x01000000u | c : 0;
}

void vg_theme_fill(vg_style *theme, vg_depth depth, bool light)
{
    for (int i = 0; i < VG_R_COUNT; i++) {
        const row *r = &rows[i];
        vg_style s = {0, 0, r->attrs};
        if (depth == VG_DEPTH_TRUE)
            s.fg = rgb(light ? r->light : r->dark), s.bg = rgb(light ? r->bg_light : r->bg_dark);
        else if (depth == VG_DEPTH_256)
            s.fg = indexed(light ? r->index_light : r->index),
            s.bg = indexed(light ? r->bg_index_light : r->bg_index);
        else if (depth == VG_DEPTH_16)
            s.fg = indexed(r->ansi), s.bg = indexed(r->bg_ansi);
        else
            s.attrs = r->mono;
        theme[i] = s;
    }
}
