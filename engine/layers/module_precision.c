/* module_precision.c: see module_impl.h. */
#include "engine/layers/module_impl.h"
#include "kernels/base/text.h"

#include <math.h>

void vg_precision_census_take(const vg_weights *weights, vg_precision_census *census)
{
    int64_t largest = -1;
    *census = (vg_precision_census){.high = vg_weights_dummy(weights) ? VG_BF16 : VG_F32};
    for (int i = 0; i < vg_weights_count(weights); i++) {
        const char *name = vg_weights_name(weights, i);
        const vg_tensor *t = vg_weights_tensor(weights, i);
        if (strstr(name, "_quantizer.")) /* strays of the quantiser's own state: modelopt-fp8 1.3 */
            continue;
        if (vg_ends_with(name, ".input_scale"))
            census->input_scales++;
        if (vg_ends_with(name, ".weight_scale") && t->ndim == 4)
            census->block_scales++;
        if (!vg_ends_with(name, ".weight"))
            continue;
        if (t->dtype == VG_E4M3) {
            census->fp8++;
        } else if (vg_tensor_numel(t) > largest) {
            largest = vg_tensor_numel(t);
            census->high = t->dtype;
        }
    }
}

vg_status vg_module_absent(const vg_weights *weights, const char *component, const char *name,
                           vg_err *err)
{
    const char *why = vg_weights_unsupported(weights, name);
    if (why)
        return VG_FAIL(err, strncmp(why, "dtype", 5) == 0 ? VG_E_DTYPE : VG_E_SHAPE,
                       "%s: tensor %s cannot be used: it has %s", component, name, why);
    return VG_FAIL(err, VG_E_MISSING, "%s: tensor %s is missing", component, name);
}

vg_status vg_module_find(const vg_weights *weights, const char *component, const char *name,
                         int ndim, const int64_t *shape, const vg_tensor **tensor, vg_err *err)
{
    char text[96], want[96];
    const vg_tensor *found = vg_weights_find(weights, name);
    if (!found)
        return vg_module_absent(weights, component, name, err);
    bool same = found->ndim == ndim;
    for (int i = 0; same && i < ndim; i++)
        same = found->shape[i] == shape[i];
    if (!same) {
        vg_tensor wanted = vg_tensor_of((void *)found->data, found->dtype, ndim, shape);
        return VG_FAIL(err, VG_E_SHAPE, "%s: %s is %s, the config wants %s", component, name,
                       vg_tensor_describe(found, text, sizeof text),
                       vg_tensor_describe(&wanted, want, sizeof want));
    }
    if (!vg_dtype_is_high(found->dtype))
        return VG_FAIL(err, VG_E_DTYPE, "%s: %s is %s; only F32, BF16 and F16 are known here",
                       component, name, vg_dtype_name(found->dtype));
    *tensor = found;
    return VG_OK;
}

/* Every scale must be a finite positive number: a zero or NaN would turn the layer into noise silently. */
static vg_status check_scale_values(const char *component, const char *name, const vg_tensor *t,
                                    vg_err *err)
{
    int64_t count = vg_tensor_numel(t);
    for (int64_t i = 0; i < count; i++) {
        float v;
        VG_TRY(vg_host_to_f32(t, i, 1, &v, err));
        if (!(v > 0) || !isfinite(v))
            return VG_FAIL(err, VG_E_FORMAT, "%s: %s holds %g; a scale must be finite and above 0",
                           component, name, (double)v);
    }
    return VG_OK;
}

/* Whatever the name says, the programs that read `weight_scale_inv` multiply by it, and so do we. Where it really is the reciprocal, all
 * of them are far above 1, which no weight's scale is: that would be weights beyond 448. */
static vg_status check_inverse(const char *component, const char *name, const vg_tensor *t,
                               vg_err *err)
{
    int64_t count = vg_tensor_numel(t);
    if (!vg_ends_with(name, "." VG_SCALE_INV))
        return VG_OK;
    for (int64_t i = 0; i < count; i++) {
        float v;
        VG_TRY(vg_host_to_f32(t, i, 1, &v, err));
        if (v <= 1)
            return VG_OK;
    }
    return VG_FAIL(
        err, VG_E_UNSUPPORTED,
        "%s: %s holds only values above 1: reciprocals of scales; scales that the weights "
        "are multiplied by are wanted",
        component, name);
}

vg_status vg_scale_granularity(const vg_tensor *s, int64_t n, int64_t k, vg_precision *precision)
{
    int64_t a = vg_quant_groups(n), b = vg_quant_groups(k);
    if (s->ndim == 0 || (s->ndim == 1 && s->shape[0] == 1) ||
        (s->ndim == 2 && s->shape[0] == 1 && s->shape[1] == 1))
        *precision = VG_PRECISION_TENSOR;
    else if (s->ndim == 4 && s->shape[0] == a && s->shape[1] == 1 && s->shape[2] == b &&
             s->shape[3] == 1)
        *precision = VG_PRECISION_BLOCK;
    else if ((s->ndim == 1 && s->shape[0] == n) ||
             (s->ndim == 2 && s->shape[0] == n && s->shape[1] == 1))
        *precision = VG_PRECISION_CHANNEL;
    else if (s->ndim == 2 && s->shape[0] == a && s->shape[1] == b)
        *precision = VG_PRECISION_BLOCK;
    else
        return VG_E_SHAPE;
    return VG_OK;
}

