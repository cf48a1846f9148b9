/* siglip.c: see siglip.h. Facts that break silently: there is no class token; the patch embedding has a bias; GELU is the tanh form; the final
 * norm comes behind the last layer; 384 pixels are 27 patches of 14 and 6 pixels that nobody sees. */
#include "engine/vision/siglip.h"

#include "engine/vision/vit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vg_siglip {
    vg_siglip_config config;
    vg_weight_table weights;
    vg_module *module;
    vg_vit vit;
    vg_linear_layer patch;
    vg_tensor places; /* [tokens, hidden] */
    vg_tensor norm_w, norm_b;
    vg_vit_layer *layers;
};

enum { HIDDEN = 1, TOKENS, PATCH };

#define ROW(...) VG_WEIGHT_ROW(vg_siglip, __VA_ARGS__)
static const vg_weight_row global_rows[] = {
    ROW("embeddings.patch_embedding", PATCH, patch, 0, HIDDEN, VG_FIXED(3), PATCH, PATCH),
    ROW("embeddings.position_embedding.weight", TENSOR, places, 0, TOKENS, HIDDEN),
    ROW("post_layernorm.weight", TENSOR, norm_w, VG_WEIGHT_F32, HIDDEN),
    ROW("post_layernorm.bias", TENSOR, norm_b, VG_WEIGHT_F32, HIDDEN),
};
#undef ROW

/* encoder: where the weights are loaded to, or NULL. */
static vg_status add_lists(const vg_siglip_config *c, vg_siglip *encoder, vg_weight_table *table,
                           vg_err *err)
{
    vg_weight_list list = {
        .count = 1,
        .rows = global_rows,
        .rows_count = sizeof global_rows / sizeof *global_rows,
        .dims = {[HIDDEN] = c->hidden, [TOKENS] = vg_siglip_tokens(c), [PATCH] = c->patch},
        .to = encoder};
    snprintf(list.prefix, sizeof list.prefix, "%s", c->root);
    VG_TRY(vg_weight_table_add(table, &list, err));
    list = vg_vit_list(c->root, c->layers, c->hidden, c->ff, encoder ? encoder->layers : NULL);
    return vg_weight_table_add(table, &list, err);
}

vg_status vg_siglip_weights(const vg_siglip_config *config, const char *component,
                            vg_weight_table *table, vg_err *err)
{
    *table = (vg_weight_table){.component = component};
    vg_status status = add_lists(config, NULL, table, err);
    if (status != VG_OK)
        vg_weight_table_deinit(table);
    return status;
}

static vg_status load(vg_siglip *e, vg_err *err)
{
    VG_TRY(add_lists(&e->config, e, &e->weights, err));
    for (int i = 0; i < e->weights.count; i++)
        for (int64_t item = 0; item < e->weights.lists[i].count; item++)
            VG_TRY(vg_module_load(e->module, &e->weights.lists[i], item, err));
    return vg_module_loaded(e->module, err);
}

vg_status vg_siglip_open(vg_engine *engine, const char *dir, const char *component,
                         const vg_siglip_config *config, vg_dtype compute, vg_siglip **encoder,
                         vg_err *err)
{
    vg_status status;
    vg_siglip *e = calloc(1, sizeof *e);
    if (!e || !(e->layers = calloc((size_t)config->layers, sizeof *e->layers))) {
        free(e);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the image encoder");
    }
    e->config = *config;
    e->weights.component = component;
    e->vit = (vg_vit){.be = engine->be,
                      .compute = compute,
                      .dim = config->hidden,
                      .ff = config->ff,
                      .heads = config->heads,
                      .image = config->image,
                      .patch = config->patch,
                      .eps = (float)config->eps,
                      .act = VG_ACT_GELU_TANH};
    vg_module_options options = {.compute = compute};
    VG_TRY_GOTO(status, vg_module_open(engine, dir, component, &options, &e->module, err), fail);
    VG_TRY_GOTO(status, vg_arena_new(engine->be, (size_t)1 << 20, &e->vit.arena, err), fail);
    VG_TRY_GOTO(status, load(e, err), fail);
    *encoder = e;
    return VG_OK;
fail:
    vg_siglip_close(e);
    return status;
}

void vg_siglip_close(vg_siglip *e)
{
    if (!e)
        return;
    free(e->layers);
    vg_weight_table_deinit(&e->weights);
    vg_arena_free(e->vit.arena);
    vg_module_close(e->module);
    free(e);
}

static vg_status run(vg_siglip *e, const float *pixels, const atomic_int *cancel, float *out,
                     vg_err *err)
{
    const vg_vit *vit = &e->vit;
    const int64_t shape[2] = {vg_siglip_tokens(&e->config), e->config.hidden};
    vg_tensor x;
    VG_TRY(vg_arena_tensor(vit->arena, vit->compute, 2, shape, &x, err));
    VG_TRY(vg_vit_patches(vit, &e->patch, pixels, &x, err));
    VG_TRY(vg_gate_residual(vit->be, &(vg_gate_residual_args){.x = &x, .y = &e->places, .out = &x},
                            err));
    VG_TRY(vg_vit_layers(vit, e->layers, e->config.layers, &x, cancel, err));
    VG_TRY(vg_vit_norm(vit, &x, &e->norm_w, &e->norm_b, &x, err));
    return vg_vit_download(vit, &x, out, err);
}

vg_status vg_siglip_run(vg_siglip *e, const float *pixels, const atomic_int *cancel, float *out,
                        vg_err *err)
{
    size_t mark = vg_arena_mark(e->vit.arena);
    vg_status status = run(e, pixels, cancel, out, err);
    vg_arena_reset(e->vit.arena, mark);
    return status;
}
