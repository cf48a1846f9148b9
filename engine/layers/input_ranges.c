/* input_ranges.c: see input_ranges.h. */
#include "engine/layers/input_ranges.h"

#include <stdlib.h>

struct vg_input_ranges {
    const vg_weight_table *table;
    vg_backend *be;
    vg_arena *memory;
    vg_tensor amax; /* [quantisable layers] F32 */
};

static bool next_layer(const vg_weight_table *table, vg_weight_place *place)
{
    while (vg_weight_table_next(table, place))
        if (place->row->flags & VG_WEIGHT_QUANTISABLE)
            return true;
    return false;
}

vg_status vg_input_ranges_begin(vg_backend *be, const vg_weight_table *table,
                                vg_input_ranges **ranges, vg_err *err)
{
    vg_input_ranges *r = *ranges;
    vg_weight_place place = {0};
    int64_t count = 0;
    if (!r) {
        r = calloc(1, sizeof *r);
        if (!r)
            return VG_FAIL(err, VG_E_NOMEM, "out of memory for input ranges");
        *ranges = r;
        r->table = table;
        r->be = be;
        VG_TRY(vg_arena_new(be, 0, &r->memory, err));
    }
    while (next_layer(table, &place))
        count++;
    vg_arena_reset(r->memory, 0);
    VG_TRY(vg_arena_tensor(r->memory, VG_F32, 1, &count, &r->amax, err));
    VG_TRY(vg_backend_zero(be, &r->amax, err));
    place = (vg_weight_place){0};
    for (int64_t i = 0; next_layer(table, &place); i++)
        ((vg_linear_layer *)vg_weight_field(&place))->amax = vg_tensor_rows(&r->amax, i, 1);
    return VG_OK;
}

vg_status vg_input_ranges_each(const vg_input_ranges *r,
                               void (*fn)(void *user, const char *layer, float amax), void *user,
                               vg_err *err)
{
    vg_weight_place place = {0};
    if (!r || !r->amax.data)
        return VG_OK;
    float *amax = malloc(vg_tensor_bytes(&r->amax));
    if (!amax)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld input ranges",
                       (long long)r->amax.shape[0]);
    vg_status status = vg_backend_download(r->be, amax, &r->amax, err);
    for (int64_t i = 0; status == VG_OK && next_layer(r->table, &place); i++)
        fn(user, place.name, amax[i]);
    free(amax);
    return status;
}

void vg_input_ranges_free(vg_input_ranges *r)
{
    if (!r)
        return;
    vg_arena_free(r->memory);
    free(r);
}
