/* weight_table.c: see weight_table.h. */
#include "engine/layers/weight_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

vg_status vg_weight_table_add(vg_weight_table *table, const vg_weight_list *list, vg_err *err)
{
    vg_weight_list *grown =
        realloc(table->lists, ((size_t)table->count + 1) * sizeof *table->lists);
    if (!grown)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the table of %s", table->component);
    table->lists = grown;
    grown[table->count++] = *list;
    return VG_OK;
}

void vg_weight_table_deinit(vg_weight_table *table)
{
    free(table->lists);
    table->lists = NULL;
    table->count = 0;
}

static void join(const vg_weight_list *list, int64_t item, const char *row, char *name)
{
    const char *number = strstr(list->prefix, "%d");
    if (number)
        snprintf(name, VG_WEIGHT_NAME_BYTES, "%.*s%lld%s%s", (int)(number - list->prefix),
                 list->prefix, (long long)item, number + 2, row);
    else
        snprintf(name, VG_WEIGHT_NAME_BYTES, "%s%s", list->prefix, row);
}

void vg_weight_place_of(const vg_weight_list *list, int64_t item, int row, vg_weight_place *place)
{
    const vg_weight_row *r = &list->rows[row];
    place->list = list;
    place->row = r;
    place->item = item;
    place->row_at = row;
    join(list, item, r->name, place->name);
    for (place->ndim = 0; place->ndim < VG_MAX_DIMS && r->shape[place->ndim]; place->ndim++) {
        int extent = r->shape[place->ndim];
        place->shape[place->ndim] = extent < 0 ? -extent : list->dims[extent];
    }
}

bool vg_weight_table_next(const vg_weight_table *table, vg_weight_place *p)
{
    if (p->begun)
        p->row_at++;
    p->begun = true;
    for (; p->list_at < table->count; p->list_at++, p->item = 0) {
        const vg_weight_list *list = &table->lists[p->list_at];
        if (p->row_at >= list->rows_count) {
            p->row_at = 0;
            p->item++;
        }
        if (p->item < list->count && list->rows_count > 0) {
            vg_weight_place_of(list, p->item, p->row_at, p);
            return true;
        }
    }
    return false;
}

void vg_weight_resolve(vg_weight_place *p, const vg_weights *weights)
{
    vg_weight_place other = *p;
    vg_weight_tensor name, alias;
    if (!p->row->alias || vg_weights_dummy(weights))
        return;
    join(p->list, p->item, p->row->alias, other.name);
    if (vg_weight_tensor_of(p, 0, &name) && !vg_weights_find(weights, name.name) &&
        vg_weight_tensor_of(&other, 0, &alias) && vg_weights_find(weights, alias.name))
        memcpy(p->name, other.name, sizeof p->name);
}

vg_status vg_weight_root(const char *component_dir, const char *const *roots, int count,
                         const char *probe, const char **root, vg_err *err)
{
    char name[VG_WEIGHT_NAME_BYTES];
    vg_weights *weights;
    vg_status status = vg_weights_open(component_dir, &weights, err);
    if (status == VG_E_MISSING)
        return VG_OK;
    VG_TRY(status);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s%s", roots[i], probe);
        if (vg_weights_find(weights, name)) {
            *root = roots[i];
            break;
        }
    }
    vg_weights_close(weights);
    return VG_OK;
}

void *vg_weight_field(const vg_weight_place *p)
{
    return p->list->to ? (char *)p->list->to + (size_t)p->item * p->list->stride + p->row->at
                       : NULL;
}

bool vg_weight_tensor_of(const vg_weight_place *p, int number, vg_weight_tensor *t)
{
    bool layer = p->row->kind <= VG_WEIGHT_POINTWISE;
    bool bias = layer && !(p->row->flags & VG_WEIGHT_NO_BIAS);
    if (number < 0 || number > (bias ? 1 : 0))
        return false;
    t->ndim = number ? 1 : p->ndim;
    memcpy(t->shape, p->shape, sizeof t->shape);
    snprintf(t->name, sizeof t->name, "%.*s%s", VG_WEIGHT_NAME_BYTES - 8, p->name,
             !layer   ? ""
             : number ? ".bias"
                      : ".weight");
    return true;
}
