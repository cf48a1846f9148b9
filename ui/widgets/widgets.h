/* widgets.h: from samples and a rectangle to cells. Nothing here keeps state or knows a job; each has an ASCII form, and a value that
 * is not known is shown as unknown, never as 0. */
#ifndef VG_UI_WIDGETS_WIDGETS_H
#define VG_UI_WIDGETS_WIDGETS_H

#include "ui/term/grid.h"

#include <stddef.h>

/* bar.c: a progress line of `cols` cells, `fraction` of it done (NaN: nothing known), with up to one mark (0..1, < 0 none). */
void vg_bar(vg_grid *g, int row, int col, int cols, double fraction, double mark,
            vg_text_role role);

/* bar.c: a level against a total, all in one unit. From the left what is ours, from the right what others have, so that the gap is what is
 * free; marks for our peak and our plan. total <= 0: no scale known, drawn empty. */
typedef struct vg_level {
    double now, others, peak, planned, total; /* 0: none */
} vg_level;
/* At (row, col), `cols` cells wide. */
void vg_gauge(vg_grid *g, int row, int col, int cols, const vg_level *level, vg_text_role role);

/* sparkline.c: the last samples that fit, one a cell, in one row; lo..hi is the scale (equal: from the samples). NaN: a gap. */
void vg_sparkline(vg_grid *g, int row, int col, int cols, const double *samples, int count,
                  double lo, double hi, vg_text_role role);

typedef struct vg_series {
    const double *samples;
    int count;
    vg_text_role role;
} vg_series;

/* plot.c: curves over a common x range of `points`, with the scale written at the left (axis columns wide) and a cursor column at
 * `cursor` (-1 none). Infinite samples are drawn at the top, NaN are gaps. */
typedef struct vg_plot_spec {
    const vg_series *series;
    int series_count, points, cursor;
    const char *unit;
    bool zero_based; /* the scale starts at 0 */
} vg_plot_spec;
/* Nothing where r has less than 2 rows, or 4 columns beside the scale; a line of text where no sample is finite. */
void vg_plot(vg_grid *g, vg_rect r, const vg_plot_spec *spec);
/* The curve alone, without scale or cursor. */
void vg_curve(vg_grid *g, vg_rect r, const vg_series *s, int index, int points, double lo,
              double hi);
/* Range of the finite samples; false when there is none. */
bool vg_series_range(const vg_series *series, int count, double *lo, double *hi);

/* scrubber.c: a track of `count` frames with the position, and a mark at `worst` (-1 none). */
void vg_scrubber(vg_grid *g, int row, int col, int cols, int position, int count, int worst,
                 vg_text_role role);
/* Frame under a column of the track; the column of a frame. */
int vg_scrubber_frame(int col, int cols, int count);
/* Clamped to the track; 0 when there is one frame or column. */
int vg_scrubber_col(int frame, int cols, int count);

/* list.c: first row to show so that `selected` is visible, moving `top` as little as possible. */
int vg_list_top(int top, int selected, int rows, int count);
/* list.c: a scroll bar in one column when count > rows. */
void vg_list_bar(vg_grid *g, int row, int col, int rows, int top, int count);

#endif
