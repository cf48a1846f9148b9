/* gauges.h: readings of a GPU as figures of a job: several readings as one event, a job's events as mean and peak, and how both are
 * written. What is read is kernels/backend/gpu_metrics.def. */
#ifndef VG_APP_REPORT_GAUGES_H
#define VG_APP_REPORT_GAUGES_H

#include <stdio.h>
#include "kernels/base/json.h"
#include "kernels/backend/gpu_gauge.h"

#define VG_GAUGE_HISTORY 128 /* readings kept for drawing */

/* One metric over some time. */
typedef struct vg_gauge_figure {
    int count; /* readings in sum */
    double sum;
    double peak; /* NaN-free; valid when any */
    bool any;
} vg_gauge_figure;

typedef struct vg_gauge_figures {
    vg_gauge_figure metric[VG_GPU_METRIC_COUNT];
} vg_gauge_figures;

/* Take in a reading. in_mean: it counts for the mean as well as for the peak. */
void vg_gauges_add(vg_gauge_figures *figures, const vg_gpu_sample *sample, bool in_mean);
/* Was any metric read? */
bool vg_gauges_any(const vg_gauge_figures *figures);
double vg_gauges_mean(const vg_gauge_figures *figures, vg_gpu_metric metric); /* NaN unknown */
double vg_gauges_peak(const vg_gauge_figures *figures, vg_gpu_metric metric); /* NaN unknown */

/* Several readings as one: each metric that was read, its mean or its peak as gpu_metrics.def says. */
vg_gpu_sample vg_gauges_sample(const vg_gauge_figures *figures);
/* A reading as members of an object, and back. Nothing in it is trusted: what is no finite number from 0 to 1e18 is left out. */
void vg_gauges_to_json(const vg_gpu_sample *sample, cJSON *json);
/* *sample is replaced; metrics that `json` does not have are not valid in it. */
void vg_gauges_from_json(const cJSON *json, vg_gpu_sample *sample);

/* {"power_w": {"mean": 652.1, "peak": 701.9}, ...}, unknown ones left out or null; NULL when nothing was read. Caller deletes. */
cJSON *vg_gauges_json(const vg_gauge_figures *figures);
/* A table: metrics down, for each of `count` names its mean and peak across. */
void vg_gauges_print(FILE *out, const char *const *names, const vg_gauge_figures *const *figures,
                     int count);

/* The last readings of every metric, oldest first; NaN where one was not read. */
typedef struct vg_gauge_history {
    double samples[VG_GPU_METRIC_COUNT][VG_GAUGE_HISTORY];
    int count;
} vg_gauge_history;
/* Append a reading; when full, the oldest makes room. */
void vg_gauges_remember(vg_gauge_history *history, const vg_gpu_sample *sample);
#endif
