/* clip.c: see clip.h. Facts that break silently: the norm in front of the layers is called pre_layrnorm; the patch embedding has no bias; GELU is
 * the exact one; what is read is the input of the last layer. */
#include "engine/vision/clip.h"

#include "engine/checkpoint/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct clip_layer {
    vg_tensor norm1_w, norm1_b, norm2_w, norm2_b;
    vg_linear_layer q, k, v, o, up, down;
} clip_layer;

struct vg_clip {
    vg_clip_config config;
    vg_dtype compute;
    vg_weight_table weights;
    vg_module *module;
    vg_backend *be;
    vg_arena *arena;
    vg_linear_layer patch;
    vg_tensor class_row, places; /* [dim], [tokens, dim] */
    vg_tensor norm_w, norm_b;
    clip_layer *layers;
};

/* ---- weights ---- */

enum { DIM = 1, FF, TOKENS, PATCH };

#define ROW(...) VG_WEIGHT_ROW(vg_clip, __VA_ARGS__)

static const vg_weight_row global_rows[] = {
    ROW("embeddings.class_embedding", TENSOR, class_row, 0, DIM),
    ROW("embeddings.patch_embedding", PATCH, patch, VG_WEIGHT_NO_BIAS, DIM, VG_FIXED(3), PATCH,
        PATCH),
    ROW("embeddings.position_embedding.weight", TENSOR, places, 0, TOKENS, DIM),
    ROW("pre_layrnorm.weight", TENSOR, norm_w, VG_WEIGHT_F32, DIM), /* sic */
    ROW("pre_layrnorm.bias", TENSOR, norm_b, VG_WEIGHT_F32, DIM),
};
#undef ROW
#define ROW(...) VG_WEIGHT_ROW(clip_layer, __VA_ARGS__)

static const vg_weight_row layer_rows[] = {
    ROW("layer_norm1.weight", TENSOR, norm1_w, VG_WEIGHT_F32, DIM),
    ROW("layer_norm1.bias", TENSOR, norm1_b, VG_WEIGHT_F32, DIM),
    ROW("self_attn.q_proj", LINEAR, q, 0, DIM, DIM),
    ROW("self_attn.k_proj", LINEAR, k, 0, DIM, DIM),
    ROW("self_attn.v_proj", LINEAR, v, 0, DIM, DIM),
    ROW("self_attn.out_proj", LINEAR, o, 0, DIM, DIM),
    ROW("layer_norm2.weight", TENSOR, norm2_w, VG_WEIGHT_F32, DIM),
    ROW("layer_norm2.bias", TENSOR, norm2_b, VG_WEIGHT_F32, DIM),
    ROW("mlp.fc1", LINEAR, up, 0, FF, DIM),
    ROW("mlp.fc2", LINEAR, down, 0, DIM, FF),
};
#undef ROW

/* encoder: where the weights are loaded to, or NULL. */
static vg_status add_lists(const vg_clip_config *c, vg_clip *encoder, vg_weight_table *table,
                           vg_err *err)
{
    vg_weight_list list = {
        .count = 1,
        .rows = global_rows,
        .rows_count = sizeof global_rows / sizeof global_rows[0],
        .dims = {[DIM] = c->dim, [FF] = c->ff, [TOKENS] = vg_clip_tokens(c), [PATCH] = c->patch},
        .to = encoder};
    snprintf(list.prefix, sizeof list.prefix, "%s", c->root);
    VG_TRY(vg_weight_table_add(table, &list, err));
    list.count = c->layers - 1;
    list.rows = layer_rows;
    list.rows_count = sizeof layer_rows / sizeof layer_rows[0];
    list.to = encoder ? encoder->layers : NULL;
    list.stride = sizeof(clip_layer);
    snprintf(list.prefix, sizeof list.prefix, "%sencoder.layers.%%d.", c->root);
    return vg_weight_table_add(table, &list, err);
}

