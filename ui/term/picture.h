/* picture.h: pixels as cells. A picture is computed once per content, size and terminal, then only copied. */
#ifndef VG_UI_TERM_PICTURE_H
#define VG_UI_TERM_PICTURE_H

#include "ui/term/grid.h"
#include "ui/term/theme.h"

#include <stddef.h>

typedef struct vg_pictures vg_pictures;

/* depth and glyphs of the terminal; cell_aspect = cell height / width; enabled false: a line of text takes the picture's place. */
vg_pictures *vg_pictures_new(vg_depth depth, vg_glyphs glyphs, double cell_aspect, bool enabled);
/* NULL is a no-op. */
void vg_pictures_free(vg_pictures *p);
/* The terminal told its cell size: forget everything computed for another one. */
void vg_pictures_set_aspect(vg_pictures *p, double cell_aspect);

/* The largest rectangle inside `room`, centred, that shows w x h pixels undistorted (to half a cell). Pure. */
vg_rect vg_picture_fit(vg_rect room, int w, int h, double cell_aspect);
/* The same for this terminal's cell aspect. */
vg_rect vg_pictures_fit(const vg_pictures *p, vg_rect room, int w, int h);

/* Draw rgb [h, w, 3] into exactly `r` (from vg_pictures_fit). (owner, serial) name the content: the same pair must always mean the
 * same pixels. When cached, rgb may be NULL; returns false when it is NULL and not cached (nothing is drawn). */
bool vg_picture_draw(vg_pictures *p, vg_grid *g, vg_rect r, uint64_t owner, uint64_t serial,
                     const uint8_t *rgb, int w, int h);
/* The same, only into the cache: work done while nobody waits. */
bool vg_picture_prepare(vg_pictures *p, vg_rect r, uint64_t owner, uint64_t serial,
                        const uint8_t *rgb, int w, int h);
/* True when vg_picture_draw would not need the pixels. */
bool vg_picture_cached(const vg_pictures *p, vg_rect r, uint64_t owner, uint64_t serial);

/* The place of a picture that is not there: dots, and why in its middle. */
void vg_picture_absent(vg_grid *g, vg_rect r, const char *text);
/* The place of pictures whose file cannot be read: what is wrong with it, and what helps. */
void vg_picture_broken(vg_grid *g, vg_rect r, const char *why);

/* |a - b| * gain per channel, saturating: the difference picture. out, a, b: n bytes. */
void vg_picture_difference(uint8_t *out, const uint8_t *a, const uint8_t *b, size_t n, double gain);

#endif
