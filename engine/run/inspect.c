/* inspect.c: what a listing says of a model's experts: the precision that their files hold. Headers only. */
#include "engine/layers/precision_report.h"
#include "engine/run/model.h"

#include <stdio.h>
#include <string.h>

static bool describe_expert(const vg_model *model, int expert, char *text, size_t size)
{
    vg_weights *weights;
    if (vg_model_weights(model, model->family->experts[expert], &weights, NULL) != VG_OK)
        return false;
    vg_precision_describe(weights, text, size);
    vg_weights_close(weights);
    return true;
}

void vg_model_describe_precision(const vg_model *model, char *text, size_t size)
{
    char of[VG_EXPERTS_MAX][80] = {""};
    const char *const *names = model->family->experts;
    int count = model->family->experts_count(model), known = 0;
    for (int i = 0; i < count; i++)
        known += describe_expert(model, i, of[i], sizeof of[i]);
    if (known < count)
        snprintf(text, size, "%s", "");
    else if (count == 1)
        snprintf(text, size, "%s", of[0]);
    else if (strcmp(of[0], of[1]) == 0)
        snprintf(text, size, "%s in both experts", of[0]);
    else
        snprintf(text, size, "%s %s, %s %s", names[0], of[0], names[1], of[1]);
}
