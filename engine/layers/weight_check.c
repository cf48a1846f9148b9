/* weight_check.c: see weight_check.h. */
#include "engine/layers/weight_check.h"

#include "engine/layers/module_impl.h"

#include <stdio.h>

static vg_status check_place(const vg_weight_table *table, const vg_weights *weights,
                             const vg_precision_census *census, const vg_weight_place *p,
                             vg_err *err)
{
    vg_weight_tensor t;
    const vg_tensor *found;
    vg_layer_choice choice;
    bool linear = p->row->kind == VG_WEIGHT_LINEAR;
    if (linear)
        VG_TRY(vg_layer_choose_at(table, p, weights, census, NULL, &choice, err));
    for (int i = linear ? 1 : 0; vg_weight_tensor_of(p, i, &t); i++)
        VG_TRY(vg_module_find(weights, table->component, t.name, t.ndim, t.shape, &found, err));
    return VG_OK;
}

vg_status vg_weight_table_check(const vg_weight_table *table, const vg_weights *weights,
                                vg_err *err)
{
    vg_precision_census census;
    vg_weight_place place = {0};
    vg_err first = {0}, next;
    int wrong = 0;
    if (vg_weights_dummy(weights))
        return VG_OK;
    vg_precision_census_take(weights, &census);
    while (vg_weight_table_next(table, &place)) {
        vg_weight_resolve(&place, weights);
        if (check_place(table, weights, &census, &place, wrong ? &next : &first) != VG_OK)
            wrong++;
    }
    if (wrong == 0)
        return VG_OK;
    if (wrong > 1)
        return VG_FAIL(err, first.code, "%.400s (and %d more of its weights)", first.message,
                       wrong - 1);
    return VG_FAIL(err, first.code, "%s", first.message);
}
