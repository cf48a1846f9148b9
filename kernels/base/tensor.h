/* tensor.h: dtypes and the tensor view. A vg_tensor is a pointer, a dtype and a shape; it owns nothing.
 * Tensors are always contiguous, row-major, last dimension fastest. */
#ifndef VG_KERNELS_BASE_TENSOR_H
#define VG_KERNELS_BASE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(enum suffix, bytes per element, safetensors name) */
#define VG_DTYPES(X)                                                                               \
    X(F32, 4, "F32")                                                                               \
    X(BF16, 2, "BF16")                                                                             \
    X(F16, 2, "F16")                                                                               \
    X(E4M3, 1, "F8_E4M3")                                                                          \
    X(U8, 1, "U8")                                                                                 \
    X(I8, 1, "I8")                                                                                 \
    X(I32, 4, "I32")                                                                               \
    X(I64, 8, "I64")                                                                               \
    X(F64, 8, "F64")

typedef enum vg_dtype {
#define VG_DTYPE_ENUM(name, bytes, text) VG_##name,
    VG_DTYPES(VG_DTYPE_ENUM)
#undef VG_DTYPE_ENUM
        VG_DTYPE_COUNT
} vg_dtype;

#define VG_MAX_DIMS 6

typedef struct vg_tensor {
    void *data; /* NULL = absent tensor */
    vg_dtype dtype;
    int ndim; /* 0 = scalar */
    int64_t shape[VG_MAX_DIMS];
} vg_tensor;

size_t vg_dtype_size(vg_dtype dtype);      /* bytes per element */
const char *vg_dtype_name(vg_dtype dtype); /* the safetensors spelling, e.g. "BF16" */

/* Number of elements (1 for a scalar). The shape must have passed vg_shape_bytes once. */
int64_t vg_tensor_numel(const vg_tensor *t);
/* Likewise. */
size_t vg_tensor_bytes(const vg_tensor *t);

/* Bytes of a [shape[0], ..., shape[ndim-1]] array, overflow-checked. Errors: VG_E_SHAPE. */
vg_status vg_shape_bytes(const int64_t *shape, int ndim, vg_dtype dtype, size_t *bytes,
                         vg_err *err);

/* A view from a shape array. Shapes are trusted here: run vg_shape_bytes on any that came from a file. */
vg_tensor vg_tensor_of(void *data, vg_dtype dtype, int ndim, const int64_t *shape);

/* The same memory under another shape; numel must agree (asserted). */
vg_tensor vg_tensor_reshaped(const vg_tensor *t, int ndim, const int64_t *shape);

#ifndef __cplusplus
/* The two with the shape written out: vg_tensor_make(p, VG_BF16, 2, rows, cols). Macros, so that int and size_t entries
 * are converted to int64_t; a plain variadic function would read garbage for an int. C only. */
#define vg_tensor_make(data, dtype, ndim, ...)                                                     \
    vg_tensor_of((data), (dtype), (ndim), &((const int64_t[]){0, __VA_ARGS__})[1])
#define vg_tensor_reshape(t, ndim, ...)                                                            \
    vg_tensor_reshaped((t), (ndim), &((const int64_t[]){0, __VA_ARGS__})[1])
#endif

/* Rows [begin, begin+count) along the first dimension. */
vg_tensor vg_tensor_rows(const vg_tensor *t, int64_t begin, int64_t count);

bool vg_tensor_is(const vg_tensor *t, vg_dtype dtype,
                  int ndim); /* non-NULL data and exactly this */
/* The same number of dimensions and the same sizes; dtypes may differ. */
bool vg_tensor_same_shape(const vg_tensor *a, const vg_tensor *b);

/* "BF16 [300, 256]" into buf (always terminated); returns buf. For error messages. */
const char *vg_tensor_describe(const vg_tensor *t, char *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
