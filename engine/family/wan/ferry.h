/* ferry.h: two pieces of pinned host memory, each with one on the device, that take turns, so that one chunk's way over the bus runs
 * beside the work on another. A ferry goes one way. Host memory of the caller is copied to or from the pinned piece by the calling thread,
 * while the device works. */
#ifndef VG_ENGINE_FAMILY_WAN_FERRY_H
#define VG_ENGINE_FAMILY_WAN_FERRY_H

#include "kernels/backend.h"

typedef struct wan_ferry wan_ferry;

/* bytes: most of one crossing. Takes twice that on the device and pinned. */
vg_status wan_ferry_new(vg_backend *be, size_t bytes, wan_ferry **ferry, vg_err *err);
void wan_ferry_free(wan_ferry *ferry); /* waits for copies under way */

/* From the device: operations write to *device, then _send. Host memory `to` is filled by one of the calls after the next, at last by
 * _arrive. delivered (may be NULL) is called with `user` after that, once for each _send. */
typedef void wan_ferry_delivered(void *user);
vg_status wan_ferry_board(wan_ferry *ferry, void **device, vg_err *err);
vg_status wan_ferry_send(wan_ferry *ferry, size_t bytes, void *to, wan_ferry_delivered *delivered, void *user, vg_err *err);
vg_status wan_ferry_arrive(wan_ferry *ferry, vg_err *err);

/* To the device: the caller writes to *host (NULL where nothing is stored: a plan), then _bring begins the copy. Operations after _take find it
 * at *device, in the order brought; _left after the last of them. At most two are under way. */
vg_status wan_ferry_load(wan_ferry *ferry, void **host, vg_err *err);
vg_status wan_ferry_bring(wan_ferry *ferry, size_t bytes, vg_err *err);
vg_status wan_ferry_take(wan_ferry *ferry, void **device, vg_err *err);
vg_status wan_ferry_left(wan_ferry *ferry, vg_err *err);
#endif