static const char *precision_label(vg_precision p)
{
    static const char *const labels[VG_PRECISION_COUNT] = {"high precision", "FP8 per-tensor",
                                                           "FP8 per-channel", "FP8 per-block"};
    return labels[p];
}

/* What is wanted of one layer. */
typedef struct wish {
    int precision;                 /* vg_precision or VG_PRECISION_STORED */
    int inputs;                    /* vg_fp8_act */
    const vg_precision_rule *rule; /* that says so; NULL: the scheme */
    int scheme;
} wish;

static wish wish_of(const vg_precision_policy *policy, const char *component, const char *layer)
{
    wish w = {.precision = VG_PRECISION_STORED,
              .inputs = VG_FP8_ACT_DYNAMIC,
              .scheme = policy ? policy->scheme : VG_SCHEME_AUTO};
    if (!policy)
        return w;
    w.rule = vg_precision_policy_find(policy, component, layer);
    if (w.rule)
        w.precision = w.rule->precision;
    else if (w.scheme != VG_SCHEME_AUTO)
        w.precision = (int)vg_scheme_precision((vg_scheme)w.scheme);
    w.inputs = w.rule && w.rule->inputs != VG_INPUTS_DEFAULT ? w.rule->inputs : (int)policy->inputs;
    return w;
}

/* "scheme fp8", or the rule. */
static const char *who_wants(const wish *w, char *text, size_t size)
{
    if (w->rule)
        snprintf(text, size, "precision \"%.120s\"", w->rule->text);
    else
        snprintf(text, size, "scheme %s", vg_scheme_name((vg_scheme)w->scheme));
    return text;
}

/* Granularity, scales and inputs of a layer that is FP8 in the files. */
static vg_status read_stored_fp8(const vg_weights *weights, const vg_precision_census *census,
                                 const char *component, const char *layer, int64_t n, int64_t k,
                                 vg_layer_choice *choice, vg_err *err)
{
    char name[VG_NAME_MAX_BYTES];
    const vg_tensor *scale = vg_layer_scale(weights, layer, name);
    if (!scale && vg_weights_unsupported(weights, name))
        return vg_module_absent(weights, component, name, err);
    if (!scale)
        return VG_FAIL(err, VG_E_MISSING, "%s: layer %s is FP8 but its weight_scale is missing",
                       component, layer);
    if (vg_scale_granularity(scale, n, k, &choice->stored) != VG_OK) {
        char text[96];
        return VG_FAIL(err, VG_E_SHAPE,
                       "%s: %s is %s, which fits no granularity of a [%lld, %lld] weight",
                       component, name, vg_tensor_describe(scale, text, sizeof text), (long long)n,
                       (long long)k);
    }
    VG_TRY(check_scale_values(component, name, scale, err));
    VG_TRY(check_inverse(component, name, scale, err));
    choice->act = VG_QUANT_GROUP_DYNAMIC;
    if (choice->stored == VG_PRECISION_BLOCK)
        return VG_OK;
    const vg_tensor *input = vg_layer_part(weights, layer, "input_scale", name);
    if (!input && vg_weights_unsupported(weights, name))
        return vg_module_absent(weights, component, name, err);
    choice->act = input ? VG_QUANT_TENSOR_STATIC : VG_QUANT_TENSOR_DYNAMIC;
    if (!input && census->input_scales > 0)
        return VG_FAIL(err, VG_E_MISSING, "%s: layer %s is FP8 but its input_scale is missing",
                       component, layer);
    if (input && vg_tensor_numel(input) != 1)
        return VG_FAIL(err, VG_E_SHAPE, "%s: %s must be one number", component, name);
    return input ? check_scale_values(component, name, input, err) : VG_OK;
}

/* May a layer that is stored so run as is wished? Channels are one kind of the scheme fp8; a rule tells the two apart. */
static bool contradicts(const wish *w, vg_precision stored)
{
    if (w->precision == VG_PRECISION_STORED || w->precision == (int)stored)
        return false;
    return w->rule || w->precision == VG_PRECISION_BLOCK || stored == VG_PRECISION_BLOCK;
}

/* A layer that is one tile has one scale in a per-block checkpoint, too, which ModelOpt writes as a scalar. */
static void take_one_tile(const wish *w, const vg_precision_census *census, int64_t n, int64_t k,
                          vg_layer_choice *choice)
{
    if (w->rule || !census->block_scales || w->precision != VG_PRECISION_BLOCK ||
        choice->stored != VG_PRECISION_TENSOR || n > VG_QUANT_GROUP || k > VG_QUANT_GROUP)
        return;
    choice->stored = VG_PRECISION_BLOCK;
    choice->act = VG_QUANT_GROUP_DYNAMIC;
}

