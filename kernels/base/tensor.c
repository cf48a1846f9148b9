/* tensor.c: shape arithmetic. Only vg_shape_bytes meets untrusted sizes; the rest works on shapes it has passed. */
#include "kernels/base/tensor.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct {
    size_t bytes;
    const char *name;
} DTYPES[VG_DTYPE_COUNT] = {
#define DTYPE_ROW(name, bytes, text) {bytes, text},
    VG_DTYPES(DTYPE_ROW)
#undef DTYPE_ROW
};

size_t vg_dtype_size(vg_dtype dtype)
{
    return (unsigned)dtype < VG_DTYPE_COUNT ? DTYPES[dtype].bytes : 0;
}

const char *vg_dtype_name(vg_dtype dtype)
{
    return (unsigned)dtype < VG_DTYPE_COUNT ? DTYPES[dtype].name : "?";
}

int64_t vg_tensor_numel(const vg_tensor *t)
{
    int64_t n = 1;

    for (int i = 0; i < t->ndim; i++)
        n *= t->shape[i];
    return n;
}

size_t vg_tensor_bytes(const vg_tensor *t)
{
    return (size_t)vg_tensor_numel(t) * vg_dtype_size(t->dtype);
}

vg_status vg_shape_bytes(const int64_t *shape, int ndim, vg_dtype dtype, size_t *bytes, vg_err *err)
{
    int64_t n = (int64_t)vg_dtype_size(dtype);

    if (n == 0)
        return VG_FAIL(err, VG_E_SHAPE, "tensor has an unknown dtype (%d)", (int)dtype);
    if (ndim < 0 || ndim > VG_MAX_DIMS)
        return VG_FAIL(err, VG_E_SHAPE, "tensor has %d dimensions, at most %d are possible", ndim,
                       VG_MAX_DIMS);
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0)
            return VG_FAIL(err, VG_E_SHAPE, "dimension %d of a tensor is negative (%lld)", i,
                           (long long)shape[i]);
        if (__builtin_mul_overflow(n, shape[i], &n))
            return VG_FAIL(err, VG_E_SHAPE,
                           "tensor is too large: its size overflows at dimension %d (%lld)", i,
                           (long long)shape[i]);
    }
    if ((uint64_t)n > SIZE_MAX / 2)
        return VG_FAIL(err, VG_E_SHAPE, "tensor is too large: %lld bytes", (long long)n);
    *bytes = (size_t)n;
    return VG_OK;
}

vg_tensor vg_tensor_of(void *data, vg_dtype dtype, int ndim, const int64_t *shape)
{
    vg_tensor t = {.data = data, .dtype = dtype, .ndim = ndim};

    assert(ndim >= 0 && ndim <= VG_MAX_DIMS);
    for (int i = 0; i < ndim; i++)
        t.shape[i] = shape[i];
    return t;
}

vg_tensor vg_tensor_reshaped(const vg_tensor *t, int ndim, const int64_t *shape)
{
    vg_tensor r = vg_tensor_of(t->data, t->dtype, ndim, shape);

    assert(vg_tensor_numel(&r) == vg_tensor_numel(t));
    return r;
}

vg_tensor vg_tensor_rows(const vg_tensor *t, int64_t begin, int64_t count)
{
    vg_tensor r = *t;
    int64_t row = 1;

    assert(t->ndim >= 1 && begin >= 0 && count >= 0 && begin + count <= t->shape[0]);
    for (int i = 1; i < t->ndim; i++)
        row *= t->shape[i];
    r.shape[0] = count;
    if (t->data)
        r.data = (char *)t->data + (size_t)(begin * row) * vg_dtype_size(t->dtype);
    return r;
}

bool vg_tensor_is(const vg_tensor *t, vg_dtype dtype, int ndim)
{
    return t && t->data && t->dtype == dtype && t->ndim == ndim;
}

bool vg_tensor_same_shape(const vg_tensor *a, const vg_tensor *b)
{
    if (a->ndim != b->ndim)
        return false;
    for (int i = 0; i < a->ndim; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

const char *vg_tensor_describe(const vg_tensor *t, char *buf, size_t size)
{
    size_t used;

    if (size == 0)
        return buf;
    if (!t || !t->data) {
        snprintf(buf, size, "%s", "(absent)");
        return buf;
    }
    snprintf(buf, size, "%s [", vg_dtype_name(t->dtype));
    for (int i = 0; i < t->ndim && i < VG_MAX_DIMS; i++) {
        used = strlen(buf);
        snprintf(buf + used, size - used, i ? ", %lld" : "%lld", (long long)t->shape[i]);
    }
    used = strlen(buf);
    snprintf(buf + used, size - used, "]");
    return buf;
}
