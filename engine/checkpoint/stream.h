/* stream.h: blocks of weights that do not fit into device memory. Each has an image in pinned host memory, made once while loading; a few
 * slots of device memory take turns. Blocks are run in the order 0, 1, ..., count-1, 0, ...; while one runs, the next is copied into the
 * slot that has become free. A block run out of order is right too, it only waits for its copy. */
#ifndef VG_ENGINE_CHECKPOINT_STREAM_H
#define VG_ENGINE_CHECKPOINT_STREAM_H

#include "kernels/backend/backend.h"

typedef struct vg_stream vg_stream;

#define VG_STREAM_SLOTS                                                                            \
    2 /* one runs, one arrives: a block's copy is shorter than its work at every size worth streaming for */

/* bytes: room of one block. Takes VG_STREAM_SLOTS times that on the device. */
vg_status vg_stream_new(vg_backend *be, int count, size_t bytes, vg_stream **stream, vg_err *err);
/* Waits for copies under way. NULL is a no-op. */
void vg_stream_free(vg_stream *stream);
size_t vg_stream_host_bytes(const vg_stream *stream); /* of the images so far */

/* Loading: the slot in which block `block` is to be laid out; when it is complete (by operations, or by copies that operations follow),
 * _keep takes the first `used` bytes as its image. One block at a time. Errors of _keep: VG_E_NOMEM (host). */
vg_status vg_stream_place(vg_stream *stream, int block, void **memory, vg_err *err);
/* Begins the copy; the slot is not written before it is done. */
vg_status vg_stream_keep(vg_stream *stream, int block, size_t used, vg_err *err);

/* Running: where the block lies until _release; operations from here on find it there. */
vg_status vg_stream_bind(vg_stream *stream, int block, void **memory, vg_err *err);
/* The slot is free for the next blocks, whose copies begin now. One that is not bound is a no-op. */
vg_status vg_stream_release(vg_stream *stream, int block, vg_err *err);
#endif
