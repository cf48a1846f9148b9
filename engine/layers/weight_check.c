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

void vg_weight_table_faults(const vg_weight_table *table, const vg_weights *weights,
                            void (*fn)(void *user, const vg_weight_place *place, const vg_err *why),
                            void *user)
{
    vg_precision_census census;
    vg_weight_place place = {0};
    if (vg_weights_dummy(weights))
        return;
    vg_precision_census_take(weights, &census);
    while (vg_weight_table_next(table, &place)) {
        vg_err why = {0};
        vg_weight_resolve(&place, weights);
        if (check_place(table, weights, &census, &place, &why) != VG_OK)
            fn(user, &place, &why);
    }
}

typedef struct faults {
    vg_err first;
    int count;
} faults;

static void keep_first(void *user, const vg_weight_place *place, const vg_err *why)
{
    faults *f = user;
    (void)place;
    if (f->count++ == 0)
        f->first = *why;
}

vg_status vg_weight_table_check(const vg_weight_table *table, const vg_weights *weights,
                                vg_err *err)
{
    faults f = {.count = 0};
    vg_weight_table_faults(table, weights, keep_first, &f);
    if (f.count == 0)
        return VG_OK;
    if (f.count > 1)
        return VG_FAIL(err, f.first.code, "%.400s (and %d more of its weights)", f.first.message,
                       f.count - 1);
    return VG_FAIL(err, f.first.code, "%s", f.first.message);
}
