/* bench_watch.h: clocks, power and temperature of the device while something is measured, sampled by a thread of its own. */
#ifndef VG_APP_BENCH_WATCH_H
#define VG_APP_BENCH_WATCH_H

typedef struct vg_bench_range {
    double median, min, max;
    int count; /* 0: nothing was measured */
} vg_bench_range;

/* Median, least and most of a list, which is sorted in place. */
vg_bench_range vg_bench_range_of(double *values, int count);

typedef enum vg_bench_metric {
    VG_BENCH_SM_MHZ,
    VG_BENCH_POWER_W,
    VG_BENCH_TEMPERATURE_C,
    VG_BENCH_POWER_LIMIT_W,
    VG_BENCH_MEMORY_BYTES, /* of this process, as the driver counts it: context and libraries too */
    VG_BENCH_METRIC_COUNT
} vg_bench_metric;

typedef struct vg_bench_clocks {
    vg_bench_range of[VG_BENCH_METRIC_COUNT];
} vg_bench_clocks;

/* One reading into values, NAN for what cannot be read. */
typedef void vg_bench_read(void *source, double values[VG_BENCH_METRIC_COUNT]);

typedef struct vg_bench_watch vg_bench_watch;

/* read: called on the watch's thread until _free; NULL: there is nothing to be read, and all ranges stay empty. NULL is returned when
 * no thread can be had; every function takes it as such a watch. */
vg_bench_watch *vg_bench_watch_new(vg_bench_read *read, void *source);
void vg_bench_watch_free(vg_bench_watch *watch);
/* Readings count from here on; those before are forgotten. */
void vg_bench_watch_start(vg_bench_watch *watch);
void vg_bench_watch_stop(vg_bench_watch *watch, vg_bench_clocks *clocks);
#endif
