/* threads.c: the pool behind vg_parallel_for.
 *
 * DESIGN. A loop is published by storing its description under the mutex and raising `generation`. Ranges are handed
 * out by one atomic counter. Workers look for a new generation for a short while without sleeping, since the loops of one
 * forward pass follow each other within microseconds, then wait on the condition variable. The caller works too, and
 * leaves when `running` is 0: no worker still holds the description, so it may be overwritten. */
#include "kernels/base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#define SPINS 4000

struct vg_threads {
    int count;
    pthread_t *threads; /* count - 1 */
    pthread_mutex_t lock;
    pthread_cond_t start, finished;
    atomic_uint generation;
    atomic_int running; /* workers that have not finished the present generation */
    bool stop;
    /* The present loop; written under the lock before `generation` rises. */
    vg_range_fn *fn;
    void *ctx;
    int64_t n, grain;
    const atomic_int *cancel;
    atomic_llong next;
};

typedef struct worker_start {
    vg_threads *pool;
    int worker;
} worker_start;

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline bool cancelled(const atomic_int *cancel)
{
    return cancel && atomic_load_explicit(cancel, memory_order_relaxed) != 0;
}

static void run_ranges(vg_threads *pool, int worker)
{
    for (;;) {
        int64_t begin = atomic_fetch_add_explicit(&pool->next, pool->grain, memory_order_relaxed);
        if (begin >= pool->n || cancelled(pool->cancel))
            return;
        pool->fn(pool->ctx, begin, pool->n - begin < pool->grain ? pool->n : begin + pool->grain,
                 worker);
    }
}

static void *worker_main(void *data)
{
    worker_start start = *(worker_start *)data;
    vg_threads *pool = start.pool;
    unsigned seen = 0;

    free(data);
    for (;;) {
        for (int i = 0;
             i < SPINS && atomic_load_explicit(&pool->generation, memory_order_acquire) == seen;
             i++)
            relax();
        if (atomic_load_explicit(&pool->generation, memory_order_acquire) == seen) {
            pthread_mutex_lock(&pool->lock);
            while (atomic_load_explicit(&pool->generation, memory_order_relaxed) == seen)
                pthread_cond_wait(&pool->start, &pool->lock);
            pthread_mutex_unlock(&pool->lock);
        }
        seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (pool->stop)
            return NULL;
        run_ranges(pool, start.worker);
        if (atomic_fetch_sub_explicit(&pool->running, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->finished);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

static int available_cpus(void)
{
    cpu_set_t set;
    int n;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}

static void publish(vg_threads *pool)
{
    pthread_mutex_lock(&pool->lock);
    atomic_store_explicit(&pool->running, pool->count - 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&pool->generation, 1, memory_order_release);
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->lock);
}

static vg_status start_worker(vg_threads *pool, int worker)
{
    worker_start *start = malloc(sizeof *start);
    sigset_t all, old;
    int failed;

    if (!start)
        return VG_E_NOMEM;
    *start = (worker_start){pool, worker};
    /* Signals belong to the program's own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    failed = pthread_create(&pool->threads[worker - 1], NULL, worker_main, start);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed)
        free(start);
    return failed ? VG_E_NOMEM : VG_OK;
}

vg_status vg_threads_new(int count, vg_threads **pool, vg_err *err)
{
    vg_threads *p;
    int wanted = count == 0 ? available_cpus() : count;

    if (wanted < 1 || wanted > 4096)
        return VG_FAIL(err, VG_E_ARG, "thread count %d is not in 0..4096", count);
    p = calloc(1, sizeof *p);
    if (p && wanted > 1)
        p->threads = calloc((size_t)wanted - 1, sizeof *p->threads);
    if (!p || (wanted > 1 && !p->threads)) {
        free(p);
        return VG_FAIL(err, VG_E_NOMEM, "no memory for a pool of %d threads", wanted);
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->start, NULL);
    pthread_cond_init(&p->finished, NULL);
    p->count = 1;
    for (int i = 1; i < wanted; i++) {
        if (start_worker(p, i) != VG_OK) {
            vg_threads_free(p);
            return VG_FAIL(err, VG_E_NOMEM, "thread %d of %d could not be started", i + 1, wanted);
        }
        p->count++;
    }
    *pool = p;
    return VG_OK;
}

void vg_threads_free(vg_threads *pool)
{
    if (!pool)
        return;
    pool->stop = true; /* published by the generation below */
    publish(pool);
    for (int i = 0; i < pool->count - 1; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->start);
    pthread_cond_destroy(&pool->finished);
    free(pool->threads);
    free(pool);
}

int vg_threads_count(const vg_threads *pool)
{
    return pool->count;
}

void vg_parallel_for(vg_threads *pool, int64_t n, int64_t grain, vg_range_fn *fn, void *ctx)
{
    vg_parallel_for_until(pool, n, grain, fn, ctx, NULL);
}

void vg_parallel_for_until(vg_threads *pool, int64_t n, int64_t grain, vg_range_fn *fn, void *ctx,
                           const void *cancel)
{
    if (grain < 1)
        grain = 1;
    if (pool->count == 1 || n <= grain) {
        for (int64_t begin = 0; begin < n && !cancelled(cancel); begin += grain)
            fn(ctx, begin, n - begin < grain ? n : begin + grain, 0);
        return;
    }
    pool->fn = fn;
    pool->ctx = ctx;
    pool->n = n;
    pool->grain = grain;
    pool->cancel = cancel;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    publish(pool);
    run_ranges(pool, 0);
    for (int i = 0; i < SPINS && atomic_load_explicit(&pool->running, memory_order_acquire) > 0;
         i++)
        relax();
    if (atomic_load_explicit(&pool->running, memory_order_acquire) > 0) {
        pthread_mutex_lock(&pool->lock);
        while (atomic_load_explicit(&pool->running, memory_order_acquire) > 0)
            pthread_cond_wait(&pool->finished, &pool->lock);
        pthread_mutex_unlock(&pool->lock);
    }
}
