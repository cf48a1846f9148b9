/* linear.c: running linear layers of any precision. Loading is module.c's. */
#include "engine/layers/linear.h"

vg_status vg_fp8_act_check(int capability, vg_quant_kind act, vg_err *err)
{
    bool groups = act == VG_QUANT_GROUP_DYNAMIC;
    if (act == VG_QUANT_NONE || capability == 0 || (groups ? capability == 90 : capability >= 89))
        return VG_OK;
    return VG_FAIL(err, VG_E_UNSUPPORTED,
                   "this GPU (compute capability %d.%d) has no %s FP8 products, which need %s; "
                   "--fp8-act weight-only runs FP8 weights on it",
                   capability / 10, capability % 10, groups ? "per-block" : "per-tensor",
                   groups ? "9.0" : "8.9 or more");
}

static bool same_quantisation(const vg_linear_layer *a, const vg_linear_layer *b)
{
    return a->act == b->act &&
           (a->act != VG_QUANT_TENSOR_STATIC || a->x_scale_value == b->x_scale_value);
}

static vg_status quantise_input(vg_arena *scratch, const vg_linear_layer *layer, const vg_tensor *x,
                                vg_tensor *q, vg_tensor *scale, vg_err *err)
{
    VG_TRY(vg_arena_tensor(scratch, VG_E4M3, 2, x->shape, q, err));
    if (layer->act == VG_QUANT_TENSOR_STATIC)
        *scale = layer->x_scale;
    else if (layer->act == VG_QUANT_TENSOR_DYNAMIC)
        VG_TRY(vg_arena_tensor(scratch, VG_F32, 1, (const int64_t[]){1}, scale, err));
    else
        VG_TRY(vg_arena_tensor(scratch, VG_F32, 2,
                               (const int64_t[]){vg_quant_groups(x->shape[1]), x->shape[0]}, scale,
                               err));
    return vg_quantize(vg_arena_backend(scratch),
                       &(vg_quantize_args){.x = x, .kind = layer->act, .q = q, .scale = scale},
                       err);
}

/* The codes of a feed begin its memory; a group's scales follow at the next multiple of this. */
#define ALIGNMENT ((size_t)256)

