/* dit_weights.c: the transformer's weight table. Sources: hunyuanvideo15 2.10 (names, shapes), 0. */
#include "engine/family/hunyuanvideo15/dit_impl.h"

#include <stdlib.h>

/* Extents that follow from the config. */
enum {
    DIM = 1,
    FFN,
    REFINE_FFN,
    MODS,
    TWICE,
    HEAD_DIM,
    TEXT_DIM,
    GLYPH_DIM,
    IMAGE_DIM,
    CHANNELS,
    OUT
};

#define F32            VG_WEIGHT_F32
#define QUANT          VG_WEIGHT_QUANTISABLE
#define FREQ           VG_FIXED(HV_FREQ)
#define INNER          VG_FIXED(HV_GLYPH_INNER)
#define ONE            VG_FIXED(1)
#define COUNT(rows)    ((int)(sizeof rows / sizeof rows[0]))
#define REFINE_TIME(n) "context_embedder.time_text_embed.timestep_embedder.linear_" n
#define REFINE_POOL(n) "context_embedder.time_text_embed.text_embedder.linear_" n
#define AFFINE(name, field, ...)                                                                   \
    ROW(name ".weight", TENSOR, field.w, F32, __VA_ARGS__),                                        \
        ROW(name ".bias", TENSOR, field.b, F32, __VA_ARGS__)

#define ROW(...) VG_WEIGHT_ROW(hv_dit, __VA_ARGS__)
static const vg_weight_row globals[] = {
    ROW("x_embedder.proj.weight", HOST, patch_host, 0, DIM, CHANNELS, ONE, ONE, ONE),
    ROW("x_embedder.proj.bias", TENSOR, patch.bias, 0, DIM),
    ROW("cond_type_embed.weight", TENSOR, types, 0, VG_FIXED(TYPES), DIM),
    ROW(REFINE_TIME("1"), LINEAR, global[REFINE_TIME_1], 0, DIM, FREQ),
    ROW(REFINE_TIME("2"), LINEAR, global[REFINE_TIME_2], 0, DIM, DIM),
    ROW(REFINE_POOL("1"), LINEAR, global[REFINE_POOL_1], 0, DIM, TEXT_DIM),
    ROW(REFINE_POOL("2"), LINEAR, global[REFINE_POOL_2], 0, DIM, DIM),
    ROW("context_embedder.proj_in", LINEAR, global[REFINE_IN], 0, DIM, TEXT_DIM),
    AFFINE("context_embedder_2.norm", norm[GLYPH_NORM], GLYPH_DIM),
    ROW("context_embedder_2.linear_1", LINEAR, global[GLYPH_1], 0, INNER, GLYPH_DIM),
    ROW("context_embedder_2.linear_2", LINEAR, global[GLYPH_2], 0, INNER, INNER),
    ROW("context_embedder_2.linear_3", LINEAR, global[GLYPH_3], 0, DIM, INNER),
    AFFINE("image_embedder.norm_in", norm[IMAGE_NORM_IN], IMAGE_DIM),
    ROW("image_embedder.linear_1", LINEAR, global[IMAGE_1], 0, IMAGE_DIM, IMAGE_DIM),
    ROW("image_embedder.linear_2", LINEAR, global[IMAGE_2], 0, DIM, IMAGE_DIM),
    AFFINE("image_embedder.norm_out", norm[IMAGE_NORM_OUT], DIM),
    ROW("proj_out", LINEAR, global[PROJ_OUT], 0, OUT, DIM),
};
#undef ROW

#define ROW(...) VG_WEIGHT_ROW(hv_refiner_block, __VA_ARGS__)
static const vg_weight_row refiner[] = {
    AFFINE("norm1", norm1, DIM),
    AFFINE("norm2", norm2, DIM),
    ROW("attn.to_q", LINEAR, linear[ATTN_Q], 0, DIM, DIM),
    ROW("attn.to_k", LINEAR, linear[ATTN_K], 0, DIM, DIM),
    ROW("attn.to_v", LINEAR, linear[ATTN_V], 0, DIM, DIM),
    ROW("attn.to_out.0", LINEAR, linear[ATTN_O], 0, DIM, DIM),
    ROW("ff.net.0.proj", LINEAR, linear[FFN_UP], 0, REFINE_FFN, DIM),
    ROW("ff.net.2", LINEAR, linear[FFN_DOWN], 0, DIM, REFINE_FFN),
    ROW("norm_out.linear", LINEAR, modulation, 0, TWICE, DIM),
};
#undef ROW

