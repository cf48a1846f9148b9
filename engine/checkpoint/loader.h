/* loader.h: brings tensors to a device that has memory of its own. Several threads read pieces (from the page cache, the disk, or a
 * generator; converting on the way) into pinned buffers and start their copies on the backend's COPY queue, so that reading, copying and
 * what the device does with the values (vg_quantize_weight) run side by side. One thread asks; it is the engine's. */
#ifndef VG_ENGINE_CHECKPOINT_LOADER_H
#define VG_ENGINE_CHECKPOINT_LOADER_H

#include "engine/checkpoint/source.h"
#include "kernels/backend/backend.h"

typedef struct vg_loader vg_loader;

/* threads: 0 = as many as this process may use, at most 12. */
vg_status vg_loader_new(vg_backend *be, int threads, vg_loader **loader, vg_err *err);
/* Waits for what is under way. NULL is a no-op. */
void vg_loader_free(vg_loader *loader);

/* How files are read that are not in the page cache. AUTO: directly (O_DIRECT) only when reading them would push most of what the machine
 * could cache out of it; else through the cache, for the next variant or job to find. */
typedef enum vg_loader_reading { VG_READ_AUTO, VG_READ_CACHED, VG_READ_DIRECT } vg_loader_reading;
/* For everything asked for from here on. */
void vg_loader_set_reading(vg_loader *loader, vg_loader_reading reading);
/* Bytes of files that will be asked for until the next call, for AUTO. */
void vg_loader_expect(vg_loader *loader, size_t bytes);

/* What is asked for from here on may overwrite memory that operations before still use. */
vg_status vg_loader_begin(vg_loader *loader, vg_err *err);
/* The source's values, in `dtype` (vg_source_read), to `to` on the device; begins soon. The source's file or memory stays valid until
 * vg_loader_wait. *ticket: for vg_loader_order, may be NULL. */
vg_status vg_loader_put(vg_loader *loader, const vg_source *source, vg_dtype dtype, void *to,
                        size_t *ticket, vg_err *err);
/* A copy of host memory, which may go away at once. */
vg_status vg_loader_put_copy(vg_loader *loader, const void *from, size_t bytes, void *to,
                             vg_err *err);
#define VG_LOADER_ALL ((size_t)-1) /* ticket of everything asked for so far */
/* Operations from here on find what `ticket` and all before it brought. Waits until its copies have begun, not until they are over. */
vg_status vg_loader_order(vg_loader *loader, size_t ticket, vg_err *err);
/* The same for everything asked for, and the host waits for it: nothing is in flight any more, tickets begin anew. Errors: the first that
 * a reading thread met; the rest was dropped. */
vg_status vg_loader_wait(vg_loader *loader, vg_err *err);
/* Give up what has not begun, and wait for the rest: after a failure nobody wants to see the other 50 GB read. */
void vg_loader_abandon(vg_loader *loader);
#endif
