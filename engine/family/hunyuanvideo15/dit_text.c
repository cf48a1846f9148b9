/* dit_text.c: see dit_impl.h. The text side: what no timestep changes is computed once a branch, the rest (the token refiner) in every forward.
 * Only valid tokens are ever there: the reference masks the others out of every attention, so that leaving them out changes nothing. Source:
 * hunyuanvideo15 2.5, 2.6. */
#include "engine/family/hunyuanvideo15/dit_impl.h"

#include "kernels/base/numeric.h"

#include <math.h>
#include <stdlib.h>

/* ---- once a branch ---- */

/* Host rows to the backend, in the compute dtype. */
static vg_status bring_rows(hv_dit *d, const float *host, int64_t rows, int64_t columns,
                            vg_tensor *to, vg_err *err)
{
    vg_tensor raw;
    VG_TRY(hv_matrix(d->work, VG_F32, rows, columns, &raw, err));
    VG_TRY(vg_backend_upload(d->be, &raw, host, err));
    *to = raw;
    if (d->compute != VG_F32) {
        VG_TRY(hv_matrix(d->work, d->compute, rows, columns, to, err));
        VG_TRY(vg_cast(d->be, &(vg_cast_args){.x = &raw, .y = to}, err));
    }
    return vg_backend_sync(d->be, err); /* the rows are the caller's again */
}

static vg_status norm(hv_dit *d, const hv_affine *a, float eps, const vg_tensor *x, vg_tensor *y,
                      vg_err *err)
{
    return vg_layer_norm_modulate(
        d->be, &(vg_layer_norm_modulate_args){.x = x, .w = &a->w, .b = &a->b, .eps = eps, .y = y},
        err);
}

/* y[i,:] = row `type` of cond_type_embed. */
static vg_status repeat_type(hv_dit *d, int type, vg_tensor *y, vg_err *err)
{
    int64_t rows = y->shape[0];
    vg_tensor ids;
    int32_t *host = malloc((size_t)rows * sizeof *host);
    if (!host)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld tokens", (long long)rows);
    for (int64_t i = 0; i < rows; i++)
        host[i] = type;
    vg_status status = vg_arena_tensor(d->work, VG_I32, 1, &rows, &ids, err);
    if (status == VG_OK)
        status = vg_backend_upload(d->be, &ids, host, err);
    if (status == VG_OK)
        status =
            vg_embedding(d->be, &(vg_embedding_args){.table = &d->types, .ids = &ids, .y = y}, err);
    if (status == VG_OK)
        status = vg_backend_sync(d->be, err);
    free(host);
    return status;
}

/* x += row `type`, in place. */
static vg_status add_type(hv_dit *d, int type, vg_tensor *x, vg_err *err)
{
    vg_tensor types;
    VG_TRY(hv_matrix(d->work, d->compute, x->shape[0], d->config.dim, &types, err));
    VG_TRY(repeat_type(d, type, &types, err));
    return vg_gate_residual(d->be, &(vg_gate_residual_args){.x = x, .y = &types, .out = x}, err);
}

/* Mean of the raw states, in FP32 of values of the model's dtype. */
static void mean_of(const hv_dit *d, const hv_text *t, float *mean)
{
    int64_t dim = d->config.text_dim;
    for (int64_t k = 0; k < dim; k++) {
        double sum = 0;
        for (int64_t i = 0; i < t->text_tokens; i++) {
            float v = t->text[i * dim + k];
            sum += d->compute == VG_BF16 ? vg_round_bf16(v) : v;
        }
        mean[k] = (float)(sum / (double)t->text_tokens);
    }
}

static vg_status pool(hv_dit *d, hv_branch *b, const hv_text *t, vg_err *err)
{
    vg_tensor x, hidden;
    float *mean = malloc((size_t)d->config.text_dim * sizeof *mean);
    if (!mean)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the pooled prompt");
    if (!d->be->ops->dry)
        mean_of(d, t, mean);
    vg_status status = bring_rows(d, mean, 1, d->config.text_dim, &x, err);
    free(mean);
    VG_TRY(status);
    VG_TRY(hv_matrix(d->work, d->compute, 1, d->config.dim, &hidden, err));
    VG_TRY(hv_matrix(b->memory, d->compute, 1, d->config.dim, &b->pooled, err));
    VG_TRY(vg_linear_run1(d->work, &d->global[REFINE_POOL_1], &x, VG_ACT_SILU, &hidden, err));
    return vg_linear_run1(d->work, &d->global[REFINE_POOL_2], &hidden, VG_ACT_NONE, &b->pooled,
                          err);
}

