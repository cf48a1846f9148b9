/* precision_report.c: see precision_report.h. */
#include "engine/layers/precision_report.h"

#include "engine/layers/module_impl.h"
#include "kernels/base/text.h"

static size_t layer_bytes(vg_precision used, vg_dtype dtype, int64_t n, int64_t k)
{
    size_t elements = (size_t)(n * k), groups = (size_t)(vg_quant_groups(n) * vg_quant_groups(k));
    switch (used) {
    case VG_PRECISION_TENSOR:
        return elements + 4;
    case VG_PRECISION_CHANNEL:
        return elements + 4 * (size_t)n;
    case VG_PRECISION_BLOCK:
        return elements + 4 * groups;
    default:
        return elements * vg_dtype_size(dtype);
    }
}

static void count_layer(const vg_layer_choice *choice, vg_dtype dtype, vg_precision_report *r)
{
    if (choice->used == VG_PRECISION_HIGH && dtype != VG_BF16)
        r->f32++;
    else
        r->layers[choice->used]++;
    if (choice->used != VG_PRECISION_HIGH)
        r->inputs[choice->used] |= 1u << choice->act;
    r->dequantised += choice->dequantised;
    r->made_static += choice->made && choice->act == VG_QUANT_TENSOR_STATIC;
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
    report->scales_skipped += census.input_scales;
    while (vg_weight_table_next(table, &p)) {
        vg_dtype dtype = vg_weight_dtype(p.row, options->compute);
        bool linear = p.row->kind == VG_WEIGHT_LINEAR;
        if (linear) {
            vg_layer_choice choice;
            VG_TRY(vg_layer_choose_at(table, &p, weights, &census, options->policy, &choice, err));
            count_layer(&choice, dtype, report);
            report->scales_skipped -= !choice.made && choice.act == VG_QUANT_TENSOR_STATIC;
            report->weight_bytes += layer_bytes(choice.used, dtype, p.shape[0], p.shape[1]);
        }
        for (int i = linear ? 1 : 0; vg_weight_tensor_of(&p, i, &t); i++)
            report->weight_bytes += bytes_of(&t, dtype);
    }
    return VG_OK;
}

static const char *append_inputs(unsigned inputs, const char *between, char *text, size_t size)
{
    static const char *const names[VG_QUANT_KIND_COUNT] = {"weight-only", "static", "dynamic",
                                                           "dynamic 1x128"};
    size_t n = strlen(text);
    for (int i = 0; i < VG_QUANT_KIND_COUNT && n < size; i++)
        if (inputs & 1u << i) {
            n += (size_t)snprintf(text + n, size - n, "%s%s", between, names[i]);
            between = ", ";
        }
    return text;
}

const char *vg_precision_report_inputs(const vg_precision_report *r, char *text, size_t size)
{
    unsigned all = 0;
    text[0] = '\0';
    for (int i = 0; i < VG_PRECISION_COUNT; i++)
        all |= r->inputs[i];
    snprintf(text, size, "%s", all ? "" : "-");
    return append_inputs(all, "", text, size);
}

const char *vg_precision_report_text(const vg_precision_report *r, char *text, size_t size)
{
    const struct {
        int count;
        const char *name;
        unsigned inputs;
    } groups[] = {
        {r->layers[VG_PRECISION_TENSOR], "FP8 per-tensor", r->inputs[VG_PRECISION_TENSOR]},
        {r->layers[VG_PRECISION_BLOCK], "FP8 per-block", r->inputs[VG_PRECISION_BLOCK]},
        {r->layers[VG_PRECISION_CHANNEL], "FP8 per-channel", r->inputs[VG_PRECISION_CHANNEL]},
        {r->layers[VG_PRECISION_HIGH], "BF16", 0},
        {r->f32, "F32", 0}};
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof groups / sizeof groups[0] && n < size; i++) {
        if (!groups[i].count)
            continue;
        snprintf(text + n, size - n, "%s%d %s", n ? ", " : "", groups[i].count, groups[i].name);
        append_inputs(groups[i].inputs, " (", text, size);
        n = strlen(text);
        if (groups[i].inputs && n + 1 < size)
            memcpy(text + n++, ")", 2);
    }
    if (r->dequantised && n < size)
        snprintf(text + n, size - n, "; %d dequantised from FP8", r->dequantised);
    return text;
}

cJSON *vg_precision_report_json(const vg_precision_report *r)
{
    char inputs[96];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "fp8_tensor", r->layers[VG_PRECISION_TENSOR]);
    cJSON_AddNumberToObject(o, "fp8_block", r->layers[VG_PRECISION_BLOCK]);
    cJSON_AddNumberToObject(o, "fp8_channel", r->layers[VG_PRECISION_CHANNEL]);
    cJSON_AddNumberToObject(o, "bf16", r->layers[VG_PRECISION_HIGH]);
    cJSON_AddNumberToObject(o, "f32", r->f32);
    cJSON_AddNumberToObject(o, "dequantised", r->dequantised);
    cJSON_AddStringToObject(o, "activations", vg_precision_report_inputs(r, inputs, sizeof inputs));
    cJSON_AddNumberToObject(o, "weight_bytes", (double)r->weight_bytes);
    return o;
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
