/* model_check.c: the files of a model against the weight tables of its family, before anything is loaded. */
#include "engine/layers/weight_check.h"
#include "engine/run/model.h"

#include <stdlib.h>

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

vg_status vg_model_check_weights(const vg_model *model, vg_err *err)
{
    for (const char *const *c = model->family->components; *c; c++)
        if (vg_checkpoint_component(model->checkpoint, *c))
            VG_TRY(vg_model_check_component(model, *c, err));
    return VG_OK;
}
