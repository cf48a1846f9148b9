/* dit_weights.c: the transformer's weight table. Sources: wan 2.1 (names, shapes, what stays in FP32). */
#include "engine/family/wan/dit_impl.h"

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
    IMAGE,
    ADDED,
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
    /* with an image branch */
    ROW(IMAGE_EMBEDDER "norm1.weight", TENSOR, image_w1, F32, IMAGE),
    ROW(IMAGE_EMBEDDER "norm1.bias", TENSOR, image_b1, F32, IMAGE),
    ROW(IMAGE_EMBEDDER "ff.net.0.proj", LINEAR, global[IMAGE_1], 0, IMAGE, IMAGE),
    ROW(IMAGE_EMBEDDER "ff.net.2", LINEAR, global[IMAGE_2], 0, DIM, IMAGE),
    ROW(IMAGE_EMBEDDER "norm2.weight", TENSOR, image_w2, F32, DIM),
    ROW(IMAGE_EMBEDDER "norm2.bias", TENSOR, image_b2, F32, DIM),
    /* with positions of its own */
    ROW(IMAGE_EMBEDDER "pos_embed", TENSOR, image_pos, 0, VG_FIXED(1), PLACES, IMAGE),
};
#define GLOBALS_IMAGE     6 /* rows at the end */
#define GLOBALS_POSITIONS 1
#undef ROW
#define ROW(...) VG_WEIGHT_ROW(wan_dit_block, __VA_ARGS__)

static const vg_weight_row block[] = {
    ROW("attn1.to_q", LINEAR, linear[ATTN1_Q], QUANT, DIM, DIM),
    ROW("attn1.to_k", LINEAR, linear[ATTN1_K], QUANT, DIM, DIM),
    ROW("attn1.to_v", LINEAR, linear[ATTN1_V], QUANT, DIM, DIM),
    ROW("attn1.to_out.0", LINEAR, linear[ATTN1_O], QUANT, DIM, DIM),
    ROW("attn2.to_q", LINEAR, linear[ATTN2_Q], QUANT, DIM, DIM),
    ROW("attn2.to_k", LINEAR, linear[ATTN2_K], QUANT, DIM, DIM),
    ROW("attn2.to_v", LINEAR, linear[ATTN2_V], QUANT, DIM, DIM),
    ROW("attn2.to_out.0", LINEAR, linear[ATTN2_O], QUANT, DIM, DIM),
    ROW("ffn.net.0.proj", LINEAR, linear[FFN_UP], QUANT, FFN, DIM),
    ROW("ffn.net.2", LINEAR, linear[FFN_DOWN], QUANT, DIM, FFN),
    ROW("attn1.norm_q.weight", TENSOR, norm_q1, 0, DIM),
    ROW("attn1.norm_k.weight", TENSOR, norm_k1, 0, DIM),
    ROW("attn2.norm_q.weight", TENSOR, norm_q2, 0, DIM),
    ROW("attn2.norm_k.weight", TENSOR, norm_k2, 0, DIM),
    ROW("norm2.weight", TENSOR, norm2_w, F32, DIM),
    ROW("norm2.bias", TENSOR, norm2_b, F32, DIM),
    ROW("scale_shift_table", TENSOR, table, F32, VG_FIXED(1), VG_FIXED(MODULATIONS), DIM),
    /* with an image branch */
    ROW("attn2.add_k_proj", LINEAR, linear[IMAGE_K], QUANT, DIM, ADDED),
    ROW("attn2.add_v_proj", LINEAR, linear[IMAGE_V], QUANT, DIM, ADDED),
    ROW("attn2.norm_added_k.weight", TENSOR, norm_image_k, 0, DIM),
};
#define BLOCK_IMAGE 3 /* rows at the end */

#define COUNT(rows) ((int)(sizeof rows / sizeof rows[0]))

/* dit: where the weights are loaded to, or NULL. */
static vg_status add_lists(const wan_dit_config *c, wan_dit *dit, vg_weight_table *table,
                           vg_err *err)
{
    vg_weight_list list = {
        .count = 1,
        .rows = globals,
        .rows_count = COUNT(globals) - (c->image_dim ? 0 : GLOBALS_IMAGE) -
                      (c->image_places ? 0 : GLOBALS_POSITIONS),
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
                 [IMAGE] = c->image_dim,
                 [ADDED] = c->dim, /* what the image embedder gives */
                 [PLACES] = c->image_places},
        .to = dit,
    };
    VG_TRY(vg_weight_table_add(table, &list, err));
    list.count = c->layers;
    list.rows = block;
    list.rows_count = COUNT(block) - (c->image_dim ? 0 : BLOCK_IMAGE);
    list.to = dit ? dit->blocks : NULL;
    list.stride = sizeof(wan_dit_block);
    memcpy(list.prefix, "blocks.%d.", sizeof "blocks.%d.");
    return vg_weight_table_add(table, &list, err);
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
    return vg_module_load(d->module, &d->weights.lists[WAN_DIT_GLOBALS], 0, err);
}
