/* blocks.c: see blocks.h. */
#include "engine/layers/blocks.h"

#include "engine/checkpoint/stream.h"

#include <stdlib.h>

typedef struct place {
    vg_block_place block;
    int streamed; /* number among the streamed blocks; -1: resident */
    char *at;     /* streamed: where the weights of its linear layers begin */
} place;

struct vg_blocks {
    vg_stream *stream; /* NULL: all blocks are resident */
    size_t bytes;      /* room of a streamed block */
    int64_t count;
    place *places; /* in the order of running */
};

/* All blocks are loaded to one struct that nobody looks at. */
vg_status vg_blocks_measure(const vg_block_place *order, int64_t count, const char *dir,
                            const char *component, const vg_module_options *options, size_t *bytes,
                            vg_err *err)
{
    vg_engine engine = {.threads = 1};
    vg_module *module = NULL;
    vg_status status;
    size_t stride = 0;
    *bytes = 0;
    for (int64_t i = 0; i < count; i++)
        if (order[i].list->stride > stride)
            stride = order[i].list->stride;
    void *nobody = calloc(1, stride);
    if (!nobody)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for measuring blocks of %s", component);
    VG_TRY_GOTO(status, vg_dry_backend_open(VG_DEVICE_CUDA, &engine.be, err), done);
    VG_TRY_GOTO(status, vg_module_open(&engine, dir, component, options, &module, err), done);
    for (int64_t i = 0; i < count; i++) {
        vg_weight_list scratch = *order[i].list;
        scratch.to = nobody;
        scratch.stride = 0;
        vg_module_into(module, nobody, SIZE_MAX / 2); /* any address: nothing is written */
        VG_TRY_GOTO(status, vg_module_load(module, &scratch, order[i].item, err), done);
        if (vg_module_into_used(module) > *bytes)
            *bytes = vg_module_into_used(module);
    }
done:
    vg_module_close(module);
    if (engine.be)
        vg_backend_close(engine.be);
    free(nobody);
    return status;
}

/* Streamed blocks lie evenly between resident ones, so that copies have the longest time. */
static void choose(vg_blocks *b, int streamed)
{
    for (int64_t i = 0; i < b->count; i++) {
        int64_t before = i * streamed / b->count;
        b->places[i].streamed = (i + 1) * streamed / b->count > before ? (int)before : -1;
    }
}

static vg_status load_streamed(vg_blocks *b, vg_module *module, place *p, vg_err *err)
{
    void *memory;
    VG_TRY(vg_stream_place(b->stream, p->streamed, &memory, err));
    p->at = memory;
    vg_module_into(module, memory, b->bytes);
    VG_TRY(vg_module_load(module, p->block.list, p->block.item, err));
    VG_TRY(vg_module_settle(module, err));
    VG_TRY(vg_stream_keep(b->stream, p->streamed, vg_module_into_used(module), err));
    vg_module_into(module, NULL, 0);
    return VG_OK;
}

static vg_status load(vg_blocks *b, vg_module *module, place *p, vg_err *err)
{
    return p->streamed < 0 ? vg_module_load(module, p->block.list, p->block.item, err)
                           : load_streamed(b, module, p, err);
}

vg_status vg_blocks_open_order(vg_engine *engine, const char *dir, const char *component,
                               const vg_module_options *options, vg_module *module,
                               const vg_block_place *order, int64_t count, vg_blocks **blocks,
                               vg_err *err)
{
    int streamed = options->streamed;
    vg_status status;
    if (streamed < 0 || streamed > count)
        return VG_FAIL(err, VG_E_ARG, "%d of %lld blocks cannot be streamed", streamed,
                       (long long)count);
    vg_blocks *b = calloc(1, sizeof *b);
    if (!b || !(b->places = calloc((size_t)count, sizeof *b->places))) {
        free(b);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the blocks of %s", component);
    }
    b->count = count;
    for (int64_t i = 0; i < count; i++)
        b->places[i].block = order[i];
    if (streamed > 0) {
        VG_TRY_GOTO(status,
                    vg_blocks_measure(order, count, dir, component, options, &b->bytes, err), fail);
        VG_TRY_GOTO(status, vg_stream_new(engine->be, streamed, b->bytes, &b->stream, err), fail);
    }
    choose(b, streamed);
    for (int64_t i = 0; i < count; i++)
        VG_TRY_GOTO(status, load(b, module, &b->places[i], err), fail);
    *blocks = b;
    return VG_OK;
fail:
    vg_blocks_close(b);
    return status;
}

vg_status vg_blocks_open(vg_engine *engine, const char *dir, const char *component,
                         const vg_module_options *options, vg_module *module,
                         const vg_weight_list *list, vg_blocks **blocks, vg_err *err)
{
    vg_block_place *order = calloc((size_t)list->count, sizeof *order);
    if (!order)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the blocks of %s", component);
    for (int64_t i = 0; i < list->count; i++)
        order[i] = (vg_block_place){list, i};
    vg_status status = vg_blocks_open_order(engine, dir, component, options, module, order,
                                            list->count, blocks, err);
    free(order);
    return status;
}

void vg_blocks_close(vg_blocks *b)
{
    if (!b)
        return;
    vg_stream_free(b->stream);
    free(b->places);
    free(b);
}

size_t vg_blocks_host_bytes(const vg_blocks *b)
{
    return b->stream ? vg_stream_host_bytes(b->stream) : 0;
}

/* Only the weights of linear layers move. */
static void move(place *p, char *to)
{
    const vg_weight_list *list = p->block.list;
    char *block = (char *)list->to + (size_t)p->block.item * list->stride;
    for (int row = 0; row < list->rows_count; row++) {
        const vg_weight_row *r = &list->rows[row];
        if (r->kind != VG_WEIGHT_LINEAR)
            continue;
        vg_tensor *w = &((vg_linear_layer *)(void *)(block + r->at))->w;
        w->data = to + ((char *)w->data - p->at);
    }
    p->at = to;
}

vg_status vg_blocks_bind(vg_blocks *b, int64_t item, vg_err *err)
{
    int streamed = b->places[item].streamed;
    void *memory;
    if (streamed < 0)
        return VG_OK;
    VG_TRY(vg_stream_bind(b->stream, streamed, &memory, err));
    move(&b->places[item], memory);
    return VG_OK;
}

vg_status vg_blocks_release(vg_blocks *b, int64_t item, vg_err *err)
{
    int streamed = b->places[item].streamed;
    return streamed < 0 ? VG_OK : vg_stream_release(b->stream, streamed, err);
}
