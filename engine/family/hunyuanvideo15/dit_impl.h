/* dit_impl.h: the inside of dit.h, shared by its files: dit_weights.c (what a transformer consists of), dit_schedule.c (what depends on
 * timesteps alone), dit_text.c (the text side and the places of video tokens), dit.c (loading, and the forward) and dit_precision.c
 * (calibration, and what a forward costs). */
#ifndef VG_ENGINE_FAMILY_HUNYUANVIDEO15_DIT_IMPL_H
#define VG_ENGINE_FAMILY_HUNYUANVIDEO15_DIT_IMPL_H

#include "engine/family/hunyuanvideo15/dit.h"
#include "engine/layers/blocks.h"
#include "engine/layers/input_ranges.h"

#include <string.h>

#define HV_EPS         1e-6f /* of every norm in blocks and refiner */
#define HV_PROJECT_EPS 1e-5f /* of those around the projections of glyphs and picture */
#define HV_FREQ        256   /* width of a timestep's sinusoid */
#define HV_GLYPH_INNER 2048  /* inner width of the glyphs' projection, whatever the model's */

/* The two streams of a block. */
enum { VIDEO, TEXT, STREAMS };
/* Linear layers of one stream of a block. */
enum { ATTN_Q, ATTN_K, ATTN_V, ATTN_O, FFN_UP, FFN_DOWN, STREAM_LINEARS };
enum { SHIFT_MSA, SCALE_MSA, GATE_MSA, SHIFT_MLP, SCALE_MLP, GATE_MLP, MODULATIONS };
enum { HEAD_SCALE, HEAD_SHIFT, HEAD_MODULATIONS };
enum { REFINE_GATE_MSA, REFINE_GATE_MLP, REFINE_MODULATIONS };
enum {
    REFINE_TIME_1,
    REFINE_TIME_2,
    REFINE_POOL_1,
    REFINE_POOL_2,
    REFINE_IN,
    GLYPH_1,
    GLYPH_2,
    GLYPH_3,
    IMAGE_1,
    IMAGE_2,
    PROJ_OUT,
    GLOBAL_LINEARS
};
enum { GLYPH_NORM, IMAGE_NORM_IN, IMAGE_NORM_OUT, GLOBAL_NORMS };
/* Rows of cond_type_embed. */
enum { TYPE_TEXT, TYPE_GLYPHS, TYPE_IMAGE, TYPES };

typedef struct hv_affine {
    vg_tensor w, b; /* F32 */
} hv_affine;

typedef struct hv_dit_block {
    struct {
        vg_linear_layer linear[STREAM_LINEARS];
        vg_tensor norm_q, norm_k; /* [head_dim], compute dtype */
    } stream[STREAMS];
} hv_dit_block;

typedef struct hv_refiner_block {
    vg_linear_layer linear[STREAM_LINEARS], modulation;
    hv_affine norm1, norm2;
} hv_refiner_block;

/* What one branch's forwards share: computed by hv_dit_set_text. */
typedef struct hv_branch {
    vg_arena *memory;
    int64_t text, fixed; /* tokens */
    vg_tensor rows;      /* [text, dim]: what the refiner begins with */
    vg_tensor pooled;    /* [1, dim] */
    vg_tensor types;     /* [text, dim]: type row of the prompt, repeated */
    vg_tensor before;    /* [fixed, dim]: tokens of picture and glyphs, finished */
} hv_branch;

struct hv_dit {
    hv_dit_config config;
    vg_dtype compute;
    vg_engine *engine;
    vg_backend *be;
    char *dir;
    vg_weight_table weights; /* of what is loaded by _open: globals, refiner, blocks */
    vg_module *module;
    vg_blocks *loaded; /* of blocks below; a block is bound while it is run */
    float *patch_host; /* [dim, in_channels], until patch is made of it */
    vg_linear_layer patch, global[GLOBAL_LINEARS];
    hv_affine norm[GLOBAL_NORMS];
    vg_tensor types; /* [TYPES, dim] */
    hv_refiner_block *refiner;
    hv_dit_block *blocks;
    hv_branch branch[HV_BRANCHES];
    vg_arena *own, *schedule, *rope, *step, *work;
    /* of the schedule */
    double *timesteps, *next; /* next: NULL = not embedded */
    int steps, at;            /* at: the chosen one, -1 = none */
    vg_tensor
        *mods; /* two a block, then the last norm's: [steps, modulations * dim] compute dtype */
    vg_tensor *mod;         /* the same for the chosen step, [modulations, dim] F32 */
    vg_tensor refine_times; /* [steps, dim]: the refiner's embedding of each timestep */
    int64_t grid[3];        /* video tokens that the rope tables are for */
    vg_tensor rope_cos, rope_sin;
    vg_input_ranges *ranges;            /* while calibrating */
    const vg_attention_step *attention; /* of this step, borrowed; NULL: in full */
};

/* The lists of its weight table. */
enum { HV_DIT_GLOBALS, HV_DIT_REFINER, HV_DIT_BLOCKS };

/* dit_weights.c. The table of this transformer; loading its parts. */
vg_status hv_dit_open_weights(hv_dit *dit, vg_err *err);
/* Everything outside of the blocks. */
vg_status hv_dit_load_globals(hv_dit *dit, vg_err *err);
/* The layers that see nothing but timesteps, a list each; items are loaded to structs of these types, one at a time. */
typedef struct hv_time_embedder {
    vg_linear_layer linear_1, linear_2;
} hv_time_embedder;
typedef struct hv_modulation {
    vg_linear_layer of[STREAMS]; /* of the last norm: the first */
} hv_modulation;
enum { HV_TIMES, HV_TIMES_NEXT, HV_BLOCK_MODS, HV_LAST_MOD, HV_TIME_LISTS };
void hv_dit_time_list(const hv_dit_config *config, int which, void *to, vg_weight_list *list);

/* dit_schedule.c. Forget the schedule; what it has on the backend is the arena's. */
void hv_dit_drop_schedule(hv_dit *dit);
/* Modulation `which` of one stream of a block, or of the last norm (layer = layers, stream 0): [dim] F32. */
vg_tensor hv_dit_modulation(const hv_dit *dit, int64_t layer, int stream, int which);

/* dit_text.c. Fill rope_cos and rope_sin for a grid of video tokens; nothing happens where they are of that already. */
vg_status hv_dit_prepare_rope(hv_dit *dit, const int64_t grid[3], vg_err *err);
/* The text side at the chosen timestep: all tokens of the branch, to y [text + fixed, dim]. */
vg_status hv_dit_text_rows(hv_dit *dit, int branch, vg_tensor *y, vg_err *err);

/* An uninitialised [rows,columns] from the arena. Errors: VG_E_NOMEM. */
static inline vg_status hv_matrix(vg_arena *arena, vg_dtype dtype, int64_t rows, int64_t columns,
                                  vg_tensor *t, vg_err *err)
{
    return vg_arena_tensor(arena, dtype, 2, (const int64_t[]){rows, columns}, t, err);
}

/* [tokens, dim] as [tokens, heads, head_dim]. */
static inline vg_tensor hv_heads_of(const hv_dit *dit, const vg_tensor *rows)
{
    const int64_t shape[3] = {rows->shape[0], dit->config.heads, dit->config.head_dim};
    return vg_tensor_reshaped(rows, 3, shape);
}

/* Tokens of the text side of a branch. */
static inline int64_t hv_text_tokens(const hv_branch *branch)
{
    return branch->text + branch->fixed;
}
#endif
