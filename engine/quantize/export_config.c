/* export_config.c: the label of an exported folder. See export.h. Source: modelopt-fp8 1.2. */
#include "engine/quantize/export.h"
#include "kernels/base/json.h"
#include "kernels/base/text.h"

#include <stdlib.h>
#include <string.h>

#define KEY "quantization_config"

static cJSON *format_json(bool block)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddBoolToObject(o, "dynamic", false);
    cJSON_AddNumberToObject(o, "num_bits", 8);
    cJSON_AddStringToObject(o, "type", "float");
    if (block) {
        cJSON_AddStringToObject(o, "strategy", "block");
        cJSON_AddStringToObject(o, "block_structure", "128x128");
    }
    return o;
}

/* Without a list of patterns (families whose exports nobody has published), what may not be FP8 is named. The same for layers that stay in high
 * precision only because the policy says so, by their whole names: readers match patterns in many ways, and none of
 * them takes a whole name for more than it is. *block: the kind of FP8 of the others. */
static vg_status add_kept(cJSON *ignore, bool all, const vg_weight_table *table,
                          const vg_weights *weights, const vg_precision_policy *policy, bool *block,
                          vg_err *err)
{
    vg_precision_census census;
    vg_weight_place place = {0};
    vg_precision_census_take(weights, &census);
    while (vg_weight_table_next(table, &place)) {
        vg_layer_choice choice;
        if (place.row->kind != VG_WEIGHT_LINEAR ||
            !(all || place.row->flags & VG_WEIGHT_QUANTISABLE))
            continue;
        vg_weight_resolve(&place, weights);
        VG_TRY(vg_layer_choose_at(table, &place, weights, &census, policy, &choice, err));
        if (!choice.made)
            cJSON_AddItemToArray(ignore, cJSON_CreateString(place.name));
        *block = *block || (choice.made && choice.used == VG_PRECISION_BLOCK);
    }
    return VG_OK;
}

/* As the scripts write it; whoever made an older block is kept. */
static cJSON *label_json(cJSON *ignore, bool block, const cJSON *older)
{
    const cJSON *made_by = cJSON_GetObjectItemCaseSensitive(older, "producer");
    cJSON *q = cJSON_CreateObject(), *groups = cJSON_AddObjectToObject(q, "config_groups"),
          *group = cJSON_AddObjectToObject(groups, "group_0");
    cJSON_AddItemToObject(group, "input_activations", format_json(false));
    cJSON_AddItemToObject(group, "weights", format_json(block));
    cJSON *targets = cJSON_AddArrayToObject(group, "targets");
    cJSON_AddItemToArray(targets, cJSON_CreateString("Linear"));
    cJSON_AddItemToObject(q, "ignore", ignore);
    if (cJSON_IsObject(made_by))
        cJSON_AddItemToObject(q, "producer", cJSON_Duplicate(made_by, true));
    else
        cJSON_AddStringToObject(cJSON_AddObjectToObject(q, "producer"), "name", "modelopt");
    cJSON_AddStringToObject(q, "quant_algo", block ? "FP8_PB_WO" : "FP8");
    cJSON_AddStringToObject(q, "quant_method", "modelopt");
    return q;
}

static vg_status write_label(cJSON *root, const char *to, const vg_weight_table *table,
                             const vg_weights *weights, const vg_precision_policy *policy,
                             const char *const *patterns, vg_err *err)
{
    cJSON *ignore = cJSON_CreateArray();
    bool block = false;
    for (int i = 0; patterns && patterns[i]; i++)
        cJSON_AddItemToArray(ignore, cJSON_CreateString(patterns[i]));
    vg_status status = add_kept(ignore, !patterns, table, weights, policy, &block, err);
    if (status != VG_OK) {
        cJSON_Delete(ignore);
        return status;
    }
    cJSON *label = label_json(ignore, block, cJSON_GetObjectItemCaseSensitive(root, KEY));
    cJSON_DeleteItemFromObjectCaseSensitive(root, KEY);
    if (!cJSON_AddItemToObject(root, KEY, label)) {
        cJSON_Delete(label);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %s", to);
    }
    return vg_json_save(to, root, err);
}

vg_status vg_export_config(const char *from, const char *to, const vg_weight_table *table,
                           const vg_weights *weights, const vg_precision_policy *policy,
                           const char *const *ignore, vg_err *err)
{
    char *source = vg_path_join(from, "config.json"), *target = vg_path_join(to, "config.json");
    cJSON *root = NULL;
    vg_status status = source && target ? vg_json_load(source, &root, err)
                                        : VG_FAIL(err, VG_E_NOMEM, "out of memory for a path");
    if (status == VG_OK)
        status = write_label(root, target, table, weights, policy, ignore, err);
    cJSON_Delete(root);
    free(source);
    free(target);
    return status;
}
