/* bench_operands.c: see bench_operands.h. One function per operation says which tensors its arguments are. */
#include "app/bench/bench_operands.h"

#include <math.h>
#include <stdlib.h>
#include "engine/sampling/rng.h"

/* ---- noise ---- */

/* A prime, so that rows of any length differ. */
#define NOISE_COUNT 1048573
#define CODE_SPREAD                                                                                \
    100.0f /* E4M3 codes are of normal numbers times this: 4.5 deviations reach the largest code */

struct vg_bench_noise {
    vg_backend *be;
    vg_arena *arena;
    vg_tensor normal, bf16, codes; /* [NOISE_COUNT] F32, BF16, E4M3 */
    vg_tensor scales;              /* [NOISE_COUNT] F32, around 1 / CODE_SPREAD */
};

static vg_status fill_noise(vg_bench_noise *n, float *host, vg_err *err)
{
    const int64_t shape[1] = {NOISE_COUNT};
    vg_tensor wide;
    VG_TRY(vg_arena_tensor(n->arena, VG_F32, 1, shape, &n->normal, err));
    VG_TRY(vg_arena_tensor(n->arena, VG_F32, 1, shape, &n->scales, err));
    VG_TRY(vg_arena_tensor(n->arena, VG_F32, 1, shape, &wide, err));
    VG_TRY(vg_arena_tensor(n->arena, VG_BF16, 1, shape, &n->bf16, err));
    VG_TRY(vg_arena_tensor(n->arena, VG_E4M3, 1, shape, &n->codes, err));
    vg_rng_torch_normal(1, host, NOISE_COUNT);
    VG_TRY(vg_backend_upload(n->be, &n->normal, host, err));
    VG_TRY(vg_cast(n->be, &(vg_cast_args){.x = &n->normal, .y = &n->bf16}, err));
    VG_TRY(
        vg_linear_combination(n->be,
                              &(vg_linear_combination_args){
                                  .count = 1, .x = {&n->normal}, .coef = {CODE_SPREAD}, .y = &wide},
                              err));
    VG_TRY(vg_cast(n->be, &(vg_cast_args){.x = &wide, .y = &n->codes}, err));
    VG_TRY(vg_backend_sync(n->be, err)); /* the upload below changes host */
    for (int64_t i = 0; i < NOISE_COUNT; i++)
        host[i] = (1 + 0.1f * tanhf(host[i])) / CODE_SPREAD;
    VG_TRY(vg_backend_upload(n->be, &n->scales, host, err));
    return vg_backend_sync(n->be, err);
}

vg_status vg_bench_noise_new(vg_backend *be, vg_bench_noise **noise, vg_err *err)
{
    vg_bench_noise *n = calloc(1, sizeof *n);
    float *host = malloc(NOISE_COUNT * sizeof *host);
    vg_status status;
    if (!n || !host) {
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for random numbers");
        goto fail;
    }
    n->be = be;
    VG_TRY_GOTO(status, vg_arena_new(be, (size_t)1 << 20, &n->arena, err), fail);
    VG_TRY_GOTO(status, fill_noise(n, host, err), fail);
    free(host);
    *noise = n;
    return VG_OK;
fail:
    free(host);
    vg_bench_noise_free(n);
    return status;
}

void vg_bench_noise_free(vg_bench_noise *noise)
{
    if (!noise)
        return;
    vg_arena_free(noise->arena);
    free(noise);
}

/* The noise again and again; each copy doubles what is filled. */
static vg_status repeat(const vg_bench_noise *n, const vg_tensor *from, vg_tensor *to, vg_err *err)
{
    size_t bytes = vg_tensor_bytes(to), done = vg_tensor_bytes(from);
    done = done < bytes ? done : bytes;
    VG_TRY(n->be->ops->copy(n->be, to->data, from->data, done, err));
    while (done < bytes) {
        size_t more = done < bytes - done ? done : bytes - done;
        VG_TRY(n->be->ops->copy(n->be, (char *)to->data + done, to->data, more, err));
        done += more;
    }
    return VG_OK;
}

/* ---- tensors ---- */

typedef struct maker {
    const vg_bench_op *row;
    vg_arena *arena;
    const vg_bench_noise *noise;
    vg_bench_operands *o;
    vg_status status;
    vg_err *err;
} maker;

