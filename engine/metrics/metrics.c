/* metrics.c: the list. See metrics.h. */
#include "engine/metrics/metrics.h"

#include <string.h>

#define VG_METRIC(name) extern const vg_metric vg_metric_##name;
#include "engine/metrics/metrics.def"
#undef VG_METRIC

const vg_metric *const vg_metrics[VG_METRIC_COUNT] = {
#define VG_METRIC(name) &vg_metric_##name,
#include "engine/metrics/metrics.def"
#undef VG_METRIC
};

const vg_metric *vg_metric_find(const char *name)
{
    for (int i = 0; i < VG_METRIC_COUNT; i++)
        if (!strcmp(vg_metrics[i]->name, name))
            return vg_metrics[i];
    return NULL;
}

vg_status vg_metric_open(const vg_metric *metric, const vg_metric_setup *setup, void **state,
                         vg_err *err)
{
    *state = NULL;
    return metric->open ? metric->open(setup, state, err) : VG_OK;
}

void vg_metric_close(const vg_metric *metric, void *state)
{
    if (metric->close)
        metric->close(state);
}

vg_status vg_metric_once(const vg_metric *metric, const vg_metric_setup *setup, const void *values,
                         const void *reference, double *figure, vg_err *err)
{
    void *state;
    VG_TRY(vg_metric_open(metric, setup, &state, err));
    vg_status status = metric->frame(state, setup, values, reference, figure, err);
    vg_metric_close(metric, state);
    return status;
}
