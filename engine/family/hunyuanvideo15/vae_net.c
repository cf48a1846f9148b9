/* vae_net.c: see vae_net.h. */
#include "engine/family/hunyuanvideo15/vae_net.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* CONV_REPEAT: with the input's channels repeated and added. HEAD_MEAN: with means of the input's channels added. */
typedef enum layer_kind { CONV, CONV_REPEAT, RES, ATTN, UP, DOWN, HEAD, HEAD_MEAN } layer_kind;

typedef struct net_layer {
    layer_kind kind;
    int64_t cin, cout;
    int times; /* UP, DOWN: 2 when they also halve or double frames */
    char name[48];
    int slot;               /* UP to RES: first remembered input of a convolution; ATTN: -1 */
    vg_tensor norm1, norm2; /* [C] */
    vg_conv_layer conv1, conv2;
    vg_conv_layer q, k, v, o; /* ATTN: matrices */
} net_layer;

#define LAYERS_MAX     192
#define EDGE           1                  /* pixels that are repeated on each side */
#define WORK_ALIGNMENT ((size_t)16 * 256) /* of the tensors that a layer has at a time */

struct hv_vae_net {
    vg_dtype compute;
    int count, slots;
    net_layer layer[LAYERS_MAX];
};

/* ---- the graph ---- */

__attribute__((format(printf, 6, 7))) static void
add(hv_vae_net *net, layer_kind kind, int64_t cin, int64_t cout, int times, const char *format, ...)
{
    va_list args;
    int slots = kind == ATTN ? 0 : kind == RES ? 2 : 1;
    if (net->count == LAYERS_MAX)
        return;
    net_layer *l = &net->layer[net->count++];
    *l = (net_layer){.kind = kind,
                     .cin = cin,
                     .cout = cout,
                     .times = times,
                     .slot = kind == ATTN ? -1 : net->slots};
    net->slots += slots;
    va_start(args, format);
    vsnprintf(l->name, sizeof l->name, format, args);
    va_end(args);
}

static void add_middle(hv_vae_net *net, const char *half, int64_t c)
{
    add(net, RES, c, c, 1, "%s.mid_block.resnets.0.", half);
    add(net, ATTN, c, c, 1, "%s.mid_block.attentions.0.", half);
    add(net, RES, c, c, 1, "%s.mid_block.resnets.1.", half);
}

/* Is the step between levels i and i + 1, counted from pixels, temporal too? The innermost ones are. */
static int times_of(const hv_vae_config *c, int64_t i)
{
    int64_t untimed = c->levels - 1;
    for (int t = c->temporal; t > 1; t /= 2)
        untimed--;
    return i >= untimed ? 2 : 1;
}

static void build_encoder(hv_vae_net *net, const hv_vae_config *c)
{
    int64_t last = c->levels - 1;
    add(net, CONV, 3, c->channels[0], 1, "encoder.conv_in.");
    for (int64_t i = 0; i <= last; i++) {
        for (int64_t j = 0; j < c->layers_per_block; j++)
            add(net, RES, c->channels[i], c->channels[i], 1, "encoder.down_blocks.%d.resnets.%d.",
                (int)i, (int)j);
        if (i < last)
            add(net, DOWN, c->channels[i], c->channels[i + 1], times_of(c, i),
                "encoder.down_blocks.%d.downsamplers.0.", (int)i);
    }
    add_middle(net, "encoder", c->channels[last]);
    add(net, HEAD_MEAN, c->channels[last], 2 * c->z, 1, "encoder.");
}

static void build_decoder(hv_vae_net *net, const hv_vae_config *c)
{
    int64_t last = c->levels - 1;
    add(net, CONV_REPEAT, c->z, c->channels[last], 1, "decoder.conv_in.");
    add_middle(net, "decoder", c->channels[last]);
    for (int64_t i = last; i >= 0; i--) {
        for (int64_t j = 0; j <= c->layers_per_block; j++)
            add(net, RES, c->channels[i], c->channels[i], 1, "decoder.up_blocks.%d.resnets.%d.",
                (int)(last - i), (int)j);
        if (i > 0)
            add(net, UP, c->channels[i], c->channels[i - 1], times_of(c, i - 1),
                "decoder.up_blocks.%d.upsamplers.0.", (int)(last - i));
    }
    add(net, HEAD, c->channels[0], 3, 1, "decoder.");
}

