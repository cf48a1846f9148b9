/* worker_watch.c: the thread beside the engine that writes down memory and, on a GPU, what its gauges say.
 *
 * DESIGN: it begins when the engine is open and is joined before the engine closes. It touches the worker's atomics, its own
 * lock and the event writer (which has a lock) only; the gauge is its own. Signals go to the main thread, whose waiting they shall end. NVML is not part of CUDA: a
 * driver that answers slowly delays this thread alone. */
#include "app/worker/worker_run.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "kernels/base/clock.h"

#define TICK_MS         50
#define MEMORY_EVERY_MS 1000
#define GAUGE_EVERY_MS  500
#define GAUGE_TELL_MS   1000 /* a 15 minute job: 900 events of about 300 bytes */
#define MARK_WAIT_MS    250  /* a reading takes about 45 ms: each PCIe counter is watched for 20 */

/* The process's memory, or what the backend counts of the device's; quiet while it stays the same. */
static void tell_memory(vg_worker *w, uint64_t *last, int *quiet)
{
    uint64_t device_peak = atomic_load(&w->device_peak);
    uint64_t now =
        device_peak ? atomic_load(&w->device_now) : vg_proc_bytes("/proc/self/status", "VmRSS");
    uint64_t peak = device_peak ? device_peak : vg_proc_bytes("/proc/self/status", "VmHWM");
    uint64_t change = now > *last ? now - *last : *last - now;
    if (change < (1u << 20) && ++*quiet < 10)
        return;
    *quiet = 0;
    *last = now;
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_memory);
    e.now = now;
    e.peak = peak;
    vg_worker_tell(w, e);
}

/* The readings since the last event, as one. */
static void tell_gauges(vg_worker *w, vg_gauge_figures *figures, double read_at)
{
    if (vg_gauges_any(figures)) {
        vg_job_event e = vg_job_event_of(VG_JOB_EVENT_gpu);
        e.readings = vg_gauges_sample(figures);
        e.read_at = read_at;
        vg_worker_tell(w, e);
    }
    *figures = (vg_gauge_figures){0};
}

/* Until `ms` from now, or until somebody calls. With the lock held. */
static void wait_ms(vg_worker_watch *watch, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&watch->call, &watch->lock, &until);
}

static void read_gauge(vg_gpu_gauge *gauge, vg_gauge_figures *figures)
{
    vg_gpu_sample sample;
    vg_gpu_gauge_read(gauge, &sample);
    vg_gauges_add(figures, &sample, true);
}

/* Waits for the next tick or call. False: the end. *mark: what was asked for and is not yet answered. */
static bool next_tick(vg_worker_watch *watch, unsigned answered, unsigned *mark, bool *must_read)
{
    pthread_mutex_lock(&watch->lock);
    watch->answered = answered;
    pthread_cond_broadcast(&watch->call);
    if (!watch->stop && watch->asked == answered)
        wait_ms(watch, TICK_MS);
    *mark = watch->asked;
    *must_read = watch->must_read;
    watch->must_read = false;
    bool on = !watch->stop;
    pthread_mutex_unlock(&watch->lock);
    return on;
}

static void *watch_thread(void *worker)
{
    vg_worker *w = worker;
    vg_gpu_gauge *gauge = NULL;
    vg_gauge_figures figures = {0};
    uint64_t last = 0;
    double read_at = NAN;
    int quiet = 0;
    unsigned answered = 0, mark;
    bool must_read;
    (void)vg_gpu_gauge_open(w->watch.pci, w->watch.uuid, &gauge,
                            NULL); /* without one there are no events */
    int64_t now = vg_now_monotonic_ms(), memory_at = now, gauge_at = now - GAUGE_EVERY_MS,
            told_at = now;
    while (next_tick(&w->watch, answered, &mark, &must_read)) {
        bool marked = mark != answered;
        now = vg_now_monotonic_ms();
        if (now - memory_at >= MEMORY_EVERY_MS) {
            memory_at = now;
            tell_memory(w, &last, &quiet);
        }
        must_read = must_read && !vg_gauges_any(&figures);
        if (gauge && (must_read || now - gauge_at >= GAUGE_EVERY_MS)) {
            gauge_at = now;
            read_at = vg_now_unix();
            read_gauge(gauge, &figures);
        }
        if (marked || now - told_at >= GAUGE_TELL_MS) {
            told_at = now;
            tell_gauges(w, &figures, read_at);
        }
        answered = mark;
    }
    tell_gauges(w, &figures, read_at);
    vg_gpu_gauge_close(gauge);
    return NULL;
}

static void init(vg_worker_watch *watch, const char *pci, const char *uuid)
{
    pthread_condattr_t attributes;
    *watch = (vg_worker_watch){0};
    snprintf(watch->pci, sizeof watch->pci, "%s", pci);
    snprintf(watch->uuid, sizeof watch->uuid, "%s", uuid);
    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->call, &attributes);
    pthread_condattr_destroy(&attributes);
}

void vg_worker_watch_begin(vg_worker *w, const vg_device_info *device)
{
    sigset_t all, before;
    const char *asked = getenv("VGEN_GAUGE_PCI"); /* a GPU beside the device: for the tests */
    bool other = asked && *asked;
    init(&w->watch, other ? asked : device->pci_bus_id, other ? "" : device->uuid);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    w->watch.on = pthread_create(&w->watch.thread, NULL, watch_thread, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void vg_worker_watch_mark(vg_worker *w, bool must_read)
{
    vg_worker_watch *watch = &w->watch;
    if (!watch->on || !*watch->pci)
        return;
    int64_t until = vg_now_monotonic_ms() + MARK_WAIT_MS;
    pthread_mutex_lock(&watch->lock);
    unsigned mine = ++watch->asked;
    watch->must_read = must_read;
    pthread_cond_broadcast(&watch->call);
    for (int64_t left = MARK_WAIT_MS; watch->answered != mine && left > 0;
         left = until - vg_now_monotonic_ms())
        wait_ms(watch, (int)left);
    pthread_mutex_unlock(&watch->lock);
}

void vg_worker_watch_end(vg_worker *w)
{
    vg_worker_watch *watch = &w->watch;
    if (!watch->on)
        return;
    pthread_mutex_lock(&watch->lock);
    watch->stop = true;
    pthread_cond_broadcast(&watch->call);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    watch->on = false;
}