static vg_status project_text(hv_dit *d, hv_branch *b, const hv_text *t, vg_err *err)
{
    vg_tensor x;
    VG_TRY(pool(d, b, t, err));
    VG_TRY(bring_rows(d, t->text, t->text_tokens, d->config.text_dim, &x, err));
    VG_TRY(hv_matrix(b->memory, d->compute, t->text_tokens, d->config.dim, &b->rows, err));
    VG_TRY(hv_matrix(b->memory, d->compute, t->text_tokens, d->config.dim, &b->types, err));
    VG_TRY(vg_linear_run1(d->work, &d->global[REFINE_IN], &x, VG_ACT_NONE, &b->rows, err));
    return repeat_type(d, TYPE_TEXT, &b->types, err);
}

static vg_status project_image(hv_dit *d, const hv_text *t, vg_tensor *y, vg_err *err)
{
    const hv_dit_config *c = &d->config;
    vg_tensor x, hidden, wide;
    VG_TRY(bring_rows(d, t->image, t->image_tokens, c->image_dim, &x, err));
    VG_TRY(hv_matrix(d->work, d->compute, t->image_tokens, c->image_dim, &hidden, err));
    VG_TRY(hv_matrix(d->work, d->compute, t->image_tokens, c->dim, &wide, err));
    VG_TRY(norm(d, &d->norm[IMAGE_NORM_IN], HV_PROJECT_EPS, &x, &x, err));
    VG_TRY(vg_linear_run1(d->work, &d->global[IMAGE_1], &x, VG_ACT_GELU_ERF, &hidden, err));
    VG_TRY(vg_linear_run1(d->work, &d->global[IMAGE_2], &hidden, VG_ACT_NONE, &wide, err));
    VG_TRY(norm(d, &d->norm[IMAGE_NORM_OUT], HV_PROJECT_EPS, &wide, y, err));
    return add_type(d, TYPE_IMAGE, y, err);
}

static vg_status project_glyphs(hv_dit *d, const hv_text *t, vg_tensor *y, vg_err *err)
{
    vg_tensor x, a, b;
    VG_TRY(bring_rows(d, t->glyphs, t->glyph_tokens, d->config.glyph_dim, &x, err));
    VG_TRY(hv_matrix(d->work, d->compute, t->glyph_tokens, HV_GLYPH_INNER, &a, err));
    VG_TRY(hv_matrix(d->work, d->compute, t->glyph_tokens, HV_GLYPH_INNER, &b, err));
    VG_TRY(norm(d, &d->norm[GLYPH_NORM], HV_PROJECT_EPS, &x, &x, err));
    VG_TRY(vg_linear_run1(d->work, &d->global[GLYPH_1], &x, VG_ACT_GELU_ERF, &a, err));
    VG_TRY(vg_linear_run1(d->work, &d->global[GLYPH_2], &a, VG_ACT_GELU_ERF, &b, err));
    VG_TRY(vg_linear_run1(d->work, &d->global[GLYPH_3], &b, VG_ACT_NONE, y, err));
    return add_type(d, TYPE_GLYPHS, y, err);
}

static vg_status project(hv_dit *d, hv_branch *b, const hv_text *t, vg_err *err)
{
    int64_t fixed = t->image_tokens + t->glyph_tokens;
    VG_TRY(project_text(d, b, t, err));
    if (fixed > 0)
        VG_TRY(hv_matrix(b->memory, d->compute, fixed, d->config.dim, &b->before, err));
    if (t->image_tokens > 0) {
        vg_tensor y = vg_tensor_rows(&b->before, 0, t->image_tokens);
        VG_TRY(project_image(d, t, &y, err));
    }
    if (t->glyph_tokens > 0) {
        vg_tensor y = vg_tensor_rows(&b->before, t->image_tokens, t->glyph_tokens);
        VG_TRY(project_glyphs(d, t, &y, err));
    }
    b->fixed = fixed;
    b->text = t->text_tokens;
    return VG_OK;
}

vg_status hv_dit_set_text(hv_dit *d, int branch, const hv_text *text, vg_err *err)
{
    hv_branch *b = &d->branch[branch];
    size_t mark = vg_arena_mark(d->work);
    vg_arena_reset(b->memory, 0);
    b->text = b->fixed = 0;
    if (text->text_tokens < 1)
        return VG_FAIL(err, VG_E_ARG, "a prompt without a single valid token");
    vg_status status = project(d, b, text, err);
    vg_arena_reset(d->work, mark);
    return status;
}