static vg_status build(const hv_vae_config *c, vg_dtype compute, bool encoder, hv_vae_net **net,
                       vg_err *err)
{
    hv_vae_net *n = calloc(1, sizeof *n);
    if (!n)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the VAE");
    n->compute = compute;
    if (encoder)
        build_encoder(n, c);
    else
        build_decoder(n, c);
    if (n->count == LAYERS_MAX) {
        free(n);
        return VG_FAIL(err, VG_E_UNSUPPORTED, "the VAE has more than %d layers", LAYERS_MAX);
    }
    *net = n;
    return VG_OK;
}

/* ---- weights ---- */

enum { IN = 1, OUT, CONVOLVED };

#define ROW(...) VG_WEIGHT_ROW(net_layer, __VA_ARGS__)
#define ONE      VG_FIXED(1)
#define THREE    VG_FIXED(3)

static const vg_weight_row conv_rows[] = {
    ROW("conv", CONV, conv1, 0, OUT, IN, THREE, THREE, THREE),
};
static const vg_weight_row res_rows[] = {
    ROW("norm1.gamma", TENSOR, norm1, 0, IN, ONE, ONE, ONE),
    ROW("conv1.conv", CONV, conv1, 0, OUT, IN, THREE, THREE, THREE),
    ROW("norm2.gamma", TENSOR, norm2, 0, OUT, ONE, ONE, ONE),
    ROW("conv2.conv", CONV, conv2, 0, OUT, OUT, THREE, THREE, THREE),
};
static const vg_weight_row attn_rows[] = {
    ROW("norm.gamma", TENSOR, norm1, 0, IN, ONE, ONE, ONE),
    ROW("to_q", POINTWISE, q, 0, IN, IN, ONE, ONE, ONE),
    ROW("to_k", POINTWISE, k, 0, IN, IN, ONE, ONE, ONE),
    ROW("to_v", POINTWISE, v, 0, IN, IN, ONE, ONE, ONE),
    ROW("proj_out", POINTWISE, o, 0, IN, IN, ONE, ONE, ONE),
};
static const vg_weight_row resample_rows[] = {
    ROW("conv.conv", CONV, conv1, 0, CONVOLVED, IN, THREE, THREE, THREE),
};
static const vg_weight_row head_rows[] = {
    ROW("norm_out.gamma", TENSOR, norm1, 0, IN, ONE, ONE, ONE),
    ROW("conv_out.conv", CONV, conv1, 0, OUT, IN, THREE, THREE, THREE),
};

/* By layer_kind. */
static const struct {
    const vg_weight_row *rows;
    int count;
} kind_rows[] = {
#define ROWS(kind, list) [kind] = {list, sizeof list / sizeof list[0]}
    ROWS(CONV, conv_rows), ROWS(CONV_REPEAT, conv_rows), ROWS(RES, res_rows),
    ROWS(ATTN, attn_rows), ROWS(UP, resample_rows),      ROWS(DOWN, resample_rows),
    ROWS(HEAD, head_rows), ROWS(HEAD_MEAN, head_rows),
#undef ROWS
};

/* Channels behind a layer's convolution. */
static int64_t convolved(const net_layer *l)
{
    int64_t factor = 4 * l->times;
    return l->kind == UP ? l->cout * factor : l->kind == DOWN ? l->cout / factor : l->cout;
}

static void list_of(const net_layer *l, void *to, vg_weight_list *list)
{
    *list = (vg_weight_list){.count = 1,
                             .rows = kind_rows[l->kind].rows,
                             .rows_count = kind_rows[l->kind].count,
                             .dims = {[IN] = l->cin, [OUT] = l->cout, [CONVOLVED] = convolved(l)},
                             .to = to};
    snprintf(list->prefix, sizeof list->prefix, "%s", l->name);
}

vg_status hv_vae_net_weights(const hv_vae_config *config, bool encoder, vg_weight_table *table,
                             vg_err *err)
{
    hv_vae_net *n;
    vg_status status = VG_OK;
    VG_TRY(build(config, VG_F32, encoder, &n, err));
    for (int i = 0; i < n->count && status == VG_OK; i++) {
        vg_weight_list list;
        list_of(&n->layer[i], NULL, &list);
        status = vg_weight_table_add(table, &list, err);
    }
    free(n);
    return status;
}

