/* vae.c: loading the autoencoder and closing it. Running is vae_decode.c and vae_encode.c. */
#include "engine/family/hunyuanvideo15/vae.h"

#include <stdlib.h>

vg_status hv_vae_weights(const hv_vae_config *config, int halves, vg_weight_table *table,
                         vg_err *err)
{
    *table = (vg_weight_table){.component = "vae"};
    for (int encoder = 0; encoder < 2; encoder++)
        if (halves & (encoder ? HV_VAE_ENCODER : HV_VAE_DECODER))
            VG_TRY(hv_vae_net_weights(config, encoder, table, err));
    return VG_OK;
}

static vg_status make_scale(hv_vae *v, vg_err *err)
{
    float factor[HV_Z_MAX], zero[HV_Z_MAX] = {0};
    for (int i = 0; i < v->config.z; i++)
        factor[i] = (float)v->config.scaling_factor;
    VG_TRY(vg_arena_new(v->be, 4096, &v->own, err));
    VG_TRY(vg_arena_tensor(v->own, VG_F32, 1, &v->config.z, &v->scale, err));
    VG_TRY(vg_arena_tensor(v->own, VG_F32, 1, &v->config.z, &v->shift, err));
    VG_TRY(vg_backend_upload(v->be, &v->scale, factor, err));
    VG_TRY(vg_backend_upload(v->be, &v->shift, zero, err));
    return vg_backend_sync(v->be, err);
}

/* Tensors of the half that is not loaded are not unused. */
static void leave(hv_vae *v, bool encoder)
{
    vg_weight_table table = {.component = "vae"};
    if (hv_vae_net_weights(&v->config, encoder, &table, NULL) == VG_OK)
        for (int i = 0; i < table.count; i++)
            vg_module_elsewhere(v->module, &table.lists[i], 0);
    vg_weight_table_deinit(&table);
}

vg_status hv_vae_open(vg_engine *engine, const char *dir, const hv_vae_config *config,
                      vg_dtype compute, int halves, hv_vae **vae, vg_err *err)
{
    vg_module_options options = {.compute = compute};
    vg_status status;
    hv_vae *v = calloc(1, sizeof *v);
    if (!v)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the VAE");
    v->config = *config;
    v->compute = compute;
    v->be = engine->be;
    VG_TRY_GOTO(status, vg_module_open(engine, dir, "vae", &options, &v->module, err), fail);
    VG_TRY_GOTO(status, make_scale(v, err), fail);
    for (int encoder = 0; encoder < 2; encoder++) {
        hv_vae_net **net = encoder ? &v->encoder : &v->decoder;
        if (!(halves & (encoder ? HV_VAE_ENCODER : HV_VAE_DECODER)))
            leave(v, encoder);
        else
            VG_TRY_GOTO(status, hv_vae_net_load(v->module, config, compute, encoder, net, err),
                        fail);
    }
    VG_TRY_GOTO(status, vg_module_loaded(v->module, err), fail);
    *vae = v;
    return VG_OK;
fail:
    hv_vae_close(v);
    return status;
}

void hv_vae_close(hv_vae *v)
{
    if (!v)
        return;
    hv_vae_net_free(v->decoder);
    hv_vae_net_free(v->encoder);
    vg_arena_free(v->own);
    vg_module_close(v->module);
    free(v);
}