static size_t scales_at(const vg_tensor *like)
{
    return ((size_t)vg_tensor_numel(like) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static vg_quant_kind kind_of_feed(const vg_linear_layer *const *layers, int count)
{
    for (int i = 0; i < count; i++)
        if (layers[i]->amax.data || layers[i]->act == VG_QUANT_TENSOR_DYNAMIC ||
            !same_quantisation(layers[i], layers[0]))
            return VG_QUANT_NONE;
    return layers[0]->act;
}

size_t vg_feed_bytes(const vg_linear_layer *const *layers, int count, const vg_tensor *like)
{
    switch (kind_of_feed(layers, count)) {
    case VG_QUANT_TENSOR_STATIC:
        return (size_t)vg_tensor_numel(like);
    case VG_QUANT_GROUP_DYNAMIC:
        return scales_at(like) +
               (size_t)(vg_quant_groups(like->shape[1]) * like->shape[0]) * sizeof(float);
    default:
        return vg_tensor_bytes(like);
    }
}

size_t vg_feed_most_bytes(const vg_tensor *like)
{
    size_t codes = scales_at(like) +
                   (size_t)(vg_quant_groups(like->shape[1]) * like->shape[0]) * sizeof(float);
    return codes > vg_tensor_bytes(like) ? codes : vg_tensor_bytes(like);
}

void vg_feed_make(const vg_linear_layer *const *layers, int count, const vg_tensor *like,
                  void *memory, vg_feed *feed)
{
    const int64_t scale_shape[2] = {vg_quant_groups(like->shape[1]), like->shape[0]};

    *feed = (vg_feed){.kind = kind_of_feed(layers, count)};
    if (feed->kind == VG_QUANT_NONE) {
        feed->x = vg_tensor_of(memory, like->dtype, 2, like->shape);
        return;
    }
    feed->q = vg_tensor_of(memory, VG_E4M3, 2, like->shape);
    feed->scale = feed->kind == VG_QUANT_TENSOR_STATIC
                      ? layers[0]->x_scale
                      : vg_tensor_of((char *)memory + scales_at(like), VG_F32, 2, scale_shape);
}

vg_tensor *vg_feed_values(vg_feed *feed)
{
    return feed->kind == VG_QUANT_NONE ? &feed->x : NULL;
}

vg_quant_out vg_feed_codes(vg_feed *feed)
{
    return feed->kind == VG_QUANT_NONE ? (vg_quant_out){.kind = VG_QUANT_NONE}
                                       : (vg_quant_out){feed->kind, &feed->q, &feed->scale};
}

static vg_status run(vg_backend *be, const vg_linear_layer *l, const vg_tensor *x,
                     const vg_tensor *x_scale, vg_act act, vg_tensor *y, vg_quant_out quant,
                     vg_err *err)
{
    vg_status status = vg_linear(be,
                                 &(vg_linear_args){.x = x,
                                                   .x_scale = x_scale,
                                                   .w = &l->w,
                                                   .w_scale = l->w_scale.data ? &l->w_scale : NULL,
                                                   .bias = l->bias.data ? &l->bias : NULL,
                                                   .act = act,
                                                   .y = y,
                                                   .quant = quant},
                                 err);
    if (status != VG_OK && status != VG_E_CANCELLED)
        vg_err_prefix(err, "layer %s", l->name ? l->name : "?");
    return status;
}

/* Values in, quantised where a layer wants it. */
static vg_status run_values(vg_arena *scratch, const vg_linear_layer *const *layers, int count,
                            const vg_tensor *x, vg_act act, vg_tensor *const *ys,
                            vg_quant_out quant, vg_err *err)
{
    vg_backend *be = vg_arena_backend(scratch);
    const vg_linear_layer *quantised = NULL; /* whose quantisation q and scale hold */
    vg_tensor q = {0}, scale = {0};
    size_t mark = vg_arena_mark(scratch);
    for (int i = 0; i < count; i++) {
        const vg_linear_layer *l = layers[i];
        bool fp8 = l->act != VG_QUANT_NONE;
        if (l->amax.data) {
            vg_tensor most = l->amax;
            VG_TRY(vg_amax(be, &(vg_amax_args){.x = x, .most = &most}, err));
        }
        if (fp8 && !(quantised && same_quantisation(quantised, l))) {
            vg_arena_reset(scratch,
                           mark); /* operations are in order on one stream: reuse is safe */
            VG_TRY(quantise_input(scratch, l, x, &q, &scale, err));
            quantised = l;
        }
        VG_TRY(run(be, l, fp8 ? &q : x, fp8 ? &scale : NULL, act, ys[i], quant, err));
    }
    vg_arena_reset(scratch, mark);
    return VG_OK;
}

vg_status vg_linear_run(vg_arena *scratch, const vg_linear_layer *const *layers, int count,
                        const vg_tensor *x, vg_act act, vg_tensor *const *ys, vg_err *err)
{
    return run_values(scratch, layers, count, x, act, ys, (vg_quant_out){.kind = VG_QUANT_NONE},
                      err);
}

vg_status vg_linear_run1(vg_arena *scratch, const vg_linear_layer *layer, const vg_tensor *x,
                         vg_act act, vg_tensor *y, vg_err *err)
{
    return vg_linear_run(scratch, &layer, 1, x, act, &y, err);
}

vg_status vg_linear_run_fed(vg_arena *scratch, const vg_linear_layer *const *layers, int count,
                            const vg_feed *in, vg_act act, vg_tensor *const *ys, vg_err *err)
{
    if (in->kind == VG_QUANT_NONE)
        return vg_linear_run(scratch, layers, count, &in->x, act, ys, err);
    for (int i = 0; i < count; i++)
        VG_TRY(run(vg_arena_backend(scratch), layers[i], &in->q, &in->scale, act, ys[i],
                   (vg_quant_out){.kind = VG_QUANT_NONE}, err));
    return VG_OK;
}

vg_status vg_linear_feed(vg_arena *scratch, const vg_linear_layer *layer, const vg_feed *in,
                         vg_act act, vg_feed *out, vg_err *err)
{
    vg_tensor *y = vg_feed_values(out);
    if (in->kind == VG_QUANT_NONE)
        return run_values(scratch, &layer, 1, &in->x, act, &y, vg_feed_codes(out), err);
    return run(vg_arena_backend(scratch), layer, &in->q, &in->scale, act, y, vg_feed_codes(out),
               err);
}
