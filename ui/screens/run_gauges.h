/* run_gauges.h: what the run screen measures: memory, the GPU's gauges, the time of every step. Each draws a snapshot into a rectangle. */
#ifndef VG_UI_SCREENS_RUN_GAUGES_H
#define VG_UI_SCREENS_RUN_GAUGES_H

#include "ui/term/grid.h"
#include "ui/host/host.h"

/* A bar and a line; with a third row the gauges as one line. */
void vg_run_draw_memory(const vg_ui_job *j, vg_grid *g, vg_rect r);

/* The gauges, one a row, the most important first; what does not fit is left out. Rows that all of them take, with their heading. */
int vg_run_gauges_rows(const vg_ui_job *j);
/* With a heading where means and peaks are shown, or a row is to spare; the last value alone where it is narrow. */
void vg_run_draw_gauges(const vg_ui_job *j, vg_grid *g, vg_rect r);

/* Seconds of every step, the variants under one another, in blocks of as many steps as fit beside one another; those around the step at
 * work when not all fit. Rows of `room` that it takes, 0: not worth it. */
int vg_run_steps_rows(const vg_ui_job *j, int cols, int room);
/* Draws what vg_run_steps_rows counted into r; the block at work stays in sight. */
void vg_run_draw_steps(const vg_ui_job *j, vg_grid *g, vg_rect r);

#endif
