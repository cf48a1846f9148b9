/* screen_compare.h: the parts of the compare screen: state, player and picture. */
#ifndef VG_UI_SCREENS_SCREEN_COMPARE_H
#define VG_UI_SCREENS_SCREEN_COMPARE_H

#include "ui/screens/ui.h"

typedef enum vg_compare_mode {
    VG_COMPARE_SIDE,
    VG_COMPARE_DIFFERENCE,
    VG_COMPARE_FLICKER
} vg_compare_mode;

enum {
    VG_COMPARE_HEAD,
    VG_COMPARE_TABLE,
    VG_COMPARE_PLOT,
    VG_COMPARE_TRACK,
    VG_COMPARE_STATUS,
    VG_COMPARE_PANE0
}; /* panes follow */
enum { VG_COMPARE_PANES_MAX = 8 };

typedef struct vg_compare {
    char job[256];
    vg_compare_mode mode;
    int other;      /* the variant that is compared with the reference (0) */
    bool only_pair; /* of more than two, show the pair alone */
    bool swapped;
    bool flicker_b; /* flicker shows the other one now */
    double flicker_at;
    int metric;  /* which of the variant's metrics is drawn */
    double gain; /* of the difference */
    /* player */
    int frame;
    bool playing, loop;
    double speed; /* 1 = the clip's rate */
    double from;  /* time when frame `from_frame` was on */
    int from_frame;
    bool exporting;
    double asked_at; /* when a picture that is loading was last looked for */
} vg_compare;

/* Which variants the panes show, left to right; -1 is the difference. Returns their number. */
int vg_compare_panes(const vg_compare *s, const vg_ui_job *j, int *panes);
/* The `layout` of its vg_screen; empty (count 0) without a job. */
void vg_compare_layout(const vg_ui *ui, const void *state, vg_rect area, vg_layout *out);
/* The `draw` of its vg_screen: reads, writes cells, changes nothing. */
void vg_compare_draw(const vg_ui *ui, const void *state, vg_grid *g, vg_rect area);
/* Compute one picture that will be shown soon; true when there may be more to do. */
bool vg_compare_prepare(const vg_ui *ui, const vg_compare *s, const vg_ui_job *j);
/* True while the frame that is shown waits for pixels. */
bool vg_compare_loading(const vg_ui *ui, const vg_compare *s, const vg_ui_job *j);
/* The chosen metric of the variant that is compared, NULL when there is none yet. */
const vg_ui_metric *vg_compare_metric(const vg_compare *s, const vg_ui_job *j);
/* Frame where that metric is worst, -1 unknown (all identical, or no data). */
int vg_compare_worst(const vg_compare *s, const vg_ui_job *j);
/* A picture of variant `v` at frame `f`: its name in the picture cache. */
uint64_t vg_compare_owner(const vg_ui_job *j, int v);

#endif