static vg_status choose_stored_fp8(const wish *w, const char *component, const char *layer,
                                   vg_layer_choice *choice, vg_err *err)
{
    char who[160];
    if (w->precision == VG_PRECISION_HIGH) {
        choice->act = VG_QUANT_NONE;
        choice->dequantised = true;
        return VG_OK;
    }
    choice->used = choice->stored;
    if (contradicts(w, choice->stored))
        return VG_FAIL(
            err, VG_E_UNSUPPORTED, "%s was asked for, but %s holds %s weights (layer %s)",
            who_wants(w, who, sizeof who), component, precision_label(choice->stored), layer);
    bool said = w->rule && w->rule->inputs != VG_INPUTS_DEFAULT;
    if (said && w->inputs == VG_FP8_ACT_STATIC && choice->act != VG_QUANT_TENSOR_STATIC)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s was asked for, but %s has no static input scale for layer %s",
                       who_wants(w, who, sizeof who), component, layer);
    if (w->inputs == VG_FP8_ACT_WEIGHT_ONLY)
        choice->act = VG_QUANT_NONE;
    else if (said && w->inputs == VG_FP8_ACT_DYNAMIC && choice->act == VG_QUANT_TENSOR_STATIC)
        choice->act = VG_QUANT_TENSOR_DYNAMIC;
    return VG_OK;
}

/* A layer that is stored in high precision. */
static vg_status choose_made(const wish *w, const vg_precision_census *census,
                             const char *component, const char *layer, vg_layer_choice *choice,
                             vg_err *err)
{
    char who[160];
    if (w->precision <= (int)VG_PRECISION_HIGH)
        return VG_OK;
    /* A checkpoint that is already FP8 has decided which layers stay in high precision. */
    if (!w->rule && census->fp8 > 0)
        return VG_OK;
    if (w->precision == VG_PRECISION_CHANNEL)
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "%s was asked for, but layer %s of %s is not stored so, and per-channel FP8 is not made at load",
            who_wants(w, who, sizeof who), layer, component);
    choice->made = true;
    choice->used = (vg_precision)w->precision;
    if (w->inputs == VG_FP8_ACT_WEIGHT_ONLY)
        choice->act = VG_QUANT_NONE;
    else if (choice->used == VG_PRECISION_BLOCK)
        choice->act = VG_QUANT_GROUP_DYNAMIC;
    else
        choice->act =
            w->inputs == VG_FP8_ACT_STATIC ? VG_QUANT_TENSOR_STATIC : VG_QUANT_TENSOR_DYNAMIC;
    return VG_OK;
}

vg_status vg_layer_choose(const vg_weights *weights, const vg_precision_census *census,
                          const char *component, const char *layer, int64_t n, int64_t k,
                          bool quantisable, const vg_precision_policy *policy,
                          vg_layer_choice *choice, vg_err *err)
{
    char name[VG_NAME_MAX_BYTES], text[96];
    const vg_tensor *w = vg_layer_part(weights, layer, "weight", name);
    wish wanted = wish_of(policy, component, layer);
    *choice = (vg_layer_choice){
        .stored = VG_PRECISION_HIGH, .used = VG_PRECISION_HIGH, .act = VG_QUANT_NONE};
    vg_tensor generated = {.dtype = VG_BF16, .ndim = 2, .shape = {n, k}};
    if (!w && vg_weights_dummy(weights))
        w = &generated; /* never read here */
    if (!w)
        return vg_module_absent(weights, component, name, err);
    if (w->ndim != 2 || w->shape[0] != n || w->shape[1] != k)
        return VG_FAIL(err, VG_E_SHAPE, "%s: %s is %s, the config wants [%lld, %lld]", component,
                       name, vg_tensor_describe(w, text, sizeof text), (long long)n, (long long)k);
    if (w->dtype == VG_E4M3) {
        VG_TRY(read_stored_fp8(weights, census, component, layer, n, k, choice, err));
        take_one_tile(&wanted, census, n, k, choice);
        return choose_stored_fp8(&wanted, component, layer, choice, err);
    }
    if (!vg_dtype_is_high(w->dtype))
        return VG_FAIL(err, VG_E_DTYPE, "%s: %s is %s; F32, BF16, F16 and F8_E4M3 are known",
                       component, name, vg_dtype_name(w->dtype));
    return quantisable ? choose_made(&wanted, census, component, layer, choice, err) : VG_OK;
}

vg_status vg_layer_choose_at(const vg_weight_table *table, const vg_weight_place *p,
                             const vg_weights *weights, const vg_precision_census *census,
                             const vg_precision_policy *policy, vg_layer_choice *choice,
                             vg_err *err)
{
    return vg_layer_choose(weights, census, table->component, p->name, p->shape[0], p->shape[1],
                           p->row->flags & VG_WEIGHT_QUANTISABLE, policy, choice, err);
}
