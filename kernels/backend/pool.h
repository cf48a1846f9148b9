/* pool.h: who has which part of a few large regions of memory. Host-side bookkeeping only: the pool never touches the memory, so it
 * serves device memory as well. First fit in ascending addresses, neighbours that are free become one. */
#ifndef VG_KERNELS_BACKEND_POOL_H
#define VG_KERNELS_BACKEND_POOL_H

#include "kernels/base/status.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VG_POOL_ALIGNMENT                                                                          \
    ((size_t)256) /* of sizes and, in regions that begin at a multiple of it, of addresses */

typedef struct vg_pool vg_pool;

/* Empty. Errors: VG_E_NOMEM. */
vg_status vg_pool_new(vg_pool **pool, vg_err *err);
void vg_pool_free(vg_pool *pool); /* the regions stay the caller's */

/* Let the pool hand out [memory, memory + bytes); whole multiples of the alignment only. Errors: VG_E_NOMEM (of the host). */
vg_status vg_pool_add(vg_pool *pool, void *memory, size_t bytes, vg_err *err);
/* Take a region back in which nothing is in use. Returns its memory, NULL when there is none left. */
void *vg_pool_remove_idle(vg_pool *pool);

/* The first place of this size (0 counts as 1). Errors: VG_E_NOMEM when no free piece is large enough. */
vg_status vg_pool_take(vg_pool *pool, size_t bytes, void **memory, vg_err *err);
bool vg_pool_give(vg_pool *pool, void *memory); /* false: not taken from this pool */

size_t vg_pool_bytes(const vg_pool *pool);   /* of all regions */
size_t vg_pool_used(const vg_pool *pool);    /* taken, rounded up to the alignment */
size_t vg_pool_largest(const vg_pool *pool); /* the largest free piece */
size_t vg_pool_reached(const vg_pool *pool); /* highest value that vg_pool_used has had */

#ifdef __cplusplus
}
#endif
#endif
