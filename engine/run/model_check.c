/* model_check.c: the files of a model against its configs and the weight tables of its family, before anything is loaded. */
#include "engine/layers/weight_check.h"
#include "engine/run/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

vg_status vg_model_weights(const vg_model *model, const char *component, vg_weights **weights,
                           vg_err *err)
{
    char *dir;
    VG_TRY(vg_model_weights_dir(model, component, &dir, err));
    vg_status status = vg_weights_open(dir, weights, err);
    free(dir);
    return status;
}

vg_status vg_model_check_component(const vg_model *model, const char *component, vg_err *err)
{
    vg_weight_table table = {.component = component};
    vg_weights *weights = NULL;
    vg_status status;
    VG_TRY_GOTO(status, vg_model_weights(model, component, &weights, err), done);
    VG_TRY_GOTO(status, model->family->weight_table(model, component, &table, err), done);
    status = vg_weight_table_check(&table, weights, err);
done:
    vg_weight_table_deinit(&table);
    vg_weights_close(weights);
    return status;
}

/* What is wrong so far: the code of the first, and a clause for each as far as they fit. */
typedef struct findings {
    vg_status code;
    char text[2 * VG_ERR_MESSAGE_MAX + 2];
} findings;

static void find(findings *f, vg_status status, const vg_err *why)
{
    size_t at = strlen(f->text);
    if (status == VG_OK)
        return;
    f->code = f->code == VG_OK ? status : f->code;
    if (at < VG_ERR_MESSAGE_MAX)
        snprintf(f->text + at, sizeof f->text - at, "%s%s", at ? "; " : "", why->message);
}

vg_status vg_model_check(const vg_model *model, vg_err *err)
{
    const vg_family *family = model->family;
    findings found = {VG_OK, ""};
    vg_err why = {0};
    for (int i = 0; i < family->components_count; i++) {
        const vg_component *c = &family->components[i];
        bool there = vg_checkpoint_component(model->checkpoint, c->folder);
        if (c->needed && (!there || !family->has(model, c->folder)))
            find(&found, vg_model_missing(model, c->folder, &why), &why);
        else if (c->weights && there)
            find(&found, vg_model_check_component(model, c->folder, &why), &why);
    }
    if (family->check && !model->dummy)
        find(&found, family->check(model, &why), &why);
    return found.code == VG_OK ? VG_OK : VG_FAIL(err, found.code, "%s", found.text);
}
