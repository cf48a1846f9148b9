/* vae_net.c: see vae_net.h. */
#include "engine/family/wan/vae_net.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* KEEP, ADD: begin and end of a level with a shortcut around it (residual VAEs); UP and DOWN are such an end, too, when `adds` is set. */
typedef enum layer_kind { CONV, RES, ATTN, UP2D, UP3D, DOWN2D, DOWN3D, HEAD, KEEP, ADD } layer_kind;

typedef struct net_layer {
    layer_kind kind;
    int64_t cin, cout;
    char name[48];
    int slot;               /* first history slot, -1 = none */
    vg_tensor norm1, norm2; /* [C] */
    vg_conv_layer conv1,
        conv2; /* CONV, HEAD: the one. RES: conv1, conv2. ATTN: qkv, proj. UP, DOWN: spatial, temporal */
    vg_conv_layer shortcut; /* RES: a matrix, absent if cin == cout */
    bool adds;              /* UP, DOWN: what was kept is added */
    int factor
        [2]; /* KEEP: frames, rows and columns that become one, keeping means; 0: keeps x as it is */
} net_layer;

#define LAYERS_MAX     192
#define WORK_ALIGNMENT ((size_t)16 * 256) /* of the tensors that a layer has at a time */
#define SPARES_MAX     32                 /* different shapes of frames: two a level and a few */

struct wan_vae_net {
    vg_dtype compute;
    int count, slots;
    net_layer layer[LAYERS_MAX];
};

/* ---- the graph ---- */

__attribute__((format(printf, 5, 6))) static void
add(wan_vae_net *net, layer_kind kind, int64_t cin, int64_t cout, const char *format, ...)
{
    static const int slots_of[] = {[CONV] = 1,   [RES] = 2,    [ATTN] = 0, [UP2D] = 0, [UP3D] = 1,
                                   [DOWN2D] = 0, [DOWN3D] = 1, [HEAD] = 1, [KEEP] = 0, [ADD] = 0};
    va_list args;
    if (net->count == LAYERS_MAX)
        return;
    net_layer *l = &net->layer[net->count++];
    *l = (net_layer){
        .kind = kind, .cin = cin, .cout = cout, .slot = slots_of[kind] ? net->slots : -1};
    net->slots += slots_of[kind];
    va_start(args, format);
    vsnprintf(l->name, sizeof l->name, format, args);
    va_end(args);
}

static void add_middle(wan_vae_net *net, const char *half, int64_t c)
{
    add(net, RES, c, c, "%s.mid_block.resnets.0", half);
    add(net, ATTN, c, c, "%s.mid_block.attentions.0", half);
    add(net, RES, c, c, "%s.mid_block.resnets.1", half);
}

/* Levels of a residual encoder: names by level, and around each the mean of what is fused, kept first. */
static void add_residual_down(wan_vae_net *net, const wan_vae_config *c, int level, int64_t in,
                              int64_t out)
{
    bool last = level == c->levels - 1, temporal = !last && c->temporal_down[level];
    add(net, KEEP, in, out, "shortcut");
    net->layer[net->count - 1].factor[0] = temporal ? 2 : 1;
    net->layer[net->count - 1].factor[1] = last ? 1 : 2;
    for (int j = 0; j < c->res_blocks; j++, in = out)
        add(net, RES, in, out, "encoder.down_blocks.%d.resnets.%d", level, j);
    add(net,
        last       ? ADD
        : temporal ? DOWN3D
                   : DOWN2D,
        out, out, "encoder.down_blocks.%d.downsampler", level);
    net->layer[net->count - 1].adds = true;
}

static void build_encoder(wan_vae_net *net, const wan_vae_config *c)
{
    int index = 0;
    int64_t in = c->base_dim;
    add(net, CONV, 3 * c->patch * c->patch, in, "encoder.conv_in");
    for (int level = 0; level < c->levels; level++) {
        int64_t out = c->base_dim * c->dim_mult[level];
        if (c->residual) {
            add_residual_down(net, c, level, in, out);
            in = out;
            continue;
        }
        for (int j = 0; j < c->res_blocks; j++, in = out)
            add(net, RES, in, out, "encoder.down_blocks.%d", index++);
        if (level < c->levels - 1)
            add(net, c->temporal_down[level] ? DOWN3D : DOWN2D, out, out, "encoder.down_blocks.%d",
                index++);
    }
    add_middle(net, "encoder", in);
    add(net, HEAD, in, 2 * c->z_dim, "encoder");
}

