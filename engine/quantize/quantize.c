/* quantize.c: see quantize.h. */
#include "engine/quantize/quantize.h"

#include "engine/run/model.h"
#include "engine/run/pass.h"

#include <stdlib.h>
#include <string.h>

int vg_quantize_experts(const vg_model *model, const char *names[VG_QUANTIZE_EXPERTS_MAX])
{
    int count = model->family->experts_count(model);
    for (int e = 0; e < count; e++)
        names[e] = model->family->experts[e];
    return count;
}

vg_status vg_quantize_role(const vg_model *model, vg_role *role, vg_err *err)
{
    unsigned roles = 0;
    for (int i = 0; i < model->modes_count; i++)
        roles |= model->modes[i]->needs | model->modes[i]->may;
    if (!(roles & (VG_ROLE_BIT(REFERENCE) | VG_ROLE_BIT(IMAGE))))
        return VG_FAIL(err, VG_E_ARG,
                       "reference_images: this model takes no pictures; its modes: %s",
                       vg_model_modes(model));
    *role = roles & VG_ROLE_BIT(REFERENCE) ? VG_ROLE_REFERENCE : VG_ROLE_IMAGE;
    return VG_OK;
}

/* ---- passes ---- */

static vg_status add_pass(const vg_model *model, const vg_generate_params *params,
                          vg_quantize_pass pass, vg_quantize_pass *passes, int *count, vg_err *err)
{
    vg_generate_params p = *params;
    p.boundary_ratio = pass.boundary_ratio;
    VG_TRY(vg_pass_steps(model, &p, pass.expert, &pass.steps, err));
    if (pass.measure && pass.steps == 0)
        return VG_FAIL(err, VG_E_ARG,
                       "calib_steps: of %d steps none is %s's with a boundary of %g; take more "
                       "steps, or another boundary",
                       p.steps, model->family->experts[pass.expert], pass.boundary_ratio);
    passes[(*count)++] = pass;
    return VG_OK;
}

vg_status vg_quantize_passes(const vg_model *model, const vg_generate_params *p,
                             double first_boundary, vg_quantize_pass passes[VG_QUANTIZE_PASSES_MAX],
                             int *count, vg_err *err)
{
    double boundary = p->boundary_ratio,
           first = first_boundary == VG_UNSET_DOUBLE ? boundary : first_boundary;
    *count = 0;
    if (model->family->experts_count(model) == 1)
        return add_pass(model, p, (vg_quantize_pass){0, true, boundary, 0}, passes, count, err);
    VG_TRY(add_pass(model, p, (vg_quantize_pass){0, true, first, 0}, passes, count, err));
    VG_TRY(add_pass(model, p, (vg_quantize_pass){0, false, boundary, 0}, passes, count, err));
    return add_pass(model, p, (vg_quantize_pass){1, true, boundary, 0}, passes, count, err);
}

/* ---- rules ---- */

static vg_status add_rule(char **rules, const char *more, vg_err *err)
{
    char *joined =
        more && *more ? vg_strf("%s%s%s", *rules, **rules ? "," : "", more) : vg_strf("%s", *rules);
    if (!joined)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the rules of a precision");
    free(*rules);
    *rules = joined;
    return VG_OK;
}

static bool may_quantise(const vg_weight_list *list)
{
    for (int i = 0; i < list->rows_count; i++)
        if (list->rows[i].flags & VG_WEIGHT_QUANTISABLE)
            return true;
    return false;
}

/* "blocks.0-1.*=bf16,blocks.38-39.*=bf16" for each kind of block. */
static vg_status add_edges(const vg_weight_table *table, int edge, char **rules, vg_err *err)
{
    for (int i = 0; i < table->count; i++) {
        const vg_weight_list *list = &table->lists[i];
        const char *number = strstr(list->prefix, "%d");
        int before = number ? (int)(number - list->prefix) : 0, count = (int)list->count;
        if (!number || count < 2 || !may_quantise(list))
            continue;
        if (2 * edge >= count)
            return VG_FAIL(err, VG_E_ARG,
                           "edge_blocks: %d at either end leave none of the %d blocks to quantise",
                           edge, count);
        char *text = vg_strf("%.*s0-%d.*=bf16,%.*s%d-%d.*=bf16", before, list->prefix, edge - 1,
                             before, list->prefix, count - edge, count - 1);
        vg_status status =
            text ? add_rule(rules, text, err) : VG_FAIL(err, VG_E_NOMEM, "out of memory for rules");
        free(text);
        VG_TRY(status);
    }
    return VG_OK;
}

