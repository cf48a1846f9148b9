/* attention.c: see attention.h. */
#include "engine/layers/attention.h"

#include "engine/layers/attention_test.h"

#include <math.h>

static const struct {
    const char *name, *label, *id;
} modes[VG_ATTEND_COUNT] = {
#define VG_ATTEND(id, name, label, of_id, help) {name, label, of_id},
#include "engine/layers/attention_modes.def"
#undef VG_ATTEND
};

static const struct {
    const char *name;
    bool k_mean, rotation, v_mean;
} recipes[VG_ATTEND_RECIPE_COUNT] = {
#define VG_ATTEND_RECIPE(id, name, k_mean, rotation, v_mean) {name, k_mean, rotation, v_mean},
#include "engine/layers/attention_recipes.def"
#undef VG_ATTEND_RECIPE
};

const char *vg_attend_name(vg_attend attend)
{
    return (unsigned)attend < VG_ATTEND_COUNT ? modes[attend].name : "?";
}

const char *vg_attend_label(vg_attend attend)
{
    return (unsigned)attend < VG_ATTEND_COUNT ? modes[attend].label : "";
}

const char *vg_attend_id(vg_attend attend)
{
    return (unsigned)attend < VG_ATTEND_COUNT ? modes[attend].id : "";
}

const char *vg_attend_recipe_name(vg_attend_recipe recipe)
{
    return (unsigned)recipe < VG_ATTEND_RECIPE_COUNT ? recipes[recipe].name : "?";
}

/* ---- where it can be had ---- */

#define KERNEL_CAPABILITY 90
#define KERNEL_HEAD_DIM   128

vg_status vg_attend_check_head(vg_attend_recipe recipe, int64_t head_dim, vg_err *err)
{
    if (recipes[recipe].rotation && (head_dim & (head_dim - 1)) != 0)
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "8-bit attention rotates heads, whose size has to be a power of 2, not %lld; "
            "attention_recipe no-rotation does without",
            (long long)head_dim);
    return VG_OK;
}

vg_status vg_attend_check(vg_backend *be, vg_attend_recipe recipe, vg_dtype dtype, int64_t head_dim,
                          vg_err *err)
{
    vg_device_info info;
    VG_TRY(vg_attend_check_head(recipe, head_dim, err));
    if (!vg_backend_supports(be, VG_OP_attention_codes))
        return VG_FAIL(err, VG_E_UNSUPPORTED, "8-bit attention is not on the %s backend",
                       vg_device_kind_name(be->ops->kind));
    if (be->ops->kind != VG_DEVICE_CUDA || be->ops->dry)
        return VG_OK;
    if (head_dim != KERNEL_HEAD_DIM || dtype != VG_BF16)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "8-bit attention on GPUs is for BF16 and heads of %d, not %s and %lld",
                       KERNEL_HEAD_DIM, vg_dtype_name(dtype), (long long)head_dim);
    VG_TRY(vg_backend_info(be, &info, err));
    if (info.capability != KERNEL_CAPABILITY)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "8-bit attention needs compute capability %d.%d, this GPU has %d.%d",
                       KERNEL_CAPABILITY / 10, KERNEL_CAPABILITY % 10, info.capability / 10,
                       info.capability % 10);
    return VG_OK;
}

/* ---- one layer ---- */

typedef struct codes {
    vg_tensor q, q_scale, k, k_scale, v, v_scale, v_mean;
} codes;

static int64_t head_dim_of(const vg_self_attention *a)
{
    return a->v->shape[1] / a->heads;
}

static vg_tensor heads_of(const vg_self_attention *a, const vg_tensor *rows)
{
    const int64_t shape[3] = {rows->shape[0], a->heads, head_dim_of(a)};
    return vg_tensor_reshaped(rows, 3, shape);
}

static float scale_of(const vg_self_attention *a)
{
    return (float)(1.0 / sqrt((double)head_dim_of(a)));
}

static vg_status normalise(vg_backend *be, const vg_self_attention *a, const vg_tensor *w,
                           vg_tensor *x, vg_err *err)
{
    if (!w)
        return VG_OK;
    return vg_rms_norm_rope(be,
                            &(vg_rms_norm_rope_args){.x = x,
                                                     .w = w,
                                                     .eps = a->eps,
                                                     .heads = a->heads,
                                                     .rope_cos = a->rope_cos,
                                                     .rope_sin = a->rope_sin,
                                                     .y = x},
                            err);
}

