/* umt5.c: see umt5.h. Facts that break silently (wan 5.3, 10.11-10.13): scores are not scaled by 1/sqrt(d); every layer has its own
 * relative bias, T5's is the first layer's; gelu_new, not erf; `shared.weight` is the embedding whatever tie_word_embeddings says. */
#include "engine/text/umt5.h"

#include "engine/checkpoint/engine.h"
#include "kernels/base/numeric.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct umt5_layer {
    vg_tensor norm1, norm2;
    vg_linear_layer q, k, v, o, wi0, wi1, wo;
    float *bias; /* host [buckets, heads] */
} umt5_layer;

struct vg_umt5 {
    vg_umt5_config config;
    vg_dtype compute;
    vg_weight_table weights;
    vg_module *module;
    vg_backend *be;
    vg_arena *arena;
    const char *
        table; /* name of the embedding, which stays on the host: a prompt needs 512 of its 250,112 rows */
    vg_tensor final_norm;
    umt5_layer *layers;
};

vg_status vg_umt5_config_read(const cJSON *json, const char *name, vg_umt5_config *config,
                              vg_err *err)
{
    vg_umt5_config c = {.d_model = 512,
                        .d_kv = 64,
                        .heads = 6,
                        .d_ff = 1024,
                        .layers = 8,
                        .vocab = 250112,
                        .buckets = 32,
                        .max_distance = 128,
                        .eps = 1e-6};
    const char *type = "umt5", *ff = "gated-gelu", *act = NULL;
    VG_TRY(vg_json_get_string(json, name, "model_type", &type, err));
    c.shared_bias = strcmp(type, "t5") == 0;
    if (!c.shared_bias && strcmp(type, "umt5") != 0)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: model_type is \"%s\"; only umt5 and t5 are supported", name, type);
    VG_TRY(vg_json_get_int(json, name, "d_model", 1, 1 << 16, &c.d_model, err));
    VG_TRY(vg_json_get_int(json, name, "d_kv", 1, 1024, &c.d_kv, err));
    VG_TRY(vg_json_get_int(json, name, "num_heads", 1, 1024, &c.heads, err));
    VG_TRY(vg_json_get_int(json, name, "d_ff", 1, 1 << 18, &c.d_ff, err));
    VG_TRY(vg_json_get_int(json, name, "num_layers", 1, 512, &c.layers, err));
    VG_TRY(vg_json_get_int(json, name, "vocab_size", 1, 1 << 24, &c.vocab, err));
    VG_TRY(vg_json_get_int(json, name, "relative_attention_num_buckets", 4, 4096, &c.buckets, err));
    VG_TRY(vg_json_get_int(json, name, "relative_attention_max_distance", 2, 1 << 20,
                           &c.max_distance, err));
    VG_TRY(vg_json_get_double(json, name, "layer_norm_epsilon", 1e-12, 1.0, &c.eps, err));
    VG_TRY(vg_json_get_string(json, name, "feed_forward_proj", &ff, err));
    VG_TRY(vg_json_get_string(json, name, "dense_act_fn", &act, err));
    if (strcmp(ff, "gated-gelu") != 0)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: feed_forward_proj is \"%s\"; only gated-gelu is supported", name, ff);
    if (act && strcmp(act, "gelu_new") != 0)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: dense_act_fn is \"%s\"; only gelu_new is supported", name, act);
    if (c.buckets % 4 != 0 || c.max_distance <= c.buckets / 4)
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s: relative_attention_num_buckets %lld and relative_attention_max_distance %lld do not fit",
            name, (long long)c.buckets, (long long)c.max_distance);
    *config = c;
    return VG_OK;
}

int64_t vg_umt5_bucket(const vg_umt5_config *c, int64_t relative)
{
    int64_t half = c->buckets / 2, exact = half / 2, n = relative < 0 ? -relative : relative,
            offset = relative > 0 ? half : 0;
    if (n < exact)
        return offset + n;
    /* FP32 logarithm, FP64-rounded divisor, truncation: as the reference computes it. */
    float ratio =
        logf((float)n / (float)exact) / (float)log((double)c->max_distance / (double)exact);
    int64_t large = exact + (int64_t)(ratio * (float)(half - exact));
    return offset + (large < half - 1 ? large : half - 1);
}

/* ---- weights ---- */

enum { MODEL = 1, INNER, FF, VOCAB, BUCKETS, HEADS };

#define PLAIN    VG_WEIGHT_NO_BIAS
#define ROW(...) VG_WEIGHT_ROW(vg_umt5, __VA_ARGS__)

static const vg_weight_row global_rows[] = {
    {.name = "shared.weight",
     .alias = "encoder.embed_tokens.weight",
     .kind = VG_WEIGHT_ROWS,
     .at = offsetof(vg_umt5, table),
     .shape = {VOCAB, MODEL}},
    ROW("encoder.final_layer_norm.weight", TENSOR, final_norm, 0, MODEL),
};
#undef ROW

