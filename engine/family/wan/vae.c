/* vae.c: loading the autoencoder and closing it. Running is vae_decode.c and vae_encode.c. */
#include "engine/family/wan/vae.h"

#include "kernels/base/numeric.h"

#include <stdlib.h>

/* 1/std and mean, rounded where a tensor of the VAE's dtype would be (wan 10.23). */
static vg_status load_statistics(wan_vae *v, vg_err *err)
{
    float scale[WAN_Z_MAX], shift[WAN_Z_MAX];
    bool bf16 = v->compute == VG_BF16;
    for (int i = 0; i < v->config.z_dim; i++) {
        float std = (float)v->config.std[i];
        shift[i] = (float)v->config.mean[i];
        scale[i] = 1.0f / (bf16 ? vg_round_bf16(std) : std);
        if (bf16) {
            shift[i] = vg_round_bf16(shift[i]);
            scale[i] = vg_round_bf16(scale[i]);
        }
    }
    void *memory;
    size_t bytes = (size_t)v->config.z_dim * sizeof(float);
    VG_TRY(vg_backend_alloc(v->be, 2 * 256 + 2 * bytes, &memory, err));
    v->scale = vg_tensor_make(memory, VG_F32, 1, v->config.z_dim);
    v->shift =
        vg_tensor_make((char *)memory + (bytes + 255) / 256 * 256, VG_F32, 1, v->config.z_dim);
    VG_TRY(vg_backend_upload(v->be, &v->scale, scale, err));
    VG_TRY(vg_backend_upload(v->be, &v->shift, shift, err));
    return vg_backend_sync(v->be, err);
}

enum { Z = 1, Z2 };

#define ONE VG_FIXED(1)

static const vg_weight_row post_quant_rows[] = {
    VG_WEIGHT_ROW(wan_vae, "post_quant_conv", POINTWISE, post_quant, 0, Z, Z, ONE, ONE, ONE),
};
static const vg_weight_row quant_rows[] = {
    VG_WEIGHT_ROW(wan_vae, "quant_conv", POINTWISE, quant, 0, Z2, Z2, ONE, ONE, ONE),
};

/* What a half has beside its net. */
static vg_weight_list own_list(const wan_vae_config *c, bool encoder, void *to)
{
    return (vg_weight_list){.count = 1,
                            .rows = encoder ? quant_rows : post_quant_rows,
                            .rows_count = 1,
                            .dims = {[Z] = c->z_dim, [Z2] = 2 * c->z_dim},
                            .to = to};
}

vg_status wan_vae_weights(const wan_vae_config *config, int halves, vg_weight_table *table,
                          vg_err *err)
{
    *table = (vg_weight_table){.component = "vae"};
    for (int encoder = 0; encoder < 2; encoder++) {
        vg_weight_list own = own_list(config, encoder, NULL);
        if (!(halves & (encoder ? WAN_VAE_ENCODER : WAN_VAE_DECODER)))
            continue;
        VG_TRY(vg_weight_table_add(table, &own, err));
        VG_TRY(wan_vae_net_weights(config, encoder, table, err));
    }
    return VG_OK;
}

static vg_status load_half(wan_vae *v, bool encoder, vg_err *err)
{
    vg_weight_list own = own_list(&v->config, encoder, v);
    VG_TRY(vg_module_load(v->module, &own, 0, err));
    if (encoder) { /* of mean and variance, only the first is asked for */
        v->quant.w = vg_tensor_rows(&v->quant.w, 0, v->config.z_dim);
        v->quant.bias = vg_tensor_rows(&v->quant.bias, 0, v->config.z_dim);
    }
    return wan_vae_net_load(v->module, &v->config, v->compute, encoder,
                            encoder ? &v->encoder : &v->decoder, err);
}

vg_status wan_vae_open(vg_engine *engine, const char *dir, const wan_vae_config *config,
                       vg_dtype compute, int halves, wan_vae **vae, vg_err *err)
{
    vg_status status;
    wan_vae *v = calloc(1, sizeof *v);
    if (!v)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the VAE");
    v->config = *config;
    v->compute = compute;
    v->be = engine->be;
    vg_module_options options = {.compute = compute};
    VG_TRY_GOTO(status, vg_module_open(engine, dir, "vae", &options, &v->module, err), fail);
    VG_TRY_GOTO(status, load_statistics(v, err), fail);
    if (halves & WAN_VAE_DECODER)
        VG_TRY_GOTO(status, load_half(v, false, err), fail);
    if (halves & WAN_VAE_ENCODER)
        VG_TRY_GOTO(status, load_half(v, true, err), fail);
    VG_TRY_GOTO(status, vg_module_loaded(v->module, err), fail);
    *vae = v;
    return VG_OK;
fail:
    wan_vae_close(v);
    return status;
}

void wan_vae_close(wan_vae *v)
{
    if (!v)
        return;
    wan_vae_net_free(v->decoder);
    wan_vae_net_free(v->encoder);
    if (v->scale.data)
        vg_backend_release(v->be, v->scale.data,
                           2 * 256 + 2 * (size_t)v->config.z_dim * sizeof(float));
    vg_module_close(v->module);
    free(v);
}
