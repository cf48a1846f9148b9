/* dit_weights.c: the transformer's weight table. Sources: wan 2.1 (names, shapes, what stays in FP32). */
#include "engine/family/wan/dit_impl.h"

#include <stdlib.h>

/* Extents that follow from the config. */
enum {
    DIM = 1,
    FFN,
    DIM6,
    FREQ,
    TEXT,
    PATCH_OUT,
    CHANNELS,
    PATCH_T,
    PATCH_H,
    PATCH_W,
    CONTROL,
    IMAGE,
    PLACES
};

#define F32              VG_WEIGHT_F32
#define QUANT            VG_WEIGHT_QUANTISABLE
#define TIME_EMBEDDER(n) "condition_embedder.time_embedder.linear_" n
#define TEXT_EMBEDDER(n) "condition_embedder.text_embedder.linear_" n

#define IMAGE_EMBEDDER "condition_embedder.image_embedder."
#define ROW(...)       VG_WEIGHT_ROW(wan_dit, __VA_ARGS__)

static const vg_weight_row globals[] = {
    ROW("patch_embedding", PATCH, patch, 0, DIM, CHANNELS, PATCH_T, PATCH_H, PATCH_W),
    ROW(TIME_EMBEDDER("1"), LINEAR, global[TIME_1], F32, DIM, FREQ),
    ROW(TIME_EMBEDDER("2"), LINEAR, global[TIME_2], F32, DIM, DIM),
    ROW("condition_embedder.time_proj", LINEAR, global[TIME_PROJ], 0, DIM6, DIM),
    ROW(TEXT_EMBEDDER("1"), LINEAR, global[TEXT_1], 0, DIM, TEXT),
    ROW(TEXT_EMBEDDER("2"), LINEAR, global[TEXT_2], 0, DIM, DIM),
    ROW("proj_out", LINEAR, global[PROJ_OUT], 0, PATCH_OUT, DIM),
    ROW("scale_shift_table", TENSOR, table, F32, VG_FIXED(1), VG_FIXED(2), DIM),
};
static const vg_weight_row image_globals[] = {
    ROW("norm1.weight", TENSOR, image_w1, F32, IMAGE),
    ROW("norm1.bias", TENSOR, image_b1, F32, IMAGE),
    ROW("ff.net.0.proj", LINEAR, global[IMAGE_1], 0, IMAGE, IMAGE),
    ROW("ff.net.2", LINEAR, global[IMAGE_2], 0, DIM, IMAGE),
    ROW("norm2.weight", TENSOR, image_w2, F32, DIM),
    ROW("norm2.bias", TENSOR, image_b2, F32, DIM),
    ROW("pos_embed", TENSOR, image_pos, 0, VG_FIXED(1), PLACES, IMAGE), /* last: if PLACES */
};
static const vg_weight_row vace_globals[] = {
    ROW("vace_patch_embedding", PATCH, vace_patch, 0, DIM, CONTROL, PATCH_T, PATCH_H, PATCH_W),
};
static const vg_weight_row vace_first[] = {
    ROW("proj_in", LINEAR, vace_in, QUANT, DIM, DIM),
};
#undef ROW
#define ROW(...) VG_WEIGHT_ROW(wan_dit_block, __VA_ARGS__)

#define BLOCK_ROWS                                                                                 \
    ROW("attn1.to_q", LINEAR, linear[ATTN1_Q], QUANT, DIM, DIM),                                   \
        ROW("attn1.to_k", LINEAR, linear[ATTN1_K], QUANT, DIM, DIM),                               \
        ROW("attn1.to_v", LINEAR, linear[ATTN1_V], QUANT, DIM, DIM),                               \
        ROW("attn1.to_out.0", LINEAR, linear[ATTN1_O], QUANT, DIM, DIM),                           \
        ROW("attn2.to_q", LINEAR, linear[ATTN2_Q], QUANT, DIM, DIM),                               \
        ROW("attn2.to_k", LINEAR, linear[ATTN2_K], QUANT, DIM, DIM),                               \
        ROW("attn2.to_v", LINEAR, linear[ATTN2_V], QUANT, DIM, DIM),                               \
        ROW("attn2.to_out.0", LINEAR, linear[ATTN2_O], QUANT, DIM, DIM),                           \
        ROW("ffn.net.0.proj", LINEAR, linear[FFN_UP], QUANT, FFN, DIM),                            \
        ROW("ffn.net.2", LINEAR, linear[FFN_DOWN], QUANT, DIM, FFN),                               \
        ROW("attn1.norm_q.weight", TENSOR, norm_q1, 0, DIM),                                       \
        ROW("attn1.norm_k.weight", TENSOR, norm_k1, 0, DIM),                                       \
        ROW("attn2.norm_q.weight", TENSOR, norm_q2, 0, DIM),                                       \
        ROW("attn2.norm_k.weight", TENSOR, norm_k2, 0, DIM),                                       \
        ROW("norm2.weight", TENSOR, norm2_w, F32, DIM),                                            \
        ROW("norm2.bias", TENSOR, norm2_b, F32, DIM),                                              \
        ROW("scale_shift_table", TENSOR, table, F32, VG_FIXED(1), VG_FIXED(MODULATIONS), DIM)