/* q and k are ready. */
static vg_status full(vg_backend *be, const vg_self_attention *a, const vg_tensor *q, vg_tensor *y,
                      const vg_quant_out *quant, vg_err *err)
{
    vg_tensor qh = heads_of(a, q), kh = heads_of(a, a->k), vh = heads_of(a, a->v), yh;
    if (y)
        yh = heads_of(a, y);
    return vg_attention(be,
                        &(vg_attention_args){.q = &qh,
                                             .k = &kh,
                                             .v = &vh,
                                             .scale = scale_of(a),
                                             .y = y ? &yh : NULL,
                                             .quant = *quant},
                        err);
}

static vg_status in_codes(vg_backend *be, const vg_self_attention *a, const codes *c, vg_tensor *y,
                          const vg_quant_out *quant, vg_err *err)
{
    vg_tensor yh;
    if (y)
        yh = heads_of(a, y);
    return vg_attention_codes(be,
                              &(vg_attention_codes_args){.q = &c->q,
                                                         .q_scale = &c->q_scale,
                                                         .k = &c->k,
                                                         .k_scale = &c->k_scale,
                                                         .v = &c->v,
                                                         .v_scale = &c->v_scale,
                                                         .v_mean = &c->v_mean,
                                                         .scale = scale_of(a),
                                                         .y = y ? &yh : NULL,
                                                         .quant = *quant},
                              err);
}

static vg_status take(vg_arena *work, vg_dtype dtype, int ndim, int64_t a, int64_t b, int64_t c,
                      vg_tensor *t, vg_err *err)
{
    return vg_arena_tensor(work, dtype, ndim, (const int64_t[]){a, b, c}, t, err);
}

static vg_status take_q(vg_arena *work, const vg_self_attention *a, int64_t n, codes *c,
                        vg_err *err)
{
    VG_TRY(take(work, VG_I8, 3, n, a->heads, head_dim_of(a), &c->q, err));
    return take(work, VG_F32, 2, a->heads, n, 0, &c->q_scale, err);
}

/* The same pieces in the same order whether the step tests or not, so that what one layer gave back fits the next. */
static vg_status take_codes(vg_arena *work, const vg_self_attention *a, codes *c, vg_err *err)
{
    int64_t n = a->k->shape[0], heads = a->heads, dim = head_dim_of(a), blocks = vg_codes_blocks(n);
    VG_TRY(take_q(work, a, a->q->shape[0], c, err));
    VG_TRY(take(work, VG_I8, 3, n, heads, dim, &c->k, err));
    VG_TRY(take(work, VG_F32, 2, heads, blocks, 0, &c->k_scale, err));
    VG_TRY(take(work, VG_E4M3, 3, heads, dim, blocks * VG_CODES_BLOCK, &c->v, err));
    VG_TRY(take(work, VG_F32, 2, heads, dim, 0, &c->v_scale, err));
    return take(work, VG_F32, 2, heads, dim, 0, &c->v_mean, err);
}

/* Codes of x; norm: that it still needs, or NULL. The mean is taken away from k alone, where it changes nothing. */
static vg_status code_heads(vg_backend *be, const vg_self_attention *a, const vg_tensor *x,
                            const vg_tensor *norm, bool center, vg_tensor *to, vg_tensor *scale,
                            vg_err *err)
{
    return vg_head_codes(be,
                         &(vg_head_codes_args){.x = x,
                                               .w = norm,
                                               .eps = a->eps,
                                               .heads = a->heads,
                                               .rope_cos = norm ? a->rope_cos : NULL,
                                               .rope_sin = norm ? a->rope_sin : NULL,
                                               .center = center,
                                               .rotate = recipes[a->step->request->recipe].rotation,
                                               .codes = to,
                                               .scale = scale},
                         err);
}

static vg_status code_q(vg_backend *be, const vg_self_attention *a, const vg_tensor *q,
                        const vg_tensor *norm, codes *c, vg_err *err)
{
    return code_heads(be, a, q, norm, false, &c->q, &c->q_scale, err);
}