enum { EMPTY, FILLED, SCALES };

/* The next tensor; after a failure nothing more is done, and m->status says why. */
static vg_tensor *tensor(maker *m, int what, vg_dtype dtype, int ndim, const int64_t *shape)
{
    vg_tensor *t = &m->o->t[m->o->count++];
    if (m->status == VG_OK)
        m->status = vg_arena_tensor(m->arena, dtype, ndim, shape, t, m->err);
    if (m->status == VG_OK && what != EMPTY)
        m->status = repeat(m->noise,
                           what == SCALES     ? &m->noise->scales
                           : dtype == VG_F32  ? &m->noise->normal
                           : dtype == VG_BF16 ? &m->noise->bf16
                                              : &m->noise->codes,
                           t, m->err);
    return t;
}

#define TENSOR(m, what, dtype, ndim, ...)                                                          \
    tensor((m), (what), (dtype), (ndim), (const int64_t[]){__VA_ARGS__})

static vg_dtype act_dtype(const maker *m)
{
    return m->row->in == VG_BENCH_F32 ? VG_F32 : VG_BF16;
}

static int64_t groups(int64_t n)
{
    return (n + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
}

/* [rows, columns] quantised: codes into *q and scales into *scale. */
static void quantised(maker *m, vg_quant_kind kind, int what, int64_t rows, int64_t columns,
                      vg_tensor **q, vg_tensor **scale)
{
    *q = TENSOR(m, what, VG_E4M3, 2, rows, columns);
    if (kind == VG_QUANT_GROUP_DYNAMIC)
        *scale = TENSOR(m, SCALES, VG_F32, 2, groups(columns), rows);
    else
        *scale = TENSOR(m, SCALES, VG_F32, 1, 1);
}

/* Where the result goes: y, or nothing but its quantised form. */
static vg_tensor *result(maker *m, int64_t rows, int64_t columns, vg_quant_out *quant)
{
    quant->kind = m->row->out;
    if (quant->kind == VG_QUANT_NONE)
        return TENSOR(m, EMPTY, act_dtype(m), 2, rows, columns);
    quantised(m, quant->kind, EMPTY, rows, columns, &quant->q, &quant->scale);
    return NULL;
}

/* ---- operations ---- */

static void make_cast(maker *m, vg_cast_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, VG_F32, 2, d[0], d[1]);
    a->y = TENSOR(m, EMPTY, VG_BF16, 2, d[0], d[1]);
}

static void make_quantize(maker *m, vg_quantize_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, act_dtype(m), 2, d[0], d[1]);
    a->kind = m->row->out;
    quantised(m, a->kind, EMPTY, d[0], d[1], &a->q, &a->scale);
}

static void make_amax(maker *m, vg_amax_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, act_dtype(m), 2, d[0], d[1]);
    a->most = TENSOR(m, SCALES, VG_F32, 1, 1);
}

static vg_tensor *weight_scale(maker *m, int what, vg_bench_form form, int64_t n, int64_t k)
{
    return form == VG_BENCH_BLOCK     ? TENSOR(m, what, VG_F32, 2, groups(n), groups(k))
           : form == VG_BENCH_CHANNEL ? TENSOR(m, what, VG_F32, 1, n)
                                      : TENSOR(m, what, VG_F32, 1, 1);
}

static void make_quantize_weight(maker *m, vg_quantize_weight_args *a)
{
    const int64_t *d = m->row->d;
    a->w = TENSOR(m, FILLED, act_dtype(m), 2, d[0], d[1]);
    a->q = TENSOR(m, EMPTY, VG_E4M3, 2, d[0], d[1]);
    a->scale = weight_scale(
        m, EMPTY, m->row->out == VG_QUANT_GROUP_DYNAMIC ? VG_BENCH_BLOCK : VG_BENCH_TENSOR, d[0],
        d[1]);
}

static void make_dequantize_weight(maker *m, vg_dequantize_weight_args *a)
{
    const int64_t *d = m->row->d;
    a->q = TENSOR(m, FILLED, VG_E4M3, 2, d[0], d[1]);
    a->scale = weight_scale(m, SCALES, m->row->in, d[0], d[1]);
    a->y = TENSOR(m, EMPTY, VG_BF16, 2, d[0], d[1]);
}

