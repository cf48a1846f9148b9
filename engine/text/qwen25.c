/* qwen25.c: see qwen25.h. Facts that break silently (hunyuanvideo15 4.2, 9.1-9.3): the states are taken behind all but two layers and before
 * the final norm; queries, keys and values have biases, nothing else has; halves of a head are rotated against each other, by tables rounded
 * to the compute dtype; positions count from the first token of the uncropped text. */
#include "engine/text/qwen25.h"

#include "engine/layers/blocks.h"
#include "kernels/base/numeric.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_CHUNK_BYTES ((size_t)1 << 20)
#define ARENA_SLACK_BYTES ((size_t)1 << 16) /* for what aligning some ten tensors takes */

typedef struct layer {
    vg_tensor norm1, norm2;
    vg_linear_layer q, k, v, o, gate, up, down;
} layer;

typedef struct embedding {
    const char *
        table; /* name of the embedding, which stays on the host: a prompt needs few of its 152,064 rows */
} embedding;

struct vg_qwen25 {
    vg_qwen25_config config;
    vg_engine *engine;
    vg_backend *be;
    vg_dtype compute;
    char *dir, component[64];
    size_t room_bytes;
    vg_arena *room;  /* one tensor: a layer's weights */
    vg_arena *arena; /* of a run: what its texts keep from layer to layer */
    vg_arena *work;  /* of a run: what a layer needs for one text, in one piece */
    vg_tensor weights;
    layer layer; /* the one that is there now */
    embedding embedding;
};

/* ---- weights ---- */

enum { HIDDEN = 1, KV, FF, VOCAB };

#define PLAIN    VG_WEIGHT_NO_BIAS
#define ROW(...) VG_WEIGHT_ROW(embedding, __VA_ARGS__)
static const vg_weight_row global_rows[] = {
    ROW("embed_tokens.weight", ROWS, table, 0, VOCAB, HIDDEN)};
#undef ROW

#define ROW(...) VG_WEIGHT_ROW(layer, __VA_ARGS__)
static const vg_weight_row layer_rows[] = {
    ROW("input_layernorm.weight", TENSOR, norm1, 0, HIDDEN),
    ROW("self_attn.q_proj", LINEAR, q, 0, HIDDEN, HIDDEN),
    ROW("self_attn.k_proj", LINEAR, k, 0, KV, HIDDEN),
    ROW("self_attn.v_proj", LINEAR, v, 0, KV, HIDDEN),
    ROW("self_attn.o_proj", LINEAR, o, PLAIN, HIDDEN, HIDDEN),
    ROW("post_attention_layernorm.weight", TENSOR, norm2, 0, HIDDEN),
    ROW("mlp.gate_proj", LINEAR, gate, PLAIN, FF, HIDDEN),
    ROW("mlp.up_proj", LINEAR, up, PLAIN, FF, HIDDEN),
    ROW("mlp.down_proj", LINEAR, down, PLAIN, HIDDEN, FF),
};
#undef ROW

/* to: an encoder, whose one layer all layers are loaded to in turn, or NULL. */
static vg_weight_list list_of(const vg_qwen25_config *c, bool layers, vg_qwen25 *to)
{
    vg_weight_list list = {.count = layers ? c->layers : 1,
                           .rows = layers ? layer_rows : global_rows,
                           .rows_count = layers ? (int)(sizeof layer_rows / sizeof *layer_rows) : 1,
                           .dims = {[HIDDEN] = c->hidden,
                                    [KV] = c->hidden / c->heads * c->kv_heads,
                                    [FF] = c->ff,
                                    [VOCAB] = c->vocab}};
    snprintf(list.prefix, sizeof list.prefix, "%s%s", c->root, layers ? "layers.%d." : "");
    if (to)
        list.to = layers ? (void *)&to->layer : (void *)&to->embedding;
    return list;
}