vg_status vg_clip_weights(const vg_clip_config *config, const char *component,
                          vg_weight_table *table, vg_err *err)
{
    *table = (vg_weight_table){.component = component};
    return add_lists(config, NULL, table, err);
}

static vg_status load(vg_clip *e, vg_err *err)
{
    VG_TRY(add_lists(&e->config, e, &e->weights, err));
    for (int i = 0; i < e->weights.count; i++)
        for (int64_t item = 0; item < e->weights.lists[i].count; item++)
            VG_TRY(vg_module_load(e->module, &e->weights.lists[i], item, err));
    return vg_module_loaded(e->module, err);
}

vg_status vg_clip_open(vg_engine *engine, const char *dir, const char *component,
                       const vg_clip_config *config, vg_dtype compute, vg_clip **encoder,
                       vg_err *err)
{
    vg_status status;
    vg_clip *e = calloc(1, sizeof *e);
    if (!e || !(e->layers = calloc((size_t)config->layers, sizeof *e->layers))) {
        free(e);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the image encoder");
    }
    e->config = *config;
    e->compute = compute;
    e->be = engine->be;
    e->weights.component = component;
    vg_module_options options = {.compute = compute};
    VG_TRY_GOTO(status, vg_module_open(engine, dir, component, &options, &e->module, err), fail);
    VG_TRY_GOTO(status, vg_arena_new(e->be, (size_t)1 << 20, &e->arena, err), fail);
    VG_TRY_GOTO(status, load(e, err), fail);
    *encoder = e;
    return VG_OK;
fail:
    vg_clip_close(e);
    return status;
}

void vg_clip_close(vg_clip *e)
{
    if (!e)
        return;
    free(e->layers);
    vg_weight_table_deinit(&e->weights);
    vg_arena_free(e->arena);
    vg_module_close(e->module);
    free(e);
}

/* ---- running ---- */

typedef struct clip_run {
    vg_tensor x, n, q, k, v, hidden; /* [tokens, dim], hidden [tokens, ff] */
} clip_run;

static vg_status norm(const vg_clip *e, const vg_tensor *x, const vg_tensor *w, const vg_tensor *b,
                      vg_tensor *y, vg_err *err)
{
    return vg_layer_norm_modulate(
        e->be,
        &(vg_layer_norm_modulate_args){.x = x, .w = w, .b = b, .eps = (float)e->config.eps, .y = y},
        err);
}

static vg_status add(const vg_clip *e, vg_tensor *x, const vg_tensor *y, vg_err *err)
{
    return vg_gate_residual(e->be, &(vg_gate_residual_args){.x = x, .y = y, .out = x}, err);
}

static vg_status attend(const vg_clip *e, const clip_run *r, vg_tensor *y, vg_err *err)
{
    const vg_clip_config *c = &e->config;
    int64_t tokens = r->x.shape[0], head = c->dim / c->heads;
    vg_tensor q = vg_tensor_reshape(&r->q, 3, tokens, c->heads, head),
              k = vg_tensor_reshape(&r->k, 3, tokens, c->heads, head),
              v = vg_tensor_reshape(&r->v, 3, tokens, c->heads, head),
              o = vg_tensor_reshape(y, 3, tokens, c->heads, head);
    return vg_attention(
        e->be,
        &(vg_attention_args){
            .q = &q, .k = &k, .v = &v, .scale = (float)(1.0 / sqrt((double)head)), .y = &o},
        err);
}