#define ROW(...)  VG_WEIGHT_ROW(umt5_layer, __VA_ARGS__)
#define ATTENTION "layer.0.SelfAttention."
#define DENSE     "layer.1.DenseReluDense."

static const vg_weight_row layer_rows[] = {
    ROW(ATTENTION "q", LINEAR, q, PLAIN, INNER, MODEL),
    ROW(ATTENTION "k", LINEAR, k, PLAIN, INNER, MODEL),
    ROW(ATTENTION "v", LINEAR, v, PLAIN, INNER, MODEL),
    ROW(ATTENTION "o", LINEAR, o, PLAIN, MODEL, INNER),
    ROW(DENSE "wi_0", LINEAR, wi0, PLAIN, FF, MODEL),
    ROW(DENSE "wi_1", LINEAR, wi1, PLAIN, FF, MODEL),
    ROW(DENSE "wo", LINEAR, wo, PLAIN, MODEL, FF),
    ROW("layer.0.layer_norm.weight", TENSOR, norm1, 0, MODEL),
    ROW("layer.1.layer_norm.weight", TENSOR, norm2, 0, MODEL),
};

static const vg_weight_row bias_rows[] = {
    ROW(ATTENTION "relative_attention_bias.weight", HOST, bias, 0, BUCKETS, HEADS),
};
#undef ROW

/* encoder: where the weights are loaded to, or NULL. */
static vg_status add_lists(const vg_umt5_config *c, vg_umt5 *encoder, vg_weight_table *table,
                           vg_err *err)
{
    vg_weight_list list = {.count = 1,
                           .rows = global_rows,
                           .rows_count = sizeof global_rows / sizeof global_rows[0],
                           .dims = {[MODEL] = c->d_model,
                                    [INNER] = c->heads * c->d_kv,
                                    [FF] = c->d_ff,
                                    [VOCAB] = c->vocab,
                                    [BUCKETS] = c->buckets,
                                    [HEADS] = c->heads},
                           .to = encoder};
    VG_TRY(vg_weight_table_add(table, &list, err));
    list.count = c->layers;
    list.rows = layer_rows;
    list.rows_count = sizeof layer_rows / sizeof layer_rows[0];
    list.to = encoder ? encoder->layers : NULL;
    list.stride = sizeof(umt5_layer);
    memcpy(list.prefix, "encoder.block.%d.", sizeof "encoder.block.%d.");
    VG_TRY(vg_weight_table_add(table, &list, err));
    list.count = c->shared_bias ? 1 : c->layers;
    list.rows = bias_rows;
    list.rows_count = sizeof bias_rows / sizeof bias_rows[0];
    return vg_weight_table_add(table, &list, err);
}

vg_status vg_umt5_weights(const vg_umt5_config *config, const char *component,
                          vg_weight_table *table, vg_err *err)
{
    *table = (vg_weight_table){.component = component};
    return add_lists(config, NULL, table, err);
}

static vg_status load(vg_umt5 *e, vg_err *err)
{
    const vg_umt5_config *c = &e->config;
    VG_TRY(add_lists(c, e, &e->weights, err));
    for (int i = 0; i < e->weights.count; i++)
        for (int64_t item = 0; item < e->weights.lists[i].count; item++)
            VG_TRY(vg_module_load(e->module, &e->weights.lists[i], item, err));
    for (int64_t i = 0; i < c->layers && e->layers[i].bias && e->compute == VG_BF16; i++)
        for (int64_t j = 0; j < c->buckets * c->heads; j++)
            e->layers[i].bias[j] = vg_round_bf16(e->layers[i].bias[j]);
    return vg_module_loaded(e->module, err);
}

vg_status vg_umt5_open(vg_engine *engine, const char *dir, const char *component,
                       const vg_umt5_config *config, vg_dtype compute, vg_umt5 **encoder,
                       vg_err *err)
{
    vg_status status;
    vg_umt5 *e = calloc(1, sizeof *e);
    if (!e || !(e->layers = calloc((size_t)config->layers, sizeof *e->layers))) {
        free(e);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the text encoder");
    }
    e->config = *config;
    e->compute = compute;
    e->be = engine->be;
    vg_module_options options = {.compute = compute};
    VG_TRY_GOTO(status, vg_module_open(engine, dir, component, &options, &e->module, err), fail);
    VG_TRY_GOTO(status, vg_arena_new(e->be, (size_t)1 << 20, &e->arena, err), fail);
    VG_TRY_GOTO(status, load(e, err), fail);
    *encoder = e;
    return VG_OK;
fail:
    vg_umt5_close(e);
    return status;
}

