/* staging.h: two pieces of pinned host memory, each with one on the device, that take turns, so that one chunk's way over the bus runs
 * beside the work on another. A staging goes one way. Host memory of the caller is copied to or from the pinned piece by the calling thread,
 * while the device works. */
#ifndef VG_KERNELS_BACKEND_STAGING_H
#define VG_KERNELS_BACKEND_STAGING_H

#include "kernels/backend/backend.h"

typedef struct vg_staging vg_staging;

/* bytes: most of one transfer. Takes twice that on the device and pinned. */
vg_status vg_staging_new(vg_backend *be, size_t bytes, vg_staging **staging, vg_err *err);
void vg_staging_free(vg_staging *staging); /* waits for copies under way */

/* From the device: operations write to *device, then _out_send. Host memory `to` is filled by one of the calls after the next, at last by
 * _out_finish. delivered (may be NULL) is called with `user` after that, once for each _out_send. */
typedef void vg_staging_delivered(void *user);
/* Waits until what was sent two calls before has arrived. Borrowed until _out_send. */
vg_status vg_staging_out_room(vg_staging *staging, void **device, vg_err *err);
/* bytes: of *device, at most those of vg_staging_new. to: stays valid until it is filled. */
vg_status vg_staging_out_send(vg_staging *staging, size_t bytes, void *to,
                              vg_staging_delivered *delivered, void *user, vg_err *err);
/* Waits until everything that was sent has arrived. */
vg_status vg_staging_out_finish(vg_staging *staging, vg_err *err);

/* To the device: the caller writes to *host (NULL where nothing is stored: a plan), then _in_send begins the copy. Operations after _in_take find it
 * at *device, in the order sent; _in_done after the last of them. At most two are under way. */
vg_status vg_staging_in_room(vg_staging *staging, void **host, vg_err *err);
/* bytes: of *host, at most those of vg_staging_new. */
vg_status vg_staging_in_send(vg_staging *staging, size_t bytes, vg_err *err);
/* The oldest of those sent and not taken yet. */
vg_status vg_staging_in_take(vg_staging *staging, void **device, vg_err *err);
/* Its side is free for a later _in_room, once these operations have run. */
vg_status vg_staging_in_done(vg_staging *staging, vg_err *err);
#endif
