/* attention.h: self-attention of one layer: the one place that decides between the kernel on BF16 and the one on 8-bit codes. In a step that
 * tests, both run on some rows of the real q with all of the real k and v, and a layer whose 8 bits come out too far off computes in full
 * from then on. Families call vg_self_attention_run and never ask. */
#ifndef VG_ENGINE_LAYERS_ATTENTION_H
#define VG_ENGINE_LAYERS_ATTENTION_H

#include "kernels/backend/arena.h"

typedef enum vg_attend {
#define VG_ATTEND(id, name, label, of_id, help) VG_ATTEND_##id,
#include "engine/layers/attention_modes.def"
#undef VG_ATTEND
    VG_ATTEND_COUNT
} vg_attend;
const char *vg_attend_name(vg_attend attend);  /* "qk8v8" */
const char *vg_attend_label(vg_attend attend); /* " + attn8", for behind a scheme's label; "" */
const char *vg_attend_id(vg_attend attend);    /* "-attn8", for behind a scheme's name; "" */

typedef enum vg_attend_recipe {
#define VG_ATTEND_RECIPE(id, name, k_mean, rotation, v_mean) VG_ATTEND_RECIPE_##id,
#include "engine/layers/attention_recipes.def"
#undef VG_ATTEND_RECIPE
    VG_ATTEND_RECIPE_COUNT
} vg_attend_recipe;
const char *vg_attend_recipe_name(vg_attend_recipe recipe); /* "no-rotation" */

#define VG_ATTENTION_LIMIT 0.999 /* the usual one */

/* What settings ask for. All zero: BF16. */
typedef struct vg_attention_request {
    vg_attend mode;
    vg_attend_recipe recipe;
    int first_blocks, last_blocks; /* so many layers at either end compute in full */
    int first_steps, last_steps;   /* of the schedule */
    double limit;                  /* least cosine of a layer that keeps its 8 bits, 0 to 1 */
    bool self_test;                /* every step tests, also of BF16 */
} vg_attention_request;

/* A layer's tests: the worst figures of them, 8 bits against the full one on the same q, k, v. */
typedef struct vg_attention_layer {
    int tests; /* 0: none, and no figures */
    double cosine, relative_l2, largest_error;
    bool missed; /* the limit: it computes in full */
    bool told;   /* nothing changed since somebody was told */
} vg_attention_layer;

/* What the layers of a transformer do in this step. Borrowed; the tests write into `layers`. */
typedef struct vg_attention_step {
    const vg_attention_request *request;
    vg_attention_layer *layers;
    int count;
    bool use;  /* 8 bits, where a layer may */
    bool test; /* compare */
} vg_attention_step;

/* Can the backend compute so? head_dim: of a head; dtype: of q, k, v. A backend that only counts can all that some backend can.
 * VG_E_UNSUPPORTED says why not; VG_E_DEVICE. */
vg_status vg_attend_check(vg_backend *be, vg_attend_recipe recipe, vg_dtype dtype, int64_t head_dim,
                          vg_err *err);
/* The same as far as the model alone decides it. */
vg_status vg_attend_check_head(vg_attend_recipe recipe, int64_t head_dim, vg_err *err);

/* One layer. q and k may be followed by rows that do not count: what is given are the valid ones. */
typedef struct vg_self_attention {
    const vg_attention_step *step; /* NULL: in full */
    int layer;                     /* of step->layers; outside of them: in full */
    vg_tensor *q, *k;              /* [Nq,H*D], [Nk,H*D] act dtype; may be overwritten */
    const vg_tensor *v;            /* [Nk,H*D] */
    /* RMSNorm across all heads and rotary embedding that q and k still need; NULL: they are ready. As vg_rms_norm_rope_args. */
    const vg_tensor *norm_q, *norm_k; /* [H*D] */
    float eps;
    const vg_tensor *rope_cos, *rope_sin; /* [Nq,D/2] or NULL; then Nq is Nk */
    int heads;
    vg_tensor *y; /* [Nq,H*D], or NULL with quant; as vg_attention_args */
    vg_quant_out quant;
} vg_self_attention;

/* y = softmax(q k^T / sqrt(D)) v. Codes lie in `work` and are given back. What a test does depends on nothing but q, k, v, so a run repeats
 * bit for bit. Errors: those of the operations, VG_E_NOMEM. Tests: test_attention. */
vg_status vg_self_attention_run(vg_arena *work, const vg_self_attention *a, vg_err *err);

/* Take figures of a test into a layer. Not a number is as bad as it gets. */
void vg_attention_layer_add(vg_attention_layer *layer, double limit, double cosine,
                            double relative_l2, double largest_error);
#endif