vg_status hv_vae_net_load(vg_module *module, const hv_vae_config *config, vg_dtype compute,
                          bool encoder, hv_vae_net **net, vg_err *err)
{
    hv_vae_net *n = NULL;
    VG_TRY(build(config, compute, encoder, &n, err));
    for (int i = 0; i < n->count; i++) {
        vg_weight_list list;
        list_of(&n->layer[i], &n->layer[i], &list);
        vg_status status = vg_module_load(module, &list, 0, err);
        if (status != VG_OK) {
            free(n);
            return status;
        }
    }
    *net = n;
    return VG_OK;
}

void hv_vae_net_free(hv_vae_net *net)
{
    free(net);
}

/* ---- shapes ---- */

typedef struct extent {
    int64_t t, h, w;
} extent;

/* By how much a layer changes the number of frames of this chunk. */
static int times_now(const net_layer *l, bool first)
{
    return first ? 1 : l->times;
}

static extent layer_shape(const net_layer *l, bool first, extent e)
{
    int times = times_now(l, first);
    if (l->kind == UP)
        return (extent){e.t * times, 2 * e.h, 2 * e.w};
    if (l->kind == DOWN)
        return (extent){e.t / times, e.h / 2, e.w / 2};
    return e;
}

void hv_vae_net_shape(const hv_vae_net *net, bool first, int64_t *frames, int64_t *height,
                      int64_t *width)
{
    extent e = {*frames, *height, *width};
    for (int i = 0; i < net->count; i++)
        e = layer_shape(&net->layer[i], first, e);
    *frames = e.t;
    *height = e.h;
    *width = e.w;
}

/* Layers that add to their input write over it; the others write into the other of two buffers. */
static bool in_place(const net_layer *l)
{
    return l->kind == RES || l->kind == ATTN;
}

typedef struct net_sizes {
    size_t buffer[2]; /* elements of the two alternating activations */
    size_t work;      /* most elements that one layer takes beside them */
} net_sizes;

