/* linear.c: running linear layers of any precision. Loading is module.c's. */
#include "engine/linear.h"

#include <stdlib.h>

/* A dynamic scale of 1 is also what an all-zero input gives; tell the two apart by the codes. */
static vg_status all_zero(vg_backend *be, const vg_tensor *q, bool *zero, vg_err *err)
{
    size_t count = vg_tensor_bytes(q);
    uint8_t *codes = malloc(count ? count : 1);
    if (!codes)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory while calibrating");
    vg_status status = vg_backend_download(be, codes, q, err);
    *zero = true;
    for (size_t i = 0; status == VG_OK && i < count && *zero; i++)
        *zero = (codes[i] & 0x7f) == 0;
    free(codes);
    return status;
}

static vg_status record_amax(vg_arena *scratch, const vg_tensor *x, float *amax, vg_err *err)
{
    /* The backend's dynamic quantisation gives amax / 448 as its scale, in FP32: the calibrated input scale itself. */
    vg_backend *be = vg_arena_backend(scratch);
    size_t mark = vg_arena_mark(scratch);
    vg_tensor q, scale;
    float value;
    VG_TRY(vg_arena_tensor(scratch, VG_E4M3, x->ndim, x->shape, &q, err));
    VG_TRY(vg_arena_tensor(scratch, VG_F32, 1, (const int64_t[]){1}, &scale, err));
    VG_TRY(vg_quantize(
        be, &(vg_quantize_args){.x = x, .kind = VG_QUANT_TENSOR_DYNAMIC, .q = &q, .scale = &scale},
        err));
    VG_TRY(vg_backend_download(be, &value, &scale, err));
    bool zero = false;
    if (value == 1.0f)
        VG_TRY(all_zero(be, &q, &zero, err));
    vg_arena_reset(scratch, mark);
    value *= VG_E4M3_MAX;
    if (!zero && value > *amax)
        *amax = value;
    return VG_OK;
}

static bool same_quantisation(const vg_linear_layer *a, const vg_linear_layer *b)
{
    return a->act == b->act &&
           (a->act != VG_QUANT_TENSOR_STATIC || a->x_scale_value == b->x_scale_value);
}

static vg_status quantise_input(vg_arena *scratch, const vg_linear_layer *layer, const vg_tensor *x,
                                vg_tensor *q, vg_tensor *scale, vg_err *err)
{
    int64_t m = x->shape[0], k = x->shape[1];
    VG_TRY(vg_arena_tensor(scratch, VG_E4M3, 2, x->shape, q, err));
    if (layer->act == VG_QUANT_TENSOR_STATIC)
        *scale = layer->x_scale;
    else if (layer->act == VG_QUANT_TENSOR_DYNAMIC)
        VG_TRY(vg_arena_tensor(scratch, VG_F32, 1, (const int64_t[]){1}, scale, err));
    else
        VG_TRY(vg_arena_tensor(scratch, VG_F32, 2,
                               (const int64_t[]){(k + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP, m},
                               scale, err));
    return vg_quantize(vg_arena_backend(scratch),
                       &(vg_quantize_args){.x = x, .kind = layer->act, .q = q, .scale = scale},
                       err);
}

vg_status vg_linear_run(vg_arena *scratch, const vg_linear_layer *const *layers, int count,
                        const vg_tensor *x, vg_act act, vg_tensor *const *ys, vg_err *err)
{
    vg_backend *be = vg_arena_backend(scratch);
    const vg_linear_layer *quantised = NULL; /* whose quantisation q and scale hold */
    vg_tensor q = {0}, scale = {0};
    size_t mark = vg_arena_mark(scratch);
    for (int i = 0; i < count; i++) {
        const vg_linear_layer *l = layers[i];
        bool fp8 = l->act != VG_QUANT_NONE;
        if (l->amax) {
            /* Layers of one call share the input, so one measurement serves all of them. */
            if (i == 0 || !layers[0]->amax)
                VG_TRY(record_amax(scratch, x, l->amax, err));
            else if (*layers[0]->amax > *l->amax)
                *l->amax = *layers[0]->amax;
        }
        if (fp8 && !(quantised && same_quantisation(quantised, l))) {
            vg_arena_reset(scratch,
                           mark); /* operations are in order on one stream: reuse is safe */
            VG_TRY(quantise_input(scratch, l, x, &q, &scale, err));
            quantised = l;
        }
        vg_linear_args args = {.x = fp8 ? &q : x,
                               .x_scale = fp8 ? &scale : NULL,
                               .w = &l->w,
                               .w_scale = l->w_scale.data ? &l->w_scale : NULL,
                               .bias = l->bias.data ? &l->bias : NULL,
                               .act = act,
                               .y = ys[i]};
        vg_status status = vg_linear(be, &args, err);
        if (status != VG_OK) {
            if (status != VG_E_CANCELLED)
                vg_err_prefix(err, "layer %s", l->name ? l->name : "?");
            return status;
        }
    }
    vg_arena_reset(scratch, mark);
    return VG_OK;
}

vg_status vg_linear_run1(vg_arena *scratch, const vg_linear_layer *layer, const vg_tensor *x,
                         vg_act act, vg_tensor *y, vg_err *err)
{
    return vg_linear_run(scratch, &layer, 1, x, act, &y, err);
}