/* ---- in every forward: the token refiner ---- */

/* SiLU(time + pooled prompt), [1, dim]. */
static vg_status refiner_condition(hv_dit *d, const hv_branch *b, vg_tensor *silu, vg_err *err)
{
    vg_tensor time = vg_tensor_rows(&d->refine_times, d->at, 1);
    VG_TRY(hv_matrix(d->work, d->compute, 1, d->config.dim, silu, err));
    VG_TRY(vg_gate_residual(
        d->be, &(vg_gate_residual_args){.x = &time, .y = &b->pooled, .out = silu}, err));
    return vg_activation(d->be, &(vg_activation_args){.x = silu, .act = VG_ACT_SILU, .y = silu},
                         err);
}

/* The two gates of a refiner block, [2, dim] F32. */
static vg_status refiner_gates(hv_dit *d, const hv_refiner_block *r, const vg_tensor *silu,
                               vg_tensor gate[REFINE_MODULATIONS], vg_err *err)
{
    int64_t dim = d->config.dim;
    vg_tensor both, wide;
    VG_TRY(hv_matrix(d->work, d->compute, 1, REFINE_MODULATIONS * dim, &both, err));
    VG_TRY(vg_linear_run1(d->work, &r->modulation, silu, VG_ACT_NONE, &both, err));
    wide = both;
    if (d->compute != VG_F32) {
        VG_TRY(hv_matrix(d->work, VG_F32, 1, REFINE_MODULATIONS * dim, &wide, err));
        VG_TRY(vg_cast(d->be, &(vg_cast_args){.x = &both, .y = &wide}, err));
    }
    wide = vg_tensor_reshape(&wide, 1, REFINE_MODULATIONS * dim);
    for (int i = 0; i < REFINE_MODULATIONS; i++)
        gate[i] = vg_tensor_rows(&wide, i * dim, dim);
    return VG_OK;
}

static vg_status refiner_attention(hv_dit *d, const hv_refiner_block *r, const vg_tensor *x,
                                   vg_tensor *y, vg_err *err)
{
    vg_tensor rows[4], heads[4];
    for (int i = 0; i < 4; i++) {
        VG_TRY(hv_matrix(d->work, d->compute, x->shape[0], d->config.dim, &rows[i], err));
        heads[i] = hv_heads_of(d, &rows[i]);
    }
    VG_TRY(vg_linear_run(d->work,
                         (const vg_linear_layer *const[]){&r->linear[ATTN_Q], &r->linear[ATTN_K],
                                                          &r->linear[ATTN_V]},
                         3, x, VG_ACT_NONE, (vg_tensor *const[]){&rows[0], &rows[1], &rows[2]},
                         err));
    VG_TRY(
        vg_attention(d->be,
                     &(vg_attention_args){.q = &heads[0],
                                          .k = &heads[1],
                                          .v = &heads[2],
                                          .scale = (float)(1.0 / sqrt((double)d->config.head_dim)),
                                          .y = &heads[3]},
                     err));
    return vg_linear_run1(d->work, &r->linear[ATTN_O], &rows[3], VG_ACT_NONE, y, err);
}

static vg_status refine(hv_dit *d, const hv_refiner_block *r, const vg_tensor *silu, vg_tensor *h,
                        vg_err *err)
{
    vg_tensor gate[REFINE_MODULATIONS], n, y, hidden;
    size_t mark = vg_arena_mark(d->work);
    VG_TRY(refiner_gates(d, r, silu, gate, err));
    VG_TRY(hv_matrix(d->work, d->compute, h->shape[0], d->config.dim, &n, err));
    VG_TRY(hv_matrix(d->work, d->compute, h->shape[0], d->config.dim, &y, err));
    VG_TRY(hv_matrix(d->work, d->compute, h->shape[0], r->linear[FFN_UP].n, &hidden, err));
    VG_TRY(norm(d, &r->norm1, HV_EPS, h, &n, err));
    VG_TRY(refiner_attention(d, r, &n, &y, err));
    VG_TRY(vg_residual_norm(d->be,
                            &(vg_residual_norm_args){.x = h,
                                                     .add = &y,
                                                     .gate = &gate[REFINE_GATE_MSA],
                                                     .sum = h,
                                                     .w = &r->norm2.w,
                                                     .b = &r->norm2.b,
                                                     .eps = HV_EPS,
                                                     .y = &n},
                            err));
    VG_TRY(vg_linear_run1(d->work, &r->linear[FFN_UP], &n, VG_ACT_SILU, &hidden, err));
    VG_TRY(vg_linear_run1(d->work, &r->linear[FFN_DOWN], &hidden, VG_ACT_NONE, &y, err));
    VG_TRY(vg_gate_residual(
        d->be, &(vg_gate_residual_args){.x = h, .y = &y, .gate = &gate[REFINE_GATE_MLP], .out = h},
        err));
    vg_arena_reset(d->work, mark);
    return VG_OK;
}

