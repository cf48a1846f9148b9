/* ops_cost.c: what the costs of operations are built from, and what devices can do. See ops_cost.h. */
#include "kernels/op/op_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

double vg_cost_bytes(const vg_tensor *t)
{
    return t ? (double)vg_tensor_bytes(t) : 0;
}

/* Bytes of an operation's result in the forms that were asked for. */
double vg_cost_result_bytes(const vg_tensor *y, const vg_quant_out *quant)
{
    return vg_cost_bytes(y) + (quant->kind != VG_QUANT_NONE
                                   ? vg_cost_bytes(quant->q) + vg_cost_bytes(quant->scale)
                                   : 0);
}

double vg_cost_numel(const vg_tensor *t)
{
    return (double)vg_tensor_numel(t);
}

/* Names as people say them: "E4M3", not the file format's "F8_E4M3". */
const char *vg_cost_dtype(vg_dtype dtype)
{
    return dtype == VG_E4M3 ? "E4M3" : vg_dtype_name(dtype);
}

const char *vg_cost_quant_name(vg_quant_kind kind)
{
    static const char *const names[VG_QUANT_KIND_COUNT] = {"", "static", "dynamic", "1x128"};
    return names[kind];
}

void vg_cost_append(vg_op_cost *cost, const char *format, ...)
{
    size_t used = strlen(cost->shape);
    va_list args;
    va_start(args, format);
    vsnprintf(cost->shape + used, sizeof cost->shape - used, format, args);
    va_end(args);
}

void vg_cost_append_quant(vg_op_cost *cost, const vg_tensor *y, const vg_quant_out *quant)
{
    if (quant->kind != VG_QUANT_NONE)
        vg_cost_append(cost, " -> %sE4M3 %s", y ? "both, " : "", vg_cost_quant_name(quant->kind));
}

/* "75600x5120 BF16" */
void vg_cost_append_tensor(vg_op_cost *cost, const vg_tensor *t)
{
    for (int i = 0; i < t->ndim; i++)
        vg_cost_append(cost, "%s%lld", i ? "x" : "", (long long)t->shape[i]);
    vg_cost_append(cost, "%s%s", t->ndim ? " " : "", vg_cost_dtype(t->dtype));
}

/* An operation that moves `bytes` and is told apart by its operand t. */
void vg_cost_moves(vg_op_cost *cost, double bytes, const vg_tensor *t)
{
    *cost = (vg_op_cost){.bytes = bytes};
    vg_cost_append_tensor(cost, t);
}

vg_rate vg_cost_rate(vg_dtype dtype)
{
    return dtype == VG_E4M3 ? VG_RATE_E4M3 : dtype == VG_BF16 ? VG_RATE_BF16 : VG_RATE_F32;
}

void vg_cost_append_act(vg_op_cost *cost, vg_act act)
{
    static const char *const names[VG_ACT_COUNT] = {"", " SiLU", " GELU", " GELU erf"};
    vg_cost_append(cost, "%s", names[act]);
}

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
