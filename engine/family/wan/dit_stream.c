/* dit_stream.c: see dit_impl.h. */
#include "engine/family/wan/dit_impl.h"

/* Bytes of the largest block's linear weights as they will be laid out. Nothing is read but headers. */
static vg_status measure_blocks(wan_dit *d, const char *dir, const char *component,
                                const vg_module_options *options, size_t *bytes, vg_err *err)
{
    vg_engine engine = {.threads = 1};
    wan_dit_block *b = &d->blocks[0];
    wan_dit dry = *d;
    vg_status status;
    dry.module = NULL;
    *bytes = 0;
    VG_TRY(vg_dry_backend_open(VG_DEVICE_CUDA, &engine.be, err));
    VG_TRY_GOTO(status, vg_module_open(&engine, dir, component, options, &dry.module, err), done);
    for (int64_t i = 0; i < d->config.layers; i++) {
        vg_module_into(dry.module, b, SIZE_MAX / 2); /* any address: nothing is written */
        VG_TRY_GOTO(status, wan_dit_load_block(&dry, i, err), done);
        if (vg_module_into_used(dry.module) > *bytes)
            *bytes = vg_module_into_used(dry.module);
    }
done:
    vg_module_close(dry.module);
    vg_backend_close(engine.be);
    return status;
}

/* Streamed blocks lie evenly between resident ones, so that copies have the longest time. */
static void choose_streamed(wan_dit *d, int streamed)
{
    int64_t layers = d->config.layers;
    for (int64_t i = 0; i < layers; i++) {
        int64_t before = i * streamed / layers;
        d->blocks[i].streamed = (i + 1) * streamed / layers > before ? (int)before : -1;
    }
}

vg_status wan_dit_open_stream(wan_dit *d, const char *dir, const char *component,
                              const vg_module_options *options, vg_err *err)
{
    int streamed = options->streamed;
    if (streamed < 0 || streamed > d->config.layers)
        return VG_FAIL(err, VG_E_ARG, "%d of %lld blocks cannot be streamed", streamed,
                       (long long)d->config.layers);
    if (streamed > 0) {
        VG_TRY(measure_blocks(d, dir, component, options, &d->block_bytes, err));
        VG_TRY(vg_stream_new(d->be, streamed, d->block_bytes, &d->stream, err));
    }
    choose_streamed(d, streamed);
    return VG_OK;
}

vg_status wan_dit_load_streamed(wan_dit *d, int64_t i, vg_err *err)
{
    wan_dit_block *b = &d->blocks[i];
    void *memory;
    VG_TRY(vg_stream_place(d->stream, b->streamed, &memory, err));
    b->at = memory;
    vg_module_into(d->module, memory, d->block_bytes);
    VG_TRY(wan_dit_load_block(d, i, err));
    VG_TRY(vg_module_settle(d->module, err));
    VG_TRY(vg_stream_keep(d->stream, b->streamed, vg_module_into_used(d->module), err));
    vg_module_into(d->module, NULL, 0);
    return VG_OK;
}

/* Only the weights of linear layers move; what else a block has is resident, and may be used while another block is bound. */
static void move_block(wan_dit_block *b, char *to)
{
    for (int j = 0; j < BLOCK_LINEARS; j++) {
        vg_tensor *w = &b->linear[j].w;
        w->data = to + ((char *)w->data - b->at);
    }
    b->at = to;
}

vg_status wan_dit_bind(wan_dit *d, int64_t i, vg_err *err)
{
    wan_dit_block *b = &d->blocks[i];
    void *memory;
    if (b->streamed < 0)
        return VG_OK;
    VG_TRY(vg_stream_bind(d->stream, b->streamed, &memory, err));
    move_block(b, memory);
    return VG_OK;
}

vg_status wan_dit_release(wan_dit *d, int64_t i, vg_err *err)
{
    int streamed = d->blocks[i].streamed;
    return streamed < 0 ? VG_OK : vg_stream_release(d->stream, streamed, err);
}