static vg_status make_rules(const vg_model *model, bool all, int edge, const char *more,
                            char **rules, vg_err *err)
{
    const vg_export_recipe *recipe = model->family->recipe;
    vg_weight_table table = {.component = model->family->experts[0]};
    vg_status status = VG_OK;
    if (recipe && recipe->kept && !all)
        VG_TRY(add_rule(rules, recipe->kept(model), err));
    if (edge > 0) {
        status = model->family->weight_table(model, table.component, &table, err);
        if (status == VG_OK)
            status = add_edges(&table, edge, rules, err);
        vg_weight_table_deinit(&table);
    }
    return status == VG_OK ? add_rule(rules, more, err) : status;
}

vg_status vg_quantize_rules(const vg_model *model, bool all, int edge, const char *more,
                            char **rules, vg_err *err)
{
    char *made = strdup("");
    if (!made)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the rules of a precision");
    vg_status status = make_rules(model, all, edge, more, &made, err);
    if (status != VG_OK) {
        free(made);
        return status;
    }
    *rules = made;
    return VG_OK;
}

/* ---- folders ---- */

typedef struct folder {
    vg_weights *weights;
    vg_weight_table table;
    vg_precision_policy policy;
} folder;

static void folder_close(folder *f)
{
    vg_weight_table_deinit(&f->table);
    vg_precision_policy_deinit(&f->policy);
    vg_weights_close(f->weights);
}

static vg_status folder_open(const vg_model *model, const vg_generate_params *params,
                             const char *expert, folder *f, vg_err *err)
{
    *f = (folder){.table = {.component = expert}};
    vg_status status = vg_params_policy(params, &f->policy, err);
    if (status == VG_OK)
        status = vg_model_weights(model, expert, &f->weights, err);
    if (status == VG_OK)
        status = model->family->weight_table(model, expert, &f->table, err);
    if (status != VG_OK)
        folder_close(f);
    return status;
}

static bool all_bf16(const vg_model *model)
{
    return model->family->recipe && model->family->recipe->all_bf16;
}

vg_status vg_quantize_count(const vg_model *model, const vg_generate_params *params,
                            const char *expert, vg_export_counts *counts, vg_err *err)
{
    folder f;
    VG_TRY(folder_open(model, params, expert, &f, err));
    const vg_export_options options = {.policy = &f.policy, .all_bf16 = all_bf16(model)};
    vg_status status = vg_export_plan(&f.table, f.weights, &options, counts, err);
    folder_close(&f);
    return status;
}

static vg_status export_folder(const vg_model *model, const char *expert, const folder *f,
                               const char *dir, const vg_export_options *options,
                               vg_export_counts *counts, vg_err *err)
{
    const vg_export_recipe *recipe = model->family->recipe;
    char *from;
    VG_TRY(vg_export_weights(&f->table, f->weights, dir, options, counts, err));
    VG_TRY(vg_model_component_dir(model, expert, &from, err));
    vg_status status = vg_export_config(from, dir, &f->table, f->weights, &f->policy,
                                        recipe ? recipe->ignore : NULL, err);
    free(from);
    return status;
}

vg_status vg_quantize_export(const vg_model *model, const vg_generate_params *params,
                             const char *expert, const char *dir, vg_export_options options,
                             vg_export_counts *counts, vg_err *err)
{
    folder f;
    VG_TRY(folder_open(model, params, expert, &f, err));
    options.policy = &f.policy;
    options.all_bf16 = all_bf16(model);
    vg_status status = export_folder(model, expert, &f, dir, &options, counts, err);
    folder_close(&f);
    return status;
}
