/* bench_watch.h: clocks, power and temperature of the device while something is measured, sampled by a thread of its own. */
#ifndef VG_APP_BENCH_BENCH_WATCH_H
#define VG_APP_BENCH_BENCH_WATCH_H

#include "app/report/energy.h"
#include "kernels/backend/gpu_gauge.h"

typedef struct vg_bench_range {
    double median, min, max;
    int count; /* 0: nothing was measured */
} vg_bench_range;

/* Median, least and most of a list, which is sorted in place. */
vg_bench_range vg_bench_range_of(double *values, int count);

typedef struct vg_bench_clocks {
    vg_bench_range of[VG_GPU_METRIC_COUNT];
    vg_energy energy;
} vg_bench_clocks;

typedef struct vg_bench_watch vg_bench_watch;

/* Watch a GPU; the gauge belongs to the watch's thread until _free. NULL for the gauge: there is nothing to read, and all ranges stay
 * empty; so they do when NULL is returned, since no thread can be had. */
vg_bench_watch *vg_bench_watch_new(vg_gpu_gauge *gauge);
/* Ends the thread and waits for it. NULL is a no-op. */
void vg_bench_watch_free(vg_bench_watch *watch);
/* Readings count from here on; those before are forgotten. */
void vg_bench_watch_start(vg_bench_watch *watch);
/* No more readings count; the ranges of those since _start into *clocks, all empty when `watch` is NULL. */
void vg_bench_watch_stop(vg_bench_watch *watch, vg_bench_clocks *clocks);
#endif
