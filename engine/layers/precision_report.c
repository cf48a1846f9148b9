/* precision_report.c: see precision_report.h. */
#include "kernels/base/text.h"
#include "engine/layers/precision_report.h"

#include "engine/layers/module_impl.h"
#include "kernels/base/text.h"

static void count_layer(const vg_layer_choice *choice, vg_dtype dtype, int64_t n, int64_t k,
                        vg_precision_report *r)
{
    static const char *const acts[VG_QUANT_KIND_COUNT] = {"weight-only", "static", "dynamic",
                                                          "dynamic 1x128"};
    size_t elements = (size_t)(n * k);
    switch (choice->used) {
    case VG_PRECISION_TENSOR:
        r->fp8_tensor++;
        r->weight_bytes += elements + 4;
        break;
    case VG_PRECISION_CHANNEL:
        r->fp8_channel++;
        r->weight_bytes += elements + 4 * (size_t)n;
        break;
    case VG_PRECISION_BLOCK:
        r->fp8_block++;
        r->weight_bytes += elements + 4 * (size_t)(vg_quant_groups(n) * vg_quant_groups(k));
        break;
    default:
        if (dtype == VG_BF16)
            r->bf16++;
        else
            r->f32++;
        r->weight_bytes += elements * vg_dtype_size(dtype);
    }
    if (choice->used != VG_PRECISION_HIGH)
        snprintf(r->act, sizeof r->act, "%s", acts[choice->act]);
}

static size_t bytes_of(const vg_weight_tensor *t, vg_dtype dtype)
{
    size_t bytes = vg_dtype_size(dtype);
    for (int i = 0; i < t->ndim; i++)
        bytes *= (size_t)t->shape[i];
    return bytes;
}

vg_status vg_precision_report_add(vg_precision_report *report, const vg_weight_table *table,
                                  const vg_weights *weights, const vg_module_options *options,
                                  vg_err *err)
{
    vg_precision_census census;
    vg_weight_place p = {0};
    vg_weight_tensor t;
    vg_precision_census_take(weights, &census);
    while (vg_weight_table_next(table, &p)) {
        vg_dtype dtype = vg_weight_dtype(p.row, options->compute);
        bool linear = p.row->kind == VG_WEIGHT_LINEAR;
        if (linear) {
            vg_layer_choice choice;
            VG_TRY(vg_layer_choose(weights, &census, table->component, p.name, p.shape[0],
                                   p.shape[1], p.row->flags & VG_WEIGHT_QUANTISABLE, options,
                                   &choice, err));
            count_layer(&choice, dtype, p.shape[0], p.shape[1], report);
        }
        for (int i = linear ? 1 : 0; vg_weight_tensor_of(&p, i, &t); i++)
            report->weight_bytes += bytes_of(&t, dtype);
    }
    return VG_OK;
}

void vg_precision_describe(const vg_weights *weights, char *text, size_t size)
{
    vg_precision_census census;
    int linears = 0, block = 0, channel = 0;
    char name[VG_NAME_MAX_BYTES], layer[VG_NAME_MAX_BYTES];
    vg_precision_census_take(weights, &census);
    if (census.fp8 == 0) {
        snprintf(text, size, "%s",
                 census.high == VG_F32   ? "f32"
                 : census.high == VG_F16 ? "f16"
                                         : "bf16");
        return;
    }
    for (int i = 0; i < vg_weights_count(weights); i++) {
        const char *w = vg_weights_name(weights, i);
        const vg_tensor *t = vg_weights_tensor(weights, i);
        if (!vg_ends_with(w, ".weight") || t->ndim != 2 || strstr(w, "_quantizer."))
            continue;
        linears++;
        if (t->dtype != VG_E4M3)
            continue;
        snprintf(layer, sizeof layer, "%.*s", (int)(strlen(w) - strlen(".weight")), w);
        const vg_tensor *scale = vg_layer_scale(weights, layer, name);
        vg_precision precision = VG_PRECISION_TENSOR;
        if (scale)
            (void)vg_scale_granularity(scale, t->shape[0], t->shape[1], &precision);
        block += precision == VG_PRECISION_BLOCK;
        channel += precision == VG_PRECISION_CHANNEL;
    }
    const char *kind = block == census.fp8     ? "per-block"
                       : channel == census.fp8 ? "per-channel"
                       : block + channel == 0  ? "per-tensor"
                                               : "mixed";
    snprintf(text, size, "fp8 %s (%d of %d)", kind, census.fp8, linears);
}
