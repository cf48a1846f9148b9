/* engine.c: see engine.h. */
#include "engine/checkpoint/engine.h"

#include <stdlib.h>

vg_status vg_engine_open(vg_device_kind device, int ordinal, int threads, vg_engine **engine,
                         vg_err *err)
{
    vg_engine *e = calloc(1, sizeof *e);
    if (!e)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the engine");
    e->threads = threads;
    vg_status status = vg_backend_open(device, ordinal, threads, &e->be, err);
    if (status != VG_OK) {
        free(e);
        return status;
    }
    *engine = e;
    return VG_OK;
}

void vg_engine_close(vg_engine *engine)
{
    if (!engine)
        return;
    vg_loader_free(engine->loader);
    vg_threads_free(engine->pool);
    vg_backend_close(engine->be);
    free(engine);
}

vg_backend *vg_engine_backend(vg_engine *engine)
{
    return engine->be;
}

vg_status vg_engine_pool(vg_engine *engine, vg_threads **pool, vg_err *err)
{
    if (!engine->pool)
        VG_TRY(vg_threads_new(engine->threads, &engine->pool, err));
    *pool = engine->pool;
    return VG_OK;
}

vg_status vg_engine_loader(vg_engine *engine, vg_loader **loader, vg_err *err)
{
    if (!engine->loader)
        VG_TRY(vg_loader_new(engine->be, engine->threads, &engine->loader, err));
    *loader = engine->loader;
    return VG_OK;
}
