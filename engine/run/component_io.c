/* component_io.c: see component_io.h. */
#include "engine/run/component_io.h"

#include "engine/checkpoint/host_values.h"

#include <stdlib.h>
#include <string.h>

/* ---- inputs ---- */

static vg_status input(const vg_safetensors *in, const char *part, const char *name, int ndim,
                       const char **dtype, vg_tensor *t, vg_err *err)
{
    if (!vg_safetensors_raw(in, name, dtype, t)) {
        const char *why = vg_safetensors_unsupported(in, name);
        if (why)
            return VG_FAIL(err, VG_E_SHAPE, "%s: %s cannot be read: it has %s", part, name,
                           strncmp(why, "dtype", 5) ? why : "too many dimensions");
        return VG_FAIL(err, VG_E_MISSING, "%s: the input tensor %s is missing", part, name);
    }
    if (t->ndim != ndim)
        return VG_FAIL(err, VG_E_SHAPE, "%s: %s has %d dimensions; %d are wanted", part, name,
                       t->ndim, ndim);
    for (int i = 0; i < ndim; i++)
        if (t->shape[i] < 1)
            return VG_FAIL(err, VG_E_SHAPE, "%s: %s is empty: shape[%d] is %lld", part, name, i,
                           (long long)t->shape[i]);
    return VG_OK;
}

/* Element i of data of a dtype given by its name in the format; data may lie at any byte. False: a dtype that is not read here. */
static bool number_at(const char *dtype, const void *data, int64_t i, double *value)
{
#define VG_NUMBER(name, type)                                                                      \
    if (strcmp(dtype, name) == 0) {                                                                \
        type number;                                                                               \
        memcpy(&number, (const char *)data + (size_t)i * sizeof number, sizeof number);            \
        *value = (double)number;                                                                   \
        return true;                                                                               \
    }
    VG_NUMBER("I64", int64_t)
    VG_NUMBER("I32", int32_t)
    VG_NUMBER("I16", int16_t)
    VG_NUMBER("I8", int8_t)
    VG_NUMBER("U8", uint8_t)
    VG_NUMBER("BOOL", uint8_t)
    VG_NUMBER("F64", double)
    VG_NUMBER("F32", float)
#undef VG_NUMBER
    vg_tensor t = {.data = (void *)(uintptr_t)data, .ndim = 1, .shape = {i + 1}};
    float small;
    t.dtype = strcmp(dtype, "BF16") == 0 ? VG_BF16 : VG_F16;
    if ((t.dtype == VG_F16 && strcmp(dtype, "F16") != 0) ||
        vg_host_to_f32(&t, i, 1, &small, NULL) != VG_OK)
        return false;
    *value = (double)small;
    return true;
}

static bool is_float(const char *dtype)
{
    return strcmp(dtype, "F32") == 0 || strcmp(dtype, "F64") == 0 || strcmp(dtype, "BF16") == 0 ||
           strcmp(dtype, "F16") == 0;
}

vg_status vg_input_f32(const vg_safetensors *in, const char *part, const char *name, int ndim,
                       int64_t *shape, float **values, vg_err *err)
{
    const char *dtype;
    vg_tensor t;
    VG_TRY(input(in, part, name, ndim, &dtype, &t, err));
    if (!is_float(dtype))
        return VG_FAIL(err, VG_E_DTYPE, "%s: %s is %s; F32, F64, BF16 or F16 is wanted", part, name,
                       dtype);
    memcpy(shape, t.shape, (size_t)ndim * sizeof *shape);
    int64_t count = vg_tensor_numel(&t);
    float *v = malloc((size_t)count * sizeof *v);
    if (!v)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %s", name);
    vg_status status = VG_OK;
    if (strcmp(dtype, "F64") != 0)
        status = vg_host_to_f32(&t, 0, count, v, err);
    else
        for (int64_t i = 0; i < count; i++) {
            double number;
            number_at(dtype, t.data, i, &number);
            v[i] = (float)number;
        }
    if (status != VG_OK) {
        free(v);
        return status;
    }
    *values = v;
    return VG_OK;
}

/* Numbers of any integer or float dtype, as double. */
vg_status vg_input_numbers(const vg_safetensors *in, const char *part, const char *name, int ndim,
                           int64_t *shape, double **values, vg_err *err)
{
    const char *dtype;
    vg_tensor t;
    double first;
    VG_TRY(input(in, part, name, ndim, &dtype, &t, err));
    int64_t count = vg_tensor_numel(&t);
    if (!number_at(dtype, t.data, 0, &first))
        return VG_FAIL(err, VG_E_DTYPE,
                       "%s: %s is %s; I64, I32, I16, I8, U8, BOOL, F64, F32, BF16 or F16 is wanted",
                       part, name, dtype);
    memcpy(shape, t.shape, (size_t)ndim * sizeof *shape);
    double *v = malloc((size_t)count * sizeof *v);
    if (!v)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %s", name);
    for (int64_t i = 0; i < count; i++)
        number_at(dtype, t.data, i, &v[i]);
    *values = v;
    return VG_OK;
}

/* A timestep per row; a scalar or a single one serves the whole batch. */
vg_status vg_input_timestep(const vg_safetensors *in, const char *part, int64_t batch,
                            int64_t shape[1], double **values, vg_err *err)
{
    const char *dtype;
    vg_tensor t;
    int ndim = vg_safetensors_raw(in, "timestep", &dtype, &t) && t.ndim == 0 ? 0 : 1;
    double *given, *v;
    shape[0] = 1;
    VG_TRY(vg_input_numbers(in, part, "timestep", ndim, shape, &given, err));
    if (shape[0] != 1 || batch == 1) {
        *values = given;
        return VG_OK;
    }
    v = malloc((size_t)batch * sizeof *v);
    for (int64_t i = 0; v && i < batch; i++)
        v[i] = given[0];
    free(given);
    if (!v)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld timesteps", (long long)batch);
    shape[0] = batch;
    *values = v;
    return VG_OK;
}

vg_status vg_output_f32(const char *name, int ndim, const int64_t *shape,
                        vg_safetensors_entry **out, int *out_count, float **values, vg_err *err)
{
    size_t bytes;
    VG_TRY(vg_shape_bytes(shape, ndim, VG_F32, &bytes, err));
    vg_safetensors_entry *e = calloc(1, sizeof *e);
    float *v = malloc(bytes ? bytes : 1);
    if (!e || !v) {
        free(e);
        free(v);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for an output of %zu bytes", bytes);
    }
    e->name = name;
    e->tensor = vg_tensor_of(v, VG_F32, ndim, shape);
    *out = e;
    *out_count = 1;
    *values = v;
    return VG_OK;
}

/* Give up an output after a failure. */
vg_status vg_output_finish(vg_status status, vg_safetensors_entry **out, int *out_count)
{
    if (status != VG_OK && *out) {
        vg_entries_free(*out, *out_count);
        *out = NULL;
        *out_count = 0;
    }
    return status;
}
