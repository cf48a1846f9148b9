/* dit_impl.h: the inside of dit.h, shared by its files: dit_weights.c (what a transformer consists of), dit_condition.c (what a forward needs
 * to know beside the latents), dit.c (loading, and the forward) and dit_precision.c (calibration, and what a forward costs). */
#ifndef VG_ENGINE_FAMILY_WAN_DIT_IMPL_H
#define VG_ENGINE_FAMILY_WAN_DIT_IMPL_H

#include "engine/family/wan/dit.h"
#include "engine/layers/blocks.h"
#include "engine/layers/input_ranges.h"

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
    IMAGE_K,
    IMAGE_V,
    BLOCK_LINEARS
};
enum { SHIFT_MSA, SCALE_MSA, GATE_MSA, C_SHIFT, C_SCALE, C_GATE, MODULATIONS };
enum { HEAD_SHIFT, HEAD_SCALE, HEAD_MODULATIONS };
enum { TIME_1, TIME_2, TIME_PROJ, TEXT_1, TEXT_2, PROJ_OUT, IMAGE_1, IMAGE_2, GLOBAL_LINEARS };

enum {
    WAN_FIRST_TIME = 1,
    WAN_TIMES
}; /* timesteps that a forward may have: 0 of most tokens, one of the first ones */

enum { WAN_DIT_GLOBALS, WAN_DIT_BLOCKS }; /* the lists of its weight table */

/* What cross-attention reads: [tokens, heads, head_dim]. */
typedef struct wan_dit_context {
    vg_tensor k, v;
} wan_dit_context;

typedef struct wan_dit_block {
    vg_linear_layer linear[BLOCK_LINEARS];
    vg_tensor norm_q1, norm_k1, norm_q2, norm_k2; /* [dim], compute dtype */
    vg_tensor norm2_w, norm2_b;                   /* [dim] F32 */
    vg_tensor table;                              /* [6, dim] F32 */
    vg_tensor norm_image_k;                       /* [dim], where there is an image branch */
    wan_dit_context text[WAN_TEXTS], image;
} wan_dit_block;

struct wan_dit {
    wan_dit_config config;
    vg_dtype compute;
    vg_backend *be;
    vg_weight_table weights;
    vg_module *module;
    vg_blocks *loaded; /* of blocks below; a block is bound while it is run */
    vg_linear_layer patch, global[GLOBAL_LINEARS];
    vg_tensor table;              /* [2, dim] F32 */
    vg_tensor image_w1, image_b1; /* [image_dim] F32: norms around the image embedder */
    vg_tensor image_w2, image_b2; /* [dim] F32 */
    vg_tensor image_pos;          /* [pos_tokens, image_dim], absent without */
    wan_dit_block *blocks;
    vg_arena *text[WAN_TEXTS]; /* keys and values of one prompt */
    vg_arena *image;           /* and of the pictures */
    vg_arena *rope, *step[WAN_TIMES], *work;
    int64_t grid[3]; /* patches the rope tables are for */
    vg_tensor rope_cos, rope_sin;
    double timestep[WAN_TIMES]; /* what mod holds; NaN = nothing */
    vg_tensor mod
        [WAN_TIMES]; /* [6 layers + 2, dim] F32: each block's modulation, then the head's shift and scale */
    vg_input_ranges *ranges; /* while calibrating */
};

/* dit_weights.c. The table of this transformer; loading its parts. */
vg_status wan_dit_open_weights(wan_dit *dit, const char *component, vg_err *err);
/* Everything outside of the blocks: embeddings and head. */
vg_status wan_dit_load_globals(wan_dit *dit, vg_err *err);

/* dit_condition.c. Fill rope_cos and rope_sin for a grid of patches, mod[time] for a timestep; nothing happens where they hold that already. */
vg_status wan_dit_prepare_rope(wan_dit *dit, const int64_t grid[3], vg_err *err);
/* time: 0 or WAN_FIRST_TIME; timestep: 0 to 1000. */
vg_status wan_dit_embed_timestep(wan_dit *dit, int time, double timestep, vg_err *err);
/* x = RMSNorm(x) over all heads, then RoPE with cos and sin unless NULL. x [tokens, dim], in place. */
vg_status wan_dit_norm_heads(const wan_dit *dit, const vg_tensor *w, const vg_tensor *cos,
                             const vg_tensor *sin, vg_tensor *x, vg_err *err);

/* An uninitialised [rows,columns] from the arena. Errors: VG_E_NOMEM. */
static inline vg_status wan_dit_matrix(vg_arena *arena, vg_dtype dtype, int64_t rows,
                                       int64_t columns, vg_tensor *t, vg_err *err)
{
    return vg_arena_tensor(arena, dtype, 2, (const int64_t[]){rows, columns}, t, err);
}

/* [tokens, dim] as [tokens, heads, head_dim]. */
static inline vg_tensor wan_dit_heads_of(const wan_dit *dit, const vg_tensor *rows)
{
    const int64_t shape[3] = {rows->shape[0], dit->config.heads, dit->config.head_dim};
    return vg_tensor_reshaped(rows, 3, shape);
}
#endif
