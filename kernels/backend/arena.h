/* arena.h: stack-like memory of one backend for a stage's tensors. Chunks are taken from the backend as needed
 * and reused; everything is released by one call. Host-side bookkeeping only: views point into the chunks. */
#ifndef VG_KERNELS_BACKEND_ARENA_H
#define VG_KERNELS_BACKEND_ARENA_H

#include "kernels/backend/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vg_arena vg_arena;

/* chunk_bytes: granularity of requests to the backend (0 = 64 MiB); bigger tensors get a chunk of their own. */
vg_status vg_arena_new(vg_backend *be, size_t chunk_bytes, vg_arena **arena, vg_err *err);
/* Gives all of it back. NULL is a no-op. */
void vg_arena_free(vg_arena *arena);

/* An uninitialised tensor, valid until a reset to an older mark or vg_arena_free. Errors: VG_E_SHAPE, VG_E_NOMEM. */
vg_status vg_arena_tensor(vg_arena *arena, vg_dtype dtype, int ndim, const int64_t *shape,
                          vg_tensor *t, vg_err *err);

/* Marks nest like a stack: everything taken after the mark is given back by the reset. */
size_t vg_arena_mark(const vg_arena *arena);
/* mark: from vg_arena_mark of this arena; nothing is given back to the backend. */
void vg_arena_reset(vg_arena *arena, size_t mark);

/* Borrowed. */
vg_backend *vg_arena_backend(const vg_arena *arena);
/* The most that was in use at a time. */
size_t vg_arena_peak_bytes(const vg_arena *arena);

#ifdef __cplusplus
}
#endif
#endif