#define ROW(...) VG_WEIGHT_ROW(hv_dit_block, __VA_ARGS__)
static const vg_weight_row block[] = {
    ROW("attn.to_q", LINEAR, stream[VIDEO].linear[ATTN_Q], QUANT, DIM, DIM),
    ROW("attn.to_k", LINEAR, stream[VIDEO].linear[ATTN_K], QUANT, DIM, DIM),
    ROW("attn.to_v", LINEAR, stream[VIDEO].linear[ATTN_V], QUANT, DIM, DIM),
    ROW("attn.add_q_proj", LINEAR, stream[TEXT].linear[ATTN_Q], QUANT, DIM, DIM),
    ROW("attn.add_k_proj", LINEAR, stream[TEXT].linear[ATTN_K], QUANT, DIM, DIM),
    ROW("attn.add_v_proj", LINEAR, stream[TEXT].linear[ATTN_V], QUANT, DIM, DIM),
    ROW("attn.to_out.0", LINEAR, stream[VIDEO].linear[ATTN_O], QUANT, DIM, DIM),
    ROW("attn.to_add_out", LINEAR, stream[TEXT].linear[ATTN_O], QUANT, DIM, DIM),
    ROW("ff.net.0.proj", LINEAR, stream[VIDEO].linear[FFN_UP], QUANT, FFN, DIM),
    ROW("ff.net.2", LINEAR, stream[VIDEO].linear[FFN_DOWN], QUANT, DIM, FFN),
    ROW("ff_context.net.0.proj", LINEAR, stream[TEXT].linear[FFN_UP], QUANT, FFN, DIM),
    ROW("ff_context.net.2", LINEAR, stream[TEXT].linear[FFN_DOWN], QUANT, DIM, FFN),
    ROW("attn.norm_q.weight", TENSOR, stream[VIDEO].norm_q, 0, HEAD_DIM),
    ROW("attn.norm_k.weight", TENSOR, stream[VIDEO].norm_k, 0, HEAD_DIM),
    ROW("attn.norm_added_q.weight", TENSOR, stream[TEXT].norm_q, 0, HEAD_DIM),
    ROW("attn.norm_added_k.weight", TENSOR, stream[TEXT].norm_k, 0, HEAD_DIM),
};
#undef ROW

static const vg_weight_row time_embedder[] = {
    VG_WEIGHT_ROW(hv_time_embedder, "linear_1", LINEAR, linear_1, 0, DIM, FREQ),
    VG_WEIGHT_ROW(hv_time_embedder, "linear_2", LINEAR, linear_2, 0, DIM, DIM),
};
static const vg_weight_row block_mods[] = {
    VG_WEIGHT_ROW(hv_modulation, "norm1.linear", LINEAR, of[VIDEO], 0, MODS, DIM),
    VG_WEIGHT_ROW(hv_modulation, "norm1_context.linear", LINEAR, of[TEXT], 0, MODS, DIM),
};
static const vg_weight_row last_mod[] = {
    VG_WEIGHT_ROW(hv_modulation, "norm_out.linear", LINEAR, of[0], 0, TWICE, DIM),
};

#define BLOCKS_PREFIX  "transformer_blocks.%d."
#define REFINER_PREFIX "context_embedder.token_refiner.refiner_blocks.%d."

/* A list without names and rows. */
static vg_weight_list sized(const hv_dit_config *c)
{
    return (vg_weight_list){.count = 1,
                            .dims = {[DIM] = c->dim,
                                     [FFN] = c->ffn_dim,
                                     [REFINE_FFN] = 4 * c->dim,
                                     [MODS] = MODULATIONS * c->dim,
                                     [TWICE] = 2 * c->dim,
                                     [HEAD_DIM] = c->head_dim,
                                     [TEXT_DIM] = c->text_dim,
                                     [GLYPH_DIM] = c->glyph_dim,
                                     [IMAGE_DIM] = c->image_dim,
                                     [CHANNELS] = c->in_channels,
                                     [OUT] = c->out_channels}};
}

static void rows_of(vg_weight_list *list, const char *prefix, const vg_weight_row *rows, int count,
                    void *to)
{
    snprintf(list->prefix, sizeof list->prefix, "%s", prefix);
    list->rows = rows;
    list->rows_count = count;
    list->to = to;
}

