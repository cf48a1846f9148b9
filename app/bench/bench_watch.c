/* bench_watch.c: see bench_watch.h. */
#include "app/bench/bench_watch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "kernels/base/clock.h"
#include <unistd.h>

#define SAMPLE_EVERY_US (100 * 1000)
#define SAMPLES_MAX     16384 /* half an hour; what comes later is not kept */

struct vg_bench_watch {
    vg_gpu_gauge *gauge;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    bool stop, recording;
    int count[VG_GPU_METRIC_COUNT];
    double samples[VG_GPU_METRIC_COUNT][SAMPLES_MAX];
    vg_energy energy;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

vg_bench_range vg_bench_range_of(double *values, int count)
{
    if (count < 1)
        return (vg_bench_range){0};
    qsort(values, (size_t)count, sizeof *values, by_value);
    double middle =
        count % 2 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
    return (vg_bench_range){middle, values[0], values[count - 1], count};
}

static void keep(vg_bench_watch *w, const vg_gpu_sample *sample, double t)
{
    vg_energy_add(&w->energy, sample, t, true);
    for (int i = 0; i < VG_GPU_METRIC_COUNT; i++) {
        if (vg_gpu_has(sample, (vg_gpu_metric)i) && w->count[i] < SAMPLES_MAX)
            w->samples[i][w->count[i]++] = sample->value[i];
    }
}

static void *watch_thread(void *watch)
{
    vg_bench_watch *w = watch;
    for (bool stop = false; !stop; usleep(SAMPLE_EVERY_US)) {
        vg_gpu_sample sample;
        double t =
            vg_now(); /* the counter is read at the begin of a reading, which takes a while */
        vg_gpu_gauge_read(w->gauge, &sample);
        pthread_mutex_lock(&w->lock);
        if (w->recording)
            keep(w, &sample, t);
        stop = w->stop;
        pthread_mutex_unlock(&w->lock);
    }
    return NULL;
}

vg_bench_watch *vg_bench_watch_new(vg_gpu_gauge *gauge)
{
    vg_bench_watch *w = gauge ? calloc(1, sizeof *w) : NULL;
    if (!w)
        return NULL;
    w->gauge = gauge;
    pthread_mutex_init(&w->lock, NULL);
    if (pthread_create(&w->thread, NULL, watch_thread, w) == 0)
        return w;
    pthread_mutex_destroy(&w->lock);
    free(w);
    return NULL;
}

void vg_bench_watch_free(vg_bench_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void vg_bench_watch_start(vg_bench_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    memset(w->count, 0, sizeof w->count);
    w->energy = (vg_energy){0};
    w->recording = true;
    pthread_mutex_unlock(&w->lock);
}

void vg_bench_watch_stop(vg_bench_watch *w, vg_bench_clocks *clocks)
{
    *clocks = (vg_bench_clocks){0};
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->recording = false;
    for (int i = 0; i < VG_GPU_METRIC_COUNT; i++)
        clocks->of[i] = vg_bench_range_of(w->samples[i], w->count[i]);
    clocks->energy = w->energy;
    pthread_mutex_unlock(&w->lock);
}
