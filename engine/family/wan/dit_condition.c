/* dit_condition.c: see dit_impl.h. The prompt, the timestep and the places of the patches. */
#include "engine/family/wan/dit_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

vg_status wan_dit_norm_heads(const wan_dit *d, const vg_tensor *w, const vg_tensor *cos,
                             const vg_tensor *sin, vg_tensor *x, vg_err *err)
{
    return vg_rms_norm_rope(d->be,
                            &(vg_rms_norm_rope_args){.x = x,
                                                     .w = w,
                                                     .eps = (float)d->config.eps,
                                                     .heads = (int)d->config.heads,
                                                     .rope_cos = cos,
                                                     .rope_sin = sin,
                                                     .y = x},
                            err);
}

/* Host rows [tokens, columns] in the compute dtype, in the work arena. */
static vg_status bring_rows(wan_dit *d, const float *rows, int64_t tokens, int64_t columns,
                            vg_tensor *x, vg_err *err)
{
    vg_tensor raw;
    VG_TRY(wan_dit_matrix(d->work, VG_F32, tokens, columns, &raw, err));
    VG_TRY(vg_backend_upload(d->be, &raw, rows, err));
    *x = raw;
    if (d->compute == VG_F32)
        return VG_OK;
    VG_TRY(wan_dit_matrix(d->work, d->compute, tokens, columns, x, err));
    return vg_cast(d->be, &(vg_cast_args){.x = &raw, .y = x}, err);
}

