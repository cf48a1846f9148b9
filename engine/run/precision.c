/* precision.c: which layers of a model run in which precision: the policy that settings ask for, and what it makes of a checkpoint, told from
 * the headers of its weights alone. */
#include "engine/layers/precision_report.h"
#include "engine/run/model.h"

#include <stdio.h>
#include <stdlib.h>

vg_status vg_params_policy(const vg_generate_params *params, vg_precision_policy *policy,
                           vg_err *err)
{
    *policy = (vg_precision_policy){.scheme = (int)params->scheme, .inputs = params->fp8_act};
    VG_TRY(vg_precision_policy_add(policy, params->precision, err));
    return vg_precision_policy_ignore(policy, params->ignore_layers, err);
}

/* Mark the rules that one expert's layers use; example: the name of a layer that rules may be about. */
static vg_status use_expert(const vg_model *model, const char *expert,
                            const vg_precision_policy *policy, bool *used,
                            char example[VG_WEIGHT_NAME_BYTES], vg_err *err)
{
    vg_weight_table table = {.component = expert};
    vg_weight_place place = {0};
    vg_status status = model->family->weight_table(model, expert, &table, err);
    if (status == VG_OK)
        vg_precision_policy_use(policy, &table, used);
    while (status == VG_OK && !example[0] && vg_weight_table_next(&table, &place))
        if (place.row->flags & VG_WEIGHT_QUANTISABLE)
            snprintf(example, VG_WEIGHT_NAME_BYTES, "%s", place.name);
    vg_weight_table_deinit(&table);
    return status;
}

/* A rule that says nothing about any layer was meant for another one. */
static vg_status check_used(const vg_model *model, const vg_precision_policy *policy, vg_err *err)
{
    const vg_family *f = model->family;
    char example[VG_WEIGHT_NAME_BYTES] = "";
    bool *used = calloc((size_t)policy->count, sizeof *used);
    vg_status status =
        used ? VG_OK : VG_FAIL(err, VG_E_NOMEM, "out of memory for %d rules", policy->count);
    for (int e = 0; e < f->experts_count(model) && status == VG_OK; e++)
        status = use_expert(model, f->experts[e], policy, used, example, err);
    for (int i = 0; i < policy->count && status == VG_OK; i++)
        if (!used[i])
            status =
                VG_FAIL(err, VG_E_ARG,
                        "%s \"%.160s\" is about no layer of this model; they are called like %s",
                        policy->rules[i].below ? "ignore_layers" : "precision",
                        policy->rules[i].text, example);
    free(used);
    return status;
}

vg_status vg_model_check_precision(const vg_model *model, const vg_generate_params *params,
                                   vg_err *err)
{
    vg_precision_policy policy;
    vg_status status = vg_params_policy(params, &policy, err);
    if (status == VG_OK && policy.count > 0)
        status = check_used(model, &policy, err);
    vg_precision_policy_deinit(&policy);
    return status;
}

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

vg_status vg_model_precision(const vg_model *model, const vg_generate_params *p,
                             vg_precision_report *report, vg_err *err)
{
    vg_precision_policy policy;
    vg_precision_report r = {0};
    vg_status status = vg_params_policy(p, &policy, err);
    const vg_module_options options = {.compute = vg_compute_dtype(p->compute), .policy = &policy};
    for (int e = 0; e < model->family->experts_count(model) && status == VG_OK; e++)
        status = add_expert(model, model->family->experts[e], &options, &r, err);
    vg_precision_policy_deinit(&policy);
    if (status == VG_OK)
        *report = r;
    return status;
}

/* Only weights that become FP8 at load want scales; a checkpoint that is FP8 brings its own. */
vg_status vg_model_needs_input_scales(const vg_model *model, const vg_generate_params *p,
                                      bool *needed, vg_err *err)
{
    vg_precision_report report = {0};
    bool rules = (p->precision && p->precision[0]) || (p->ignore_layers && p->ignore_layers[0]);
    if (rules || (p->scheme == VG_SCHEME_FP8 && p->fp8_act == VG_FP8_ACT_STATIC))
        VG_TRY(vg_model_precision(model, p, &report, err));
    *needed = report.made_static > 0;
    return VG_OK;
}