static const vg_weight_row block[] = {BLOCK_ROWS};
static const vg_weight_row image_block[] = {
    BLOCK_ROWS,
    ROW("attn2.add_k_proj", LINEAR, linear[IMAGE_K], QUANT, DIM, DIM),
    ROW("attn2.add_v_proj", LINEAR, linear[IMAGE_V], QUANT, DIM, DIM),
    ROW("attn2.norm_added_k.weight", TENSOR, norm_image_k, 0, DIM),
};
static const vg_weight_row vace_block[] = {
    BLOCK_ROWS,
    ROW("proj_out", LINEAR, hint, QUANT, DIM, DIM),
};

#define COUNT(rows) ((int)(sizeof rows / sizeof rows[0]))

/* A list of blocks, with the extents of `like`. */
static vg_status add_blocks(vg_weight_table *table, const vg_weight_list *like, const char *prefix,
                            const vg_weight_row *rows, int rows_count, int64_t count,
                            wan_dit_block *to, vg_err *err)
{
    vg_weight_list list = *like;
    list.count = count;
    list.rows = rows;
    list.rows_count = rows_count;
    list.to = to;
    list.stride = sizeof *to;
    memcpy(list.prefix, prefix, strlen(prefix) + 1);
    return vg_weight_table_add(table, &list, err);
}

/* dit: where the weights are loaded to, or NULL. */
static vg_status add_lists(const wan_dit_config *c, wan_dit *dit, vg_weight_table *table,
                           vg_err *err)
{
    vg_weight_list list = {
        .count = 1,
        .rows = globals,
        .rows_count = COUNT(globals),
        .dims = {[DIM] = c->dim,
                 [FFN] = c->ffn_dim,
                 [DIM6] = MODULATIONS * c->dim,
                 [FREQ] = c->freq_dim,
                 [TEXT] = c->text_dim,
                 [PATCH_OUT] = (int64_t)c->patch[0] * c->patch[1] * c->patch[2] * c->out_channels,
                 [CHANNELS] = c->in_channels,
                 [PATCH_T] = c->patch[0],
                 [PATCH_H] = c->patch[1],
                 [PATCH_W] = c->patch[2],
                 [CONTROL] = c->vace_channels,
                 [IMAGE] = c->image_dim,
                 [PLACES] = c->image_places},
        .to = dit,
    };
    VG_TRY(vg_weight_table_add(table, &list, err));
    VG_TRY(add_blocks(table, &list, "blocks.%d.", c->image_dim ? image_block : block,
                      c->image_dim ? COUNT(image_block) : COUNT(block), c->layers,
                      dit ? dit->blocks : NULL, err));
    if (c->image_dim) {
        list.rows = image_globals;
        list.rows_count = COUNT(image_globals) - (c->image_places ? 0 : 1);
        memcpy(list.prefix, IMAGE_EMBEDDER, sizeof IMAGE_EMBEDDER);
        return vg_weight_table_add(table, &list, err);
    }
    if (!c->vace_count)
        return VG_OK;
    list.rows = vace_globals;
    list.rows_count = COUNT(vace_globals);
    VG_TRY(vg_weight_table_add(table, &list, err));
    list.rows = vace_first;
    list.rows_count = COUNT(vace_first);
    memcpy(list.prefix, "vace_blocks.0.", sizeof "vace_blocks.0.");
    VG_TRY(vg_weight_table_add(table, &list, err));
    return add_blocks(table, &list, "vace_blocks.%d.", vace_block, COUNT(vace_block), c->vace_count,
                      dit ? dit->blocks + c->layers : NULL, err);
}

vg_status wan_dit_weights(const wan_dit_config *config, const char *component,
                          vg_weight_table *table, vg_err *err)
{
    *table = (vg_weight_table){.component = component};
    return add_lists(config, NULL, table, err);
}

vg_status wan_dit_open_weights(wan_dit *d, const char *component, vg_err *err)
{
    d->weights = (vg_weight_table){.component = component};
    return add_lists(&d->config, d, &d->weights, err);
}

vg_status wan_dit_load_globals(wan_dit *d, vg_err *err)
{
    static const int vace[] = {WAN_DIT_GLOBALS, WAN_DIT_VACE_GLOBALS, WAN_DIT_VACE_FIRST},
                     image[] = {WAN_DIT_GLOBALS, WAN_DIT_IMAGE_GLOBALS};
    const int *lists = d->config.image_dim ? image : vace, count = d->config.image_dim    ? 2
                                                                   : d->config.vace_count ? 3
                                                                                          : 1;
    for (int i = 0; i < count; i++)
        VG_TRY(vg_module_load(d->module, &d->weights.lists[lists[i]], 0, err));
    return VG_OK;
}

vg_status wan_dit_load_blocks(wan_dit *d, vg_engine *engine, const char *dir, const char *component,
                              const vg_module_options *options, vg_err *err)
{
    const vg_weight_list *lists = d->weights.lists;
    int64_t layers = d->config.layers;
    vg_block_place *places = calloc((size_t)d->count, sizeof *places);
    if (!places)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the blocks of %s", component);
    for (int64_t i = 0; i < d->count; i++) {
        int64_t number = d->order[i];
        places[i] = number < layers
                        ? (vg_block_place){&lists[WAN_DIT_BLOCKS], number}
                        : (vg_block_place){&lists[WAN_DIT_VACE_BLOCKS], number - layers};
    }
    vg_status status = vg_blocks_open_order(engine, dir, component, options, d->module, places,
                                            d->count, &d->loaded, err);
    free(places);
    return status;
}