/* Keys and values of `context` in every block, kept: of the pictures, or of the prompt in slot. */
static vg_status keep_context(wan_dit *d, const vg_tensor *context, bool image, int slot,
                              const atomic_int *cancel, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    vg_arena *keep = image ? d->image : d->text[slot];
    for (int64_t i = 0; i < d->count; i++) {
        wan_dit_block *b = &d->blocks[d->order[i]];
        const vg_linear_layer *layers[2] = {&b->linear[image ? IMAGE_K : ATTN2_K],
                                            &b->linear[image ? IMAGE_V : ATTN2_V]};
        wan_dit_context *to = image ? &b->image : &b->text[slot];
        vg_tensor k, v;
        if (vg_cancelled(cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled while preparing the %s",
                           image ? "picture" : "prompt");
        VG_TRY(wan_dit_matrix(keep, d->compute, context->shape[0], c->dim, &k, err));
        VG_TRY(wan_dit_matrix(keep, d->compute, context->shape[0], c->dim, &v, err));
        VG_TRY(vg_blocks_bind(d->loaded, i, err));
        VG_TRY(vg_linear_run(d->work, layers, 2, context, VG_ACT_NONE, (vg_tensor *const[]){&k, &v},
                             err));
        VG_TRY(wan_dit_norm_heads(d, image ? &b->norm_image_k : &b->norm_k2, NULL, NULL, &k, err));
        VG_TRY(vg_blocks_release(d->loaded, i, err));
        to->k = wan_dit_heads_of(d, &k);
        to->v = wan_dit_heads_of(d, &v);
    }
    return vg_backend_sync(d->be, err); /* rows belong to the caller */
}

static vg_status text_rows(wan_dit *d, int slot, const float *rows, int64_t tokens,
                           const atomic_int *cancel, vg_err *err)
{
    vg_tensor x, hidden, context;
    VG_TRY(bring_rows(d, rows, tokens, d->config.text_dim, &x, err));
    VG_TRY(wan_dit_matrix(d->work, d->compute, tokens, d->config.dim, &hidden, err));
    VG_TRY(wan_dit_matrix(d->work, d->compute, tokens, d->config.dim, &context, err));
    VG_TRY(vg_linear_run1(d->work, &d->global[TEXT_1], &x, VG_ACT_GELU_TANH, &hidden, err));
    VG_TRY(vg_linear_run1(d->work, &d->global[TEXT_2], &hidden, VG_ACT_NONE, &context, err));
    return keep_context(d, &context, false, slot, cancel, err);
}

vg_status wan_dit_set_text(wan_dit *d, int slot, const float *rows, int64_t tokens,
                           const atomic_int *cancel, vg_err *err)
{
    size_t mark = vg_arena_mark(d->work);
    vg_arena_reset(d->text[slot], 0);
    for (int64_t i = 0; i < d->count; i++)
        d->blocks[i].text[slot].k.data = NULL;
    vg_status status = text_rows(d, slot, rows, tokens, cancel, err);
    vg_arena_reset(d->work, mark);
    return status;
}

/* torch's default, of norms that name no other. Source: wan 2.5. */
#define IMAGE_EPS 1e-5f

static vg_status affine_norm(const wan_dit *d, const vg_tensor *x, const vg_tensor *w,
                             const vg_tensor *b, vg_tensor *y, vg_err *err)
{
    return vg_layer_norm_modulate(
        d->be, &(vg_layer_norm_modulate_args){.x = x, .w = w, .b = b, .eps = IMAGE_EPS, .y = y},
        err);
}

static vg_status image_rows(wan_dit *d, const float *rows, int64_t tokens, const atomic_int *cancel,
                            vg_err *err)
{
    const wan_dit_config *c = &d->config;
    vg_tensor x, n, hidden, out, context;
    VG_TRY(bring_rows(d, rows, tokens, c->image_dim, &x, err));
    if (c->image_places) {
        vg_tensor places = vg_tensor_reshape(&d->image_pos, 2, tokens, c->image_dim);
        VG_TRY(vg_gate_residual(d->be, &(vg_gate_residual_args){.x = &x, .y = &places, .out = &x},
                                err));
    }
    VG_TRY(wan_dit_matrix(d->work, d->compute, tokens, c->image_dim, &n, err));
    VG_TRY(wan_dit_matrix(d->work, d->compute, tokens, c->image_dim, &hidden, err));
    VG_TRY(wan_dit_matrix(d->work, d->compute, tokens, c->dim, &out, err));
    VG_TRY(wan_dit_matrix(d->work, d->compute, tokens, c->dim, &context, err));
    VG_TRY(affine_norm(d, &x, &d->image_w1, &d->image_b1, &n, err));
    VG_TRY(vg_linear_run1(d->work, &d->global[IMAGE_1], &n, VG_ACT_GELU_ERF, &hidden, err));
    VG_TRY(vg_linear_run1(d->work, &d->global[IMAGE_2], &hidden, VG_ACT_NONE, &out, err));
    VG_TRY(affine_norm(d, &out, &d->image_w2, &d->image_b2, &context, err));
    return keep_context(d, &context, true, 0, cancel, err);
}

vg_status wan_dit_set_image(wan_dit *d, const float *rows, int64_t tokens, const atomic_int *cancel,
                            vg_err *err)
{
    const wan_dit_config *c = &d->config;
    if (c->image_places && tokens != c->image_places)
        return VG_FAIL(err, VG_E_SHAPE, "%lld tokens of pictures; the model has positions for %lld",
                       (long long)tokens, (long long)c->image_places);
    size_t mark = vg_arena_mark(d->work);
    vg_arena_reset(d->image, 0);
    for (int64_t i = 0; i < d->count; i++)
        d->blocks[i].image.k.data = NULL;
    vg_status status = image_rows(d, rows, tokens, cancel, err);
    vg_arena_reset(d->work, mark);
    return status;
}

/* y = a + b in FP32: a modulation table plus the timestep's vector. */
static vg_status add_f32(const wan_dit *d, const vg_tensor *a, const vg_tensor *b, vg_tensor *y,
                         vg_err *err)
{
    return vg_linear_combination(
        d->be, &(vg_linear_combination_args){.count = 2, .x = {a, b}, .coef = {1, 1}, .y = y}, err);
}

/* Every modulation of one step: table + timestep_proj for the blocks, table + temb for the head. */
static vg_status add_tables(wan_dit *d, int time, const vg_tensor *temb, const vg_tensor *proj,
                            vg_err *err)
{
    const wan_dit_config *c = &d->config;
    vg_tensor *mod = &d->mod[time];
    VG_TRY(wan_dit_matrix(d->step[time], VG_F32, d->count * MODULATIONS + HEAD_MODULATIONS, c->dim,
                          mod, err));
    for (int64_t i = 0; i < d->count; i++) {
        vg_tensor rows = vg_tensor_rows(mod, i * MODULATIONS, MODULATIONS);
        VG_TRY(add_f32(d, &d->blocks[i].table, proj, &rows, err));
    }
    for (int i = 0; i < HEAD_MODULATIONS; i++) {
        vg_tensor row = vg_tensor_rows(mod, d->count * MODULATIONS + i, 1),
                  table = vg_tensor_rows(&d->table, i, 1);
        VG_TRY(add_f32(d, &table, temb, &row, err));
    }
    return VG_OK;
}

/* The modulations of one timestep; the same for both prompts and for equal timesteps. Source: wan 2.5. */
vg_status wan_dit_embed_timestep(wan_dit *d, int time, double timestep, vg_err *err)
{
    const wan_dit_config *c = &d->config;
    vg_arena *step = d->step[time];
    int64_t half = c->freq_dim / 2;
    if (d->timestep[time] == timestep)
        return VG_OK;
    float *sinusoid = malloc((size_t)c->freq_dim * sizeof *sinusoid);
    if (!sinusoid)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the timestep embedding");
    for (int64_t i = 0; i < half; i++) {
        float frequency = expf(-(float)log(10000.0) * (float)i / (float)half);
        float arg = (float)timestep * frequency;
        sinusoid[i] = cosf(arg);
        sinusoid[half + i] = sinf(arg);
    }
    d->timestep[time] = NAN;
    vg_arena_reset(step, 0);
    vg_tensor s = {0}, t1, t2, temb, silu, proj;
    vg_status status = wan_dit_matrix(step, VG_F32, 1, c->freq_dim, &s, err);
    if (status == VG_OK)
        status = vg_backend_upload(d->be, &s, sinusoid, err);
    if (status == VG_OK)
        status = vg_backend_sync(d->be, err);
    free(sinusoid);
    VG_TRY(status);
    VG_TRY(wan_dit_matrix(step, VG_F32, 1, c->dim, &t1, err));
    VG_TRY(wan_dit_matrix(step, VG_F32, 1, c->dim, &t2, err));
    VG_TRY(vg_linear_run1(step, &d->global[TIME_1], &s, VG_ACT_SILU, &t1, err));
    VG_TRY(vg_linear_run1(step, &d->global[TIME_2], &t1, VG_ACT_NONE, &t2, err));
    temb = t2;
    if (d->compute != VG_F32) {
        VG_TRY(wan_dit_matrix(step, d->compute, 1, c->dim, &temb, err));
        VG_TRY(vg_cast(d->be, &(vg_cast_args){.x = &t2, .y = &temb}, err));
    }
    VG_TRY(wan_dit_matrix(step, d->compute, 1, c->dim, &silu, err));
    VG_TRY(wan_dit_matrix(step, d->compute, 1, MODULATIONS * c->dim, &proj, err));
    VG_TRY(vg_activation(d->be, &(vg_activation_args){.x = &temb, .act = VG_ACT_SILU, .y = &silu},
                         err));
    VG_TRY(vg_linear_run1(step, &d->global[TIME_PROJ], &silu, VG_ACT_NONE, &proj, err));
    VG_TRY(add_tables(d, time, &temb, &proj, err));
    d->timestep[time] = timestep;
    return VG_OK;
}

/* Angles in FP64, cos and sin stored as FP32; pairs are [t | h | w]. Source: wan 2.4. */
static void fill_rope(const wan_dit_config *c, const int64_t grid[3], float *cos_table,
                      float *sin_table)
{
    int64_t spatial = 2 * (c->head_dim / 6),
            axis_dim[3] = {c->head_dim - 2 * spatial, spatial, spatial}, at = 0;
    for (int64_t t = 0; t < grid[0]; t++)
        for (int64_t y = 0; y < grid[1]; y++)
            for (int64_t x = 0; x < grid[2]; x++) {
                const int64_t position[3] = {t, y, x};
                for (int axis = 0; axis < 3; axis++)
                    for (int64_t j = 0; j < axis_dim[axis] / 2; j++, at++) {
                        double angle =
                            (double)position[axis] *
                            (1.0 / pow(10000.0, (double)(2 * j) / (double)axis_dim[axis]));
                        cos_table[at] = (float)cos(angle);
                        sin_table[at] = (float)sin(angle);
                    }
            }
}

/* Computed on the host; a backend that only counts gets nothing, and may count sizes whose tables no host could hold. */
static vg_status bring_rope(wan_dit *d, const int64_t grid[3], vg_tensor *cos_table,
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

vg_status wan_dit_prepare_rope(wan_dit *d, const int64_t grid[3], vg_err *err)
{
    const wan_dit_config *c = &d->config;
    int64_t tokens = grid[0] * grid[1] * grid[2], pairs = c->head_dim / 2;
    if (d->rope_cos.data && memcmp(grid, d->grid, sizeof d->grid) == 0)
        return VG_OK;
    for (int i = 0; i < 3; i++)
        if (grid[i] > c->rope_max)
            return VG_FAIL(
                err, VG_E_ARG,
                "the latents are %lld patches long in one direction; the model goes to %lld",
                (long long)grid[i], (long long)c->rope_max);
    vg_arena_reset(d->rope, 0);
    d->rope_cos.data = NULL;
    vg_tensor cos_table, sin_table;
    VG_TRY(wan_dit_matrix(d->rope, VG_F32, tokens, pairs, &cos_table, err));
    VG_TRY(wan_dit_matrix(d->rope, VG_F32, tokens, pairs, &sin_table, err));
    VG_TRY(bring_rope(d, grid, &cos_table, &sin_table, err));
    d->rope_cos = cos_table;
    d->rope_sin = sin_table;
    memcpy(d->grid, grid, sizeof d->grid);
    return VG_OK;
}
