/* metric.h: one figure of a metric, by its name. */
#ifndef VG_TESTS_METRIC_H
#define VG_TESTS_METRIC_H

#include "engine/metrics/metrics.h"
#include "tests/check.h"

static inline double metric_of(const char *name, const void *a, const void *b,
                               const vg_metric_setup *setup)
{
    const vg_metric *metric = vg_metric_find(name);
    double figure = NAN;
    vg_err err;
    assert_non_null(metric);
    CHECK_OK(vg_metric_once(metric, setup, a, b, &figure, &err), err);
    return figure;
}

/* Of two U8 pictures [height, width, 3]. */
static inline double metric_of_pictures(const char *name, const void *a, const void *b, int height,
                                        int width)
{
    return metric_of(name, a, b, &(vg_metric_setup){.height = height, .width = width});
}

/* Of two F32 vectors. */
static inline double metric_of_latents(const char *name, const float *a, const float *b,
                                       size_t count)
{
    return metric_of(name, a, b, &(vg_metric_setup){.values = count});
}
#endif
