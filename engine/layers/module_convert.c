/* module_convert.c: see module_impl.h. */
#include "engine/layers/module_impl.h"

#include <math.h>
#include <stdlib.h>

void vg_module_staging_free(vg_module *m)
{
    for (int i = 0; i < VG_MODULE_STAGES; i++)
        if (m->staging.free[i])
            m->be->ops->fence_free(m->be, m->staging.free[i]);
    vg_backend_release(m->be, m->staging.memory, m->staging.bytes * VG_MODULE_STAGES);
    m->staging = (vg_staging){0};
}

static vg_status note_made(vg_module *m, const char *layer, const vg_tensor *scale, vg_err *err)
{
    if (m->made_count == m->made_capacity) {
        size_t capacity = m->made_capacity ? 2 * m->made_capacity : 64;
        vg_made_scale *grown = realloc(m->made, capacity * sizeof *grown);
        if (!grown)
            return VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu layers", capacity);
        m->made = grown;
        m->made_capacity = capacity;
    }
    m->made[m->made_count++] = (vg_made_scale){layer, *scale};
    return VG_OK;
}

static vg_status check_made(vg_module *m, vg_err *err)
{
    vg_status status = VG_OK;
    for (size_t i = 0; i < m->made_count && status == VG_OK; i++) {
        const vg_made_scale *made = &m->made[i];
        int64_t count = vg_tensor_numel(&made->scale);
        float *values = malloc(vg_tensor_bytes(&made->scale));
        status = values
                     ? vg_backend_download(m->be, values, &made->scale, err)
                     : VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld scales", (long long)count);
        for (int64_t j = 0; status == VG_OK && j < count; j++)
            if (!isfinite(values[j]))
                status = VG_FAIL(err, VG_E_FORMAT, "%s: layer %s: weights hold NaN or infinity",
                                 m->component, made->layer);
        free(values);
    }
    m->made_count = 0;
    return status;
}

static vg_status convert(vg_module *m, const vg_conversion *c, vg_err *err)
{
    vg_tensor w = c->w, scale = c->w_scale;
    if (c->raw_scale.data)
        return vg_dequantize_weight(
            m->be, &(vg_dequantize_weight_args){.q = &c->raw, .scale = &c->raw_scale, .y = &w},
            err);
    VG_TRY(vg_quantize_weight(
        m->be, &(vg_quantize_weight_args){.w = &c->raw, .q = &w, .scale = &scale}, err));
    return note_made(m, c->layer, &scale, err);
}

static vg_status run_stage(vg_module *m, int stage, vg_err *err)
{
    vg_conversion *c = &m->staging.at[stage];
    vg_conversion now = *c;
    if (!now.layer)
        return VG_OK;
    c->layer = NULL;
    if (m->loader)
        VG_TRY(vg_loader_order(m->loader, now.ticket, err));
    VG_TRY(convert(m, &now, err));
    return m->be->ops->fence_set(m->be, VG_QUEUE_COMPUTE, m->staging.free[stage], err);
}

/* In the order in which they were begun. */
static vg_status run_stages(vg_module *m, vg_err *err)
{
    for (int i = 0; i < VG_MODULE_STAGES; i++)
        VG_TRY(run_stage(m, (m->staging.next + i) % VG_MODULE_STAGES, err));
    return VG_OK;
}

/* The next place for a stored form; what waits there is converted first. */
static vg_status next_stage(vg_module *m, size_t bytes, int *stage, vg_err *err)
{
    const vg_backend_ops *ops = m->be->ops;
    vg_staging *s = &m->staging;
    bytes = (bytes + 255) / 256 * 256;
    if (bytes > s->bytes) {
        void *memory;
        VG_TRY(run_stages(m, err));
        vg_module_staging_free(m);
        VG_TRY(vg_backend_alloc(m->be, VG_MODULE_STAGES * bytes, &memory, err));
        s->memory = memory;
        s->bytes = bytes;
        for (int i = 0; i < VG_MODULE_STAGES; i++)
            VG_TRY(ops->fence_new(m->be, &s->free[i], err));
        if (m->loader) /* what lay here before, and what will lie where the old places were */
            VG_TRY(vg_loader_begin(m->loader, err));
    }
    *stage = s->next;
    s->next = (s->next + 1) % VG_MODULE_STAGES;
    VG_TRY(run_stage(m, *stage, err));
    return ops->fence_follow(m->be, VG_QUEUE_COPY, s->free[*stage], err);
}

vg_status vg_module_convert(vg_module *m, const vg_source *s, vg_conversion *c, vg_err *err)
{
    size_t bytes = vg_tensor_bytes(&s->t), scale_bytes = 0;
    int stage;
    c->raw = s->t;
    if (vg_module_is_view(m, s, s->t.dtype))
        return convert(m, c, err);
    bytes = (bytes + 255) / 256 * 256;
    if (c->raw_scale.data)
        scale_bytes = vg_tensor_bytes(&c->raw_scale);
    VG_TRY(next_stage(m, bytes + scale_bytes, &stage, err));
    c->raw.data = m->staging.memory + (size_t)stage * m->staging.bytes;
    if (scale_bytes) {
        void *to = (char *)c->raw.data + bytes;
        VG_TRY(vg_module_bring_copy(m, c->raw_scale.data, scale_bytes, to, err));
        c->raw_scale.data = to;
    }
    VG_TRY(vg_module_bring(m, s, s->t.dtype, c->raw.data, &c->ticket, err));
    m->staging.at[stage] = *c;
    return m->loader ? VG_OK : run_stage(m, stage, err);
}

vg_status vg_module_settle(vg_module *m, vg_err *err)
{
    VG_TRY(run_stages(m, err));
    if (m->loader)
        VG_TRY(vg_loader_order(m->loader, VG_LOADER_ALL, err));
    return check_made(m, err);
}

vg_status vg_module_loaded(vg_module *m, vg_err *err)
{
    VG_TRY(run_stages(m, err));
    if (m->loader)
        VG_TRY(vg_loader_wait(m->loader, err));
    VG_TRY(check_made(m, err));
    VG_TRY(vg_backend_sync(m->be, err));
    vg_module_staging_free(m);
    m->loaded = true;
    return VG_OK;
}
