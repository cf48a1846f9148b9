/* module_table.c: loading the rows of a weight table. See module.h. */
#include "engine/layers/module_impl.h"

#include <stdlib.h>

/* LAYER.weight as it is and LAYER.bias, the weight seen as a matrix. */
static vg_status load_patch(vg_module *m, const vg_weight_place *p, vg_dtype dtype,
                            vg_linear_layer *l, vg_err *err)
{
    vg_weight_tensor t;
    int64_t n = p->shape[0], k = 1;
    for (int i = 1; i < p->ndim; i++)
        k *= p->shape[i];
    *l = (vg_linear_layer){.n = n, .k = k, .act = VG_QUANT_NONE};
    VG_TRY(vg_module_keep_name(m, p->name, &l->name, err));
    vg_weight_tensor_of(p, 0, &t);
    VG_TRY(vg_module_tensor(m, t.name, dtype, t.ndim, t.shape, &l->w, err));
    l->w = vg_tensor_reshape(&l->w, 2, n, k);
    return vg_weight_tensor_of(p, 1, &t) ? vg_module_tensor(m, t.name, dtype, 1, &n, &l->bias, err)
                                         : VG_OK;
}

static vg_status load_conv(vg_module *m, const vg_weight_place *p, vg_dtype dtype, vg_conv_layer *c,
                           vg_err *err)
{
    vg_weight_tensor t;
    vg_weight_tensor_of(p, 0, &t);
    VG_TRY(vg_module_conv(m, t.name, dtype, t.ndim, t.shape, &c->w, err));
    if (p->row->kind == VG_WEIGHT_POINTWISE)
        c->w = vg_tensor_reshape(&c->w, 2, p->shape[0], p->shape[1]);
    return vg_weight_tensor_of(p, 1, &t)
               ? vg_module_tensor(m, t.name, dtype, 1, t.shape, &c->bias, err)
               : VG_OK;
}

static vg_status load_tensor(vg_module *m, const vg_weight_place *p, vg_dtype dtype, vg_tensor *t,
                             vg_err *err)
{
    int64_t shape[VG_MAX_DIMS];
    int ndim = 0;
    VG_TRY(vg_module_tensor(m, p->name, dtype, p->ndim, p->shape, t, err));
    for (int i = 0; i < p->ndim; i++)
        if (p->row->shape[i] != VG_FIXED(1))
            shape[ndim++] = p->shape[i];
    *t = vg_tensor_reshaped(t, ndim, shape);
    return VG_OK;
}

/* Only that it is there, with the right shape: no row is read. */
static vg_status find_rows(vg_module *m, const vg_weight_place *p, const char **name, vg_err *err)
{
    VG_TRY(vg_module_rows(m, p->name, p->shape[0], p->shape[1], NULL, 0, m->options.compute, NULL,
                          err));
    return vg_module_keep_name(m, p->name, name, err);
}

static vg_status load_row(vg_module *m, const vg_weight_place *p, vg_err *err)
{
    unsigned flags = p->row->flags;
    vg_dtype dtype = vg_weight_dtype(p->row, m->options.compute);
    void *field = vg_weight_field(p);
    switch (p->row->kind) {
    case VG_WEIGHT_LINEAR:
        return vg_module_linear(m, p->name, p->shape[0], p->shape[1], !(flags & VG_WEIGHT_NO_BIAS),
                                flags & VG_WEIGHT_QUANTISABLE, dtype, field, err);
    case VG_WEIGHT_PATCH:
        return load_patch(m, p, dtype, field, err);
    case VG_WEIGHT_CONV:
    case VG_WEIGHT_POINTWISE:
        return load_conv(m, p, dtype, field, err);
    case VG_WEIGHT_TENSOR:
        return load_tensor(m, p, dtype, field, err);
    case VG_WEIGHT_HOST:
        return vg_module_host_f32(m, p->name, p->ndim, p->shape, field, err);
    case VG_WEIGHT_ROWS:
        return find_rows(m, p, field, err);
    }
    return VG_FAIL(err, VG_E_ARG, "%s: %s is of no kind of weight", m->component, p->name);
}

vg_status vg_module_load(vg_module *m, const vg_weight_list *list, int64_t item, vg_err *err)
{
    for (int row = 0; row < list->rows_count; row++) {
        vg_weight_place p;
        vg_weight_place_of(list, item, row, &p);
        vg_weight_resolve(&p, m->weights);
        VG_TRY(load_row(m, &p, err));
    }
    return VG_OK;
}
