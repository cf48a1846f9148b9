/* plan.c: what a generation will need, before anything is allocated, and which precision the layers will run in. Headers only. */
#include "engine/family/wan/dit.h"
#include "engine/family/wan/vae.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static vg_plan_stage *add_stage(vg_plan *plan, const char *name)
{
    vg_plan_stage *s = &plan->stages[plan->count++];
    *s = (vg_plan_stage){0};
    snprintf(s->name, sizeof s->name, "%s", name);
    return s;
}

static vg_status expert_report(const vg_model *model, const vg_generate_params *p, int expert,
                               vg_precision_report *report, vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    vg_module_options options = {
        .compute = vg_compute_dtype(p->compute), .scheme = (int)p->scheme, .fp8_act = p->fp8_act};
    vg_weights *weights;
    char *dir;
    VG_TRY(vg_model_weights_dir(model, wan_expert_names[expert], &dir, err));
    vg_status status = vg_weights_open(dir, &weights, err);
    free(dir);
    VG_TRY(status);
    status = wan_dit_precision(weights, wan_expert_names[expert], &c->dit[expert], &options, report,
                               err);
    vg_weights_close(weights);
    return status;
}

vg_status wan_precision(const vg_model *model, const vg_generate_params *p,
                        vg_precision_report *report, vg_err *err)
{
    vg_precision_report r = {0};
    snprintf(r.act, sizeof r.act, "-");
    for (int e = 0; e < wan_config_of(model)->experts; e++)
        VG_TRY(expert_report(model, p, e, &r, err));
    *report = r;
    return VG_OK;
}

vg_status wan_needs_input_scales(const vg_model *model, bool *needed, vg_err *err)
{
    *needed = false;
    for (int e = 0; e < wan_config_of(model)->experts; e++) {
        vg_precision_census census;
        vg_weights *weights;
        char *dir;
        VG_TRY(vg_model_weights_dir(model, wan_expert_names[e], &dir, err));
        vg_status status = vg_weights_open(dir, &weights, err);
        free(dir);
        VG_TRY(status);
        vg_precision_census_take(weights, &census);
        vg_weights_close(weights);
        *needed = *needed || census.fp8 == 0;
    }
    return VG_OK;
}

vg_status wan_plan(const vg_model *model, const vg_generate_params *p, vg_plan *plan, vg_err *err)
{
    const wan_config *c = wan_config_of(model);
    int64_t latent[4];
    int forwards = p->guidance_scale > 1 ? 2 : 1;
    vg_dtype compute = vg_compute_dtype(p->compute);
    wan_latent_shape(c, p, latent);
    size_t latent_values = (size_t)(latent[0] * latent[1] * latent[2] * latent[3]);
    if (c->has_text) {
        vg_plan_stage *s = add_stage(plan, "text");
        vg_umt5_plan(&c->text, compute, p->max_text_tokens, &s->weights, &s->activations);
    }
    for (int e = 0; e < c->experts; e++) {
        vg_plan_stage *s = add_stage(plan, wan_expert_names[e]);
        vg_precision_report report = {0};
        VG_TRY(expert_report(model, p, e, &report, err));
        s->weights = report.weight_bytes;
        s->activations = wan_dit_activation_bytes(&c->dit[e], compute, p->scheme, latent,
                                                  p->max_text_tokens, forwards);
        s->activations +=
            latent_values *
            (4 * 4 + 4 * vg_dtype_size(compute)); /* latents, scheduler history, model outputs */
        s->activations += (size_t)wan_condition_channels(c) * latent_values / (size_t)latent[0] *
                          (4 + vg_dtype_size(compute));
    }
    if (c->has_vae) {
        vg_plan_stage *s = add_stage(plan, "decode");
        bool tiled = p->vae_tiling && (p->height > WAN_TILE || p->width > WAN_TILE);
        int64_t h = tiled && p->height > WAN_TILE ? WAN_TILE / c->vae.spatial : latent[2];
        int64_t w = tiled && p->width > WAN_TILE ? WAN_TILE / c->vae.spatial : latent[3];
        wan_vae_net_plan(&c->vae, vg_compute_dtype(p->vae_compute), false, 1, h, w, &s->weights,
                         &s->activations);
        s->activations += latent_values * 3 * 4;
    }
    plan->tokens = wan_dit_tokens(&c->dit[0], latent);
    memcpy(plan->latent, latent, sizeof plan->latent);
    plan->text_dim = c->dit[0].text_dim;
    plan->condition_channels = wan_condition_channels(c);
    plan->tflop_per_step =
        forwards * wan_dit_flop(&c->dit[0], plan->tokens, p->max_text_tokens) * 1e-12;
    return VG_OK;
}
