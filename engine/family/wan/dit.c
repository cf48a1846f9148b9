/* dit.c: see dit.h. One forward is one batch item; guidance calls it twice. The rounding points are those of wan 2.6: every operation
 * rounds its result once to the act dtype, as the operation table says. */
#include "engine/family/wan/dit.h"

#include "engine/stream.h"
#include "kernels/numeric.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ATTN1_Q,
    ATTN1_K,
    ATTN1_V,
    ATTN1_O,
    ATTN2_Q,
    ATTN2_K,
    ATTN2_V,
    ATTN2_O,
    FFN_UP,
    FFN_DOWN,
    BLOCK_LINEARS
};
enum { SHIFT_MSA, SCALE_MSA, GATE_MSA, C_SHIFT, C_SCALE, C_GATE, MODULATIONS };
enum { HEAD_SHIFT, HEAD_SCALE, HEAD_MODULATIONS };
enum { TIME_1, TIME_2, TIME_PROJ, TEXT_1, TEXT_2, PROJ_OUT, GLOBAL_LINEARS };

/* The weight table: which dimension of the config is a layer's output (n) and input (k). */
enum { DIM, FFN, DIM6, FREQ, TEXT, PATCH_OUT };

static const struct {
    const char *suffix;
    int n, k;
} block_linears[BLOCK_LINEARS] = {
    {"attn1.to_q", DIM, DIM},     {"attn1.to_k", DIM, DIM},     {"attn1.to_v", DIM, DIM},
    {"attn1.to_out.0", DIM, DIM}, {"attn2.to_q", DIM, DIM},     {"attn2.to_k", DIM, DIM},
    {"attn2.to_v", DIM, DIM},     {"attn2.to_out.0", DIM, DIM}, {"ffn.net.0.proj", FFN, DIM},
    {"ffn.net.2", DIM, FFN},
};

static const struct {
    const char *name;
    int n, k;
    bool f32; /* kept in FP32: its name has the component time_embedder */
} global_linears[GLOBAL_LINEARS] = {
    {"condition_embedder.time_embedder.linear_1", DIM, FREQ, true},
    {"condition_embedder.time_embedder.linear_2", DIM, DIM, true},
    {"condition_embedder.time_proj", DIM6, DIM, false},
    {"condition_embedder.text_embedder.linear_1", DIM, TEXT, false},
    {"condition_embedder.text_embedder.linear_2", DIM, DIM, false},
    {"proj_out", PATCH_OUT, DIM, false},
};

static int64_t dimension(const wan_dit_config *c, int which)
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

typedef struct dit_block {
    vg_linear_layer linear[BLOCK_LINEARS];
    vg_tensor norm_q1, norm_k1, norm_q2, norm_k2; /* [dim], compute dtype */
    vg_tensor norm2_w, norm2_b;                   /* [dim] F32 */
    vg_tensor table;                              /* [6, dim] F32 */
    struct {
        vg_tensor k, v; /* [tokens, heads, head_dim] */
    } text[WAN_TEXTS];
    int streamed; /* number among the streamed blocks; -1: resident */
    char *at;     /* streamed: where the weights of its linear layers begin */
} dit_block;

struct wan_dit {
    wan_dit_config config;
    vg_dtype compute;
    vg_backend *be;
    vg_module *module;
    vg_stream *stream;  /* NULL: all blocks are resident */
    size_t block_bytes; /* room of a streamed block */
    vg_linear_layer patch, global[GLOBAL_LINEARS];
    vg_tensor table; /* [2, dim] F32 */
    dit_block *blocks;
    vg_arena *text[WAN_TEXTS]; /* keys and values of one prompt */
    vg_arena *rope, *step, *work, *calibration;
    int64_t grid[3]; /* patches the rope tables are for */
    vg_tensor rope_cos, rope_sin;
    double timestep; /* what mod holds; NaN = nothing */
    vg_tensor
        mod; /* [6 layers + 2, dim] F32: each block's modulation, then the head's shift and scale */
    vg_tensor amax; /* [layers BLOCK_LINEARS] F32 while calibrating */
};

/* ---- loading ---- */

