/* theme.h: how each meaning looks, by colour depth and by light or dark background. */
#ifndef VG_UI_TERM_THEME_H
#define VG_UI_TERM_THEME_H

#include "ui/term/grid.h"

typedef enum vg_depth { VG_DEPTH_MONO, VG_DEPTH_16, VG_DEPTH_256, VG_DEPTH_TRUE } vg_depth;

/* Fill theme[VG_R_COUNT]. Never colour alone: what matters also differs by glyph, word or attribute. */
void vg_theme_fill(vg_style *theme, vg_depth depth, bool light);

#endif