static vg_status run_layer(vg_clip *e, const clip_layer *l, clip_run *r, vg_err *err)
{
    VG_TRY(norm(e, &r->x, &l->norm1_w, &l->norm1_b, &r->n, err));
    VG_TRY(vg_linear_run(e->arena, (const vg_linear_layer *const[]){&l->q, &l->k, &l->v}, 3, &r->n,
                         VG_ACT_NONE, (vg_tensor *const[]){&r->q, &r->k, &r->v}, err));
    VG_TRY(attend(e, r, &r->n, err));
    VG_TRY(vg_linear_run1(e->arena, &l->o, &r->n, VG_ACT_NONE, &r->q, err));
    VG_TRY(add(e, &r->x, &r->q, err));
    VG_TRY(norm(e, &r->x, &l->norm2_w, &l->norm2_b, &r->n, err));
    VG_TRY(vg_linear_run1(e->arena, &l->up, &r->n, VG_ACT_GELU_ERF, &r->hidden, err));
    VG_TRY(vg_linear_run1(e->arena, &l->down, &r->hidden, VG_ACT_NONE, &r->q, err));
    return add(e, &r->x, &r->q, err);
}

/* x = norm([class, patches] + places). */
static vg_status embed(vg_clip *e, const float *pixels, clip_run *r, vg_err *err)
{
    const vg_clip_config *c = &e->config;
    int64_t patches = vg_clip_tokens(c) - 1;
    const int64_t shape[4] = {3, 1, c->image, c->image},
                  rows[2] = {patches, 3 * c->patch * c->patch};
    vg_tensor raw, x, cut, first = vg_tensor_rows(&r->q, 0, 1),
                           others = vg_tensor_rows(&r->q, 1, patches),
                           class_row = vg_tensor_reshape(&e->class_row, 2, 1, c->dim);
    VG_TRY(vg_arena_tensor(e->arena, VG_F32, 4, shape, &raw, err));
    VG_TRY(vg_backend_upload(e->be, &raw, pixels, err));
    VG_TRY(vg_arena_tensor(e->arena, e->compute, 4, shape, &x, err));
    VG_TRY(vg_cast(e->be, &(vg_cast_args){.x = &raw, .y = &x}, err));
    VG_TRY(vg_arena_tensor(e->arena, e->compute, 2, rows, &cut, err));
    VG_TRY(vg_patchify(
        e->be, &(vg_patchify_args){.x = &x, .patch = {1, (int)c->patch, (int)c->patch}, .y = &cut},
        err));
    VG_TRY(vg_backend_copy(e->be, &first, &class_row, err));
    VG_TRY(vg_linear_run1(e->arena, &e->patch, &cut, VG_ACT_NONE, &others, err));
    VG_TRY(add(e, &r->q, &e->places, err));
    VG_TRY(norm(e, &r->q, &e->norm_w, &e->norm_b, &r->x, err));
    return vg_backend_sync(e->be, err); /* pixels belong to the caller */
}

static vg_status run(vg_clip *e, const float *pixels, const atomic_int *cancel, float *out,
                     vg_err *err)
{
    const vg_clip_config *c = &e->config;
    const int64_t shape[2] = {vg_clip_tokens(c), c->dim}, wide[2] = {shape[0], c->ff};
    clip_run r;
    vg_tensor *rows[] = {&r.x, &r.n, &r.q, &r.k, &r.v}, result;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        VG_TRY(vg_arena_tensor(e->arena, e->compute, 2, shape, rows[i], err));
    VG_TRY(vg_arena_tensor(e->arena, e->compute, 2, wide, &r.hidden, err));
    VG_TRY(embed(e, pixels, &r, err));
    for (int64_t i = 0; i < c->layers - 1; i++) {
        if (vg_cancelled(cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled in the image encoder");
        VG_TRY(run_layer(e, &e->layers[i], &r, err));
    }
    result = r.x;
    if (e->compute != VG_F32) {
        VG_TRY(vg_arena_tensor(e->arena, VG_F32, 2, shape, &result, err));
        VG_TRY(vg_cast(e->be, &(vg_cast_args){.x = &r.x, .y = &result}, err));
    }
    return vg_backend_download(e->be, out, &result, err);
}

vg_status vg_clip_run(vg_clip *e, const float *pixels, const atomic_int *cancel, float *out,
                      vg_err *err)
{
    size_t mark = vg_arena_mark(e->arena);
    vg_status status = run(e, pixels, cancel, out, err);
    vg_arena_reset(e->arena, mark);
    return status;
}