static void make_linear(maker *m, vg_linear_args *a)
{
    int64_t rows = m->row->d[0], n = m->row->d[1], k = m->row->d[2];
    vg_bench_form form = m->row->in;
    if (form == VG_BENCH_F32 || form == VG_BENCH_BF16) {
        a->x = TENSOR(m, FILLED, act_dtype(m), 2, rows, k);
        a->w = TENSOR(m, FILLED, act_dtype(m), 2, n, k);
    } else {
        vg_tensor *x, *x_scale;
        quantised(m, form == VG_BENCH_BLOCK ? VG_QUANT_GROUP_DYNAMIC : VG_QUANT_TENSOR_STATIC,
                  FILLED, rows, k, &x, &x_scale);
        a->x = x;
        a->x_scale = x_scale;
        a->w = TENSOR(m, FILLED, VG_E4M3, 2, n, k);
        a->w_scale = weight_scale(m, SCALES, form, n, k);
    }
    a->bias = TENSOR(m, FILLED, act_dtype(m), 1, n);
    a->act = m->row->act;
    a->y = result(m, rows, n, &a->quant);
}

/* Ids spread over the whole vocabulary. */
static void make_embedding(maker *m, vg_embedding_args *a)
{
    int64_t n = m->row->d[0], dim = m->row->d[1], vocabulary = m->row->d[2];
    vg_tensor *ids = TENSOR(m, EMPTY, VG_I32, 1, n);
    int32_t *host = calloc((size_t)n + 1, sizeof *host);
    a->table = TENSOR(m, FILLED, act_dtype(m), 2, vocabulary, dim);
    a->ids = ids;
    a->y = TENSOR(m, EMPTY, act_dtype(m), 2, n, dim);
    for (int64_t i = 0; host && i < n; i++)
        host[i] = (int32_t)(i * 7919 % vocabulary);
    if (!host && m->status == VG_OK)
        m->status = VG_FAIL(m->err, VG_E_NOMEM, "out of memory for ids");
    if (m->status == VG_OK)
        m->status = vg_backend_upload(m->noise->be, ids, host, m->err);
    if (m->status == VG_OK)
        m->status = vg_backend_sync(m->noise->be, m->err);
    free(host);
}

static void make_rms_norm(maker *m, vg_rms_norm_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, act_dtype(m), 2, d[0], d[1]);
    a->w = TENSOR(m, FILLED, act_dtype(m), 1, d[1]);
    a->eps = 1e-6f;
    a->y = TENSOR(m, EMPTY, act_dtype(m), 2, d[0], d[1]);
}

static void make_layer_norm_modulate(maker *m, vg_layer_norm_modulate_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, act_dtype(m), 2, d[0], d[1]);
    a->scale = TENSOR(m, FILLED, VG_F32, 1, d[1]);
    a->shift = TENSOR(m, FILLED, VG_F32, 1, d[1]);
    a->eps = 1e-6f;
    a->y = result(m, d[0], d[1], &a->quant);
}

static void make_residual_norm(maker *m, vg_residual_norm_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, act_dtype(m), 2, d[0], d[1]);
    a->add = TENSOR(m, FILLED, act_dtype(m), 2, d[0], d[1]);
    a->gate = TENSOR(m, FILLED, VG_F32, 1, d[1]);
    a->sum = TENSOR(m, EMPTY, act_dtype(m), 2, d[0], d[1]);
    a->scale = TENSOR(m, FILLED, VG_F32, 1, d[1]);
    a->shift = TENSOR(m, FILLED, VG_F32, 1, d[1]);
    a->eps = 1e-6f;
    a->y = result(m, d[0], d[1], &a->quant);
}

static void make_rms_norm_rope(maker *m, vg_rms_norm_rope_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, act_dtype(m), 2, d[0], d[1]);
    a->w = TENSOR(m, FILLED, act_dtype(m), 1, d[1]);
    a->eps = 1e-6f;
    a->heads = (int)d[2];
    if (d[3]) { /* values of any size do; the rotation is two products whatever they are */
        a->rope_cos = TENSOR(m, FILLED, VG_F32, 2, d[0], d[1] / d[2] / 2);
        a->rope_sin = TENSOR(m, FILLED, VG_F32, 2, d[0], d[1] / d[2] / 2);
    }
    a->y = TENSOR(m, EMPTY, act_dtype(m), 2, d[0], d[1]);
}

