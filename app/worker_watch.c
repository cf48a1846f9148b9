/* worker_watch.c: the thread beside the engine that writes down memory and, on a GPU, what its gauges say.
 *
 * DESIGN: it begins when the engine is open and is joined before the engine closes. It touches the worker's atomics and the event writer
 * (which has a lock) only; the gauge is its own. Signals go to the main thread, whose waiting they shall end. NVML is not part of CUDA: a
 * driver that answers slowly delays this thread alone. */
#include "app/worker_run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS         50 /* how long the end of the run may wait for the thread to notice */
#define MEMORY_EVERY_MS 1000
#define GAUGE_EVERY_MS  500
#define GAUGE_TELL_MS   1000 /* a 15 minute job: 900 events of about 300 bytes */

/* "VmRSS:     1234 kB" of a file of that form, in bytes. */
static uint64_t proc_bytes(const char *file, const char *key)
{
    char line[256];
    uint64_t bytes = 0;
    size_t n = strlen(key);
    FILE *f = fopen(file, "re");
    while (f && fgets(line, sizeof line, f)) {
        if (!strncmp(line, key, n) && line[n] == ':') {
            bytes = strtoull(line + n + 1, NULL, 10) * 1024;
            break;
        }
    }
    if (f)
        fclose(f);
    return bytes;
}

uint64_t vg_worker_memory_total(void)
{
    uint64_t total = proc_bytes("/proc/meminfo", "MemTotal");
    /* In a container the limit is what counts. */
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "re");
    unsigned long long limit = 0;
    if (f && fscanf(f, "%llu", &limit) == 1 && limit > 0 && limit < total)
        total = limit;
    if (f)
        fclose(f);
    return total;
}

/* The process's memory, or what the backend counts of the device's; quiet while it stays the same. */
static void tell_memory(vg_worker *w, uint64_t *last, int *quiet)
{
    uint64_t device_peak = atomic_load(&w->device_peak);
    uint64_t now =
        device_peak ? atomic_load(&w->device_now) : proc_bytes("/proc/self/status", "VmRSS");
    uint64_t peak = device_peak ? device_peak : proc_bytes("/proc/self/status", "VmHWM");
    uint64_t change = now > *last ? now - *last : *last - now;
    if (change < (1u << 20) && ++*quiet < 10)
        return;
    *quiet = 0;
    *last = now;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "now", (double)now);
    cJSON_AddNumberToObject(o, "peak", (double)peak);
    vg_worker_tell(w, "memory", o);
}

/* The readings since the last event, as one. */
static void tell_gauges(vg_worker *w, vg_gauge_figures *figures)
{
    if (vg_gauges_any(figures))
        vg_worker_tell(w, "gpu", vg_gauges_event(figures));
    *figures = (vg_gauge_figures){0};
}

static void *watch(void *worker)
{
    vg_worker *w = worker;
    vg_gpu_gauge *gauge = NULL;
    vg_gauge_figures figures = {0};
    vg_gpu_sample sample;
    uint64_t last = 0;
    int quiet = 0;
    (void)vg_gpu_gauge_open(w->gauge_pci, &gauge, NULL); /* without one there are no events */
    int64_t now = vg_now_monotonic_ms(), memory_at = now, gauge_at = now - GAUGE_EVERY_MS,
            told_at = now;
    while (!atomic_load(&w->watch_stop)) {
        now = vg_now_monotonic_ms();
        if (now - memory_at >= MEMORY_EVERY_MS) {
            memory_at = now;
            tell_memory(w, &last, &quiet);
        }
        if (gauge && now - gauge_at >= GAUGE_EVERY_MS) {
            gauge_at = now;
            vg_gpu_gauge_read(gauge, &sample);
            vg_gauges_add(&figures, &sample, true);
        }
        if (now - told_at >= GAUGE_TELL_MS) {
            told_at = now;
            tell_gauges(w, &figures);
        }
        usleep(TICK_MS * 1000);
    }
    tell_gauges(w, &figures);
    vg_gpu_gauge_close(gauge);
    return NULL;
}

bool vg_worker_watch_begin(vg_worker *w, pthread_t *thread, const vg_device_info *device)
{
    sigset_t all, before;
    const char *asked = getenv("VGEN_GAUGE_PCI"); /* a GPU beside the device: for the tests */
    snprintf(w->gauge_pci, sizeof w->gauge_pci, "%s", asked && *asked ? asked : device->pci_bus_id);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool begun = pthread_create(thread, NULL, watch, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return begun;
}

void vg_worker_watch_end(vg_worker *w, pthread_t thread)
{
    atomic_store(&w->watch_stop, 1);
    pthread_join(thread, NULL);
}