vg_status vg_qwen25_weights(const vg_qwen25_config *config, const char *component,
                            vg_weight_table *table, vg_err *err)
{
    vg_weight_list globals = list_of(config, false, NULL), layers = list_of(config, true, NULL);
    *table = (vg_weight_table){.component = component};
    VG_TRY(vg_weight_table_add(table, &globals, err));
    vg_status status = vg_weight_table_add(table, &layers, err);
    if (status != VG_OK)
        vg_weight_table_deinit(table);
    return status;
}

/* ---- opening ---- */

/* Room for the weights of the largest layer. */
static vg_status make_room(vg_qwen25 *e, vg_err *err)
{
    vg_module_options options = {.compute = e->compute};
    vg_weight_list list = list_of(&e->config, true, e);
    list.stride = sizeof e->layer;
    vg_block_place *order = malloc((size_t)e->config.layers * sizeof *order);
    if (!order)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the text encoder");
    for (int64_t i = 0; i < e->config.layers; i++)
        order[i] = (vg_block_place){&list, i};
    vg_status status = vg_blocks_measure(order, e->config.layers, e->dir, e->component, &options,
                                         &e->room_bytes, err);
    free(order);
    VG_TRY(status);
    VG_TRY(vg_arena_new(e->be, e->room_bytes, &e->room, err));
    return vg_arena_tensor(e->room, VG_U8, 1, (const int64_t[]){(int64_t)e->room_bytes},
                           &e->weights, err);
}

vg_status vg_qwen25_open(vg_engine *engine, const char *dir, const char *component,
                         const vg_qwen25_config *config, vg_dtype compute, vg_qwen25 **encoder,
                         vg_err *err)
{
    vg_status status;
    vg_qwen25 *e = calloc(1, sizeof *e);
    if (!e || !(e->dir = strdup(dir))) {
        free(e);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the text encoder");
    }
    e->config = *config;
    e->engine = engine;
    e->be = engine->be;
    e->compute = compute;
    snprintf(e->component, sizeof e->component, "%s", component);
    VG_TRY_GOTO(status, make_room(e, err), fail);
    VG_TRY_GOTO(status, vg_arena_new(e->be, ARENA_CHUNK_BYTES, &e->arena, err), fail);
    *encoder = e;
    return VG_OK;
fail:
    vg_qwen25_close(e);
    return status;
}

void vg_qwen25_close(vg_qwen25 *e)
{
    if (!e)
        return;
    vg_arena_free(e->arena);
    vg_arena_free(e->room);
    free(e->dir);
    free(e);
}

/* ---- running ---- */

/* One text on its way through the layers. */
typedef struct passage {
    vg_tensor x;            /* [length, hidden] */
    vg_tensor cosine, sine; /* [length, head_dim / 2] F32 */
    vg_tensor causal;       /* [1, length, length] F32: what keeps a token from seeing later ones */
} passage;

/* Host values to a new tensor of the run's arena. */
static vg_status upload(vg_qwen25 *e, vg_dtype dtype, int ndim, const int64_t *shape,
                        const void *values, vg_tensor *t, vg_err *err)
{
    VG_TRY(vg_arena_tensor(e->arena, dtype, ndim, shape, t, err));
    VG_TRY(vg_backend_upload(e->be, t, values, err));
    return vg_backend_sync(e->be, err); /* the values go away */
}

static vg_status make_tables(vg_qwen25 *e, int64_t length, passage *p, vg_err *err)
{
    int64_t half = e->config.hidden / e->config.heads / 2;
    size_t count = (size_t)(length * half);
    vg_status status;
    float *cosine = malloc(2 * count * sizeof *cosine), *sine = cosine ? cosine + count : NULL;
    if (!cosine)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the positions of %lld tokens",
                       (long long)length);
    for (int64_t j = 0; j < half; j++) {
        float frequency = 1.0f / powf((float)e->config.theta, (float)(2 * j) / (float)(2 * half));
        for (int64_t i = 0; i < length; i++) {
            float angle = (float)i * frequency;
            cosine[i * half + j] = e->compute == VG_BF16 ? vg_round_bf16(cosf(angle)) : cosf(angle);
            sine[i * half + j] = e->compute == VG_BF16 ? vg_round_bf16(sinf(angle)) : sinf(angle);
        }
    }
    const int64_t shape[2] = {length, half};
    VG_TRY_GOTO(status, upload(e, VG_F32, 2, shape, cosine, &p->cosine, err), done);
    status = upload(e, VG_F32, 2, shape, sine, &p->sine, err);