static vg_status load_block(wan_dit *d, int64_t i, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    dit_block *b = &d->blocks[i];
    char name[128];
    for (int j = 0; j < BLOCK_LINEARS; j++) {
        snprintf(name, sizeof name, "blocks.%lld.%s", (long long)i, block_linears[j].suffix);
        VG_TRY(vg_module_linear(d->module, name, dimension(c, block_linears[j].n),
                                dimension(c, block_linears[j].k), true, true, d->compute,
                                &b->linear[j], err));
    }
    const struct {
        const char *suffix;
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
        snprintf(name, sizeof name, "blocks.%lld.%s", (long long)i, vectors[j].suffix);
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
        VG_TRY(vg_module_linear(d->module, global_linears[i].name,
                                dimension(c, global_linears[i].n),
                                dimension(c, global_linears[i].k), true, false,
                                global_linears[i].f32 ? VG_F32 : d->compute, &d->global[i], err));
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
static vg_status bind_block(wan_dit *d, int64_t i, vg_err *err)
{
    dit_block *b = &d->blocks[i];
    void *memory;
    if (b->streamed < 0)
        return VG_OK;
    VG_TRY(vg_stream_bind(d->stream, b->streamed, &memory, err));
    move_block(b, memory);
    return VG_OK;
}

static vg_status release_block(wan_dit *d, int64_t i, vg_err *err)
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

/* ---- conditions ---- */

static vg_status matrix(vg_arena *arena, vg_dtype dtype, int64_t rows, int64_t columns,
                        vg_tensor *t, vg_err *err)
{
    return vg_arena_tensor(arena, dtype, 2, (const int64_t[]){rows, columns}, t, err);
}

static vg_tensor heads_of(const wan_dit *d, const vg_tensor *rows)
{
    return vg_tensor_reshape(rows, 3, rows->shape[0], d->config.heads, d->config.head_dim);
}

static vg_status norm_heads(const wan_dit *d, const vg_tensor *w, const vg_tensor *cos,
                            const vg_tensor *sin, vg_tensor *x, vg_err *err)
{
    return vg_rms_norm_rope(d->be,
                            &(vg_rms_norm_rope_args){.x = x,
                                                     .w = w,
                                                     .eps = (float)d->config.eps,
                                                     .heads = (int)d->config.heads,
                                                     .rope_cos = cos,
                                                     .rope_sin = sin,
                                                     .y = x},
                            err);
}

static vg_status text_rows(wan_dit *d, int slot, const float *rows, int64_t tokens,
                           const atomic_int *cancel, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    vg_tensor raw, x, hidden, context;
    VG_TRY(matrix(d->work, VG_F32, tokens, c->text_dim, &raw, err));
    VG_TRY(vg_backend_upload(d->be, &raw, rows, err));
    x = raw;
    if (d->compute != VG_F32) {
        VG_TRY(matrix(d->work, d->compute, tokens, c->text_dim, &x, err));
        VG_TRY(vg_cast(d->be, &(vg_cast_args){.x = &raw, .y = &x}, err));
    }
    VG_TRY(matrix(d->work, d->compute, tokens, c->dim, &hidden, err));
    VG_TRY(matrix(d->work, d->compute, tokens, c->dim, &context, err));
    VG_TRY(vg_linear_run1(d->work, &d->global[TEXT_1], &x, VG_ACT_GELU_TANH, &hidden, err));
    VG_TRY(vg_linear_run1(d->work, &d->global[TEXT_2], &hidden, VG_ACT_NONE, &context, err));
    for (int64_t i = 0; i < c->layers; i++) {
        dit_block *b = &d->blocks[i];
        vg_tensor k, v;
        if (vg_cancelled(cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled while preparing the prompt");
        VG_TRY(matrix(d->text[slot], d->compute, tokens, c->dim, &k, err));
        VG_TRY(matrix(d->text[slot], d->compute, tokens, c->dim, &v, err));
        VG_TRY(bind_block(d, i, err));
        VG_TRY(vg_linear_run(
            d->work, (const vg_linear_layer *const[]){&b->linear[ATTN2_K], &b->linear[ATTN2_V]}, 2,
            &context, VG_ACT_NONE, (vg_tensor *const[]){&k, &v}, err));
        VG_TRY(norm_heads(d, &b->norm_k2, NULL, NULL, &k, err));
        VG_TRY(release_block(d, i, err));
        b->text[slot].k = heads_of(d, &k);
        b->text[slot].v = heads_of(d, &v);
    }
    return vg_backend_sync(d->be, err); /* rows belong to the caller */
}

vg_status wan_dit_set_text(wan_dit *d, int slot, const float *rows, int64_t tokens,
                           const atomic_int *cancel, vg_err *err)
{
    size_t mark = vg_arena_mark(d->work);
    vg_arena_reset(d->text[slot], 0);
    for (int64_t i = 0; i < d->config.layers; i++)
        d->blocks[i].text[slot].k.data = NULL;
    vg_status status = text_rows(d, slot, rows, tokens, cancel, err);
    vg_arena_reset(d->work, mark);
    return status;
}

/* y = a + b in FP32: a modulation table plus the timestep's vector. */
static vg_status add_f32(const wan_dit *d, const vg_tensor *a, const vg_tensor *b, vg_tensor *y,
                         vg_err *err)
{
    return vg_linear_combination(
        d->be, &(vg_linear_combination_args){.count = 2, .x = {a, b}, .coef = {1, 1}, .y = y}, err);
}

/* Every modulation of one step: table + timestep_proj for the blocks, table + temb for the head. */
static vg_status add_tables(wan_dit *d, const vg_tensor *temb, const vg_tensor *proj, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    VG_TRY(
        matrix(d->step, VG_F32, c->layers * MODULATIONS + HEAD_MODULATIONS, c->dim, &d->mod, err));
    for (int64_t i = 0; i < c->layers; i++) {
        vg_tensor rows = vg_tensor_rows(&d->mod, i * MODULATIONS, MODULATIONS);
        VG_TRY(add_f32(d, &d->blocks[i].table, proj, &rows, err));
    }
    for (int i = 0; i < HEAD_MODULATIONS; i++) {
        vg_tensor row = vg_tensor_rows(&d->mod, c->layers * MODULATIONS + i, 1),
                  table = vg_tensor_rows(&d->table, i, 1);
        VG_TRY(add_f32(d, &table, temb, &row, err));
    }
    return VG_OK;
}

/* The modulations of one timestep; the same for both prompts and for equal timesteps. Source: wan 2.5. */
static vg_status embed_timestep(wan_dit *d, double timestep, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    int64_t half = c->freq_dim / 2;
    if (d->timestep == timestep)
        return VG_OK;
    float *sinusoid = malloc((size_t)c->freq_dim * sizeof *sinusoid);
    if (!sinusoid)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the timestep embedding");
    for (int64_t i = 0; i < half; i++) {
        float frequency = expf(-(float)log(10000.0) * (float)i / (float)half);
        float arg = (float)timestep * frequency;
        sinusoid[i] = cosf(arg);
        sinusoid[half + i] = sinf(arg);
    }
    d->timestep = NAN;
    vg_arena_reset(d->step, 0);
    vg_tensor s = {0}, t1, t2, temb, silu, proj;
    vg_status status = matrix(d->step, VG_F32, 1, c->freq_dim, &s, err);
    if (status == VG_OK)
        status = vg_backend_upload(d->be, &s, sinusoid, err);
    if (status == VG_OK)
        status = vg_backend_sync(d->be, err);
    free(sinusoid);
    VG_TRY(status);
    VG_TRY(matrix(d->step, VG_F32, 1, c->dim, &t1, err));
    VG_TRY(matrix(d->step, VG_F32, 1, c->dim, &t2, err));
    VG_TRY(vg_linear_run1(d->step, &d->global[TIME_1], &s, VG_ACT_SILU, &t1, err));
    VG_TRY(vg_linear_run1(d->step, &d->global[TIME_2], &t1, VG_ACT_NONE, &t2, err));
    temb = t2;
    if (d->compute != VG_F32) {
        VG_TRY(matrix(d->step, d->compute, 1, c->dim, &temb, err));
        VG_TRY(vg_cast(d->be, &(vg_cast_args){.x = &t2, .y = &temb}, err));
    }
    VG_TRY(matrix(d->step, d->compute, 1, c->dim, &silu, err));
    VG_TRY(matrix(d->step, d->compute, 1, MODULATIONS * c->dim, &proj, err));
    VG_TRY(vg_activation(d->be, &(vg_activation_args){.x = &temb, .act = VG_ACT_SILU, .y = &silu},
                         err));
    VG_TRY(vg_linear_run1(d->step, &d->global[TIME_PROJ], &silu, VG_ACT_NONE, &proj, err));
    VG_TRY(add_tables(d, &temb, &proj, err));
    d->timestep = timestep;
    return VG_OK;
}

/* Angles in FP64, cos and sin stored as FP32; pairs are [t | h | w]. Source: wan 2.4. */
static void fill_rope(const wan_dit_config *c, const int64_t grid[3], float *cos_table,
                      float *sin_table)
{
    int64_t spatial = 2 * (c->head_dim / 6),
            axis_dim[3] = {c->head_dim - 2 * spatial, spatial, spatial}, at = 0;
    for (int64_t t = 0; t < grid[0]; t++)
        for (int64_t y = 0; y < grid[1]; y++)
            for (int64_t x = 0; x < grid[2]; x++) {
                const int64_t position[3] = {t, y, x};
                for (int axis = 0; axis < 3; axis++)
                    for (int64_t j = 0; j < axis_dim[axis] / 2; j++, at++) {
                        double angle =
                            (double)position[axis] *
                            (1.0 / pow(10000.0, (double)(2 * j) / (double)axis_dim[axis]));
                        cos_table[at] = (float)cos(angle);
                        sin_table[at] = (float)sin(angle);
                    }
            }
}

static vg_status prepare_rope(wan_dit *d, const int64_t grid[3], vg_err *err)
{
    const wan_dit_config *c = &d->config;
    int64_t tokens = grid[0] * grid[1] * grid[2], pairs = c->head_dim / 2;
    if (d->rope_cos.data && memcmp(grid, d->grid, sizeof d->grid) == 0)
        return VG_OK;
    for (int i = 0; i < 3; i++)
        if (grid[i] > c->rope_max)
            return VG_FAIL(
                err, VG_E_ARG,
                "the latents are %lld patches long in one direction; the model goes to %lld",
                (long long)grid[i], (long long)c->rope_max);
    float *host = malloc((size_t)(tokens * pairs) * 2 * sizeof *host);
    if (!host)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the rotary tables of %lld tokens",
                       (long long)tokens);
    if (!d->be->ops->dry)
        fill_rope(c, grid, host, host + tokens * pairs);
    vg_arena_reset(d->rope, 0);
    d->rope_cos.data = NULL;
    vg_tensor cos_table, sin_table;
    vg_status status = matrix(d->rope, VG_F32, tokens, pairs, &cos_table, err);
    if (status == VG_OK)
        status = matrix(d->rope, VG_F32, tokens, pairs, &sin_table, err);
    if (status == VG_OK)
        status = vg_backend_upload(d->be, &cos_table, host, err);
    if (status == VG_OK)
        status = vg_backend_upload(d->be, &sin_table, host + tokens * pairs, err);
    if (status == VG_OK)
        status = vg_backend_sync(d->be, err);
    free(host);
    VG_TRY(status);
    d->rope_cos = cos_table;
    d->rope_sin = sin_table;
    memcpy(d->grid, grid, sizeof d->grid);
    return VG_OK;
}

/* ---- forward ---- */

/* The residual stream is touched three times a block, each time by one operation that adds the result of a part, normalises the sum and
 * writes what the linear layers of the next part read (`in`). */
typedef struct dit_run {
    int slot;
    vg_tensor h;          /* [N, dim] residual stream */
    vg_tensor a, q, k, v; /* [N, dim] */
    vg_tensor hidden;     /* bytes, for the feed of FFN_DOWN */
    vg_feed in;           /* in a */
} dit_run;

/* What follows LayerNorm, and which layers read the result. */
typedef struct dit_norm {
    const vg_tensor *scale, *shift, *w, *b; /* [dim] F32: a modulation or an affine pair */
    const vg_linear_layer *readers[3];
    int count;
} dit_norm;

static vg_tensor modulation(const wan_dit *d, int64_t layer, int which)
{
    vg_tensor row = vg_tensor_rows(&d->mod, layer * MODULATIONS + which, 1);
    return vg_tensor_reshape(&row, 1, d->config.dim);
}

/* The norm in front of self-attention, or of the head behind the last block. */
typedef struct dit_entry {
    vg_tensor scale, shift;
    dit_norm norm;
} dit_entry;

static void entry_of(const wan_dit *d, int64_t layer, dit_entry *e)
{
    bool head = layer == d->config.layers;
    e->scale = modulation(d, layer, head ? HEAD_SCALE : SCALE_MSA);
    e->shift = modulation(d, layer, head ? HEAD_SHIFT : SHIFT_MSA);
    e->norm = (dit_norm){.scale = &e->scale, .shift = &e->shift};
    if (head) {
        e->norm.readers[e->norm.count++] = &d->global[PROJ_OUT];
        return;
    }
    for (int j = ATTN1_Q; j <= ATTN1_V; j++)
        e->norm.readers[e->norm.count++] = &d->blocks[layer].linear[j];
}

/* in = norm(h), for the first block. */
static vg_status enter(const wan_dit *d, dit_run *r, const dit_norm *n, vg_err *err)
{
    vg_feed_make(n->readers, n->count, &r->a, r->a.data, &r->in);
    return vg_layer_norm_modulate(d->be,
                                  &(vg_layer_norm_modulate_args){.x = &r->h,
                                                                 .scale = n->scale,
                                                                 .shift = n->shift,
                                                                 .eps = (float)d->config.eps,
                                                                 .y = vg_feed_values(&r->in),
                                                                 .quant = vg_feed_codes(&r->in)},
                                  err);
}

/* h += y * gate, in = norm(h). */
static vg_status add_and_norm(const wan_dit *d, dit_run *r, const vg_tensor *y,
                              const vg_tensor *gate, const dit_norm *n, vg_err *err)
{
    vg_feed_make(n->readers, n->count, &r->a, r->a.data, &r->in);
    return vg_residual_norm(d->be,
                            &(vg_residual_norm_args){.x = &r->h,
                                                     .add = y,
                                                     .gate = gate,
                                                     .sum = &r->h,
                                                     .scale = n->scale,
                                                     .shift = n->shift,
                                                     .w = n->w,
                                                     .b = n->b,
                                                     .eps = (float)d->config.eps,
                                                     .y = vg_feed_values(&r->in),
                                                     .quant = vg_feed_codes(&r->in)},
                            err);
}

/* in = attention(q, k, v), for the output projection. */
static vg_status attend(const wan_dit *d, dit_run *r, const vg_linear_layer *reader,
                        const vg_tensor *k, const vg_tensor *v, vg_err *err)
{
    vg_tensor qh = heads_of(d, &r->q), yh = heads_of(d, &r->a);
    vg_feed_make(&reader, 1, &r->a, r->a.data, &r->in);
    return vg_attention(
        d->be,
        &(vg_attention_args){.q = &qh,
                             .k = k,
                             .v = v,
                             .scale = (float)(1.0 / sqrt((double)d->config.head_dim)),
                             .y = vg_feed_values(&r->in) ? &yh : NULL,
                             .quant = vg_feed_codes(&r->in)},
        err);
}

/* One linear layer of the present feed. */
static vg_status project(const wan_dit *d, dit_run *r, const vg_linear_layer *layer, vg_tensor *y,
                         vg_err *err)
{
    return vg_linear_run_fed(d->work, &layer, 1, &r->in, VG_ACT_NONE, &y, err);
}

static vg_status self_attention(wan_dit *d, int64_t layer, dit_run *r, vg_err *err)
{
    const dit_block *b = &d->blocks[layer];
    vg_tensor gate = modulation(d, layer, GATE_MSA);
    VG_TRY(
        vg_linear_run_fed(d->work,
                          (const vg_linear_layer *const[]){&b->linear[ATTN1_Q], &b->linear[ATTN1_K],
                                                           &b->linear[ATTN1_V]},
                          3, &r->in, VG_ACT_NONE, (vg_tensor *const[]){&r->q, &r->k, &r->v}, err));
    VG_TRY(norm_heads(d, &b->norm_q1, &d->rope_cos, &d->rope_sin, &r->q, err));
    VG_TRY(norm_heads(d, &b->norm_k1, &d->rope_cos, &d->rope_sin, &r->k, err));
    vg_tensor k = heads_of(d, &r->k), v = heads_of(d, &r->v);
    VG_TRY(attend(d, r, &b->linear[ATTN1_O], &k, &v, err));
    VG_TRY(project(d, r, &b->linear[ATTN1_O], &r->q, err));
    return add_and_norm(
        d, r, &r->q, &gate,
        &(dit_norm){
            .w = &b->norm2_w, .b = &b->norm2_b, .readers = {&b->linear[ATTN2_Q]}, .count = 1},
        err);
}

static vg_status cross_attention(wan_dit *d, int64_t layer, dit_run *r, vg_err *err)
{
    const dit_block *b = &d->blocks[layer];
    vg_tensor scale = modulation(d, layer, C_SCALE), shift = modulation(d, layer, C_SHIFT);
    VG_TRY(project(d, r, &b->linear[ATTN2_Q], &r->q, err));
    VG_TRY(norm_heads(d, &b->norm_q2, NULL, NULL, &r->q, err));
    VG_TRY(attend(d, r, &b->linear[ATTN2_O], &b->text[r->slot].k, &b->text[r->slot].v, err));
    VG_TRY(project(d, r, &b->linear[ATTN2_O], &r->q, err));
    return add_and_norm(
        d, r, &r->q, NULL,
        &(dit_norm){.scale = &scale, .shift = &shift, .readers = {&b->linear[FFN_UP]}, .count = 1},
        err);
}

static vg_tensor hidden_like(const wan_dit *d, int64_t rows)
{
    return vg_tensor_make(NULL, d->compute, 2, rows, d->config.ffn_dim);
}

static vg_status feed_forward(wan_dit *d, int64_t layer, dit_run *r, vg_err *err)
{
    const dit_block *b = &d->blocks[layer];
    const vg_linear_layer *down = &b->linear[FFN_DOWN];
    vg_tensor gate = modulation(d, layer, C_GATE), like = hidden_like(d, r->h.shape[0]);
    vg_feed hidden;
    dit_entry next;
    entry_of(d, layer + 1, &next);
    vg_feed_make(&down, 1, &like, r->hidden.data, &hidden);
    VG_TRY(vg_linear_feed(d->work, &b->linear[FFN_UP], &r->in, VG_ACT_GELU_TANH, &hidden, err));
    VG_TRY(vg_linear_run_fed(d->work, &down, 1, &hidden, VG_ACT_NONE, (vg_tensor *const[]){&r->q},
                             err));
    return add_and_norm(d, r, &r->q, &gate, &next.norm, err);
}

static vg_status head(wan_dit *d, dit_run *r, vg_tensor *v, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    vg_tensor out;
    VG_TRY(matrix(d->work, d->compute, r->h.shape[0], dimension(c, PATCH_OUT), &out, err));
    VG_TRY(project(d, r, &d->global[PROJ_OUT], &out, err));
    return vg_unpatchify(
        d->be,
        &(vg_unpatchify_args){.x = &out, .patch = {c->patch[0], c->patch[1], c->patch[2]}, .y = v},
        err);
}

static vg_status embed_patches(wan_dit *d, const vg_tensor *x, dit_run *r, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    size_t mark = vg_arena_mark(d->work);
    vg_tensor rows;
    VG_TRY(matrix(d->work, d->compute, r->h.shape[0], d->patch.k, &rows, err));
    VG_TRY(vg_patchify(
        d->be,
        &(vg_patchify_args){.x = x, .patch = {c->patch[0], c->patch[1], c->patch[2]}, .y = &rows},
        err));
    VG_TRY(vg_linear_run1(d->work, &d->patch, &rows, VG_ACT_NONE, &r->h, err));
    vg_arena_reset(d->work, mark);
    return VG_OK;
}

/* The buffers of a forward. a also holds feeds; hidden is as large as the widest feed of any block's FFN_DOWN, half of the values where
 * its layers read codes. */
static vg_status take_buffers(wan_dit *d, int64_t n, dit_run *r, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    vg_tensor *rows[] = {&r->h, &r->q, &r->k, &r->v}, like = hidden_like(d, n), bytes;
    size_t most = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        VG_TRY(matrix(d->work, d->compute, n, c->dim, rows[i], err));
    VG_TRY(vg_arena_tensor(d->work, VG_U8, 1, (const int64_t[]){(int64_t)vg_feed_most_bytes(&r->h)},
                           &bytes, err));
    r->a = vg_tensor_of(bytes.data, d->compute, 2, r->h.shape);
    for (int64_t i = 0; i < c->layers; i++) {
        const vg_linear_layer *down = &d->blocks[i].linear[FFN_DOWN];
        size_t wanted = vg_feed_bytes(&down, 1, &like);
        most = wanted > most ? wanted : most;
    }
    return vg_arena_tensor(d->work, VG_U8, 1, (const int64_t[]){(int64_t)most}, &r->hidden, err);
}

static vg_status forward(wan_dit *d, const vg_tensor *x, double timestep, int slot,
                         const atomic_int *cancel, wan_dit_progress *progress, void *user,
                         vg_tensor *v, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    const int64_t grid[3] = {x->shape[1] / c->patch[0], x->shape[2] / c->patch[1],
                             x->shape[3] / c->patch[2]};
    int64_t n = grid[0] * grid[1] * grid[2];
    dit_run r = {.slot = slot};
    dit_entry first;
    VG_TRY(prepare_rope(d, grid, err));
    VG_TRY(embed_timestep(d, timestep, err));
    VG_TRY(take_buffers(d, n, &r, err));
    VG_TRY(embed_patches(d, x, &r, err));
    entry_of(d, 0, &first);
    VG_TRY(enter(d, &r, &first.norm, err));
    for (int64_t i = 0; i < c->layers; i++) {
        if (vg_cancelled(cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled in block %lld", (long long)i);
        VG_TRY(bind_block(d, i, err));
        VG_TRY(self_attention(d, i, &r, err));
        VG_TRY(cross_attention(d, i, &r, err));
        VG_TRY(feed_forward(d, i, &r, err));
        VG_TRY(release_block(d, i, err));
        if (progress)
            progress(user, (int)i + 1, (int)c->layers);
    }
    return head(d, &r, v, err);
}

vg_status wan_dit_forward(wan_dit *d, const vg_tensor *x, double timestep, int slot,
                          const atomic_int *cancel, wan_dit_progress *progress, void *user,
                          vg_tensor *v, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    char text[96];
    if (x->ndim != 4 || x->shape[0] != c->in_channels || x->shape[1] < 1 ||
        x->shape[1] % c->patch[0] || x->shape[2] < 1 || x->shape[2] % c->patch[1] ||
        x->shape[3] < 1 || x->shape[3] % c->patch[2])
        return VG_FAIL(err, VG_E_SHAPE,
                       "latents are %s; [%lld, T, h, w] with h, w multiples of %d, %d are wanted",
                       vg_tensor_describe(x, text, sizeof text), (long long)c->in_channels,
                       c->patch[1], c->patch[2]);
    if (slot < 0 || slot >= WAN_TEXTS || !d->blocks[0].text[slot].k.data)
        return VG_FAIL(err, VG_E_ARG, "no prompt was set for this forward");
    if (!isfinite(timestep))
        return VG_FAIL(err, VG_E_ARG, "the timestep is not a finite number");
    size_t mark = vg_arena_mark(d->work);
    vg_status status = forward(d, x, timestep, slot, cancel, progress, user, v, err);
    vg_arena_reset(d->work, mark);
    return status;
}

/* ---- calibration, precision, plan ---- */

vg_status wan_dit_calibrate_begin(wan_dit *d, vg_err *err)
{
    int64_t count = d->config.layers * BLOCK_LINEARS;
    if (!d->calibration)
        VG_TRY(vg_arena_new(d->be, 0, &d->calibration, err));
    vg_arena_reset(d->calibration, 0);
    VG_TRY(vg_arena_tensor(d->calibration, VG_F32, 1, &count, &d->amax, err));
    VG_TRY(vg_backend_zero(d->be, &d->amax, err));
    for (int64_t i = 0; i < count; i++)
        d->blocks[i / BLOCK_LINEARS].linear[i % BLOCK_LINEARS].amax =
            vg_tensor_rows(&d->amax, i, 1);
    return VG_OK;
}

vg_status wan_dit_calibrate_each(const wan_dit *d,
                                 void (*fn)(void *user, const char *layer, float amax), void *user,
                                 vg_err *err)
{
    int64_t count = d->config.layers * BLOCK_LINEARS;
    float *amax;
    if (!d->amax.data)
        return VG_OK;
    amax = malloc((size_t)count * sizeof *amax);
    if (!amax)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld input ranges", (long long)count);
    vg_status status = vg_backend_download(d->be, amax, &d->amax, err);
    for (int64_t i = 0; status == VG_OK && i < count; i++)
        fn(user, d->blocks[i / BLOCK_LINEARS].linear[i % BLOCK_LINEARS].name, amax[i]);
    free(amax);
    return status;
}

static void count_layer(const vg_layer_choice *choice, vg_dtype dtype, int64_t n, int64_t k,
                        vg_precision_report *r)
{
    size_t elements = (size_t)(n * k);
    int64_t a = (n + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP,
            b = (k + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
    switch (choice->used) {
    case VG_PRECISION_TENSOR:
        r->fp8_tensor++;
        r->weight_bytes += elements + 4;
        break;
    case VG_PRECISION_CHANNEL:
        r->fp8_channel++;
        r->weight_bytes += elements + 4 * (size_t)n;
        break;
    case VG_PRECISION_BLOCK:
        r->fp8_block++;
        r->weight_bytes += elements + 4 * (size_t)(a * b);
        break;
    default:
        if (dtype == VG_BF16)
            r->bf16++;
        else
            r->f32++;
        r->weight_bytes += elements * vg_dtype_size(dtype);
    }
    if (choice->used != VG_PRECISION_HIGH) {
        static const char *const acts[VG_QUANT_KIND_COUNT] = {"weight-only", "static", "dynamic",
                                                              "dynamic 1x128"};
        snprintf(r->act, sizeof r->act, "%s", acts[choice->act]);
    }
}

vg_status wan_dit_precision(const vg_weights *weights, const char *component,
                            const wan_dit_config *c, const vg_module_options *options,
                            vg_precision_report *r, vg_err *err)
{
    vg_precision_census census;
    vg_layer_choice choice;
    char name[128];
    vg_precision_census_take(weights, &census);
    for (int i = 0; i < GLOBAL_LINEARS; i++) {
        int64_t n = dimension(c, global_linears[i].n), k = dimension(c, global_linears[i].k);
        VG_TRY(vg_layer_choose(weights, &census, component, global_linears[i].name, n, k, false,
                               options, &choice, err));
        vg_dtype dtype = global_linears[i].f32 ? VG_F32 : options->compute;
        count_layer(&choice, dtype, n, k, r);
        r->weight_bytes += (size_t)n * vg_dtype_size(dtype);
    }
    for (int64_t b = 0; b < c->layers; b++)
        for (int j = 0; j < BLOCK_LINEARS; j++) {
            int64_t n = dimension(c, block_linears[j].n), k = dimension(c, block_linears[j].k);
            snprintf(name, sizeof name, "blocks.%lld.%s", (long long)b, block_linears[j].suffix);
            VG_TRY(vg_layer_choose(weights, &census, component, name, n, k, true, options, &choice,
                                   err));
            count_layer(&choice, options->compute, n, k, r);
            r->weight_bytes += (size_t)n * vg_dtype_size(options->compute);
        }
    size_t size = vg_dtype_size(options->compute), dim = (size_t)c->dim;
    r->weight_bytes += dim *
                       (size_t)(c->in_channels * c->patch[0] * c->patch[1] * c->patch[2] + 1) *
                       size; /* patch embedding */
    r->weight_bytes += (size_t)c->layers * dim * (4 * size + 8 * 4) +
                       2 * dim * 4; /* norms and modulation tables */
    return VG_OK;
}

void wan_dit_describe_precision(const vg_weights *weights, char *text, size_t size)
{
    vg_precision_census census;
    int linears = 0, block = 0, channel = 0;
    char name[256];
    vg_precision_census_take(weights, &census);
    if (census.fp8 == 0) {
        snprintf(text, size, "%s",
                 census.high == VG_F32   ? "f32"
                 : census.high == VG_F16 ? "f16"
                                         : "bf16");
        return;
    }
    for (int i = 0; i < vg_weights_count(weights); i++) {
        const char *w = vg_weights_name(weights, i);
        const vg_tensor *t = vg_weights_tensor(weights, i);
        size_t n = strlen(w);
        if (n < 7 || strcmp(w + n - 7, ".weight") != 0 || t->ndim != 2 || strstr(w, "_quantizer."))
            continue;
        linears++;
        if (t->dtype != VG_E4M3)
            continue;
        snprintf(name, sizeof name, "%.*s.weight_scale", (int)(n - 7), w);
        const vg_tensor *scale = vg_weights_find(weights, name);
        if (scale && (scale->ndim == 4 || (scale->ndim == 2 && vg_tensor_numel(scale) > 1 &&
                                           scale->shape[0] != t->shape[0])))
            block++;
        else if (scale && vg_tensor_numel(scale) > 1)
            channel++;
    }
    const char *kind = block == census.fp8     ? "per-block"
                       : channel == census.fp8 ? "per-channel"
                       : block + channel == 0  ? "per-tensor"
                                               : "mixed";
    snprintf(text, size, "fp8 %s (%d of %d)", kind, census.fp8, linears);
}

int64_t wan_dit_tokens(const wan_dit_config *c, const int64_t latent[4])
{
    return (latent[1] / c->patch[0]) * (latent[2] / c->patch[1]) * (latent[3] / c->patch[2]);
}

double wan_dit_flop(const wan_dit_config *c, int64_t video_tokens, int64_t text_tokens)
{
    double n = (double)video_tokens, d = (double)c->dim, f = (double)c->ffn_dim,
           m = (double)text_tokens;
    double block = 8 * n * d * d + 4 * n * n * d + 4 * n * d * d + 4 * n * m * d + 4 * n * d * f;
    return block * (double)c->layers;
}
