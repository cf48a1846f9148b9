/* vae.c: loading the autoencoder and closing it. Running is vae_decode.c and vae_encode.c. */
#include "engine/family/wan/vae.h"

#include "kernels/base/numeric.h"

#include <stdio.h>
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

static vg_status load_pointwise(wan_vae *v, const char *name, int64_t c, int64_t keep, vg_tensor *w,
                                vg_tensor *b, vg_err *err)
{
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    VG_TRY(
        vg_module_conv(v->module, full, v->compute, 5, (const int64_t[]){c, c, 1, 1, 1}, w, err));
    snprintf(full, sizeof full, "%s.bias", name);
    VG_TRY(vg_module_tensor(v->module, full, v->compute, 1, &c, b, err));
    *w = vg_tensor_reshape(w, 2, c, c);
    *w = vg_tensor_rows(w, 0, keep);
    *b = vg_tensor_rows(b, 0, keep);
    return VG_OK;
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
    vg_module_options options = {.compute = compute, .scheme = VG_SCHEME_AUTO};
    VG_TRY_GOTO(status, vg_module_open(engine, dir, "vae", &options, &v->module, err), fail);
    VG_TRY_GOTO(status, load_statistics(v, err), fail);
    if (halves & WAN_VAE_DECODER) {
        VG_TRY_GOTO(status,
                    load_pointwise(v, "post_quant_conv", config->z_dim, config->z_dim,
                                   &v->post_quant_w, &v->post_quant_b, err),
                    fail);
        VG_TRY_GOTO(status, wan_vae_net_load(v->module, config, compute, false, &v->decoder, err),
                    fail);
    }
    if (halves & WAN_VAE_ENCODER) {
        VG_TRY_GOTO(status,
                    load_pointwise(v, "quant_conv", 2 * config->z_dim, config->z_dim, &v->quant_w,
                                   &v->quant_b, err),
                    fail);
        VG_TRY_GOTO(status, wan_vae_net_load(v->module, config, compute, true, &v->encoder, err),
                    fail);
    }
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