void vg_umt5_close(vg_umt5 *e)
{
    if (!e)
        return;
    for (int64_t i = 0; e->layers && i < e->config.layers; i++)
        free(e->layers[i].bias);
    free(e->layers);
    vg_weight_table_deinit(&e->weights);
    vg_arena_free(e->arena);
    vg_module_close(e->module);
    free(e);
}

/* bias[h, i, j] of one layer, masked keys at the most negative finite BF16; keys beyond `keys` are not run at all.
 * buckets[j - i + length - 1]: bucket of j - i, |j - i| < length. */
static vg_status upload_bias(vg_umt5 *e, const umt5_layer *l, const uint8_t *mask, int64_t length,
                             int64_t keys, const int64_t *buckets, float *host, vg_tensor *bias,
                             vg_err *err)
{
    const vg_umt5_config *c = &e->config;
    for (int64_t i = 0; i < length && !e->be->ops->dry; i++)
        for (int64_t j = 0; j < keys; j++) {
            const float *row = l->bias + buckets[j - i + length - 1] * c->heads;
            bool masked = mask && !mask[j];
            for (int64_t h = 0; h < c->heads; h++)
                host[(h * length + i) * keys + j] = masked ? -3.3895314e38f : row[h];
        }
    VG_TRY(vg_backend_upload(e->be, bias, host, err));
    return vg_backend_sync(e->be, err);
}

typedef struct umt5_run {
    int64_t length, keys;
    vg_tensor x, n, q, k, v, g, u, bias;
} umt5_run;

static vg_status run_layer(vg_umt5 *e, const umt5_layer *l, umt5_run *r, vg_err *err)
{
    const vg_umt5_config *c = &e->config;
    vg_backend *be = e->be;
    float eps = (float)c->eps;
    VG_TRY(vg_rms_norm(be, &(vg_rms_norm_args){.x = &r->x, .w = &l->norm1, .eps = eps, .y = &r->n},
                       err));
    VG_TRY(vg_linear_run(e->arena, (const vg_linear_layer *const[]){&l->q, &l->k, &l->v}, 3, &r->n,
                         VG_ACT_NONE, (vg_tensor *const[]){&r->q, &r->k, &r->v}, err));
    vg_tensor q = vg_tensor_reshape(&r->q, 3, r->length, c->heads, c->d_kv);
    vg_tensor k = vg_tensor_reshape(&r->k, 3, r->length, c->heads, c->d_kv);
    vg_tensor v = vg_tensor_reshape(&r->v, 3, r->length, c->heads, c->d_kv);
    k = vg_tensor_rows(&k, 0, r->keys);
    v = vg_tensor_rows(&v, 0, r->keys);
    size_t mark = vg_arena_mark(e->arena);
    vg_tensor o;
    VG_TRY(vg_arena_tensor(e->arena, e->compute, 3, q.shape, &o, err));
    VG_TRY(vg_attention(
        be,
        &(vg_attention_args){.q = &q, .k = &k, .v = &v, .bias = &r->bias, .scale = 1.0f, .y = &o},
        err));
    vg_tensor rows = vg_tensor_reshape(&o, 2, r->length, c->heads * c->d_kv);
    VG_TRY(vg_linear_run1(e->arena, &l->o, &rows, VG_ACT_NONE, &r->n, err));
    vg_arena_reset(e->arena, mark);
    VG_TRY(
        vg_gate_residual(be, &(vg_gate_residual_args){.x = &r->x, .y = &r->n, .out = &r->x}, err));
    VG_TRY(vg_rms_norm(be, &(vg_rms_norm_args){.x = &r->x, .w = &l->norm2, .eps = eps, .y = &r->n},
                       err));
    VG_TRY(vg_linear_run1(e->arena, &l->wi0, &r->n, VG_ACT_NONE, &r->g, err));
    VG_TRY(vg_linear_run1(e->arena, &l->wi1, &r->n, VG_ACT_NONE, &r->u, err));
    VG_TRY(vg_activation(
        be, &(vg_activation_args){.x = &r->g, .act = VG_ACT_GELU_TANH, .mul = &r->u, .y = &r->g},
        err));
    VG_TRY(vg_linear_run1(e->arena, &l->wo, &r->g, VG_ACT_NONE, &r->n, err));
    return vg_gate_residual(be, &(vg_gate_residual_args){.x = &r->x, .y = &r->n, .out = &r->x},
                            err);
}

static vg_status check_ids(const vg_umt5 *e, const int32_t *ids, const uint8_t *mask,
                           int64_t length, int64_t *keys, vg_err *err)
{
    *keys = mask ? 0 : length;
    for (int64_t i = 0; i < length; i++) {
        if (ids[i] < 0 || ids[i] >= e->config.vocab)
            return VG_FAIL(
                err, VG_E_ARG,
                "token id %d at position %lld is outside the text encoder's vocabulary of %lld",
                ids[i], (long long)i, (long long)e->config.vocab);
        if (mask && mask[i])
            *keys = i + 1;
    }
    if (*keys ==
        0) /* all hidden, so all alike: every row attends to all of them equally, as in the reference */
        *keys = length;
    return VG_OK;
}