static void make_attention(maker *m, vg_attention_args *a)
{
    int64_t nq = m->row->d[0], nk = m->row->d[1], heads = m->row->d[2], dim = m->row->d[3];
    a->q = TENSOR(m, FILLED, act_dtype(m), 3, nq, heads, dim);
    a->k = TENSOR(m, FILLED, act_dtype(m), 3, nk, heads, dim);
    a->v = TENSOR(m, FILLED, act_dtype(m), 3, nk, heads, dim);
    a->scale = (float)(1 / sqrt((double)dim));
    a->quant.kind = m->row->out;
    if (a->quant.kind == VG_QUANT_NONE)
        a->y = TENSOR(m, EMPTY, act_dtype(m), 3, nq, heads, dim);
    else
        quantised(m, a->quant.kind, EMPTY, nq, heads * dim, &a->quant.q, &a->quant.scale);
}

static void make_gate_residual(maker *m, vg_gate_residual_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, act_dtype(m), 2, d[0], d[1]);
    a->y = TENSOR(m, FILLED, act_dtype(m), 2, d[0], d[1]);
    a->gate = TENSOR(m, FILLED, VG_F32, 1, d[1]);
    a->out = TENSOR(m, EMPTY, act_dtype(m), 2, d[0], d[1]);
}

static void make_activation(maker *m, vg_activation_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, act_dtype(m), 2, d[0], d[1]);
    a->act = m->row->act;
    a->y = result(m, d[0], d[1], &a->quant);
}

static void make_patchify(maker *m, vg_patchify_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, act_dtype(m), 4, d[0], d[1], d[2], d[3]);
    a->patch[0] = 1;
    a->patch[1] = a->patch[2] = 2;
    a->y = TENSOR(m, EMPTY, act_dtype(m), 2, d[1] * (d[2] / 2) * (d[3] / 2), d[0] * 4);
}

static void make_unpatchify(maker *m, vg_unpatchify_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, act_dtype(m), 2, d[1] * (d[2] / 2) * (d[3] / 2), d[0] * 4);
    a->patch[0] = 1;
    a->patch[1] = a->patch[2] = 2;
    a->y = TENSOR(m, EMPTY, act_dtype(m), 4, d[0], d[1], d[2], d[3]);
}

static void make_linear_combination(maker *m, vg_linear_combination_args *a)
{
    const int64_t *d = m->row->d;
    a->count = (int)d[0];
    for (int i = 0; i < a->count; i++) {
        a->x[i] = TENSOR(m, FILLED, act_dtype(m), 1, d[1]);
        a->coef[i] = 0.25f;
    }
    a->y = TENSOR(m, EMPTY, act_dtype(m), 1, d[1]);
}

static void make_guidance_step(maker *m, vg_guidance_step_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, VG_F32, 1, d[0]);
    a->v.cond = TENSOR(m, FILLED, act_dtype(m), 1, d[0]);
    a->v.uncond = TENSOR(m, FILLED, act_dtype(m), 1, d[0]);
    a->v.scale = 4;
    a->coef = -0.25f;
    a->y = TENSOR(m, EMPTY, VG_F32, 1, d[0]);
}

static void make_conv3d(maker *m, vg_conv3d_args *a)
{
    int64_t frames = m->row->d[0], h = m->row->d[1], w = m->row->d[2], c = m->row->d[3],
            out = m->row->d[4];
    bool flat = m->row->d[5] == 2;
    a->x = TENSOR(m, FILLED, act_dtype(m), 4, frames, h, w, c);
    a->history = flat ? NULL : TENSOR(m, FILLED, act_dtype(m), 4, 2, h, w, c);
    a->upsample = flat ? 2 : 1;
    a->w = TENSOR(m, FILLED, act_dtype(m), 5, out, flat ? 1 : 3, 3, 3, c);
    a->bias = TENSOR(m, FILLED, act_dtype(m), 1, out);
    for (int i = 0; i < 3; i++)
        a->stride[i] = 1;
    for (int i = 0; i < 4; i++)
        a->pad[i] = 1;
    a->y = TENSOR(m, EMPTY, act_dtype(m), 4, frames, h * a->upsample, w * a->upsample, out);
}

