/* dit_precision.c: calibration, precision, plan. See dit.h. */
#include "engine/family/wan/dit_impl.h"

#include "kernels/base/numeric.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

vg_status wan_dit_calibrate_begin(wan_dit *d, vg_err *err)
{
    int64_t count = d->config.layers * BLOCK_LINEARS;
    if (!d->calibration)
        VG_TRY(vg_arena_new(d->be, 0, &d->calibration, err));
    vg_arena_reset(d->calibration, 0);
    VG_TRY(vg_arena_tensor(d->calibration, VG_F32, 1, &count, &d->amax, err));
    VG_TRY(vg_backend_zero(d->be, &d->amax, err));
    for (int64_t i = 0; i < count; i++)
        d->blocks[i / BLOCK_LINEARS].linear[i % BLOCK_LINEARS].amax =
            vg_tensor_rows(&d->amax, i, 1);
    return VG_OK;
}

vg_status wan_dit_calibrate_each(const wan_dit *d,
                                 void (*fn)(void *user, const char *layer, float amax), void *user,
                                 vg_err *err)
{
    int64_t count = d->config.layers * BLOCK_LINEARS;
    float *amax;
    if (!d->amax.data)
        return VG_OK;
    amax = malloc((size_t)count * sizeof *amax);
    if (!amax)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld input ranges", (long long)count);
    vg_status status = vg_backend_download(d->be, amax, &d->amax, err);
    for (int64_t i = 0; status == VG_OK && i < count; i++)
        fn(user, d->blocks[i / BLOCK_LINEARS].linear[i % BLOCK_LINEARS].name, amax[i]);
    free(amax);
    return status;
}

static void count_layer(const vg_layer_choice *choice, vg_dtype dtype, int64_t n, int64_t k,
                        vg_precision_report *r)
{
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
    if (choice->used != VG_PRECISION_HIGH) {
        static const char *const acts[VG_QUANT_KIND_COUNT] = {"weight-only", "static", "dynamic",
                                                              "dynamic 1x128"};
        snprintf(r->act, sizeof r->act, "%s", acts[choice->act]);
    }
}

vg_status wan_dit_precision(const vg_weights *weights, const char *component,
                            const wan_dit_config *c, const vg_module_options *options,
                            vg_precision_report *r, vg_err *err)
{
    vg_precision_census census;
    vg_layer_choice choice;
    char name[128];
    vg_precision_census_take(weights, &census);
    for (int i = 0; i < GLOBAL_LINEARS; i++) {
        int64_t n = wan_dit_dimension(c, wan_dit_global_linears[i].n),
                k = wan_dit_dimension(c, wan_dit_global_linears[i].k);
        VG_TRY(vg_layer_choose(weights, &census, component, wan_dit_global_linears[i].name, n, k,
                               false, options, &choice, err));
        vg_dtype dtype = wan_dit_global_linears[i].f32 ? VG_F32 : options->compute;
        count_layer(&choice, dtype, n, k, r);
        r->weight_bytes += (size_t)n * vg_dtype_size(dtype);
    }
    for (int64_t b = 0; b < c->layers; b++)
        for (int j = 0; j < BLOCK_LINEARS; j++) {
            int64_t n = wan_dit_dimension(c, wan_dit_block_linears[j].n),
                    k = wan_dit_dimension(c, wan_dit_block_linears[j].k);
            snprintf(name, sizeof name, "blocks.%lld.%s", (long long)b,
                     wan_dit_block_linears[j].suffix);
            VG_TRY(vg_layer_choose(weights, &census, component, name, n, k, true, options, &choice,
                                   err));
            count_layer(&choice, options->compute, n, k, r);
            r->weight_bytes += (size_t)n * vg_dtype_size(options->compute);
        }
    size_t size = vg_dtype_size(options->compute), dim = (size_t)c->dim;
    r->weight_bytes += dim *
                       (size_t)(c->in_channels * c->patch[0] * c->patch[1] * c->patch[2] + 1) *
                       size; /* patch embedding */
    r->weight_bytes += (size_t)c->layers * dim * (4 * size + 8 * 4) +
                       2 * dim * 4; /* norms and modulation tables */
    return VG_OK;
}

void wan_dit_describe_precision(const vg_weights *weights, char *text, size_t size)
{
    vg_precision_census census;
    int linears = 0, block = 0, channel = 0;
    char name[256];
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
        size_t n = strlen(w);
        if (n < 7 || strcmp(w + n - 7, ".weight") != 0 || t->ndim != 2 || strstr(w, "_quantizer."))
            continue;
        linears++;
        if (t->dtype != VG_E4M3)
            continue;
        snprintf(name, sizeof name, "%.*s.weight_scale", (int)(n - 7), w);
        const vg_tensor *scale = vg_weights_find(weights, name);
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

int64_t wan_dit_tokens(const wan_dit_config *c, const int64_t latent[4])
{
    return (latent[1] / c->patch[0]) * (latent[2] / c->patch[1]) * (latent[3] / c->patch[2]);
}

double wan_dit_flop(const wan_dit_config *c, int64_t video_tokens, int64_t text_tokens)
{
    double n = (double)video_tokens, d = (double)c->dim, f = (double)c->ffn_dim,
           m = (double)text_tokens;
    double block = 8 * n * d * d + 4 * n * n * d + 4 * n * d * d + 4 * n * m * d + 4 * n * d * f;
    return block * (double)c->layers;
}
