/* precision.c: which layers of a model would run in which precision, from the headers of its weights alone. */
#include "engine/layers/precision_report.h"
#include "engine/run/model.h"

static vg_status add_expert(const vg_model *model, const char *expert,
                            const vg_module_options *options, vg_precision_report *report,
                            vg_err *err)
{
    vg_weight_table table = {.component = expert};
    vg_weights *weights;
    VG_TRY(vg_model_weights(model, expert, &weights, err));
    vg_status status = model->family->weight_table(model, expert, &table, err);
    if (status == VG_OK)
        status = vg_precision_report_add(report, &table, weights, options, err);
    vg_weight_table_deinit(&table);
    vg_weights_close(weights);
    return status;
}

vg_status vg_model_precision(vg_model *model, const vg_generate_params *p,
                             vg_precision_report *report, vg_err *err)
{
    const vg_module_options options = {
        .compute = vg_compute_dtype(p->compute), .scheme = (int)p->scheme, .fp8_act = p->fp8_act};
    vg_precision_report r = {.act = "-"};
    for (int e = 0; e < model->family->experts_count(model); e++)
        VG_TRY(add_expert(model, model->family->experts[e], &options, &r, err));
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
        VG_TRY(vg_model_weights(model, model->family->experts[e], &weights, err));
        vg_precision_census_take(weights, &census);
        vg_weights_close(weights);
        made = made || census.fp8 == 0;
    }
    *needed = made;
    return VG_OK;
}