static void build_decoder(wan_vae_net *net, const wan_vae_config *c)
{
    int64_t in = c->decoder_base_dim * c->dim_mult[c->levels - 1];
    add(net, CONV, c->z_dim, in, "decoder.conv_in");
    add_middle(net, "decoder", in);
    for (int level = 0; level < c->levels; level++) {
        int64_t out = c->decoder_base_dim * c->dim_mult[c->levels - 1 - level];
        bool last = level == c->levels - 1;
        if (c->residual && !last)
            add(net, KEEP, in, in, "shortcut");
        for (int j = 0; j <= c->res_blocks; j++, in = out)
            add(net, RES, in, out, "decoder.up_blocks.%d.resnets.%d", level, j);
        if (!last) {
            in = c->residual ? out : out / 2;
            add(net, c->temporal_down[c->levels - 2 - level] ? UP3D : UP2D, out, in,
                c->residual ? "decoder.up_blocks.%d.upsampler"
                            : "decoder.up_blocks.%d.upsamplers.0",
                level);
            net->layer[net->count - 1].adds = c->residual;
        }
    }
    add(net, HEAD, in, 3 * c->patch * c->patch, "decoder");
}

static vg_status build(const wan_vae_config *c, vg_dtype compute, bool encoder, wan_vae_net **net,
                       vg_err *err)
{
    wan_vae_net *n = calloc(1, sizeof *n);
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

enum { IN = 1, OUT, IN2, IN3 };

#define ROW(...) VG_WEIGHT_ROW(net_layer, __VA_ARGS__)
#define ONE      VG_FIXED(1)
#define THREE    VG_FIXED(3)

static const vg_weight_row conv_rows[] = {
    ROW("", CONV, conv1, 0, OUT, IN, THREE, THREE, THREE),
};
static const vg_weight_row res_rows[] = {
    ROW("norm1.gamma", TENSOR, norm1, 0, IN, ONE, ONE, ONE),
    ROW("conv1", CONV, conv1, 0, OUT, IN, THREE, THREE, THREE),
    ROW("norm2.gamma", TENSOR, norm2, 0, OUT, ONE, ONE, ONE),
    ROW("conv2", CONV, conv2, 0, OUT, OUT, THREE, THREE, THREE),
    ROW("conv_shortcut", POINTWISE, shortcut, 0, OUT, IN, ONE, ONE, ONE), /* last: if IN != OUT */
};
static const vg_weight_row attn_rows[] = {
    ROW("norm.gamma", TENSOR, norm1, 0, IN, ONE, ONE),
    ROW("to_qkv", POINTWISE, conv1, 0, IN3, IN, ONE, ONE),
    ROW("proj", POINTWISE, conv2, 0, IN, IN, ONE, ONE),
};
static const vg_weight_row up3d_rows[] = {
    ROW("time_conv", CONV, conv2, 0, IN2, IN, THREE, ONE, ONE),
    ROW("resample.1", CONV, conv1, 0, OUT, IN, THREE, THREE),
};
static const vg_weight_row down3d_rows[] = {
    ROW("time_conv", CONV, conv2, 0, IN, IN, THREE, ONE, ONE),
    ROW("resample.1", CONV, conv1, 0, OUT, IN, THREE, THREE),
};
static const vg_weight_row resample_rows[] = {
    ROW("resample.1", CONV, conv1, 0, OUT, IN, THREE, THREE),
};
static const vg_weight_row head_rows[] = {
    ROW("norm_out.gamma", TENSOR, norm1, 0, IN, ONE, ONE, ONE),
    ROW("conv_out", CONV, conv1, 0, OUT, IN, THREE, THREE, THREE),
};

/* By layer_kind. */
static const struct {
    const vg_weight_row *rows;
    int count;
} kind_rows[ADD + 1] = {
/* KEEP and ADD have none */
#define ROWS(kind, list) [kind] = {list, sizeof list / sizeof list[0]}
    ROWS(CONV, conv_rows),     ROWS(RES, res_rows),   ROWS(ATTN, attn_rows),
    ROWS(UP2D, resample_rows), ROWS(UP3D, up3d_rows), ROWS(DOWN2D, resample_rows),
    ROWS(DOWN3D, down3d_rows), ROWS(HEAD, head_rows),
#undef ROWS
};

static void list_of(const net_layer *l, void *to, vg_weight_list *list)
{
    *list = (vg_weight_list){
        .count = 1,
        .rows = kind_rows[l->kind].rows,
        .rows_count = kind_rows[l->kind].count - (l->kind == RES && l->cin == l->cout),
        .dims = {[IN] = l->cin, [OUT] = l->cout, [IN2] = 2 * l->cin, [IN3] = 3 * l->cin},
        .to = to};
    snprintf(list->prefix, sizeof list->prefix, "%s%s", l->name, l->kind == CONV ? "" : ".");
}

vg_status wan_vae_net_weights(const wan_vae_config *config, bool encoder, vg_weight_table *table,
                              vg_err *err)
{
    wan_vae_net *n;
    vg_status status = VG_OK;
    VG_TRY(build(config, VG_F32, encoder, &n, err));
    for (int i = 0; i < n->count && status == VG_OK; i++) {
        vg_weight_list list;
        list_of(&n->layer[i], NULL, &list);
        if (list.rows_count)
            status = vg_weight_table_add(table, &list, err);
    }
    free(n);
    return status;
}

vg_status wan_vae_net_load(vg_module *module, const wan_vae_config *config, vg_dtype compute,
                           bool encoder, wan_vae_net **net, vg_err *err)
{
    wan_vae_net *n = NULL;
    VG_TRY(build(config, compute, encoder, &n, err));
    for (int i = 0; i < n->count; i++) {
        vg_weight_list list;
        list_of(&n->layer[i], &n->layer[i], &list);
        vg_status status = list.rows_count ? vg_module_load(module, &list, 0, err) : VG_OK;
        if (status != VG_OK) {
            free(n);
            return status;
        }
    }
    *net = n;
    return VG_OK;
}

void wan_vae_net_free(wan_vae_net *net)
{
    free(net);
}

/* ---- shapes ---- */

typedef struct extent {
    int64_t t, h, w;
} extent;

static extent layer_shape(const net_layer *l, bool first, extent e)
{
    switch (l->kind) {
    case UP3D:
        return (extent){first ? e.t : 2 * e.t, 2 * e.h, 2 * e.w};
    case UP2D:
        return (extent){e.t, 2 * e.h, 2 * e.w};
    case DOWN3D: /* one frame of history in front, kernel 3, stride 2 */
        return (extent){first ? e.t : (e.t + 1 - 3) / 2 + 1, (e.h + 1 - 3) / 2 + 1,
                        (e.w + 1 - 3) / 2 + 1};
    case DOWN2D:
        return (extent){e.t, (e.h + 1 - 3) / 2 + 1, (e.w + 1 - 3) / 2 + 1};
    default:
        return e;
    }
}

void wan_vae_net_shape(const wan_vae_net *net, bool first, int64_t *frames, int64_t *height,
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
    return l->kind == ATTN || l->kind == KEEP || l->kind == ADD ||
           (l->kind == RES && l->cin == l->cout);
}

typedef struct net_sizes {
    size_t buffer[2]; /* elements of the two alternating activations */
    size_t work;      /* most elements that one layer takes beside them */
    size_t kept;      /* most elements that a level keeps for its shortcut */
} net_sizes;

static size_t volume(extent e, int64_t c)
{
    return (size_t)(e.t * e.h * e.w * c);
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t layer_work(const net_layer *l, bool first, extent e)
{
    extent head = {e.t > 2 ? e.t - 2 : 0, e.h, e.w}, out = layer_shape(l, first, e);
    switch (l->kind) {
    case HEAD:
        return volume(head, l->cin);
    case RES:
        return volume(head, l->cin) + volume(e, l->cout);
    case ATTN:
        return 5 * volume(e, l->cin);
    case UP3D:
        return first ? 0 : 2 * volume(e, l->cin);
    case DOWN3D:
        return volume((extent){e.t, out.h, out.w}, l->cin);
    default:
        return 0;
    }
}

/* What a KEEP keeps of a chunk; *skip: the empty frames in front that fill its first group. */
static extent kept_extent(const net_layer *l, extent e, int *skip)
{
    int f0 = l->factor[0], f1 = l->factor[1];
    *skip = 0;
    if (!f0)
        return e;
    *skip = (int)((f0 - e.t % f0) % f0);
    return (extent){(e.t + *skip) / f0, e.h / f1, e.w / f1};
}

/* What a chunk of this extent needs. */
static net_sizes measure(const wan_vae_net *net, bool first, extent e)
{
    net_sizes s = {0};
    int at = 0, skip;
    for (int i = 0; i < net->count; i++) {
        const net_layer *l = &net->layer[i];
        if (l->kind == KEEP)
            s.kept = max_size(s.kept, volume(kept_extent(l, e, &skip), l->cout));
        s.work = max_size(s.work, layer_work(l, first, e));
        e = layer_shape(l, first, e);
        if (!in_place(l)) {
            at ^= 1;
            s.buffer[at] = max_size(s.buffer[at], volume(e, l->cout));
        }
    }
    return s;
}

/* ---- running ---- */

typedef struct history {
    vg_tensor mem; /* [2,H,W,C]; the last `have` frames are valid */
    int have;
} history;

/* Frames [T,H,W,C] on their way into a causal convolution. The last two lie in memory of their own, which becomes the layer's history
 * as it is; the old history is then the spare tail for the next layer with frames of this shape. So nothing is copied, unless T is 1:
 * then the history's last frame moves in front of it. */
typedef struct feed {
    vg_tensor head; /* the frames before the last two; absent if T <= 2 */
    vg_tensor tail; /* [2,H,W,C]; of one frame, in the second place, if T is 1 */
    int64_t frames;
} feed;

struct wan_vae_state {
    const wan_vae_net *net;
    vg_backend *be;
    vg_arena *memory, *work;
    vg_tensor buffer[2];         /* flat */
    vg_tensor kept_memory, kept; /* flat; what the present level keeps in it, [T,H,W,C] */
    int64_t height, width, chunk_frames;
    bool started;
    vg_tensor spare[SPARES_MAX]; /* tails [2,H,W,C], each of another shape */
    int spares;
    history slots[]; /* net->slots */
};

static vg_status flat(vg_arena *arena, vg_dtype dtype, size_t elements, vg_tensor *t, vg_err *err)
{
    return vg_arena_tensor(arena, dtype, 1, (const int64_t[]){(int64_t)max_size(elements, 1)}, t,
                           err);
}

vg_status wan_vae_state_new(const wan_vae_net *net, vg_backend *be, int64_t height, int64_t width,
                            int64_t chunk_frames, wan_vae_state **state, vg_err *err)
{
    vg_status status;
    wan_vae_state *s = calloc(1, sizeof *s + (size_t)net->slots * sizeof s->slots[0]);
    if (!s)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the VAE");
    s->net = net;
    s->be = be;
    s->height = height;
    s->width = width;
    s->chunk_frames = chunk_frames;
    net_sizes first = measure(net, true, (extent){1, height, width}), later = first;
    if (chunk_frames > 0)
        later = measure(net, false, (extent){chunk_frames, height, width});
    VG_TRY_GOTO(status, vg_arena_new(be, (size_t)1 << 20, &s->memory, err), fail);
    /* One piece of memory for the largest layer, since layers of growing size would each take another. */
    size_t work = max_size(first.work, later.work) * vg_dtype_size(net->compute) + WORK_ALIGNMENT;
    VG_TRY_GOTO(status, vg_arena_new(be, work, &s->work, err), fail);
    for (int i = 0; i < 2; i++)
        VG_TRY_GOTO(status,
                    flat(s->memory, net->compute, max_size(first.buffer[i], later.buffer[i]),
                         &s->buffer[i], err),
                    fail);
    size_t kept = max_size(first.kept, later.kept);
    if (kept)
        VG_TRY_GOTO(status, flat(s->memory, net->compute, kept, &s->kept_memory, err), fail);
    *state = s;
    return VG_OK;
fail:
    wan_vae_state_free(s);
    return status;
}

void wan_vae_state_free(wan_vae_state *s)
{
    if (!s)
        return;
    vg_arena_free(s->work);
    vg_arena_free(s->memory);
    free(s);
}

static vg_status frames_tensor(vg_arena *arena, vg_dtype dtype, int64_t t, const vg_tensor *like,
                               int64_t c, vg_tensor *out, vg_err *err)
{
    return vg_arena_tensor(arena, dtype, 4, (const int64_t[]){t, like->shape[1], like->shape[2], c},
                           out, err);
}

/* Keep the last frames of x (at most `keep`, 1 or 2) for the next chunk. */
static vg_status remember(wan_vae_state *s, int slot, const vg_tensor *x, int keep, vg_err *err)
{
    history *h = &s->slots[slot];
    int64_t t = x->shape[0];
    if (!h->mem.data)
        VG_TRY(frames_tensor(s->memory, x->dtype, 2, x, x->shape[3], &h->mem, err));
    vg_tensor last = vg_tensor_rows(&h->mem, 1, 1);
    if (keep == 2 && t >= 2) {
        vg_tensor from = vg_tensor_rows(x, t - 2, 2);
        h->have = 2;
        return vg_backend_copy(s->be, &h->mem, &from, err);
    }
    if (keep == 2 && h->have >= 1) {
        vg_tensor first = vg_tensor_rows(&h->mem, 0, 1);
        VG_TRY(vg_backend_copy(s->be, &first, &last, err));
    }
    vg_tensor from = vg_tensor_rows(x, t - 1, 1);
    h->have = keep == 2 && h->have >= 1 ? 2 : 1;
    return vg_backend_copy(s->be, &last, &from, err);
}

/* y = causal 3x3x3 convolution of x, then more (may be NULL), behind this layer's history; plus residual, or NULL. */
static vg_status convolve(wan_vae_state *s, int slot, const vg_tensor *x, const vg_tensor *more,
                          const vg_conv_layer *conv, const vg_tensor *residual, vg_tensor *y,
                          vg_err *err)
{
    history *h = &s->slots[slot];
    vg_tensor past = {0};
    if (h->have > 0)
        past = vg_tensor_rows(&h->mem, 2 - h->have, h->have);
    return vg_conv3d(s->be,
                     &(vg_conv3d_args){.x = x,
                                       .history = h->have ? &past : NULL,
                                       .more = more,
                                       .pad_front = 2 - h->have,
                                       .upsample = 1,
                                       .w = &conv->w,
                                       .bias = &conv->bias,
                                       .stride = {1, 1, 1},
                                       .pad = {1, 1, 1, 1},
                                       .residual = residual,
                                       .y = y},
                     err);
}

/* The spare tail for frames like x's, taken out of the state; new memory when there is none. */
static vg_status take_spare(wan_vae_state *s, const vg_tensor *x, vg_tensor *tail, vg_err *err)
{
    for (int i = 0; i < s->spares; i++) {
        const int64_t *shape = s->spare[i].shape;
        if (shape[1] == x->shape[1] && shape[2] == x->shape[2] && shape[3] == x->shape[3]) {
            *tail = s->spare[i];
            s->spare[i] = s->spare[--s->spares];
            return VG_OK;
        }
    }
    return frames_tensor(s->memory, x->dtype, 2, x, x->shape[3], tail, err);
}

/* y = causal_conv(feed), plus residual; the feed's tail becomes the history. */
static vg_status feed_conv(wan_vae_state *s, int slot, const feed *f, const vg_conv_layer *conv,
                           const vg_tensor *residual, vg_tensor *y, vg_err *err)
{
    history *h = &s->slots[slot];
    vg_tensor one = vg_tensor_rows(&f->tail, 1, 1);
    const vg_tensor *tail = f->frames == 1 ? &one : &f->tail;
    VG_TRY(convolve(s, slot, f->head.data ? &f->head : tail, f->head.data ? tail : NULL, conv,
                    residual, y, err));
    if (f->frames == 1 && h->have > 0) {
        vg_tensor to = vg_tensor_rows(&f->tail, 0, 1), from = vg_tensor_rows(&h->mem, 1, 1);
        VG_TRY(vg_backend_copy(s->be, &to, &from, err));
    }
    if (h->mem.data && s->spares < SPARES_MAX)
        s->spare[s->spares++] = h->mem;
    h->mem = f->tail;
    h->have = f->frames > 1 || h->have > 0 ? 2 : 1;
    return VG_OK;
}

static vg_tensor pixels(const vg_tensor *x)
{
    return vg_tensor_reshape(x, 2, x->shape[0] * x->shape[1] * x->shape[2], x->shape[3]);
}

static vg_status norm(wan_vae_state *s, const vg_tensor *x, const vg_tensor *gamma, bool silu,
                      vg_tensor *y, vg_err *err)
{
    vg_tensor xp = pixels(x), yp = pixels(y);
    return vg_channel_norm(
        s->be, &(vg_channel_norm_args){.x = &xp, .gamma = gamma, .silu = silu, .y = &yp}, err);
}

static vg_status add_into(wan_vae_state *s, vg_tensor *x, const vg_tensor *y, vg_err *err)
{
    vg_tensor xp = pixels(x), yp = pixels(y);
    return vg_gate_residual(s->be, &(vg_gate_residual_args){.x = &xp, .y = &yp, .out = &xp}, err);
}

static vg_status matmul(wan_vae_state *s, const vg_tensor *rows, const vg_conv_layer *c,
                        vg_tensor *y, vg_err *err)
{
    return vg_linear(
        s->be,
        &(vg_linear_args){.x = rows, .w = &c->w, .bias = &c->bias, .act = VG_ACT_NONE, .y = y},
        err);
}

/* norm and SiLU of x into a feed; its head goes to `head`, which may be x. */
static vg_status norm_feed(wan_vae_state *s, const vg_tensor *x, const vg_tensor *gamma,
                           const vg_tensor *head, feed *f, vg_err *err)
{
    int64_t t = x->shape[0], last = t < 2 ? t : 2;
    *f = (feed){.frames = t};
    VG_TRY(take_spare(s, x, &f->tail, err));
    if (t > 2) {
        vg_tensor from = vg_tensor_rows(x, 0, t - 2);
        f->head = vg_tensor_rows(head, 0, t - 2);
        VG_TRY(norm(s, &from, gamma, true, &f->head, err));
    }
    vg_tensor from = vg_tensor_rows(x, t - last, last),
              to = vg_tensor_rows(&f->tail, 2 - last, last);
    return norm(s, &from, gamma, true, &to, err);
}

/* The same into work memory. */
static vg_status norm_new_feed(wan_vae_state *s, const vg_tensor *x, const vg_tensor *gamma,
                               feed *f, vg_err *err)
{
    vg_tensor head = {0};
    if (x->shape[0] > 2)
        VG_TRY(frames_tensor(s->work, x->dtype, x->shape[0] - 2, x, x->shape[3], &head, err));
    return norm_feed(s, x, gamma, &head, f, err);
}

/* x is replaced by the block's output, in place or in y. */
static vg_status run_res(wan_vae_state *s, const net_layer *l, vg_tensor *x, vg_tensor *y,
                         vg_err *err)
{
    vg_tensor c, *to = in_place(l) ? x : y;
    feed f;
    VG_TRY(norm_new_feed(s, x, &l->norm1, &f, err));
    VG_TRY(frames_tensor(s->work, x->dtype, x->shape[0], x, l->cout, &c, err));
    VG_TRY(feed_conv(s, l->slot, &f, &l->conv1, NULL, &c, err));
    VG_TRY(norm_feed(s, &c, &l->norm2, &c, &f, err));
    if (!in_place(l)) {
        vg_tensor xp = pixels(x), yp = pixels(y);
        VG_TRY(matmul(s, &xp, &l->shortcut, &yp, err));
    }
    return feed_conv(s, l->slot + 1, &f, &l->conv2, to, to, err);
}

/* Single-head attention within each frame. */
static vg_status run_attention(wan_vae_state *s, const net_layer *l, vg_tensor *x, vg_err *err)
{
    int64_t c = l->cin, frames = x->shape[0], plane = x->shape[1] * x->shape[2];
    vg_tensor n, qkv[3], xp = pixels(x);
    VG_TRY(vg_arena_tensor(s->work, x->dtype, 4, x->shape, &n, err));
    VG_TRY(norm(s, x, &l->norm1, false, &n, err));
    vg_tensor rows = pixels(&n), o;
    for (int i = 0; i < 3; i++) {
        vg_conv_layer part = {vg_tensor_rows(&l->conv1.w, i * c, c),
                              vg_tensor_rows(&l->conv1.bias, i * c, c)};
        VG_TRY(vg_arena_tensor(s->work, x->dtype, 2, xp.shape, &qkv[i], err));
        VG_TRY(matmul(s, &rows, &part, &qkv[i], err));
    }
    VG_TRY(vg_arena_tensor(s->work, x->dtype, 2, xp.shape, &o, err));
    for (int64_t f = 0; f < frames; f++) {
        vg_tensor part[4];
        const vg_tensor *whole[4] = {&qkv[0], &qkv[1], &qkv[2], &o};
        for (int i = 0; i < 4; i++) {
            part[i] = vg_tensor_rows(whole[i], f * plane, plane);
            part[i] = vg_tensor_reshape(&part[i], 3, plane, 1, c);
        }
        VG_TRY(vg_attention(s->be,
                            &(vg_attention_args){.q = &part[0],
                                                 .k = &part[1],
                                                 .v = &part[2],
                                                 .scale = (float)(1.0 / sqrt((double)c)),
                                                 .y = &part[3]},
                            err));
    }
    VG_TRY(matmul(s, &o, &l->conv2, &rows, err));
    return add_into(s, x, &n, err);
}

/* Temporal part of upsample3d: each frame becomes two, from the first and the second half of time_conv's channels. */
static vg_status double_frames(wan_vae_state *s, const net_layer *l, const vg_tensor *x,
                               vg_tensor *doubled, vg_err *err)
{
    history *h = &s->slots[l->slot];
    vg_tensor past = {0};
    if (h->have > 0)
        past = vg_tensor_rows(&h->mem, 2 - h->have, h->have);
    VG_TRY(frames_tensor(s->work, x->dtype, 2 * x->shape[0], x, l->cin, doubled, err));
    VG_TRY(vg_conv3d(s->be,
                     &(vg_conv3d_args){.x = x,
                                       .history = h->have ? &past : NULL,
                                       .pad_front = 2 - h->have,
                                       .upsample = 1,
                                       .w = &l->conv2.w,
                                       .bias = &l->conv2.bias,
                                       .stride = {1, 1, 1},
                                       .split = 2,
                                       .y = doubled},
                     err));
    return remember(s, l->slot, x, 2, err);
}

static vg_status run_keep(wan_vae_state *s, const net_layer *l, const vg_tensor *x, vg_err *err)
{
    int skip;
    extent e = kept_extent(l, (extent){x->shape[0], x->shape[1], x->shape[2]}, &skip);
    s->kept = vg_tensor_make(s->kept_memory.data, x->dtype, 4, e.t, e.h, e.w, l->cout);
    if (!l->factor[0])
        return vg_backend_copy(s->be, &s->kept, x, err);
    return vg_regroup(
        s->be,
        &(vg_regroup_args){
            .x = x, .factor = {l->factor[0], l->factor[1]}, .skip = skip, .y = &s->kept},
        err);
}

/* y = what was kept at the begin of the level, each channel repeated to the pixels that it becomes; of the first chunk, the last one alone. */
static vg_status spread_kept(wan_vae_state *s, const net_layer *l, vg_tensor *y, vg_err *err)
{
    int frames = l->kind == UP3D ? 2 : 1;
    return vg_regroup(s->be,
                      &(vg_regroup_args){.x = &s->kept,
                                         .factor = {frames, 2},
                                         .skip = s->started ? 0 : frames - 1,
                                         .up = true,
                                         .y = y},
                      err);
}

static vg_status run_up(wan_vae_state *s, const net_layer *l, const vg_tensor *x, vg_tensor *y,
                        vg_err *err)
{
    vg_tensor frames = *x;
    if (l->kind == UP3D && s->started)
        VG_TRY(double_frames(s, l, x, &frames, err));
    if (l->adds)
        VG_TRY(spread_kept(s, l, y, err));
    return vg_conv3d(s->be,
                     &(vg_conv3d_args){.x = &frames,
                                       .upsample = 2,
                                       .w = &l->conv1.w,
                                       .bias = &l->conv1.bias,
                                       .stride = {1, 1, 1},
                                       .pad = {1, 1, 1, 1},
                                       .residual = l->adds ? y : NULL,
                                       .y = y},
                     err);
}

static vg_status run_down(wan_vae_state *s, const net_layer *l, const vg_tensor *x, vg_tensor *y,
                          vg_err *err)
{
    vg_conv3d_args spatial = {.x = x,
                              .upsample = 1,
                              .w = &l->conv1.w,
                              .bias = &l->conv1.bias,
                              .stride = {1, 2, 2},
                              .pad = {0, 1, 0, 1},
                              .y = y};
    const vg_tensor *residual = l->adds ? &s->kept : NULL;
    if (l->kind == DOWN2D) {
        spatial.residual = residual;
        return vg_conv3d(s->be, &spatial, err);
    }
    if (!s->started) { /* the history is the convolution's own result */
        VG_TRY(vg_conv3d(s->be, &spatial, err));
        VG_TRY(remember(s, l->slot, y, 1, err));
        return residual ? add_into(s, y, residual, err) : VG_OK;
    }
    vg_tensor small, past = vg_tensor_rows(&s->slots[l->slot].mem, 1, 1);
    VG_TRY(frames_tensor(s->work, x->dtype, x->shape[0], y, l->cin, &small, err));
    spatial.y = &small;
    VG_TRY(vg_conv3d(s->be, &spatial, err));
    VG_TRY(vg_conv3d(s->be,
                     &(vg_conv3d_args){.x = &small,
                                       .history = &past,
                                       .upsample = 1,
                                       .w = &l->conv2.w,
                                       .bias = &l->conv2.bias,
                                       .stride = {2, 1, 1},
                                       .residual = residual,
                                       .y = y},
                     err));
    return remember(s, l->slot, &small, 1, err);
}

static vg_status run_layer(wan_vae_state *s, const net_layer *l, vg_tensor *x, vg_tensor *y,
                           vg_err *err)
{
    feed f;
    switch (l->kind) {
    case CONV:
        VG_TRY(convolve(s, l->slot, x, NULL, &l->conv1, NULL, y, err));
        return remember(s, l->slot, x, 2, err);
    case RES:
        return run_res(s, l, x, y, err);
    case ATTN:
        return run_attention(s, l, x, err);
    case UP2D:
    case UP3D:
        return run_up(s, l, x, y, err);
    case DOWN2D:
    case DOWN3D:
        return run_down(s, l, x, y, err);
    case KEEP:
        return run_keep(s, l, x, err);
    case ADD:
        return add_into(s, x, &s->kept, err);
    default: /* HEAD */
        VG_TRY(norm_new_feed(s, x, &l->norm1, &f, err));
        return feed_conv(s, l->slot, &f, &l->conv1, NULL, y, err);
    }
}

vg_status wan_vae_net_run(wan_vae_state *s, const vg_tensor *input, const atomic_int *cancel,
                          vg_tensor *y, vg_err *err)
{
    const wan_vae_net *net = s->net;
    vg_tensor x = *input;
    bool first = !s->started;
    int at = 0;
    if (x.shape[1] != s->height || x.shape[2] != s->width ||
        x.shape[0] != (first ? 1 : s->chunk_frames))
        return VG_FAIL(err, VG_E_SHAPE,
                       "a VAE chunk of %lld frames of %lldx%lld does not fit its state",
                       (long long)x.shape[0], (long long)x.shape[1], (long long)x.shape[2]);
    for (int i = 0; i < net->count; i++) {
        const net_layer *l = &net->layer[i];
        if (vg_cancelled(cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled in the VAE");
        extent e = layer_shape(l, first, (extent){x.shape[0], x.shape[1], x.shape[2]});
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
    s->started = true;
    *y = x;
    return VG_OK;
}
