/* engine.h: an engine: a backend, and what brings weights to it. One engine per thread. */
#ifndef VG_ENGINE_CHECKPOINT_ENGINE_H
#define VG_ENGINE_CHECKPOINT_ENGINE_H

#include <stdatomic.h>
#include "engine/checkpoint/loader.h"
#include "kernels/backend/backend.h"
#include "kernels/base/threads.h"

typedef struct vg_engine vg_engine;

struct vg_engine {
    vg_backend *be;
    int threads;
    vg_threads *pool;  /* host threads for weight conversion, made on first use */
    vg_loader *loader; /* of a device with memory of its own, made on first use */
};

/* threads: CPU backend only, 0 = all. */
vg_status vg_engine_open(vg_device_kind device, int ordinal, int threads, vg_engine **engine,
                         vg_err *err);
/* NULL is a no-op. Models opened with it are closed first. */
void vg_engine_close(vg_engine *engine);
/* Borrowed, until vg_engine_close. */
vg_backend *vg_engine_backend(vg_engine *engine);

/* Made on first use; the engine's own. Errors: VG_E_NOMEM. */
vg_status vg_engine_pool(vg_engine *engine, vg_threads **pool, vg_err *err);
/* The same, for a device with memory of its own. */
vg_status vg_engine_loader(vg_engine *engine, vg_loader **loader, vg_err *err);

/* Has somebody asked to stop? cancel may be NULL. */
static inline bool vg_cancelled(const atomic_int *cancel)
{
    return cancel && atomic_load_explicit(cancel, memory_order_relaxed) != 0;
}

#endif