done:
    free(cosine);
    return status;
}

static vg_status make_causal(vg_qwen25 *e, int64_t length, passage *p, vg_err *err)
{
    size_t bytes;
    const int64_t shape[3] = {1, length, length};
    VG_TRY(vg_shape_bytes(shape, 3, VG_F32, &bytes, err));
    float *bias = malloc(bytes);
    if (!bias)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the mask of %lld tokens",
                       (long long)length);
    for (int64_t i = 0; i < length; i++)
        for (int64_t j = 0; j < length; j++)
            bias[i * length + j] = j <= i ? 0.0f : -INFINITY;
    vg_status status = upload(e, VG_F32, 3, shape, bias, &p->causal, err);
    free(bias);
    return status;
}

static vg_status embed(vg_qwen25 *e, vg_module *module, const vg_qwen25_text *text, passage *p,
                       vg_err *err)
{
    const int64_t shape[2] = {text->length, e->config.hidden};
    vg_status status;
    size_t bytes;
    VG_TRY(vg_shape_bytes(shape, 2, e->compute, &bytes, err));
    void *rows = malloc(bytes);
    if (!rows)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the embeddings of %lld tokens",
                       (long long)text->length);
    VG_TRY_GOTO(status,
                vg_module_rows(module, e->embedding.table, e->config.vocab, e->config.hidden,
                               text->ids, text->length, e->compute, rows, err),
                done);
    status = upload(e, e->compute, 2, shape, rows, &p->x, err);
done:
    free(rows);
    return status;
}

/* x += o(attention(norm1(x))). n [length, hidden]: for the norm, then for the result. */
static vg_status attend(vg_qwen25 *e, passage *p, vg_tensor *n, vg_err *err)
{
    const vg_qwen25_config *c = &e->config;
    const layer *l = &e->layer;
    int64_t length = p->x.shape[0], dim = c->hidden / c->heads;
    const int64_t wide[3] = {length, c->heads, dim}, narrow[3] = {length, c->kv_heads, dim};
    vg_tensor q, k, v, keys, values, qs, ks, vs;
    VG_TRY(vg_arena_tensor(e->work, e->compute, 3, wide, &q, err));
    VG_TRY(vg_arena_tensor(e->work, e->compute, 3, narrow, &k, err));
    VG_TRY(vg_arena_tensor(e->work, e->compute, 3, narrow, &v, err));
    VG_TRY(vg_arena_tensor(e->work, e->compute, 3, wide, &keys, err));
    VG_TRY(vg_arena_tensor(e->work, e->compute, 3, wide, &values, err));
    qs = vg_tensor_reshape(&q, 2, length, c->heads * dim);
    ks = vg_tensor_reshape(&k, 2, length, c->kv_heads * dim);
    vs = vg_tensor_reshape(&v, 2, length, c->kv_heads * dim);
    VG_TRY(vg_linear_run(e->work, (const vg_linear_layer *const[]){&l->q, &l->k, &l->v}, 3, n,
                         VG_ACT_NONE, (vg_tensor *const[]){&qs, &ks, &vs}, err));
    VG_TRY(vg_rotate_heads(e->be, &(vg_rotate_heads_args){&q, &p->cosine, &p->sine, &q}, err));
    VG_TRY(vg_rotate_heads(e->be, &(vg_rotate_heads_args){&k, &p->cosine, &p->sine, &keys}, err));
    VG_TRY(vg_rotate_heads(e->be, &(vg_rotate_heads_args){&v, NULL, NULL, &values}, err));
    vg_tensor o = vg_tensor_reshape(n, 3, length, c->heads, dim);
    VG_TRY(vg_attention(e->be,
                        &(vg_attention_args){.q = &q,
                                             .k = &keys,
                                             .v = &values,
                                             .bias = &p->causal,
                                             .scale = (float)(1 / sqrt((double)dim)),
                                             .y = &o},
                        err));
    VG_TRY(vg_linear_run1(e->work, &l->o, n, VG_ACT_NONE, &qs, err));
    return vg_gate_residual(e->be, &(vg_gate_residual_args){.x = &p->x, .y = &qs, .out = &p->x},
                            err);
}