/* Rows of the embedding, gathered on the host. */
static vg_status embed(vg_umt5 *e, const int32_t *ids, vg_tensor *x, vg_err *err)
{
    const vg_umt5_config *c = &e->config;
    void *rows = malloc(vg_tensor_bytes(x));
    if (!rows)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the embeddings of %lld tokens",
                       (long long)x->shape[0]);
    vg_status status = vg_module_rows(e->module, e->table, c->vocab, c->d_model, ids, x->shape[0],
                                      e->compute, rows, err);
    if (status == VG_OK)
        status = vg_backend_upload(e->be, x, rows, err);
    if (status == VG_OK)
        status = vg_backend_sync(e->be, err); /* `rows` goes away */
    free(rows);
    return status;
}

static vg_status run_allocated(vg_umt5 *e, const int32_t *ids, const uint8_t *mask, int64_t length,
                               const atomic_int *cancel, float *out, const int64_t *buckets,
                               float *host_bias, vg_err *err)
{
    const vg_umt5_config *c = &e->config;
    int64_t inner = c->heads * c->d_kv;
    umt5_run r = {.length = length};
    VG_TRY(check_ids(e, ids, mask, length, &r.keys, err));
    vg_tensor result;
    VG_TRY(
        vg_arena_tensor(e->arena, e->compute, 2, (const int64_t[]){length, c->d_model}, &r.x, err));
    VG_TRY(
        vg_arena_tensor(e->arena, e->compute, 2, (const int64_t[]){length, c->d_model}, &r.n, err));
    VG_TRY(vg_arena_tensor(e->arena, e->compute, 2, (const int64_t[]){length, inner}, &r.q, err));
    VG_TRY(vg_arena_tensor(e->arena, e->compute, 2, (const int64_t[]){length, inner}, &r.k, err));
    VG_TRY(vg_arena_tensor(e->arena, e->compute, 2, (const int64_t[]){length, inner}, &r.v, err));
    VG_TRY(vg_arena_tensor(e->arena, e->compute, 2, (const int64_t[]){length, c->d_ff}, &r.g, err));
    VG_TRY(vg_arena_tensor(e->arena, e->compute, 2, (const int64_t[]){length, c->d_ff}, &r.u, err));
    VG_TRY(vg_arena_tensor(e->arena, VG_F32, 3, (const int64_t[]){c->heads, length, r.keys},
                           &r.bias, err));
    VG_TRY(embed(e, ids, &r.x, err));
    for (int64_t i = 0; i < c->layers; i++) {
        if (vg_cancelled(cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled in the text encoder");
        if (e->layers[i].bias) /* T5's stays from the first layer on */
            VG_TRY(upload_bias(e, &e->layers[i], mask, length, r.keys, buckets, host_bias, &r.bias,
                               err));
        VG_TRY(run_layer(e, &e->layers[i], &r, err));
    }
    VG_TRY(vg_rms_norm(
        e->be, &(vg_rms_norm_args){.x = &r.x, .w = &e->final_norm, .eps = (float)c->eps, .y = &r.n},
        err));
    result = r.n;
    if (e->compute != VG_F32) {
        VG_TRY(vg_arena_tensor(e->arena, VG_F32, 2, r.n.shape, &result, err));
        VG_TRY(vg_cast(e->be, &(vg_cast_args){.x = &r.n, .y = &result}, err));
    }
    return vg_backend_download(e->be, out, &result, err);
}

vg_status vg_umt5_run(vg_umt5 *e, const int32_t *ids, const uint8_t *mask, int64_t length,
                      const atomic_int *cancel, float *out, vg_err *err)
{
    size_t bytes, mark = vg_arena_mark(e->arena);
    VG_TRY(
        vg_shape_bytes((const int64_t[]){e->config.heads, length, length}, 3, VG_F32, &bytes, err));
    if (length < 1)
        return VG_FAIL(err, VG_E_ARG, "no token to encode");
    float *bias = malloc(bytes);
    int64_t *buckets = malloc((size_t)(2 * length - 1) * sizeof *buckets);
    vg_status status = VG_OK;
    if (!bias || !buckets)
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for the attention bias of %lld tokens",
                         (long long)length);
    for (int64_t i = 0; status == VG_OK && i < 2 * length - 1; i++)
        buckets[i] = vg_umt5_bucket(&e->config, i - (length - 1));
    if (status == VG_OK)
        status = run_allocated(e, ids, mask, length, cancel, out, buckets, bias, err);
    vg_arena_reset(e->arena, mark);
    free(buckets);
    free(bias);
    return status;
}
