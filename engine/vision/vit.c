/* vit.c: see vit.h. */
#include "engine/vision/vit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIM = 1, FF };

#define ROW(...) VG_WEIGHT_ROW(vg_vit_layer, __VA_ARGS__)
static const vg_weight_row layer_rows[] = {
    ROW("layer_norm1.weight", TENSOR, norm1_w, VG_WEIGHT_F32, DIM),
    ROW("layer_norm1.bias", TENSOR, norm1_b, VG_WEIGHT_F32, DIM),
    ROW("self_attn.q_proj", LINEAR, q, 0, DIM, DIM),
    ROW("self_attn.k_proj", LINEAR, k, 0, DIM, DIM),
    ROW("self_attn.v_proj", LINEAR, v, 0, DIM, DIM),
    ROW("self_attn.out_proj", LINEAR, o, 0, DIM, DIM),
    ROW("layer_norm2.weight", TENSOR, norm2_w, VG_WEIGHT_F32, DIM),
    ROW("layer_norm2.bias", TENSOR, norm2_b, VG_WEIGHT_F32, DIM),
    ROW("mlp.fc1", LINEAR, up, 0, FF, DIM),
    ROW("mlp.fc2", LINEAR, down, 0, DIM, FF),
};
#undef ROW

vg_weight_list vg_vit_list(const char *root, int64_t count, int64_t dim, int64_t ff,
                           vg_vit_layer *to)
{
    vg_weight_list list = {.count = count,
                           .rows = layer_rows,
                           .rows_count = sizeof layer_rows / sizeof *layer_rows,
                           .dims = {[DIM] = dim, [FF] = ff},
                           .to = to,
                           .stride = sizeof *to};
    snprintf(list.prefix, sizeof list.prefix, "%sencoder.layers.%%d.", root);
    return list;
}

vg_status vg_vit_norm(const vg_vit *vit, const vg_tensor *x, const vg_tensor *w, const vg_tensor *b,
                      vg_tensor *y, vg_err *err)
{
    return vg_layer_norm_modulate(
        vit->be, &(vg_layer_norm_modulate_args){.x = x, .w = w, .b = b, .eps = vit->eps, .y = y},
        err);
}

/* [3,1,side,side] of the backend in FP32, the upper left of the pixels. */
static vg_status upload(const vg_vit *vit, int64_t side, const float *pixels, vg_tensor *x,
                        vg_err *err)
{
    const int64_t shape[4] = {3, 1, side, side};
    VG_TRY(vg_arena_tensor(vit->arena, VG_F32, 4, shape, x, err));
    float *kept = malloc(vg_tensor_bytes(x));
    if (!kept)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a picture of %lldx%lld", (long long)side,
                       (long long)side);
    for (int64_t row = 0; row < 3 * side; row++)
        memcpy(kept + row * side, pixels + (row / side * vit->image + row % side) * vit->image,
               (size_t)side * sizeof *kept);
    vg_status status = vg_backend_upload(vit->be, x, kept, err);
    if (status == VG_OK)
        status = vg_backend_sync(vit->be, err); /* `kept` goes away */
    free(kept);
    return status;
}

vg_status vg_vit_patches(const vg_vit *vit, const vg_linear_layer *patch, const float *pixels,
                         vg_tensor *y, vg_err *err)
{
    int64_t side = vit->image / vit->patch * vit->patch, p = vit->patch;
    const int64_t rows[2] = {y->shape[0], 3 * p * p};
    size_t mark = vg_arena_mark(vit->arena);
    vg_tensor raw, x, cut;
    VG_TRY(upload(vit, side, pixels, &raw, err));
    VG_TRY(vg_arena_tensor(vit->arena, vit->compute, 4, raw.shape, &x, err));
    VG_TRY(vg_cast(vit->be, &(vg_cast_args){.x = &raw, .y = &x}, err));
    VG_TRY(vg_arena_tensor(vit->arena, vit->compute, 2, rows, &cut, err));
    VG_TRY(vg_patchify(vit->be,
                       &(vg_patchify_args){.x = &x, .patch = {1, (int)p, (int)p}, .y = &cut}, err));
    VG_TRY(vg_linear_run1(vit->arena, patch, &cut, VG_ACT_NONE, y, err));
    vg_arena_reset(vit->arena, mark);
    return VG_OK;
}

