/* dit_impl.h: the inside of dit.h, shared by its files: dit_weights.c (what a transformer consists of), dit_condition.c (what a forward needs
 * to know beside the latents), dit.c (loading, and the forward), dit_vace.c (the control branch) and dit_precision.c (calibration, and what a
 * forward costs). */
#ifndef VG_ENGINE_FAMILY_WAN_DIT_IMPL_H
#define VG_ENGINE_FAMILY_WAN_DIT_IMPL_H

#include "engine/family/wan/dit.h"
#include "engine/layers/attention.h"
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

/* The lists of its weight table; behind the blocks those of an image branch, or of a control branch: no transformer has both. */
enum {
    WAN_DIT_GLOBALS,
    WAN_DIT_BLOCKS,
    WAN_DIT_IMAGE_GLOBALS,
    WAN_DIT_VACE_GLOBALS = WAN_DIT_IMAGE_GLOBALS,
    WAN_DIT_VACE_FIRST, /* what only its first block has */
    WAN_DIT_VACE_BLOCKS
};

/* What cross-attention reads: [tokens, heads, head_dim]. */
typedef struct wan_dit_context {
    vg_tensor k, v;
} wan_dit_context;

typedef struct wan_dit_block {
    vg_linear_layer linear[BLOCK_LINEARS];
    vg_linear_layer hint;                         /* proj_out, of a block of the control branch */
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
    vg_tensor image_pos;          /* [image_places, image_dim], absent without */
    wan_dit_block *blocks;        /* config.layers of them, behind them the control branch's */
    int64_t count;                /* of all blocks */
    int64_t *order;               /* [count] numbers of blocks as they are run */
    vg_linear_layer vace_patch, vace_in; /* of the control branch */
    vg_tensor control;                   /* what it sees; borrowed */
    float scales[WAN_VACE_MAX];          /* of its hints */
    vg_arena *text[WAN_TEXTS];           /* keys and values of one prompt */
    vg_arena *image;                     /* and of the pictures */
    vg_arena *rope, *step[WAN_TIMES], *work;
    int64_t grid[3]; /* patches the rope tables are for */
    vg_tensor rope_cos, rope_sin;
    double timestep[WAN_TIMES]; /* what mod holds; NaN = nothing */
    vg_tensor mod
        [WAN_TIMES]; /* [6 count + 2, dim] F32: each block's modulation, then the head's shift and scale */
    vg_input_ranges *ranges;            /* while calibrating */
    const vg_attention_step *attention; /* of this step, borrowed; NULL: in full */
};

/* The residual stream is touched three times a block, each time by one operation that adds the result of a part, normalises the sum and
 * writes what the linear layers of the next part read (`in`). */
typedef struct wan_dit_run {
    int slot;
    int64_t first;        /* tokens in front that have a timestep of their own */
    int place;            /* in the order of blocks, of the one that runs */
    vg_tensor h;          /* [N, dim] residual stream */
    vg_tensor c;          /* [N, dim] that of the control branch */
    vg_tensor a, q, k, v; /* [N, dim] */
    vg_tensor hidden;     /* bytes, for the feed of FFN_DOWN */
    vg_feed in;           /* in a */
} wan_dit_run;

/* What follows LayerNorm, and which layers read the result. */
typedef struct wan_dit_norm {
    int64_t block; /* whose modulation, unless w is there; count: the head's */
    int scale, shift;
    const vg_tensor *w, *b; /* [dim] F32: an affine pair */
    const vg_linear_layer *readers[3];
    int count;
} wan_dit_norm;

/* What is added to the residual stream. */
typedef struct wan_dit_sum {
    const vg_tensor *y; /* NULL: nothing */
    int64_t block;
    int gate; /* of this block's modulation; WAN_UNGATED: y as it is */
} wan_dit_sum;
#define WAN_UNGATED (-1)

/* dit.c. The norm in front of self-attention of a block, or (block: count) of the head. */
wan_dit_norm wan_dit_entry_of(const wan_dit *dit, int64_t block);
/* h += y * gate, in = norm(h); n NULL: only the sum. */
vg_status wan_dit_add(const wan_dit *dit, wan_dit_run *r, const wan_dit_sum *sum,
                      const wan_dit_norm *n, vg_err *err);
/* h = block(h) from `in`, then as in wan_dit_add. The block is bound. */
vg_status wan_dit_block_run(wan_dit *dit, int64_t block, wan_dit_run *r, const wan_dit_norm *next,
                            vg_err *err);

/* dit_vace.c. Is everything there that a forward over so many tokens needs? */
vg_status wan_dit_check_control(const wan_dit *dit, int64_t tokens, vg_err *err);
/* c = proj_in(embedded control) + h. */
vg_status wan_dit_begin_control(wan_dit *dit, wan_dit_run *r, vg_err *err);
/* Run a block of the control branch, add its hint to h, in = next(h). */
vg_status wan_dit_add_hint(wan_dit *dit, int64_t block, wan_dit_run *r, const wan_dit_norm *next,
                           vg_err *err);

/* dit_weights.c. The table of this transformer, whose config and blocks are set; loading its parts. */
vg_status wan_dit_open_weights(wan_dit *dit, const char *component, vg_err *err);
/* All blocks, in the order in which they are run. */
vg_status wan_dit_load_blocks(wan_dit *dit, vg_engine *engine, const char *dir,
                              const char *component, const vg_module_options *options, vg_err *err);
/* Everything outside of the blocks: embeddings, head, and the way into the control branch. */
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

/* x [C,T,h,w] to rows [tokens, patch.k] of the arena. */
static inline vg_status wan_dit_patches(const wan_dit *dit, const vg_tensor *x,
                                        const vg_linear_layer *patch, vg_tensor *rows, vg_err *err)
{
    const int *p = dit->config.patch;
    int64_t tokens = (x->shape[1] / p[0]) * (x->shape[2] / p[1]) * (x->shape[3] / p[2]);
    VG_TRY(wan_dit_matrix(dit->work, dit->compute, tokens, patch->k, rows, err));
    return vg_patchify(dit->be, &(vg_patchify_args){.x = x, .patch = {p[0], p[1], p[2]}, .y = rows},
                       err);
}

/* [tokens, dim] as [tokens, heads, head_dim]. */
static inline vg_tensor wan_dit_heads_of(const wan_dit *dit, const vg_tensor *rows)
{
    const int64_t shape[3] = {rows->shape[0], dit->config.heads, dit->config.head_dim};
    return vg_tensor_reshaped(rows, 3, shape);
}
#endif
