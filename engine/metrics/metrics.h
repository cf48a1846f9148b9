/* metrics.h: how far a variant is from the reference. A metric is one const struct, in a file of its own and a row of metrics.def; reports, tables,
 * files and screens walk the list and name none of them. */
#ifndef VG_ENGINE_METRICS_METRICS_H
#define VG_ENGINE_METRICS_METRICS_H

#include "kernels/backend/backend.h"

/* What is compared. */
typedef enum vg_metric_input {
    VG_METRIC_PICTURES, /* U8 [height, width, 3], one figure for each frame */
    VG_METRIC_LATENTS   /* F32 [values], one figure for the whole clip */
} vg_metric_input;

typedef struct vg_metric_setup {
    int height, width;   /* of PICTURES */
    size_t values;       /* of LATENTS */
    vg_backend *backend; /* for metrics that run a network; NULL: none at hand */
} vg_metric_setup;

typedef struct vg_metric {
    const char *name;  /* "psnr": the key in files */
    const char *label; /* "PSNR" */
    const char *unit;  /* "dB" or "" */
    const char *help;  /* one line */
    bool higher_is_better;
    int digits; /* behind the point, where people read it */
    vg_metric_input input;
    /* What one clip needs, into *state; NULL when that is nothing. VG_E_MISSING: the metric cannot be had here (its weights, say) and is left
     * out; any other failure ends the comparison. */
    vg_status (*open)(const vg_metric_setup *setup, void **state, vg_err *err);
    /* Compare one frame, or the latents, with the reference's. NaN: not defined for this size; +infinity: identical, where that is so. */
    vg_status (*frame)(void *state, const vg_metric_setup *setup, const void *values,
                       const void *reference, double *figure, vg_err *err);
    void (*close)(void *state); /* NULL like open */
} vg_metric;

enum {
#define VG_METRIC(name) VG_METRIC_ROW_##name,
#include "engine/metrics/metrics.def"
#undef VG_METRIC
    VG_METRIC_COUNT
};
extern const vg_metric *const vg_metrics[VG_METRIC_COUNT];

/* NULL when there is none of that name. */
const vg_metric *vg_metric_find(const char *name);
/* Begin and end the comparison of a clip; *state is NULL where the metric needs none. */
vg_status vg_metric_open(const vg_metric *metric, const vg_metric_setup *setup, void **state,
                         vg_err *err);
/* state: from vg_metric_open, NULL included. */
void vg_metric_close(const vg_metric *metric, void *state);
/* One figure, from open to close. */
vg_status vg_metric_once(const vg_metric *metric, const vg_metric_setup *setup, const void *values,
                         const void *reference, double *figure, vg_err *err);
#endif