void hv_dit_time_list(const hv_dit_config *c, int which, void *to, vg_weight_list *list)
{
    *list = sized(c);
    switch (which) {
    case HV_TIMES:
        rows_of(list, "time_embed.timestep_embedder.", time_embedder, COUNT(time_embedder), to);
        break;
    case HV_TIMES_NEXT:
        rows_of(list, "time_embed.timestep_embedder_r.", time_embedder, COUNT(time_embedder), to);
        list->count = c->meanflow;
        break;
    case HV_BLOCK_MODS:
        rows_of(list, BLOCKS_PREFIX, block_mods, COUNT(block_mods), to);
        list->count = c->layers;
        break;
    default:
        rows_of(list, "", last_mod, COUNT(last_mod), to);
    }
}

/* dit: where the weights are loaded to, or NULL. */
static vg_status add_lists(const hv_dit_config *c, hv_dit *dit, vg_weight_table *table, vg_err *err)
{
    vg_weight_list list = sized(c);
    rows_of(&list, "", globals, COUNT(globals), dit);
    VG_TRY(vg_weight_table_add(table, &list, err));
    rows_of(&list, REFINER_PREFIX, refiner, COUNT(refiner), dit ? dit->refiner : NULL);
    list.count = c->refiner_layers;
    list.stride = sizeof(hv_refiner_block);
    VG_TRY(vg_weight_table_add(table, &list, err));
    rows_of(&list, BLOCKS_PREFIX, block, COUNT(block), dit ? dit->blocks : NULL);
    list.count = c->layers;
    list.stride = sizeof(hv_dit_block);
    return vg_weight_table_add(table, &list, err);
}

vg_status hv_dit_weights(const hv_dit_config *config, const char *component, vg_weight_table *table,
                         vg_err *err)
{
    *table = (vg_weight_table){.component = component};
    VG_TRY(add_lists(config, NULL, table, err));
    for (int i = 0; i < HV_TIME_LISTS; i++) {
        vg_weight_list list;
        hv_dit_time_list(config, i, NULL, &list);
        if (list.count > 0)
            VG_TRY(vg_weight_table_add(table, &list, err));
    }
    return VG_OK;
}

vg_status hv_dit_open_weights(hv_dit *d, vg_err *err)
{
    d->weights = (vg_weight_table){.component = "transformer"};
    return add_lists(&d->config, d, &d->weights, err);
}

/* The patch embedding as a matrix whose columns are filled up with zeros to what x has. */
static vg_status make_patch(hv_dit *d, vg_err *err)
{
    int64_t dim = d->config.dim, from = d->config.in_channels, to = hv_dit_channels(from);
    vg_tensor raw;
    float *padded = calloc((size_t)(dim * to), sizeof *padded);
    vg_status status = padded ? VG_OK : VG_FAIL(err, VG_E_NOMEM, "out of memory for x_embedder");
    for (int64_t i = 0; padded && i < dim; i++)
        memcpy(padded + i * to, d->patch_host + i * from, (size_t)from * sizeof *padded);
    d->patch.n = dim;
    d->patch.k = to;
    d->patch.name = "x_embedder.proj";
    if (status == VG_OK)
        status = hv_matrix(d->own, d->compute, dim, to, &d->patch.w, err);
    size_t mark = vg_arena_mark(d->work);
    if (status == VG_OK)
        status = hv_matrix(d->work, VG_F32, dim, to, &raw, err);
    if (status == VG_OK)
        status = vg_backend_upload(d->be, &raw, padded, err);
    if (status == VG_OK)
        status = vg_cast(d->be, &(vg_cast_args){.x = &raw, .y = &d->patch.w}, err);
    if (status == VG_OK)
        status = vg_backend_sync(d->be, err);
    vg_arena_reset(d->work, mark);
    free(padded);
    free(d->patch_host);
    d->patch_host = NULL;
    return status;
}

vg_status hv_dit_load_globals(hv_dit *d, vg_err *err)
{
    const vg_weight_list *lists = d->weights.lists;
    VG_TRY(vg_module_load(d->module, &lists[HV_DIT_GLOBALS], 0, err));
    for (int64_t i = 0; i < d->config.refiner_layers; i++)
        VG_TRY(vg_module_load(d->module, &lists[HV_DIT_REFINER], i, err));
    /* Loaded by modules of their own, when the timesteps are known. */
    for (int i = 0; i < HV_TIME_LISTS; i++) {
        vg_weight_list list;
        hv_dit_time_list(&d->config, i, NULL, &list);
        for (int64_t item = 0; item < list.count; item++)
            vg_module_elsewhere(d->module, &list, item);
    }
    return make_patch(d, err);
}
