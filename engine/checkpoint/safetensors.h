/* safetensors.h: memory-mapped reader and atomic writer of the safetensors format.
 * Everything read from a file is checked before use: header length (<= 100 MB and inside the file), JSON, dtype, shape
 * products, sizes equal to shape x dtype, and, as the reference does, that the tensors cover the data section exactly: no
 * overlap, no hole, nothing behind the last one.
 *
 * A tensor of a dtype that the format knows and vgen does not (F8_E5M2, BOOL, I16, ...) or of more than VG_MAX_DIMS
 * dimensions is checked like any other but not listed; vg_safetensors_unsupported says why one is not found.
 *
 * Hazards. Data may start at any byte: before reading values on the host, copy them out (memcpy, upload) unless the pointer
 * is known to be aligned. The size is checked when the file is opened; a file that somebody truncates while it is mapped
 * raises SIGBUS on access, as with any mapping: replace weight files by rename, never in place. */
#ifndef VG_ENGINE_CHECKPOINT_SAFETENSORS_H
#define VG_ENGINE_CHECKPOINT_SAFETENSORS_H

#include "kernels/base/tensor.h"

typedef struct vg_safetensors vg_safetensors;

/* Map one file read-only. Errors: VG_E_IO (cannot open), VG_E_FORMAT (what is wrong and where). */
vg_status vg_safetensors_open(const char *path, vg_safetensors **st, vg_err *err);
/* NULL is a no-op; tensors are views into the map and end here. */
void vg_safetensors_close(vg_safetensors *st);

/* The same checks on bytes in memory (borrowed until close); for fuzzing. `name` is used in messages. */
vg_status vg_safetensors_open_memory(const void *bytes, size_t size, const char *name,
                                     vg_safetensors **st, vg_err *err);

/* How many tensors. */
int vg_safetensors_count(const vg_safetensors *st);
const char *vg_safetensors_name(const vg_safetensors *st,
                                int index); /* borrowed until close; in order of the data */
/* View into the map (read-only: data must not be written), borrowed until close. */
const vg_tensor *vg_safetensors_tensor(const vg_safetensors *st, int index);
const vg_tensor *vg_safetensors_find(const vg_safetensors *st,
                                     const char *name);               /* NULL when absent */
int vg_safetensors_index(const vg_safetensors *st, const char *name); /* -1 when absent */
/* "dtype F8_E5M2", "7 dimensions", ... for a tensor that is in the file but cannot be used; NULL otherwise. */
const char *vg_safetensors_unsupported(const vg_safetensors *st, const char *name);
/* Any tensor of the file, of an unsupported dtype too: its bytes and the dtype's name as written. tensor->dtype means nothing when
 * vg_safetensors_unsupported has an answer. False when absent or of too many dimensions. Borrowed until close. */
bool vg_safetensors_raw(const vg_safetensors *st, const char *name, const char **dtype,
                        vg_tensor *tensor);
const char *vg_safetensors_metadata(const vg_safetensors *st,
                                    const char *key); /* NULL when absent */
/* Bytes of the whole file, header included. */
size_t vg_safetensors_file_bytes(const vg_safetensors *st);
/* Where in the file a tensor's data lies, for reading it by pread: that is faster than through the map for large tensors, and a truncated
 * file is an error instead of a signal. The descriptor is borrowed until close. False: not of this file, or bytes in memory. */
bool vg_safetensors_locate(const vg_safetensors *st, const void *data, int *fd, uint64_t *offset);
/* As it was opened; borrowed. */
const char *vg_safetensors_path(const vg_safetensors *st);

/* A tensor without its data. */
typedef struct vg_safetensors_shape {
    const char *name;
    vg_dtype dtype;
    int ndim;
    int64_t shape[VG_MAX_DIMS];
} vg_safetensors_shape;

typedef struct vg_safetensors_entry {
    const char *name;
    vg_tensor tensor; /* host memory */
} vg_safetensors_entry;

/* First key of `metadata`, with this value: the writer puts a checksum in its place, over everything else in the file. Files that nobody but
 * vgen writes have one, so that a bit that has turned over is damage and not another result. */
#define VG_SAFETENSORS_CHECKSUM "checksum"
#define VG_SAFETENSORS_UNKNOWN  "0000000000000000"
/* Is the file what was written? VG_E_FORMAT: no; VG_E_MISSING: it carries no checksum. Reads all of it (10 GB/s where it is in memory). */
vg_status vg_safetensors_check(const vg_safetensors *st, vg_err *err);

/* Write atomically: temporary file beside `path`, fsync, rename, fsync of the directory. metadata: key, value pairs,
 * NULL-terminated, or NULL. Tensors are laid out in the given order, header padded to 8 bytes: same input, same bytes.
 * Errors: VG_E_ARG (a name twice or not UTF-8, "__metadata__", NULL data), VG_E_SHAPE, VG_E_NOMEM, VG_E_IO. */
vg_status vg_safetensors_write(const char *path, const vg_safetensors_entry *entries, int count,
                               const char *const *metadata, vg_err *err);
#endif
