/* conditions.c: see conditions.h. */
#include "engine/run/conditions.h"

#include "engine/checkpoint/host_values.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/sampling/rng.h"
#include "kernels/base/numeric.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void vg_conditions_deinit(vg_conditions *c)
{
    for (int i = 0; i < c->count; i++)
        free(c->list[i].values);
    memset(c, 0, sizeof *c);
}

const vg_condition *vg_conditions_find(const vg_conditions *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->list[i].name, name) == 0)
            return &c->list[i];
    return NULL;
}

int64_t vg_condition_numel(const vg_condition *c)
{
    int64_t count = 1;
    for (int i = 0; i < c->ndim; i++)
        count *= c->shape[i];
    return count;
}

vg_status vg_conditions_add(vg_conditions *c, const char *name, int ndim, const int64_t *shape,
                            float **values, vg_err *err)
{
    vg_condition *added = &c->list[c->count];
    size_t bytes;
    if (c->count == VG_CONDITIONS_MAX || strlen(name) >= sizeof added->name ||
        vg_conditions_find(c, name))
        return VG_FAIL(err, VG_E_ARG, "the condition %.64s cannot be kept: %s", name,
                       c->count == VG_CONDITIONS_MAX ? "there are too many"
                       : vg_conditions_find(c, name) ? "it is there already"
                                                     : "its name is too long");
    VG_TRY(vg_shape_bytes(shape, ndim, VG_F32, &bytes, err));
    float *v = calloc(bytes ? bytes : 1, 1);
    if (!v)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu bytes of %s", bytes, name);
    *added = (vg_condition){.ndim = ndim, .values = v};
    snprintf(added->name, sizeof added->name, "%s", name);
    memcpy(added->shape, shape, (size_t)ndim * sizeof *shape);
    c->count++;
    *values = v;
    return VG_OK;
}

/* ---- files ---- */

/* The values as BF16, malloc'd; NULL when that would lose something, or without memory. */
static uint16_t *exact_bf16(const vg_condition *c)
{
    int64_t count = vg_condition_numel(c);
    for (int64_t i = 0; i < count; i++)
        if (vg_round_bf16(c->values[i]) != c->values[i])
            return NULL;
    uint16_t *codes = malloc((size_t)count * sizeof *codes + 1);
    for (int64_t i = 0; codes && i < count; i++)
        codes[i] = vg_f32_to_bf16(c->values[i]);
    return codes;
}

vg_status vg_conditions_write(const char *path, const vg_conditions *c, const char *const *metadata,
                              vg_err *err)
{
    vg_safetensors_entry entries[VG_CONDITIONS_MAX];
    uint16_t *codes[VG_CONDITIONS_MAX];
    for (int i = 0; i < c->count; i++) {
        const vg_condition *one = &c->list[i];
        codes[i] = exact_bf16(one);
        entries[i] = (vg_safetensors_entry){
            one->name, codes[i] ? vg_tensor_of(codes[i], VG_BF16, one->ndim, one->shape)
                                : vg_tensor_of(one->values, VG_F32, one->ndim, one->shape)};
    }
    vg_status status = vg_safetensors_write(path, entries, c->count, metadata, err);
    for (int i = 0; i < c->count; i++)
        free(codes[i]);
    return status;
}

static vg_status read_all(const vg_safetensors *st, vg_conditions *c, vg_err *err)
{
    char text[96];
    for (int i = 0; i < vg_safetensors_count(st); i++) {
        const vg_tensor *t = vg_safetensors_tensor(st, i);
        const char *name = vg_safetensors_name(st, i);
        float *values;
        if (t->dtype != VG_F32 && t->dtype != VG_BF16)
            return VG_FAIL(err, VG_E_FORMAT, "%s: %s is %s; F32 or BF16 is wanted",
                           vg_safetensors_path(st), name, vg_tensor_describe(t, text, sizeof text));
        VG_TRY(vg_conditions_add(c, name, t->ndim, t->shape, &values, err));
        VG_TRY(vg_host_to_f32(t, 0, vg_tensor_numel(t), values, err));
    }
    return VG_OK;
}

vg_status vg_conditions_read(const char *path, vg_conditions *out, vg_err *err)
{
    vg_safetensors *st;
    vg_conditions c = {0};
    VG_TRY(vg_safetensors_open(path, &st, err));
    vg_status status = read_all(st, &c, err);
    vg_safetensors_close(st);
    if (status == VG_OK)
        *out = c;
    else
        vg_conditions_deinit(&c);
    return status == VG_E_ARG ? VG_E_FORMAT : status;
}

/* ---- what a run wants ---- */

static bool fits(const vg_condition *c, const vg_condition_spec *spec)
{
    bool ok = c->ndim == spec->ndim;
    for (int i = 0; ok && i < spec->ndim; i++)
        ok = i == 0 && spec->at_most ? c->shape[i] > 0 && c->shape[i] <= spec->shape[i]
                                     : c->shape[i] == spec->shape[i];
    return ok;
}

static vg_status check_finite(const vg_condition *c, vg_err *err)
{
    int64_t count = vg_condition_numel(c);
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(c->values[i]))
            return VG_FAIL(err, VG_E_FORMAT,
                           "%s is not finite: value number %lld of %lld is NaN or infinite",
                           c->name, (long long)i, (long long)count);
    return VG_OK;
}

vg_status vg_conditions_check_finite(const vg_conditions *c, vg_err *err)
{
    for (int i = 0; i < c->count; i++)
        VG_TRY(check_finite(&c->list[i], err));
    return VG_OK;
}

vg_status vg_conditions_check(const vg_conditions *c, const vg_condition_spec *specs, int count,
                              vg_err *err)
{
    for (int i = 0; i < count; i++) {
        const vg_condition *one = vg_conditions_find(c, specs[i].name);
        vg_tensor wanted = vg_tensor_of(NULL, VG_F32, specs[i].ndim, specs[i].shape);
        char text[2][96];
        if (!one)
            return VG_FAIL(err, VG_E_MISSING, "denoising needs %s, which was not encoded",
                           specs[i].name);
        vg_tensor given = vg_tensor_of(NULL, VG_F32, one->ndim, one->shape);
        if (!fits(one, &specs[i]))
            return VG_FAIL(err, VG_E_SHAPE, "%s is %s; with these settings the model wants %s%s",
                           specs[i].name, vg_tensor_describe(&given, text[0], sizeof text[0]),
                           vg_tensor_describe(&wanted, text[1], sizeof text[1]),
                           specs[i].at_most ? " at most" : "");
        VG_TRY(check_finite(one, err));
    }
    return VG_OK;
}

vg_status vg_conditions_fill(const vg_condition_spec *specs, int count, vg_conditions *out,
                             vg_err *err)
{
    vg_conditions c = {0};
    vg_status status;
    for (int i = 0; i < count; i++) {
        float *values;
        VG_TRY_GOTO(
            status,
            vg_conditions_add(&c, specs[i].name, specs[i].ndim, specs[i].shape, &values, err),
            fail);
        int64_t n = vg_condition_numel(&c.list[i]);
        vg_rng_torch_normal((uint64_t)i + 1, values, (size_t)n);
        for (int64_t k = 0; k < n; k++)
            values[k] *= 0.1f;
    }
    *out = c;
    return VG_OK;
fail:
    vg_conditions_deinit(&c);
    return status;
}
