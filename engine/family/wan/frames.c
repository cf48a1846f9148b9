/* frames.c: pictures to latents. Source: wan 4.3, 7.5: the posterior's mean, normalised. */
#include "engine/family/wan/vae.h"

#include <stdlib.h>

static vg_status check_sample(const wan_config *c, const int64_t s[4], vg_err *err)
{
    if (!c->has_vae)
        return VG_FAIL(err, VG_E_MISSING, "this checkpoint has no VAE (vae/config.json)");
    if (s[0] != 3 || s[1] < 1 || s[1] % c->vae.temporal != 1 || s[2] < 1 || s[3] < 1 ||
        s[2] % c->vae.spatial || s[3] % c->vae.spatial)
        return VG_FAIL(
            err, VG_E_SHAPE,
            "the VAE cannot encode [%lld, %lld, %lld, %lld]: it takes 3 channels, %dk+1 frames and sides that are multiples of %d",
            (long long)s[0], (long long)s[1], (long long)s[2], (long long)s[3], c->vae.temporal,
            c->vae.spatial);
    return VG_OK;
}

static void normalise(const wan_vae_config *c, const int64_t shape[4], float *values)
{
    int64_t plane = shape[1] * shape[2] * shape[3];
    for (int64_t k = 0; k < shape[0]; k++)
        for (int64_t i = 0; i < plane; i++)
            values[k * plane + i] =
                (float)(((double)values[k * plane + i] - c->mean[k]) / c->std[k]);
}

vg_status wan_encode_frames(vg_engine *engine, vg_model *model, const vg_generate_params *p,
                            const float *sample, const int64_t s[4], const vg_callbacks *cb,
                            vg_latents *out, vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    wan_vae_hooks hooks = {.cancel = cb ? cb->cancel : NULL};
    wan_vae *vae = NULL;
    char *dir = NULL;
    vg_status status;
    double begin = vg_now();
    VG_TRY(check_sample(c, s, err));
    vg_latents l = {.shape = {c->vae.z_dim, 1 + (s[1] - 1) / c->vae.temporal, s[2] / c->vae.spatial,
                              s[3] / c->vae.spatial}};
    size_t count = (size_t)(l.shape[0] * l.shape[1] * l.shape[2] * l.shape[3]);
    l.values = malloc(count * sizeof *l.values);
    if (!l.values)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for latents of %zu values", count);
    vg_emit_stage(cb, VG_EVENT_STAGE_BEGIN, VG_STAGE_LOAD, "vae", 0);
    VG_TRY_GOTO(status, vg_model_component_dir(model, "vae", &dir, err), done);
    VG_TRY_GOTO(status,
                wan_vae_open(engine, dir, &c->vae, vg_compute_dtype(p->vae_compute),
                             WAN_VAE_ENCODER, &vae, err),
                done);
    vg_emit_stage(cb, VG_EVENT_STAGE_END, VG_STAGE_LOAD, "vae", vg_now() - begin);
    VG_TRY_GOTO(status, wan_vae_encode(vae, sample, s, p->vae_tiling, &hooks, l.values, err), done);
    normalise(&c->vae, l.shape, l.values);
    *out = l;
    l.values = NULL;
done:
    free(l.values);
    wan_vae_close(vae);
    free(dir);
    return status;
}
