/* threads.h: a fixed pool of worker threads with one verb, "for all ranges". The ranges depend on n and grain only,
 * never on the number of threads, so work that is a pure function of its range gives the same bits on any pool. */
#ifndef VG_KERNELS_BASE_THREADS_H
#define VG_KERNELS_BASE_THREADS_H

#include <stdint.h>

#include "kernels/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vg_threads vg_threads;

/* Work on [begin, end); worker is 0..count-1 and is running nothing else, so it may index scratch memory. */
typedef void vg_range_fn(void *ctx, int64_t begin, int64_t end, int worker);

/* count: threads including the caller's, 0 = as many as this process may use. Errors: VG_E_ARG, VG_E_NOMEM. */
vg_status vg_threads_new(int count, vg_threads **pool, vg_err *err);
/* Waits for what runs. NULL is a no-op. */
void vg_threads_free(vg_threads *pool);
/* The caller's own included. */
int vg_threads_count(const vg_threads *pool);

/* Call fn for [0,grain), [grain,2*grain), ... up to n, each once, in any order, and wait for all of them.
 * One caller at a time; fn must not call vg_parallel_for on the same pool. */
void vg_parallel_for(vg_threads *pool, int64_t n, int64_t grain, vg_range_fn *fn, void *ctx);
/* The same, but once *cancel (a const atomic_int *, or NULL) is not 0 no further range is begun: part of the work is left undone, and
 * the caller looks at the flag to know. */
void vg_parallel_for_until(vg_threads *pool, int64_t n, int64_t grain, vg_range_fn *fn, void *ctx,
                           const void *cancel);

#ifdef __cplusplus
}
#endif
#endif
