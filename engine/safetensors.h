/* safetensors.h: memory-mapped reader and atomic writer of the safetensors format.
 * Everything read from a file is checked before use: header length, JSON, dtype, shape products, offsets inside the
 * data section, sizes equal to shape x dtype, no overlap beyond the file. */
#ifndef VG_ENGINE_SAFETENSORS_H
#define VG_ENGINE_SAFETENSORS_H

#include "kernels/tensor.h"

typedef struct vg_safetensors vg_safetensors;

/* Map one file read-only. Errors: VG_E_IO (cannot open), VG_E_FORMAT (what is wrong and where). */
vg_status vg_safetensors_open(const char *path, vg_safetensors **st, vg_err *err);
void vg_safetensors_close(vg_safetensors *st);

/* The same checks on bytes in memory (borrowed until close); for fuzzing. `name` is used in messages. */
vg_status vg_safetensors_open_memory(const void *bytes, size_t size, const char *name, vg_safetensors **st, vg_err *err);

int vg_safetensors_count(const vg_safetensors *st);
const char *vg_safetensors_name(const vg_safetensors *st, int index);     /* borrowed until close */
/* View into the map (read-only: data must not be written), borrowed until close. */
const vg_tensor *vg_safetensors_tensor(const vg_safetensors *st, int index);
const vg_tensor *vg_safetensors_find(const vg_safetensors *st, const char *name); /* NULL when absent */
const char *vg_safetensors_metadata(const vg_safetensors *st, const char *key);   /* NULL when absent */
size_t vg_safetensors_file_bytes(const vg_safetensors *st);
const char *vg_safetensors_path(const vg_safetensors *st);

typedef struct vg_safetensors_entry {
    const char *name;
    vg_tensor tensor; /* host memory */
} vg_safetensors_entry;

/* Write atomically: temporary file beside `path`, fsync, rename, fsync of the directory. metadata: key, value pairs,
 * NULL-terminated, or NULL. Tensors are laid out in the given order, header padded to 8 bytes: same input, same bytes. */
vg_status vg_safetensors_write(const char *path, const vg_safetensors_entry *entries, int count,
                               const char *const *metadata, vg_err *err);
#endif
