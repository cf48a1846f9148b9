/* clip.c: see clip.h. Facts that break silently: the norm in front of the layers is called pre_layrnorm; the patch embedding has no bias; GELU is
 * the exact one; what is read is the input of the last layer. */
#include "engine/vision/clip.h"

#include "engine/vision/vit.h"

#include <stdio.h>
#include <stdlib.h>

struct vg_clip {
    vg_clip_config config;
    vg_weight_table weights;
    vg_module *module;
    vg_vit vit;
    vg_linear_layer patch;
    vg_tensor class_row, places; /* [dim], [tokens, dim] */
    vg_tensor norm_w, norm_b;
    vg_vit_layer *layers;
};

enum { DIM = 1, TOKENS, PATCH };

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

/* encoder: where the weights are loaded to, or NULL. */
static vg_status add_lists(const vg_clip_config *c, vg_clip *encoder, vg_weight_table *table,
                           vg_err *err)
{
    vg_weight_list list = {
        .count = 1,
        .rows = global_rows,
        .rows_count = sizeof global_rows / sizeof *global_rows,
        .dims = {[DIM] = c->dim, [TOKENS] = vg_clip_tokens(c), [PATCH] = c->patch},
        .to = encoder};
    snprintf(list.prefix, sizeof list.prefix, "%s", c->root);
    VG_TRY(vg_weight_table_add(table, &list, err));
    list = vg_vit_list(c->root, c->layers - 1, c->dim, c->ff, encoder ? encoder->layers : NULL);
    return vg_weight_table_add(table, &list, err);
}

vg_status vg_clip_weights(const vg_clip_config *config, const char *component,
                          vg_weight_table *table, vg_err *err)
{
    *table = (vg_weight_table){.component = component};
    vg_status status = add_lists(config, NULL, table, err);
    if (status != VG_OK)
        vg_weight_table_deinit(table);
    return status;
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
    e->weights.component = component;
    e->vit = (vg_vit){.be = engine->be,
                      .compute = compute,
                      .dim = config->dim,
                      .ff = config->ff,
                      .heads = config->heads,
                      .image = config->image,
                      .patch = config->patch,
                      .eps = (float)config->eps,
                      .act = VG_ACT_GELU_ERF};
    vg_module_options options = {.compute = compute};
    VG_TRY_GOTO(status, vg_module_open(engine, dir, component, &options, &e->module, err), fail);
    VG_TRY_GOTO(status, vg_arena_new(engine->be, (size_t)1 << 20, &e->vit.arena, err), fail);
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
    vg_arena_free(e->vit.arena);
    vg_module_close(e->module);
    free(e);
}

/* x = norm([class, patches] + places). */
static vg_status embed(const vg_clip *e, const float *pixels, vg_tensor *x, vg_err *err)
{
    const vg_vit *vit = &e->vit;
    vg_tensor first = vg_tensor_rows(x, 0, 1), others = vg_tensor_rows(x, 1, x->shape[0] - 1),
              class_row = vg_tensor_reshape(&e->class_row, 2, 1, vit->dim);
    VG_TRY(vg_backend_copy(vit->be, &first, &class_row, err));
    VG_TRY(vg_vit_patches(vit, &e->patch, pixels, &others, err));
    VG_TRY(vg_gate_residual(vit->be, &(vg_gate_residual_args){.x = x, .y = &e->places, .out = x},
                            err));
    return vg_vit_norm(vit, x, &e->norm_w, &e->norm_b, x, err);
}

static vg_status run(vg_clip *e, const float *pixels, const atomic_int *cancel, float *out,
                     vg_err *err)
{
    const int64_t shape[2] = {vg_clip_tokens(&e->config), e->config.dim};
    vg_tensor x;
    VG_TRY(vg_arena_tensor(e->vit.arena, e->vit.compute, 2, shape, &x, err));
    VG_TRY(embed(e, pixels, &x, err));
    VG_TRY(vg_vit_layers(&e->vit, e->layers, e->config.layers - 1, &x, cancel, err));
    return vg_vit_download(&e->vit, &x, out, err);
}

vg_status vg_clip_run(vg_clip *e, const float *pixels, const atomic_int *cancel, float *out,
                      vg_err *err)
{
    size_t mark = vg_arena_mark(e->vit.arena);
    vg_status status = run(e, pixels, cancel, out, err);
    vg_arena_reset(e->vit.arena, mark);
    return status;
}
