/* dit_load.c: the transformer's weights: the table of them, loading, and blocks that are streamed. */
#include "engine/family/wan/dit_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const wan_dit_linear wan_dit_block_linears[BLOCK_LINEARS] = {
    {"attn1.to_q", DIM, DIM, false},     {"attn1.to_k", DIM, DIM, false},
    {"attn1.to_v", DIM, DIM, false},     {"attn1.to_out.0", DIM, DIM, false},
    {"attn2.to_q", DIM, DIM, false},     {"attn2.to_k", DIM, DIM, false},
    {"attn2.to_v", DIM, DIM, false},     {"attn2.to_out.0", DIM, DIM, false},
    {"ffn.net.0.proj", FFN, DIM, false}, {"ffn.net.2", DIM, FFN, false},
};

const wan_dit_linear wan_dit_global_linears[GLOBAL_LINEARS] = {
    {"condition_embedder.time_embedder.linear_1", DIM, FREQ, true},
    {"condition_embedder.time_embedder.linear_2", DIM, DIM, true},
    {"condition_embedder.time_proj", DIM6, DIM, false},
    {"condition_embedder.text_embedder.linear_1", DIM, TEXT, false},
    {"condition_embedder.text_embedder.linear_2", DIM, DIM, false},
    {"proj_out", PATCH_OUT, DIM, false},
};

int64_t wan_dit_dimension(const wan_dit_config *c, int which)
{
    switch (which) {
    case DIM:
        return c->dim;
    case FFN:
        return c->ffn_dim;
    case DIM6:
        return MODULATIONS * c->dim;
    case FREQ:
        return c->freq_dim;
    case TEXT:
        return c->text_dim;
    default:
        return (int64_t)c->patch[0] * c->patch[1] * c->patch[2] * c->out_channels;
    }
}

static vg_status load_block(wan_dit *d, int64_t i, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    dit_block *b = &d->blocks[i];
    char name[128];
    for (int j = 0; j < BLOCK_LINEARS; j++) {
        snprintf(name, sizeof name, "blocks.%lld.%s", (long long)i, wan_dit_block_linears[j].name);
        VG_TRY(vg_module_linear(d->module, name, wan_dit_dimension(c, wan_dit_block_linears[j].n),
                                wan_dit_dimension(c, wan_dit_block_linears[j].k), true, true,
                                d->compute, &b->linear[j], err));
    }
    const struct {
        const char *name;
        vg_tensor *to;
        vg_dtype dtype;
    } vectors[] = {
        {"attn1.norm_q.weight", &b->norm_q1, d->compute},
        {"attn1.norm_k.weight", &b->norm_k1, d->compute},
        {"attn2.norm_q.weight", &b->norm_q2, d->compute},
        {"attn2.norm_k.weight", &b->norm_k2, d->compute},
        {"norm2.weight", &b->norm2_w, VG_F32},
        {"norm2.bias", &b->norm2_b, VG_F32},
    };
    for (size_t j = 0; j < sizeof vectors / sizeof vectors[0]; j++) {
        snprintf(name, sizeof name, "blocks.%lld.%s", (long long)i, vectors[j].name);
        VG_TRY(vg_module_tensor(d->module, name, vectors[j].dtype, 1, &c->dim, vectors[j].to, err));
    }
    snprintf(name, sizeof name, "blocks.%lld.scale_shift_table", (long long)i);
    VG_TRY(vg_module_tensor(d->module, name, VG_F32, 3, (const int64_t[]){1, MODULATIONS, c->dim},
                            &b->table, err));
    b->table = vg_tensor_reshape(&b->table, 2, MODULATIONS, c->dim);
    return VG_OK;
}

static vg_status load_globals(wan_dit *d, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    int64_t patch = (int64_t)c->patch[0] * c->patch[1] * c->patch[2] * c->in_channels;
    const int64_t conv[5] = {c->dim, c->in_channels, c->patch[0], c->patch[1], c->patch[2]};
    vg_linear_layer *p = &d->patch;
    *p = (vg_linear_layer){.name = "patch_embedding", .n = c->dim, .k = patch};
    VG_TRY(vg_module_tensor(d->module, "patch_embedding.weight", d->compute, 5, conv, &p->w, err));
    p->w = vg_tensor_reshape(&p->w, 2, c->dim, patch);
    VG_TRY(
        vg_module_tensor(d->module, "patch_embedding.bias", d->compute, 1, &c->dim, &p->bias, err));
    for (int i = 0; i < GLOBAL_LINEARS; i++)
        VG_TRY(vg_module_linear(d->module, wan_dit_global_linears[i].name,
                                wan_dit_dimension(c, wan_dit_global_linears[i].n),
                                wan_dit_dimension(c, wan_dit_global_linears[i].k), true, false,
                                wan_dit_global_linears[i].f32 ? VG_F32 : d->compute, &d->global[i],
                                err));
    VG_TRY(vg_module_tensor(d->module, "scale_shift_table", VG_F32, 3,
                            (const int64_t[]){1, 2, c->dim}, &d->table, err));
    d->table = vg_tensor_reshape(&d->table, 2, 2, c->dim);
    return VG_OK;
}