/* What a layer writes to on its way: n, q, k, v [tokens, dim], hidden [tokens, ff]. */
typedef struct work {
    vg_tensor n, q, k, v, hidden;
} work;

static vg_status attend(const vg_vit *vit, const work *w, vg_tensor *y, vg_err *err)
{
    int64_t tokens = y->shape[0], head = vit->dim / vit->heads;
    vg_tensor q = vg_tensor_reshape(&w->q, 3, tokens, vit->heads, head),
              k = vg_tensor_reshape(&w->k, 3, tokens, vit->heads, head),
              v = vg_tensor_reshape(&w->v, 3, tokens, vit->heads, head),
              o = vg_tensor_reshape(y, 3, tokens, vit->heads, head);
    return vg_attention(
        vit->be,
        &(vg_attention_args){
            .q = &q, .k = &k, .v = &v, .scale = (float)(1.0 / sqrt((double)head)), .y = &o},
        err);
}

static vg_status run_layer(const vg_vit *vit, const vg_vit_layer *l, vg_tensor *x, work *w,
                           vg_err *err)
{
    const vg_gate_residual_args add = {.x = x, .y = &w->q, .out = x};
    VG_TRY(vg_vit_norm(vit, x, &l->norm1_w, &l->norm1_b, &w->n, err));
    VG_TRY(vg_linear_run(vit->arena, (const vg_linear_layer *const[]){&l->q, &l->k, &l->v}, 3,
                         &w->n, VG_ACT_NONE, (vg_tensor *const[]){&w->q, &w->k, &w->v}, err));
    VG_TRY(attend(vit, w, &w->n, err));
    VG_TRY(vg_linear_run1(vit->arena, &l->o, &w->n, VG_ACT_NONE, &w->q, err));
    VG_TRY(vg_gate_residual(vit->be, &add, err));
    VG_TRY(vg_vit_norm(vit, x, &l->norm2_w, &l->norm2_b, &w->n, err));
    VG_TRY(vg_linear_run1(vit->arena, &l->up, &w->n, vit->act, &w->hidden, err));
    VG_TRY(vg_linear_run1(vit->arena, &l->down, &w->hidden, VG_ACT_NONE, &w->q, err));
    return vg_gate_residual(vit->be, &add, err);
}

vg_status vg_vit_layers(const vg_vit *vit, const vg_vit_layer *layers, int64_t count, vg_tensor *x,
                        const atomic_int *cancel, vg_err *err)
{
    const int64_t wide[2] = {x->shape[0], vit->ff};
    size_t mark = vg_arena_mark(vit->arena);
    work w;
    vg_tensor *rows[] = {&w.n, &w.q, &w.k, &w.v};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        VG_TRY(vg_arena_tensor(vit->arena, vit->compute, 2, x->shape, rows[i], err));
    VG_TRY(vg_arena_tensor(vit->arena, vit->compute, 2, wide, &w.hidden, err));
    for (int64_t i = 0; i < count; i++) {
        if (vg_cancelled(cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled in the image encoder");
        VG_TRY(run_layer(vit, &layers[i], x, &w, err));
    }
    vg_arena_reset(vit->arena, mark);
    return VG_OK;
}

vg_status vg_vit_download(const vg_vit *vit, const vg_tensor *x, float *out, vg_err *err)
{
    vg_tensor result = *x;
    if (vit->compute != VG_F32) {
        VG_TRY(vg_arena_tensor(vit->arena, VG_F32, x->ndim, x->shape, &result, err));
        VG_TRY(vg_cast(vit->be, &(vg_cast_args){.x = x, .y = &result}, err));
    }
    return vg_backend_download(vit->be, out, &result, err);
}