static size_t volume(extent e, int64_t c)
{
    return (size_t)(e.t * e.h * e.w * c);
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* history: two frames more in front of each convolution, when they are not kept for another chunk. */
static size_t layer_work(const net_layer *l, extent e, bool history)
{
    int64_t before = !history ? 0 : l->kind == RES ? 4 : 2;
    extent padded = {e.t + before, e.h + 2 * EDGE, e.w + 2 * EDGE};
    size_t in = volume(padded, l->cin);
    switch (l->kind) {
    case ATTN:
        return 3 * volume(e, l->cin);
    case CONV:
    case HEAD:
        return in;
    default:
        return in + volume(e, convolved(l));
    }
}

/* What a chunk of this extent needs. */
static net_sizes measure(const hv_vae_net *net, bool first, extent e, bool history)
{
    net_sizes s = {0};
    int at = 0;
    for (int i = 0; i < net->count; i++) {
        const net_layer *l = &net->layer[i];
        s.work = max_size(s.work, layer_work(l, e, history));
        e = layer_shape(l, first, e);
        if (!in_place(l)) {
            at ^= 1;
            s.buffer[at] = max_size(s.buffer[at], volume(e, l->cout));
        }
    }
    return s;
}

/* ---- state ---- */

typedef struct memory_of_attention {
    vg_tensor k, v; /* [all tokens, C] */
} memory_of_attention;

struct hv_vae_state {
    const hv_vae_net *net;
    vg_backend *be;
    int64_t height, width, chunks, chunk_frames;
    int64_t done; /* chunks */
    vg_arena *memory, *work;
    vg_tensor buffer[2];
    memory_of_attention seen; /* of the one attention layer */
    vg_tensor slots[];        /* [2,H+2,W+2,C]: the last two frames of each convolution's input */
};

static vg_status flat(vg_arena *arena, vg_dtype dtype, size_t elements, vg_tensor *t, vg_err *err)
{
    const int64_t shape[1] = {elements > 0 ? (int64_t)elements : 1};
    return vg_arena_tensor(arena, dtype, 1, shape, t, err);
}

static vg_status check_size(const hv_vae_net *net, int64_t height, int64_t width, vg_err *err)
{
    extent e = {1, height, width};
    for (int i = 0; i < net->count; i++) {
        if (net->layer[i].kind == DOWN && (e.h % 2 || e.w % 2))
            return VG_FAIL(err, VG_E_SHAPE, "frames of %lldx%lld do not divide into latents",
                           (long long)width, (long long)height);
        e = layer_shape(&net->layer[i], true, e);
    }
    return VG_OK;
}

vg_status hv_vae_state_new(const hv_vae_net *net, vg_backend *be, int64_t height, int64_t width,
                           int64_t chunks, int64_t chunk_frames, hv_vae_state **state, vg_err *err)
{
    vg_status status;
    VG_TRY(check_size(net, height, width, err));
    hv_vae_state *s = calloc(1, sizeof *s + (size_t)net->slots * sizeof s->slots[0]);
    if (!s)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the VAE");
    s->net = net;
    s->be = be;
    s->height = height;
    s->width = width;
    s->chunks = chunks;
    s->chunk_frames = chunk_frames;
    net_sizes first = measure(net, true, (extent){1, height, width}, chunks == 1), later = first;
    if (chunks > 1)
        later = measure(net, false, (extent){chunk_frames, height, width}, false);
    VG_TRY_GOTO(status, vg_arena_new(be, (size_t)1 << 20, &s->memory, err), fail);
    /* One piece of memory for the largest layer, since layers of growing size would each take another. */
    size_t work = max_size(first.work, later.work) * vg_dtype_size(net->compute) + WORK_ALIGNMENT;
    VG_TRY_GOTO(status, vg_arena_new(be, work, &s->work, err), fail);
    for (int i = 0; i < 2; i++)
        VG_TRY_GOTO(status,
                    flat(s->memory, net->compute, max_size(first.buffer[i], later.buffer[i]),
                         &s->buffer[i], err),
                    fail);
    *state = s;
    return VG_OK;
fail:
    hv_vae_state_free(s);
    return status;
}

void hv_vae_state_free(hv_vae_state *s)
{
    if (!s)
        return;
    vg_arena_free(s->work);
    vg_arena_free(s->memory);
    free(s);
}

/* ---- layers ---- */

static vg_status frames_of(vg_arena *arena, vg_dtype dtype, extent e, int64_t c, vg_tensor *t,
                           vg_err *err)
{
    return vg_arena_tensor(arena, dtype, 4, (const int64_t[]){e.t, e.h, e.w, c}, t, err);
}

static extent extent_of(const vg_tensor *x)
{
    return (extent){x->shape[0], x->shape[1], x->shape[2]};
}

static vg_status copy_frame(hv_vae_state *s, const vg_tensor *from, int64_t i, vg_tensor *to,
                            int64_t j, vg_err *err)
{
    vg_tensor source = vg_tensor_rows(from, i, 1), target = vg_tensor_rows(to, j, 1);
    return vg_backend_copy(s->be, &target, &source, err);
}

/* What lies in front of padded frames p: remembered, or before the first frame two copies of it. */
static vg_status past_of(hv_vae_state *s, int slot, const vg_tensor *p, vg_tensor *past,
                         vg_err *err)
{
    extent e = {2, p->shape[1], p->shape[2]};
    *past = s->slots[slot];
    if (past->data)
        return VG_OK;
    VG_TRY(frames_of(s->chunks > 1 ? s->memory : s->work, p->dtype, e, p->shape[3], past, err));
    for (int i = 0; i < 2; i++)
        VG_TRY(copy_frame(s, p, 0, past, i, err));
    if (s->chunks > 1)
        s->slots[slot] = *past;
    return VG_OK;
}

static vg_status remember(hv_vae_state *s, const vg_tensor *p, vg_tensor *past, vg_err *err)
{
    int64_t t = p->shape[0];
    if (s->done + 1 == s->chunks)
        return VG_OK;
    if (t > 1) {
        vg_tensor last = vg_tensor_rows(p, t - 2, 2);
        return vg_backend_copy(s->be, past, &last, err);
    }
    VG_TRY(copy_frame(s, past, 1, past, 0, err));
    return copy_frame(s, p, 0, past, 1, err);
}

/* p = x, or norm and SiLU of it, with its border repeated. */
static vg_status pad(hv_vae_state *s, const vg_tensor *x, const vg_tensor *gamma, vg_tensor *p,
                     vg_err *err)
{
    return vg_edge_norm(
        s->be,
        &(vg_edge_norm_args){.x = x, .gamma = gamma, .silu = gamma != NULL, .edge = EDGE, .y = p},
        err);
}

static vg_status take_padded(hv_vae_state *s, const vg_tensor *x, vg_tensor *p, vg_err *err)
{
    extent e = extent_of(x);
    return frames_of(s->work, x->dtype, (extent){e.t, e.h + 2 * EDGE, e.w + 2 * EDGE}, x->shape[3],
                     p, err);
}

/* y = causal 3x3x3 convolution of padded frames; plus residual, or NULL. */
static vg_status convolve(hv_vae_state *s, int slot, const vg_tensor *p, const vg_conv_layer *conv,
                          const vg_tensor *residual, vg_tensor *y, vg_err *err)
{
    vg_tensor past;
    VG_TRY(past_of(s, slot, p, &past, err));
    VG_TRY(vg_conv3d(s->be,
                     &(vg_conv3d_args){.x = p,
                                       .history = &past,
                                       .upsample = 1,
                                       .w = &conv->w,
                                       .bias = &conv->bias,
                                       .stride = {1, 1, 1},
                                       .residual = residual,
                                       .y = y},
                     err));
    return remember(s, p, &past, err);
}

/* y = convolution of x, or of norm and SiLU of it. */
static vg_status convolve_new(hv_vae_state *s, int slot, const vg_tensor *x, const vg_tensor *gamma,
                              const vg_conv_layer *conv, vg_tensor *y, vg_err *err)
{
    vg_tensor p;
    VG_TRY(take_padded(s, x, &p, err));
    VG_TRY(pad(s, x, gamma, &p, err));
    return convolve(s, slot, &p, conv, NULL, y, err);
}

/* The same into work memory, with this many channels. */
static vg_status convolve_aside(hv_vae_state *s, const net_layer *l, const vg_tensor *x,
                                const vg_tensor *gamma, vg_tensor *h, vg_err *err)
{
    VG_TRY(frames_of(s->work, x->dtype, extent_of(x), convolved(l), h, err));
    return convolve_new(s, l->slot, x, gamma, &l->conv1, h, err);
}

/* x += the block's branch. */
static vg_status run_res(hv_vae_state *s, const net_layer *l, vg_tensor *x, vg_err *err)
{
    vg_tensor p, h;
    VG_TRY(take_padded(s, x, &p, err));
    VG_TRY(frames_of(s->work, x->dtype, extent_of(x), l->cout, &h, err));
    VG_TRY(pad(s, x, &l->norm1, &p, err));
    VG_TRY(convolve(s, l->slot, &p, &l->conv1, NULL, &h, err));
    VG_TRY(pad(s, &h, &l->norm2, &p, err));
    return convolve(s, l->slot + 1, &p, &l->conv2, x, x, err);
}

static vg_status matmul(hv_vae_state *s, const vg_tensor *rows, const vg_conv_layer *c,
                        vg_tensor *y, vg_err *err)
{
    return vg_linear(
        s->be,
        &(vg_linear_args){.x = rows, .w = &c->w, .bias = &c->bias, .act = VG_ACT_NONE, .y = y},
        err);
}

/* One head of all channels: the tokens of a frame see those of all frames up to theirs. x += what it gives. */
static vg_status run_attention(hv_vae_state *s, const net_layer *l, vg_tensor *x, vg_err *err)
{
    int64_t c = l->cin, plane = x->shape[1] * x->shape[2];
    const int64_t shape[2] = {plane, c};
    vg_tensor rows[3], xr = vg_tensor_reshape(x, 2, plane, c);
    if (!s->seen.k.data) {
        VG_TRY(vg_arena_tensor(s->memory, x->dtype, 2, (const int64_t[]){s->chunks * plane, c},
                               &s->seen.k, err));
        VG_TRY(vg_arena_tensor(s->memory, x->dtype, 2, (const int64_t[]){s->chunks * plane, c},
                               &s->seen.v, err));
    }
    for (int i = 0; i < 3; i++)
        VG_TRY(vg_arena_tensor(s->work, x->dtype, 2, shape, &rows[i], err));
    vg_tensor *n = &rows[0], *q = &rows[1], *o = &rows[2];
    vg_tensor k = vg_tensor_rows(&s->seen.k, s->done * plane, plane),
              v = vg_tensor_rows(&s->seen.v, s->done * plane, plane);
    VG_TRY(
        vg_channel_norm(s->be, &(vg_channel_norm_args){.x = &xr, .gamma = &l->norm1, .y = n}, err));
    VG_TRY(matmul(s, n, &l->q, q, err));
    VG_TRY(matmul(s, n, &l->k, &k, err));
    VG_TRY(matmul(s, n, &l->v, &v, err));
    int64_t tokens = (s->done + 1) * plane;
    vg_tensor qh = vg_tensor_reshape(q, 3, plane, 1, c), oh = vg_tensor_reshape(o, 3, plane, 1, c),
              kh = vg_tensor_make(s->seen.k.data, x->dtype, 3, tokens, 1, c),
              vh = vg_tensor_make(s->seen.v.data, x->dtype, 3, tokens, 1, c);
    VG_TRY(vg_attention(
        s->be,
        &(vg_attention_args){
            .q = &qh, .k = &kh, .v = &vh, .scale = (float)(1.0 / sqrt((double)c)), .y = &oh},
        err));
    VG_TRY(matmul(s, o, &l->o, n, err));
    return vg_gate_residual(s->be, &(vg_gate_residual_args){.x = &xr, .y = n, .out = &xr}, err);
}

static vg_status unpack(hv_vae_state *s, const vg_tensor *h, const vg_tensor *shortcut, int times,
                        int side, vg_tensor *y, vg_err *err)
{
    return vg_unpack_channels(
        s->be,
        &(vg_unpack_channels_args){
            .x = h, .shortcut = shortcut, .times = times, .side = side, .y = y},
        err);
}

static vg_status pack(hv_vae_state *s, const vg_tensor *h, const vg_tensor *shortcut, int times,
                      int side, vg_tensor *y, vg_err *err)
{
    return vg_pack_channels(s->be,
                            &(vg_pack_channels_args){
                                .x = h, .shortcut = shortcut, .times = times, .side = side, .y = y},
                            err);
}

static vg_status run_layer(hv_vae_state *s, const net_layer *l, vg_tensor *x, vg_tensor *y,
                           vg_err *err)
{
    const vg_tensor *gamma = l->kind == HEAD || l->kind == HEAD_MEAN ? &l->norm1 : NULL;
    int times = times_now(l, s->done == 0);
    vg_tensor h;
    switch (l->kind) {
    case RES:
        return run_res(s, l, x, err);
    case ATTN:
        return run_attention(s, l, x, err);
    case CONV:
    case HEAD:
        return convolve_new(s, l->slot, x, gamma, &l->conv1, y, err);
    default:
        break;
    }
    VG_TRY(convolve_aside(s, l, x, gamma, &h, err));
    if (l->kind == UP || l->kind == CONV_REPEAT)
        return unpack(s, &h, x, times, l->kind == UP ? 2 : 1, y, err);
    return pack(s, &h, x, times, l->kind == DOWN ? 2 : 1, y, err);
}

static vg_status check_chunk(const hv_vae_state *s, const vg_tensor *x, vg_err *err)
{
    if (s->done == s->chunks)
        return VG_FAIL(err, VG_E_ARG, "a VAE chunk behind the last, number %lld",
                       (long long)s->chunks);
    if (x->shape[1] != s->height || x->shape[2] != s->width ||
        x->shape[0] != (s->done ? s->chunk_frames : 1))
        return VG_FAIL(err, VG_E_SHAPE,
                       "a VAE chunk of %lld frames of %lldx%lld does not fit its state",
                       (long long)x->shape[0], (long long)x->shape[1], (long long)x->shape[2]);
    return VG_OK;
}

vg_status hv_vae_net_run(hv_vae_state *s, const vg_tensor *input, const atomic_int *cancel,
                         vg_tensor *y, vg_err *err)
{
    const hv_vae_net *net = s->net;
    vg_tensor x = *input;
    int at = 0;
    VG_TRY(check_chunk(s, input, err));
    for (int i = 0; i < net->count; i++) {
        const net_layer *l = &net->layer[i];
        if (vg_cancelled(cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled in the VAE");
        extent e = layer_shape(l, s->done == 0, extent_of(&x));
        vg_tensor out = x;
        if (!in_place(l)) {
            at ^= 1;
            out = vg_tensor_make(s->buffer[at].data, x.dtype, 4, e.t, e.h, e.w, l->cout);
        }
        size_t mark = vg_arena_mark(s->work);
        vg_status status = run_layer(s, l, &x, &out, err);
        vg_arena_reset(s->work, mark);
        VG_TRY(status);
        x = out;
    }
    s->done++;
    *y = x;
    return VG_OK;
}