/* Bytes of the largest block's linear weights as they will be laid out. Nothing is read but headers. */
static vg_status measure_blocks(wan_dit *d, const char *dir, const char *component,
                                const vg_module_options *options, size_t *bytes, vg_err *err)
{
    vg_engine engine = {.threads = 1};
    dit_block *b = &d->blocks[0];
    wan_dit dry = *d;
    vg_status status;
    dry.module = NULL;
    *bytes = 0;
    VG_TRY(vg_dry_backend_open(VG_DEVICE_CUDA, &engine.be, err));
    VG_TRY_GOTO(status, vg_module_open(&engine, dir, component, options, &dry.module, err), done);
    for (int64_t i = 0; i < d->config.layers; i++) {
        vg_module_into(dry.module, b, SIZE_MAX / 2); /* any address: nothing is written */
        VG_TRY_GOTO(status, load_block(&dry, i, err), done);
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

static vg_status open_stream(wan_dit *d, const char *dir, const char *component,
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

static vg_status load_streamed(wan_dit *d, int64_t i, vg_err *err)
{
    dit_block *b = &d->blocks[i];
    void *memory;
    VG_TRY(vg_stream_place(d->stream, b->streamed, &memory, err));
    b->at = memory;
    vg_module_into(d->module, memory, d->block_bytes);
    VG_TRY(load_block(d, i, err));
    VG_TRY(vg_module_settle(d->module, err));
    VG_TRY(vg_stream_keep(d->stream, b->streamed, vg_module_into_used(d->module), err));
    vg_module_into(d->module, NULL, 0);
    return VG_OK;
}

vg_status wan_dit_open(vg_engine *engine, const char *dir, const char *component,
                       const wan_dit_config *config, const vg_module_options *options,
                       wan_dit **dit, vg_err *err)
{
    vg_status status;
    wan_dit *d = calloc(1, sizeof *d);
    if (!d || !(d->blocks = calloc((size_t)config->layers, sizeof *d->blocks))) {
        free(d);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %s", component);
    }
    d->config = *config;
    d->compute = options->compute;
    d->be = engine->be;
    d->timestep = NAN;
    VG_TRY_GOTO(status, vg_module_open(engine, dir, component, options, &d->module, err), fail);
    vg_arena **arenas[] = {&d->text[0], &d->text[1], &d->rope, &d->step, &d->work};
    for (size_t i = 0; i < sizeof arenas / sizeof arenas[0]; i++)
        VG_TRY_GOTO(status, vg_arena_new(d->be, (size_t)1 << 20, arenas[i], err), fail);
    VG_TRY_GOTO(status, load_globals(d, err), fail);
    VG_TRY_GOTO(status, open_stream(d, dir, component, options, err), fail);
    for (int64_t i = 0; i < config->layers; i++)
        VG_TRY_GOTO(status,
                    d->blocks[i].streamed < 0 ? load_block(d, i, err) : load_streamed(d, i, err),
                    fail);
    VG_TRY_GOTO(status, vg_module_loaded(d->module, err), fail);
    *dit = d;
    return VG_OK;
fail:
    wan_dit_close(d);
    return status;
}

void wan_dit_close(wan_dit *d)
{
    if (!d)
        return;
    vg_arena_free(d->calibration);
    vg_arena_free(d->work);
    vg_arena_free(d->step);
    vg_arena_free(d->rope);
    for (int i = 0; i < WAN_TEXTS; i++)
        vg_arena_free(d->text[i]);
    vg_module_close(d->module);
    vg_stream_free(d->stream);
    free(d->blocks);
    free(d);
}

/* ---- streamed blocks ---- */

/* Only the weights of linear layers move; what else a block has is resident, and may be used while another block is bound. */
static void move_block(dit_block *b, char *to)
{
    for (int j = 0; j < BLOCK_LINEARS; j++) {
        vg_tensor *w = &b->linear[j].w;
        w->data = to + ((char *)w->data - b->at);
    }
    b->at = to;
}

/* Before a block is run: its weights point to where they lie now, until release_block. */
vg_status wan_dit_bind_block(wan_dit *d, int64_t i, vg_err *err)
{
    dit_block *b = &d->blocks[i];
    void *memory;
    if (b->streamed < 0)
        return VG_OK;
    VG_TRY(vg_stream_bind(d->stream, b->streamed, &memory, err));
    move_block(b, memory);
    return VG_OK;
}

vg_status wan_dit_release_block(wan_dit *d, int64_t i, vg_err *err)
{
    int streamed = d->blocks[i].streamed;
    return streamed < 0 ? VG_OK : vg_stream_release(d->stream, streamed, err);
}

size_t wan_dit_weight_bytes(const wan_dit *d)
{
    return vg_module_bytes(d->module);
}

size_t wan_dit_host_bytes(const wan_dit *d)
{
    return d->stream ? vg_stream_host_bytes(d->stream) : 0;
}

int wan_dit_dequantised(const wan_dit *d)
{
    return vg_module_dequantised(d->module);
}

int wan_dit_unused(const wan_dit *d, const char **first)
{
    return vg_module_unused(d->module, first);
}