/* x += down(silu(gate(n)) * up(n)). */
static vg_status feed_forward(vg_qwen25 *e, passage *p, vg_tensor *n, vg_err *err)
{
    const layer *l = &e->layer;
    const int64_t shape[2] = {p->x.shape[0], e->config.ff};
    vg_tensor gate, up;
    VG_TRY(vg_arena_tensor(e->work, e->compute, 2, shape, &gate, err));
    VG_TRY(vg_arena_tensor(e->work, e->compute, 2, shape, &up, err));
    VG_TRY(vg_linear_run(e->work, (const vg_linear_layer *const[]){&l->gate, &l->up}, 2, n,
                         VG_ACT_NONE, (vg_tensor *const[]){&gate, &up}, err));
    VG_TRY(vg_activation(
        e->be, &(vg_activation_args){.x = &gate, .act = VG_ACT_SILU, .mul = &up, .y = &gate}, err));
    VG_TRY(vg_linear_run1(e->work, &l->down, &gate, VG_ACT_NONE, n, err));
    return vg_gate_residual(e->be, &(vg_gate_residual_args){.x = &p->x, .y = n, .out = &p->x}, err);
}

static vg_status run_layer(vg_qwen25 *e, passage *p, vg_err *err)
{
    float eps = (float)e->config.eps;
    size_t mark = vg_arena_mark(e->work);
    vg_tensor n;
    VG_TRY(vg_arena_tensor(e->work, e->compute, 2, p->x.shape, &n, err));
    size_t inner = vg_arena_mark(e->work);
    VG_TRY(vg_rms_norm(
        e->be, &(vg_rms_norm_args){.x = &p->x, .w = &e->layer.norm1, .eps = eps, .y = &n}, err));
    VG_TRY(attend(e, p, &n, err));
    vg_arena_reset(e->work, inner);
    VG_TRY(vg_rms_norm(
        e->be, &(vg_rms_norm_args){.x = &p->x, .w = &e->layer.norm2, .eps = eps, .y = &n}, err));
    VG_TRY(feed_forward(e, p, &n, err));
    vg_arena_reset(e->work, mark);
    return VG_OK;
}

static vg_status finish(vg_qwen25 *e, const vg_qwen25_text *text, const passage *p, vg_err *err)
{
    vg_tensor kept = vg_tensor_rows(&p->x, text->crop, text->length - text->crop), result = kept;
    size_t mark = vg_arena_mark(e->work);
    if (e->compute != VG_F32) {
        VG_TRY(vg_arena_tensor(e->work, VG_F32, 2, kept.shape, &result, err));
        VG_TRY(vg_cast(e->be, &(vg_cast_args){.x = &kept, .y = &result}, err));
    }
    VG_TRY(vg_backend_download(e->be, text->out, &result, err));
    vg_arena_reset(e->work, mark);
    return VG_OK;
}