static void make_channel_norm(maker *m, vg_channel_norm_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, act_dtype(m), 2, d[0] * d[1] * d[2], d[3]);
    a->gamma = TENSOR(m, FILLED, act_dtype(m), 1, d[3]);
    a->silu = m->row->act == VG_ACT_SILU;
    a->y = TENSOR(m, EMPTY, act_dtype(m), 2, d[0] * d[1] * d[2], d[3]);
}

static void make_channel_affine(maker *m, vg_channel_affine_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, act_dtype(m), 4, d[0], d[1], d[2], d[3]);
    a->to_channels_last = true;
    a->scale = TENSOR(m, FILLED, VG_F32, 1, d[0]);
    a->shift = TENSOR(m, FILLED, VG_F32, 1, d[0]);
    a->y = TENSOR(m, EMPTY, act_dtype(m), 4, d[1], d[2], d[3], d[0]);
}

static void make_frames_to_u8(maker *m, vg_frames_to_u8_args *a)
{
    const int64_t *d = m->row->d;
    a->x = TENSOR(m, FILLED, act_dtype(m), 4, d[0], d[1], d[2], 3);
    a->y = TENSOR(m, EMPTY, VG_U8, 4, d[0], d[1], d[2], 3);
}

/* ---- public ---- */

static int64_t shrink(int64_t n, double factor, int64_t multiple)
{
    int64_t small = (int64_t)((double)n * factor) / multiple * multiple;
    return small < multiple ? multiple : small;
}

vg_bench_op vg_bench_op_scaled(const vg_bench_op *row, double scale)
{
    vg_bench_op r = *row;
    int side = -1; /* where height and width are, for operations on pictures */
    if (scale == 1)
        return r;
    switch (row->op) {
    case VG_OP_patchify:
    case VG_OP_unpatchify:
    case VG_OP_channel_affine:
        side = 2;
        break;
    case VG_OP_conv3d:
    case VG_OP_channel_norm:
    case VG_OP_frames_to_u8:
        side = 1;
        break;
    case VG_OP_linear_combination:
        r.d[1] = shrink(row->d[1], scale, 16);
        break;
    case VG_OP_embedding:
        r.d[2] = shrink(row->d[2], scale, 16);
        r.d[0] = shrink(row->d[0], scale, 16);
        break;
    case VG_OP_attention:
        if (row->d[0] == row->d[1])
            r.d[1] = shrink(row->d[1], scale, 16);
        r.d[0] = shrink(row->d[0], scale, 16);
        break;
    default:
        r.d[0] = shrink(row->d[0], scale, 16);
    }
    for (int i = side; side > 0 && i < side + 2; i++)
        r.d[i] = shrink(row->d[i], sqrt(scale), 2);
    return r;
}

vg_status vg_bench_operands_make(const vg_bench_op *row, vg_arena *arena,
                                 const vg_bench_noise *noise, vg_bench_operands *o, vg_err *err)
{
    maker m = {.row = row, .arena = arena, .noise = noise, .o = o, .err = err};
    *o = (vg_bench_operands){.op = row->op};
    switch (row->op) {
#define VG_OP(name, help)                                                                          \
    case VG_OP_##name:                                                                             \
        make_##name(&m, &o->args.name);                                                            \
        break;
#include "kernels/op/ops.def"
#undef VG_OP
    case VG_OP_COUNT:
        break;
    }
    return m.status;
}

void vg_bench_operands_cost(const vg_bench_operands *o, vg_op_cost *cost)
{
    switch (o->op) {
#define VG_OP(name, help)                                                                          \
    case VG_OP_##name:                                                                             \
        vg_cost_##name(&o->args.name, cost);                                                       \
        return;
#include "kernels/op/ops.def"
#undef VG_OP
    case VG_OP_COUNT:
        break;
    }
}

vg_status vg_bench_operands_run(vg_backend *be, const vg_bench_operands *o, vg_err *err)
{
    switch (o->op) {
#define VG_OP(name, help)                                                                          \
    case VG_OP_##name:                                                                             \
        return vg_##name(be, &o->args.name, err);
#include "kernels/op/ops.def"
#undef VG_OP
    case VG_OP_COUNT:
        break;
    }
    return VG_FAIL(err, VG_E_ARG, "unknown operation %d", (int)o->op);
}
