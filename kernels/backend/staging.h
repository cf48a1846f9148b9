/* staging.h: two pieces of pinned host memory, each with one on the device, that take turns, so that one chunk's way over the bus runs
 * beside the work on another. A ferry goes one way. Host memory of the caller is copied to or from the pinned piece by the calling thread,
 * while the device works. */
#ifndef VG_KERNELS_BACKEND_STAGING_H
#define VG_KERNELS_BACKEND_STAGING_H

#include "kernels/backend/backend.h"

typedef struct vg_staging vg_staging;

/* bytes: most of one crossing. Takes twice that on the device and pinned. */
vg_status vg_staging_new(vg_backend *be, size_t bytes, vg_staging **ferry, vg_err *err);
void vg_staging_free(vg_staging *ferry); /* waits for copies under way */

/* From the device: operations write to *device, then _send. Host memory `to` is filled by one of the calls after the next, at last by
 * _arrive. delivered (may be NULL) is called with `user` after that, once for each _send. */
typedef void vg_staging_delivered(void *user);
vg_status vg_staging_board(vg_staging *ferry, void **device, vg_err *err);
vg_status vg_staging_send(vg_staging *ferry, size_t bytes, void *to,
                          vg_staging_delivered *delivered, void *user, vg_err *err);
vg_status vg_staging_arrive(vg_staging *ferry, vg_err *err);

/* To the device: the caller writes to *host (NULL where nothing is stored: a plan), then _bring begins the copy. Operations after _take find it
 * at *device, in the order brought; _left after the last of them. At most two are under way. */
vg_status vg_staging_load(vg_staging *ferry, void **host, vg_err *err);
vg_status vg_staging_bring(vg_staging *ferry, size_t bytes, vg_err *err);
vg_status vg_staging_take(vg_staging *ferry, void **device, vg_err *err);
vg_status vg_staging_left(vg_staging *ferry, vg_err *err);
#endif