static vg_status code_k_and_v(vg_backend *be, const vg_self_attention *a, const vg_tensor *norm_k,
                              codes *c, vg_err *err)
{
    vg_tensor vh = heads_of(a, a->v);
    VG_TRY(code_heads(be, a, a->k, norm_k, recipes[a->step->request->recipe].k_mean, &c->k,
                      &c->k_scale, err));
    return vg_value_codes(be,
                          &(vg_value_codes_args){.v = &vh,
                                                 .center = recipes[a->step->request->recipe].v_mean,
                                                 .codes = &c->v,
                                                 .scale = &c->v_scale,
                                                 .mean = &c->v_mean},
                          err);
}

/* Both ways on some rows of q, which is ready, as k is and as the codes of k and v are. */
static vg_status test(vg_arena *work, const vg_self_attention *a, const codes *made, vg_err *err)
{
    static const vg_quant_out none = {0};
    vg_backend *be = vg_arena_backend(work);
    vg_attention_layer *layer = &a->step->layers[a->layer];
    size_t mark = vg_arena_mark(work);
    codes c = *made;
    vg_tensor q, whole, coded;
    vg_attention_figures figures;
    VG_TRY(vg_attention_test_rows(work, a->q, &q, err));
    VG_TRY(vg_arena_tensor(work, q.dtype, 2, q.shape, &whole, err));
    VG_TRY(vg_arena_tensor(work, q.dtype, 2, q.shape, &coded, err));
    VG_TRY(full(be, a, &q, &whole, &none, err));
    VG_TRY(take_q(work, a, q.shape[0], &c, err));
    VG_TRY(code_q(be, a, &q, NULL, &c, err));
    VG_TRY(in_codes(be, a, &c, &coded, &none, err));
    VG_TRY(vg_attention_test_compare(be, &coded, &whole, &figures, err));
    vg_attention_layer_add(layer, a->step->request->limit, figures.cosine, figures.relative_l2,
                           figures.largest_error);
    vg_arena_reset(work, mark);
    return VG_OK;
}

/* q and k come to the codes as the projections made them: one pass normalises, rotates and codes. */
static vg_status run_codes(vg_arena *work, const vg_self_attention *a, vg_err *err)
{
    vg_backend *be = vg_arena_backend(work);
    codes c;
    VG_TRY(take_codes(work, a, &c, err));
    VG_TRY(code_q(be, a, a->q, a->norm_q, &c, err));
    VG_TRY(code_k_and_v(be, a, a->norm_k, &c, err));
    return in_codes(be, a, &c, a->y, &a->quant, err);
}

static vg_status run_tested(vg_arena *work, const vg_self_attention *a, vg_err *err)
{
    vg_backend *be = vg_arena_backend(work);
    codes c;
    VG_TRY(take_codes(work, a, &c, err));
    VG_TRY(normalise(be, a, a->norm_q, a->q, err));
    VG_TRY(normalise(be, a, a->norm_k, a->k, err));
    VG_TRY(code_k_and_v(be, a, NULL, &c, err));
    VG_TRY(test(work, a, &c, err));
    if (!a->step->use || a->step->layers[a->layer].missed)
        return full(be, a, a->q, a->y, &a->quant, err);
    VG_TRY(code_q(be, a, a->q, NULL, &c, err));
    return in_codes(be, a, &c, a->y, &a->quant, err);
}

static vg_status run_full(vg_arena *work, const vg_self_attention *a, vg_err *err)
{
    vg_backend *be = vg_arena_backend(work);
    VG_TRY(normalise(be, a, a->norm_q, a->q, err));
    VG_TRY(normalise(be, a, a->norm_k, a->k, err));
    return full(be, a, a->q, a->y, &a->quant, err);
}

/* Is the layer one of those that may have 8 bits? */
static bool may(const vg_self_attention *a)
{
    const vg_attention_step *s = a->step;
    return s && (s->use || s->test) && a->layer >= s->request->first_blocks &&
           a->layer < s->count - s->request->last_blocks;
}

vg_status vg_self_attention_run(vg_arena *work, const vg_self_attention *a, vg_err *err)
{
    size_t mark = vg_arena_mark(work);
    vg_status status;
    if (!may(a))
        status = run_full(work, a, err);
    else if (a->step->test)
        status = run_tested(work, a, err);
    else if (a->step->layers[a->layer].missed)
        status = run_full(work, a, err);
    else
        status = run_codes(work, a, err);
    vg_arena_reset(work, mark);
    return status;
}