/* All layers, each loaded to the one place for weights and run for all texts. */
static vg_status run_layers(vg_qwen25 *e, vg_module *module, passage *passages, int count,
                            const atomic_int *cancel,
                            void (*progress)(void *user, int done, int of), void *user, vg_err *err)
{
    vg_weight_list layers = list_of(&e->config, true, e);
    for (int64_t i = 0; i < e->config.layers; i++) {
        if (vg_cancelled(cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled in the text encoder");
        vg_module_into(module, e->weights.data, e->room_bytes);
        VG_TRY(vg_module_load(module, &layers, i, err));
        VG_TRY(vg_module_settle(module, err));
        for (int t = 0; t < count; t++)
            VG_TRY(run_layer(e, &passages[t], err));
        VG_TRY(vg_backend_sync(e->be, err)); /* the next layer's weights take this one's place */
        if (progress)
            progress(user, (int)i + 1, (int)e->config.layers);
    }
    return VG_OK;
}

/* One piece of memory for what attend and feed_forward take for the longest text. */
static vg_status make_work(vg_qwen25 *e, const vg_qwen25_text *texts, int count, vg_err *err)
{
    const vg_qwen25_config *c = &e->config;
    int64_t longest = 1, kv = c->hidden / c->heads * c->kv_heads,
            attention = 3 * c->hidden + 2 * kv, forward = 2 * c->ff;
    size_t bytes;
    for (int i = 0; i < count; i++)
        longest = texts[i].length > longest ? texts[i].length : longest;
    const int64_t shape[2] = {longest, c->hidden + (attention > forward ? attention : forward)};
    VG_TRY(vg_shape_bytes(shape, 2, e->compute, &bytes, err));
    return vg_arena_new(e->be, bytes + ARENA_SLACK_BYTES, &e->work, err);
}

static vg_status run_all(vg_qwen25 *e, const vg_qwen25_text *texts, passage *passages, int count,
                         const atomic_int *cancel, void (*progress)(void *user, int done, int of),
                         void *user, vg_err *err)
{
    vg_module_options options = {.compute = e->compute};
    vg_weight_list globals = list_of(&e->config, false, e);
    vg_module *module = NULL;
    vg_status status;
    VG_TRY_GOTO(status, vg_module_open(e->engine, e->dir, e->component, &options, &module, err),
                done);
    VG_TRY_GOTO(status, vg_module_load(module, &globals, 0, err), done);
    VG_TRY_GOTO(status, make_work(e, texts, count, err), done);
    for (int i = 0; i < count; i++) {
        VG_TRY_GOTO(status, embed(e, module, &texts[i], &passages[i], err), done);
        VG_TRY_GOTO(status, make_tables(e, texts[i].length, &passages[i], err), done);
        VG_TRY_GOTO(status, make_causal(e, texts[i].length, &passages[i], err), done);
    }
    VG_TRY_GOTO(status, run_layers(e, module, passages, count, cancel, progress, user, err), done);
    VG_TRY_GOTO(status, vg_module_loaded(module, err), done);
    for (int i = 0; i < count; i++)
        VG_TRY_GOTO(status, finish(e, &texts[i], &passages[i], err), done);
done:
    vg_arena_free(e->work);
    e->work = NULL;
    vg_module_close(module);
    return status;
}

static vg_status check_text(const vg_qwen25_config *c, const vg_qwen25_text *text, vg_err *err)
{
    if (text->length < 1 || text->crop < 0 || text->crop >= text->length)
        return VG_FAIL(err, VG_E_ARG,
                       "%lld tokens for the text encoder, %lld of them to be cropped",
                       (long long)text->length, (long long)text->crop);
    for (int64_t i = 0; i < text->length; i++)
        if (text->ids[i] < 0 || text->ids[i] >= c->vocab)
            return VG_FAIL(
                err, VG_E_ARG,
                "token id %d at position %lld is outside the text encoder's vocabulary of %lld",
                text->ids[i], (long long)i, (long long)c->vocab);
    return VG_OK;
}

vg_status vg_qwen25_run(vg_qwen25 *e, const vg_qwen25_text *texts, int count,
                        const atomic_int *cancel, void (*progress)(void *user, int done, int of),
                        void *user, vg_err *err)
{
    size_t mark = vg_arena_mark(e->arena);
    for (int i = 0; i < count; i++)
        VG_TRY(check_text(&e->config, &texts[i], err));
    passage *passages = calloc((size_t)(count > 0 ? count : 1), sizeof *passages);
    if (!passages)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %d texts", count);
    vg_status status = run_all(e, texts, passages, count, cancel, progress, user, err);
    vg_arena_reset(e->arena, mark);
    free(passages);
    return status;
}
