/* dit_private.h: what the files of the transformer share: dit_load.c, dit_condition.c, dit_precision.c and dit.c. Not for others. */
#ifndef VG_ENGINE_FAMILY_WAN_DIT_PRIVATE_H
#define VG_ENGINE_FAMILY_WAN_DIT_PRIVATE_H

#include "engine/family/wan/dit.h"
#include "engine/stream.h"

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
    BLOCK_LINEARS
};
enum { SHIFT_MSA, SCALE_MSA, GATE_MSA, C_SHIFT, C_SCALE, C_GATE, MODULATIONS };
enum { HEAD_SHIFT, HEAD_SCALE, HEAD_MODULATIONS };
enum { TIME_1, TIME_2, TIME_PROJ, TEXT_1, TEXT_2, PROJ_OUT, GLOBAL_LINEARS };

/* The weight table: which dimension of the config is a layer's output (n) and input (k). */
enum { DIM, FFN, DIM6, FREQ, TEXT, PATCH_OUT };
typedef struct wan_dit_linear {
    const char *name; /* behind "blocks.<i>." for those of a block */
    int n, k;
    bool f32; /* kept in FP32: its name has the component time_embedder */
} wan_dit_linear;
extern const wan_dit_linear wan_dit_block_linears[BLOCK_LINEARS], wan_dit_global_linears[GLOBAL_LINEARS];
int64_t wan_dit_dimension(const wan_dit_config *c, int which);

typedef struct dit_block {
    vg_linear_layer linear[BLOCK_LINEARS];
    vg_tensor norm_q1, norm_k1, norm_q2, norm_k2; /* [dim], compute dtype */
    vg_tensor norm2_w, norm2_b;                   /* [dim] F32 */
    vg_tensor table;                              /* [6, dim] F32 */
    struct {
        vg_tensor k, v; /* [tokens, heads, head_dim] */
    } text[WAN_TEXTS];
    int streamed; /* number among the streamed blocks; -1: resident */
    char *at;     /* streamed: where the weights of its linear layers begin */
} dit_block;

struct wan_dit {
    wan_dit_config config;
    vg_dtype compute;
    vg_backend *be;
    vg_module *module;
    vg_stream *stream;  /* NULL: all blocks are resident */
    size_t block_bytes; /* room of a streamed block */
    vg_linear_layer patch, global[GLOBAL_LINEARS];
    vg_tensor table; /* [2, dim] F32 */
    dit_block *blocks;
    vg_arena *text[WAN_TEXTS]; /* keys and values of one prompt */
    vg_arena *rope, *step, *work, *calibration;
    int64_t grid[3]; /* patches the rope tables are for */
    vg_tensor rope_cos, rope_sin;
    double timestep; /* what mod holds; NaN = nothing */
    vg_tensor
        mod; /* [6 layers + 2, dim] F32: each block's modulation, then the head's shift and scale */
    vg_tensor amax; /* [layers BLOCK_LINEARS] F32 while calibrating */
};

/* dit_load.c. Before a block is run: its weights point to where they lie now, until it is released. */
vg_status wan_dit_bind_block(wan_dit *d, int64_t i, vg_err *err);
vg_status wan_dit_release_block(wan_dit *d, int64_t i, vg_err *err);

/* dit_condition.c */
vg_status wan_dit_matrix(vg_arena *arena, vg_dtype dtype, int64_t rows, int64_t columns, vg_tensor *t, vg_err *err);
vg_tensor wan_dit_heads_of(const wan_dit *d, const vg_tensor *rows); /* [n, dim] as [n, heads, head_dim] */
/* RMSNorm of all heads of x together, and rotation unless cos is NULL; in place. */
vg_status wan_dit_norm_heads(const wan_dit *d, const vg_tensor *w, const vg_tensor *cos, const vg_tensor *sin, vg_tensor *x, vg_err *err);
/* d->mod for this timestep; d->rope_* for this grid of patches. Nothing to do when they are there already. */
vg_status wan_dit_embed_timestep(wan_dit *d, double timestep, vg_err *err);
vg_status wan_dit_prepare_rope(wan_dit *d, const int64_t grid[3], vg_err *err);
#endif
