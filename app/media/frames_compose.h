/* frames_compose.h: one picture of a comparison: variants side by side with labels, captions,
 * differences and a frame number. Plain C on RGB bytes; encoding is clip.c's. Text is drawn with
 * the glyphs of frames_font.def, so no font file is needed. */
#ifndef VG_APP_MEDIA_FRAMES_COMPOSE_H
#define VG_APP_MEDIA_FRAMES_COMPOSE_H

#include "app/media/frames.h"

#define VG_COMPOSE_PANES_MAX     8
#define VG_COMPOSE_CAPTION_LINES 2

typedef struct vg_compose_rect {
    int x, y, w, h;
} vg_compose_rect;

typedef struct vg_compose_pane {
    int variant;     /* index of the source shown, or compared with source 0 */
    bool difference; /* |variant - reference| * gain */
    vg_compose_rect label, picture, caption;
} vg_compose_pane;

typedef struct vg_compose_layout {
    int width, height;      /* of the whole canvas, both even */
    int scale;              /* whole factor of every picture */
    int cell_width;         /* of one character; its height is twice that */
    vg_compose_rect header; /* title at the left, frame number at the right */
    vg_compose_pane pane[2 * VG_COMPOSE_PANES_MAX];
    int pane_count;
} vg_compose_layout;

/* Where everything goes, for `count` variants of width x height pixels. Pure.
 * Small pictures are enlarged by the smallest whole factor that brings the longer side to 400
 * pixels (at most 64); none is made smaller. Up to three panes stand in a row; more form a grid
 * near 16:9; differences stand under their variants, or at the right of the only pair.
 * caption_lines 0..VG_COMPOSE_CAPTION_LINES. Errors: VG_E_ARG (count, sizes, canvas over
 * VG_FRAMES_SIDE_MAX). */
vg_status vg_compose_plan(int width, int height, int count, bool differences, int caption_lines,
                          vg_compose_layout *layout, vg_err *err);

/* Lines that the longest caption needs in this layout's columns, 0..VG_COMPOSE_CAPTION_LINES. */
int vg_compose_caption_lines(const vg_compose_layout *layout, const char *const *captions,
                             int count);

/* What stays the same in every frame: background, labels, captions, title. canvas: RGB [height,
 * width, 3]. */
void vg_compose_background(const vg_compose_layout *layout, const char *const *labels,
                           const char *const *captions, const char *title, double gain,
                           uint8_t *canvas);
/* The pictures of frame `index`, and its number. pictures[i]: RGB of variant i, as planned. */
void vg_compose_frame(const vg_compose_layout *layout, const uint8_t *const *pictures, int width,
                      int height, double gain, int index, int count, double fps, uint8_t *canvas);

/* Draw one line of UTF-8 text with its top left at x, y; at most max_cells characters, the last
 * becoming an ellipsis when the text is longer. Characters without a glyph become U+FFFD, control
 * characters '?'. Returns the cells drawn. */
int vg_compose_text(uint8_t *canvas, int width, int height, int x, int y, int cell_width,
                    uint32_t rgb, const char *text, int max_cells);
#endif
