/* precision.c: which layers of a model would run in which precision, from the headers of its weights alone. */
#include "engine/run/model.h"

#include <stdio.h>
#include <stdlib.h>

static vg_status open_expert_weights(const vg_model *model, int expert, vg_weights **weights,
                                     vg_err *err)
{
    char *dir;
    VG_TRY(vg_model_weights_dir(model, model->family->experts[expert], &dir, err));
    vg_status status = vg_weights_open(dir, weights, err);
    free(dir);
    return status;
}

vg_status vg_model_precision(vg_model *model, const vg_generate_params *p,
                             vg_precision_report *report, vg_err *err)
{
    vg_module_options options = {
        .compute = vg_compute_dtype(p->compute), .scheme = (int)p->scheme, .fp8_act = p->fp8_act};
    vg_precision_report r = {0};
    snprintf(r.act, sizeof r.act, "-");
    for (int e = 0; e < model->family->experts_count(model); e++) {
        vg_weights *weights;
        VG_TRY(open_expert_weights(model, e, &weights, err));
        vg_status status = model->family->denoiser->precision(model, e, weights, &options, &r, err);
        vg_weights_close(weights);
        VG_TRY(status);
    }
    *report = r;
    return VG_OK;
}

/* Only weights that become FP8 at load want scales; a checkpoint that is FP8 brings its own. */
vg_status vg_model_needs_input_scales(const vg_model *model, const vg_generate_params *p,
                                      bool *needed, vg_err *err)
{
    bool made = false;
    if (p->scheme != VG_SCHEME_FP8 || p->fp8_act != VG_FP8_ACT_STATIC) {
        *needed = false;
        return VG_OK;
    }
    for (int e = 0; e < model->family->experts_count(model); e++) {
        vg_precision_census census;
        vg_weights *weights;
        VG_TRY(open_expert_weights(model, e, &weights, err));
        vg_precision_census_take(weights, &census);
        vg_weights_close(weights);
        made = made || census.fp8 == 0;
    }
    *needed = made;
    return VG_OK;
}
