/* ops_cost.c: FLOPs, bytes and shape of every operation. See ops_cost.h. */
#include "kernels/op/ops_cost.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- building blocks ---- */

static double bytes_of(const vg_tensor *t)
{
    return t ? (double)vg_tensor_bytes(t) : 0;
}

/* Bytes of an operation's result in the forms that were asked for. */
static double result_bytes(const vg_tensor *y, const vg_quant_out *quant)
{
    return bytes_of(y) +
           (quant->kind != VG_QUANT_NONE ? bytes_of(quant->q) + bytes_of(quant->scale) : 0);
}

static double numel(const vg_tensor *t)
{
    return (double)vg_tensor_numel(t);
}

/* Names as people say them: "E4M3", not the file format's "F8_E4M3". */
static const char *dtype_name(vg_dtype dtype)
{
    return dtype == VG_E4M3 ? "E4M3" : vg_dtype_name(dtype);
}

static const char *quant_name(vg_quant_kind kind)
{
    static const char *const names[VG_QUANT_KIND_COUNT] = {"", "static", "dynamic", "1x128"};
    return names[kind];
}

static void append(vg_op_cost *cost, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void append(vg_op_cost *cost, const char *format, ...)
{
    size_t used = strlen(cost->shape);
    va_list args;
    va_start(args, format);
    vsnprintf(cost->shape + used, sizeof cost->shape - used, format, args);
    va_end(args);
}

static void append_quant(vg_op_cost *cost, const vg_tensor *y, const vg_quant_out *quant)
{
    if (quant->kind != VG_QUANT_NONE)
        append(cost, " -> %sE4M3 %s", y ? "both, " : "", quant_name(quant->kind));
}

/* "75600x5120 BF16" */
static void append_tensor(vg_op_cost *cost, const vg_tensor *t)
{
    for (int i = 0; i < t->ndim; i++)
        append(cost, "%s%lld", i ? "x" : "", (long long)t->shape[i]);
    append(cost, "%s%s", t->ndim ? " " : "", dtype_name(t->dtype));
}

/* An operation that moves `bytes` and is told apart by its operand t. */
static void moves(vg_op_cost *cost, double bytes, const vg_tensor *t)
{
    *cost = (vg_op_cost){.bytes = bytes};
    append_tensor(cost, t);
}

static vg_rate rate_of(vg_dtype dtype)
{
    return dtype == VG_E4M3 ? VG_RATE_E4M3 : dtype == VG_BF16 ? VG_RATE_BF16 : VG_RATE_F32;
}

static void append_act(vg_op_cost *cost, vg_act act)
{
    static const char *const names[VG_ACT_COUNT] = {"", " SiLU", " GELU", " GELU erf"};
    append(cost, "%s", names[act]);
}

/* ---- products ---- */

void vg_cost_linear(const vg_linear_args *a, vg_op_cost *cost)
{
    double m = (double)a->x->shape[0], k = (double)a->x->shape[1], n = (double)a->w->shape[0];
    /* Weight-only FP8 multiplies in the activation's dtype. */
    *cost = (vg_op_cost){.flops = 2 * m * n * k, .rate = rate_of(a->x->dtype)};
    cost->bytes = bytes_of(a->x) + bytes_of(a->x_scale) + bytes_of(a->w) + bytes_of(a->w_scale) +
                  bytes_of(a->bias) + result_bytes(a->y, &a->quant);
    append(cost, "%.0fx%.0fx%.0f %s", m, n, k, dtype_name(a->x->dtype));
    if (a->w_scale)
        append(cost, " %s%s",
               a->w_scale->ndim == 2       ? "block"
               : a->w_scale->shape[0] == 1 ? "tensor"
                                           : "channel",
               a->x->dtype == VG_E4M3 ? "" : " weights");
    append_act(cost, a->act);
    append_quant(cost, a->y, &a->quant);
}

void vg_cost_attention(const vg_attention_args *a, vg_op_cost *cost)
{
    double nq = (double)a->q->shape[0], nk = (double)a->k->shape[0], heads = (double)a->q->shape[1],
           dim = (double)a->q->shape[2];
    *cost = (vg_op_cost){.flops = 4 * nq * nk * heads * dim, .rate = rate_of(a->q->dtype)};
    cost->bytes = bytes_of(a->q) + bytes_of(a->k) + bytes_of(a->v) + bytes_of(a->bias) +
                  result_bytes(a->y, &a->quant);
    append(cost, "%.0fx%.0f %.0fx%.0f %s%s", nq, nk, heads, dim, dtype_name(a->q->dtype),
           a->bias ? " bias" : "");
    append_quant(cost, a->y, &a->quant);
}

void vg_cost_conv3d(const vg_conv3d_args *a, vg_op_cost *cost)
{
    const int64_t *w = a->w->shape;
    double taps = (double)(w[1] * w[2] * w[3] * w[4]);
    /* Taps on padding count like the others, as everybody counts convolutions. */
    *cost = (vg_op_cost){.flops = 2 * numel(a->y) * taps, .rate = rate_of(a->x->dtype)};
    cost->bytes = bytes_of(a->x) + bytes_of(a->history) + bytes_of(a->more) + bytes_of(a->w) +
                  bytes_of(a->bias) + bytes_of(a->residual) + bytes_of(a->y);
    append_tensor(cost, a->x);
    if (a->history)
        append(cost, " after %lld", (long long)a->history->shape[0]);
    append(cost, " to %lld, %lldx%lldx%lld%s%s", (long long)w[0], (long long)w[1], (long long)w[2],
           (long long)w[3], a->upsample > 1 ? " up" : "",
           a->stride[0] * a->stride[1] * a->stride[2] > 1 ? " down" : "");
    append(cost, "%s", a->residual ? " + residual" : "");
}

/* ---- everything else is bound by memory ---- */

void vg_cost_cast(const vg_cast_args *a, vg_op_cost *cost)
{
    moves(cost, bytes_of(a->x) + bytes_of(a->y), a->x);
    append(cost, " -> %s", dtype_name(a->y->dtype));
}

void vg_cost_quantize(const vg_quantize_args *a, vg_op_cost *cost)
{
    /* A dynamic scale of the whole tensor can be known only after all of it was read once. */
    double reads = a->kind == VG_QUANT_TENSOR_DYNAMIC ? 2 : 1;
    moves(cost, reads * bytes_of(a->x) + bytes_of(a->q) + bytes_of(a->scale), a->x);
    append(cost, " %s", quant_name(a->kind));
}

void vg_cost_amax(const vg_amax_args *a, vg_op_cost *cost)
{
    moves(cost, bytes_of(a->x), a->x);
}

void vg_cost_quantize_weight(const vg_quantize_weight_args *a, vg_op_cost *cost)
{
    /* One scale needs all of the weights first; a block stays in the caches. */
    double reads = a->scale->ndim == 2 ? 1 : 2;
    moves(cost, reads * bytes_of(a->w) + bytes_of(a->q) + bytes_of(a->scale), a->w);
    append(cost, " -> E4M3%s", a->scale->ndim == 2 ? " 128x128" : "");
}

void vg_cost_dequantize_weight(const vg_dequantize_weight_args *a, vg_op_cost *cost)
{
    moves(cost, bytes_of(a->q) + bytes_of(a->scale) + bytes_of(a->y), a->q);
    append(cost, " -> %s", dtype_name(a->y->dtype));
}

void vg_cost_embedding(const vg_embedding_args *a, vg_op_cost *cost)
{
    double row = numel(a->y) * (double)vg_dtype_size(a->table->dtype);
    moves(cost, row + bytes_of(a->ids) + bytes_of(a->y), a->y);
}

void vg_cost_rms_norm(const vg_rms_norm_args *a, vg_op_cost *cost)
{
    moves(cost, bytes_of(a->x) + bytes_of(a->w) + bytes_of(a->y), a->x);
}

void vg_cost_layer_norm_modulate(const vg_layer_norm_modulate_args *a, vg_op_cost *cost)
{
    moves(cost,
          bytes_of(a->x) + bytes_of(a->scale) + bytes_of(a->shift) + bytes_of(a->w) +
              bytes_of(a->b) + result_bytes(a->y, &a->quant),
          a->x);
    append_quant(cost, a->y, &a->quant);
}

void vg_cost_residual_norm(const vg_residual_norm_args *a, vg_op_cost *cost)
{
    moves(cost,
          bytes_of(a->x) + bytes_of(a->add) + bytes_of(a->gate) + bytes_of(a->sum) +
              bytes_of(a->scale) + bytes_of(a->shift) + bytes_of(a->w) + bytes_of(a->b) +
              result_bytes(a->y, &a->quant),
          a->x);
    append(cost, "%s", a->gate ? " gate" : "");
    append_quant(cost, a->y, &a->quant);
}

void vg_cost_rms_norm_rope(const vg_rms_norm_rope_args *a, vg_op_cost *cost)
{
    moves(cost,
          bytes_of(a->x) + bytes_of(a->w) + bytes_of(a->rope_cos) + bytes_of(a->rope_sin) +
              bytes_of(a->y),
          a->x);
    append(cost, "%s", a->rope_cos ? " rope" : "");
}

void vg_cost_gate_residual(const vg_gate_residual_args *a, vg_op_cost *cost)
{
    moves(cost, bytes_of(a->x) + bytes_of(a->y) + bytes_of(a->gate) + bytes_of(a->out), a->x);
    append(cost, "%s", a->gate ? " gate" : "");
}

void vg_cost_activation(const vg_activation_args *a, vg_op_cost *cost)
{
    moves(cost, bytes_of(a->x) + bytes_of(a->mul) + result_bytes(a->y, &a->quant), a->x);
    append_act(cost, a->act);
    append(cost, "%s", a->mul ? " times" : "");
    append_quant(cost, a->y, &a->quant);
}

void vg_cost_patchify(const vg_patchify_args *a, vg_op_cost *cost)
{
    moves(cost, bytes_of(a->x) + bytes_of(a->y), a->x);
}

void vg_cost_unpatchify(const vg_unpatchify_args *a, vg_op_cost *cost)
{
    moves(cost, bytes_of(a->x) + bytes_of(a->y), a->y);
}

void vg_cost_linear_combination(const vg_linear_combination_args *a, vg_op_cost *cost)
{
    double bytes = bytes_of(a->y);
    for (int i = 0; i < a->count; i++)
        bytes += bytes_of(a->x[i]);
    moves(cost, bytes, a->y);
    append(cost, " of %d", a->count);
}

void vg_cost_guidance_step(const vg_guidance_step_args *a, vg_op_cost *cost)
{
    moves(cost, bytes_of(a->x) + bytes_of(a->v.cond) + bytes_of(a->v.uncond) + bytes_of(a->y),
          a->v.cond);
    append(cost, "%s", a->v.uncond ? " guided" : "");
}

void vg_cost_channel_norm(const vg_channel_norm_args *a, vg_op_cost *cost)
{
    moves(cost, bytes_of(a->x) + bytes_of(a->gamma) + bytes_of(a->y), a->x);
    append(cost, "%s", a->silu ? " SiLU" : "");
}

void vg_cost_channel_affine(const vg_channel_affine_args *a, vg_op_cost *cost)
{
    moves(cost, bytes_of(a->x) + bytes_of(a->scale) + bytes_of(a->shift) + bytes_of(a->y), a->x);
}

void vg_cost_frames_to_u8(const vg_frames_to_u8_args *a, vg_op_cost *cost)
{
    moves(cost, bytes_of(a->x) + bytes_of(a->y), a->x);
}

/* ---- devices ---- */

const vg_device_rates *vg_device_rates_find(const char *device)
{
    static const struct {
        const char *name;
        vg_device_rates rates;
    } rows[] = {
#define VG_DEVICE_RATES(name, f32, bf16, e4m3, gbytes)                                             \
    {name, {{(f32)*1e12, (bf16)*1e12, (e4m3)*1e12}, (gbytes)*1e9}},
#include "kernels/op/device_rates.def"
#undef VG_DEVICE_RATES
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!strncmp(device, rows[i].name, strlen(rows[i].name)))
            return &rows[i].rates;
    }
    return NULL;
}

static double product_s(const vg_op_cost *cost, const vg_device_rates *rates)
{
    double rate = rates->flops[cost->rate];
    if (rate <= 0)
        rate = rates->flops[VG_RATE_BF16];
    return cost->flops / rate;
}

double vg_op_floor_s(const vg_op_cost *cost, const vg_device_rates *rates)
{
    double products = product_s(cost, rates), memory = cost->bytes / rates->bytes;
    return products > memory ? products : memory;
}

bool vg_op_memory_bound(const vg_op_cost *cost, const vg_device_rates *rates)
{
    return product_s(cost, rates) < cost->bytes / rates->bytes;
}