vg_status hv_dit_text_rows(hv_dit *d, int branch, vg_tensor *y, vg_err *err)
{
    const hv_branch *b = &d->branch[branch];
    vg_tensor silu, h = vg_tensor_rows(y, b->fixed, b->text);
    size_t mark = vg_arena_mark(d->work);
    if (b->fixed > 0) {
        vg_tensor before = vg_tensor_rows(y, 0, b->fixed);
        VG_TRY(vg_backend_copy(d->be, &before, &b->before, err));
    }
    VG_TRY(vg_backend_copy(d->be, &h, &b->rows, err));
    VG_TRY(refiner_condition(d, b, &silu, err));
    for (int64_t i = 0; i < d->config.refiner_layers; i++)
        VG_TRY(refine(d, &d->refiner[i], &silu, &h, err));
    VG_TRY(
        vg_gate_residual(d->be, &(vg_gate_residual_args){.x = &h, .y = &b->types, .out = &h}, err));
    vg_arena_reset(d->work, mark);
    return VG_OK;
}

/* ---- places of video tokens ---- */

/* As torch has them: every number FP32. */
static void fill_rope(const hv_dit_config *c, const int64_t grid[3], float *cos_table,
                      float *sin_table)
{
    int64_t at = 0;
    for (int64_t token = 0; token < grid[0] * grid[1] * grid[2]; token++) {
        const int64_t place[3] = {token / grid[2] / grid[1], token / grid[2] % grid[1],
                                  token % grid[2]};
        for (int axis = 0; axis < 3; axis++)
            for (int64_t j = 0; j < c->rope_axes[axis] / 2; j++, at++) {
                float power = (float)(2 * j) / (float)c->rope_axes[axis];
                float angle = (float)place[axis] * (1.0f / powf((float)c->rope_theta, power));
                cos_table[at] = cosf(angle);
                sin_table[at] = sinf(angle);
            }
    }
}

/* Computed on the host; a backend that only counts gets nothing, and may count sizes whose tables no host could hold. */
static vg_status bring_rope(hv_dit *d, const int64_t grid[3], vg_tensor *cos_table,
                            vg_tensor *sin_table, vg_err *err)
{
    size_t values = (size_t)vg_tensor_numel(cos_table);
    if (d->be->ops->dry)
        return VG_OK;
    float *host = malloc(values * 2 * sizeof *host);
    if (!host)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the rotary tables of %lld tokens",
                       (long long)cos_table->shape[0]);
    fill_rope(&d->config, grid, host, host + values);
    vg_status status = vg_backend_upload(d->be, cos_table, host, err);
    if (status == VG_OK)
        status = vg_backend_upload(d->be, sin_table, host + values, err);
    if (status == VG_OK)
        status = vg_backend_sync(d->be, err);
    free(host);
    return status;
}

vg_status hv_dit_prepare_rope(hv_dit *d, const int64_t grid[3], vg_err *err)
{
    int64_t tokens = grid[0] * grid[1] * grid[2], pairs = d->config.head_dim / 2;
    vg_tensor cos_table, sin_table;
    if (d->rope_cos.data && memcmp(grid, d->grid, sizeof d->grid) == 0)
        return VG_OK;
    vg_arena_reset(d->rope, 0);
    d->rope_cos.data = NULL;
    VG_TRY(hv_matrix(d->rope, VG_F32, tokens, pairs, &cos_table, err));
    VG_TRY(hv_matrix(d->rope, VG_F32, tokens, pairs, &sin_table, err));
    VG_TRY(bring_rope(d, grid, &cos_table, &sin_table, err));
    d->rope_cos = cos_table;
    d->rope_sin = sin_table;
    memcpy(d->grid, grid, sizeof d->grid);
    return VG_OK;
}
