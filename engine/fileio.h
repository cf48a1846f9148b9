/* fileio.h: small-file reading with a size limit, and atomic replacement (temporary, fsync, rename). */
#ifndef VG_ENGINE_FILEIO_H
#define VG_ENGINE_FILEIO_H

#include "kernels/status.h"
#include <stdbool.h>
#include <stddef.h>

/* Whole file into a malloc'd, NUL-terminated buffer that the caller frees. Errors: VG_E_IO, VG_E_FORMAT (over the limit). */
vg_status vg_file_read(const char *path, size_t limit_bytes, char **text, size_t *size, vg_err *err);
/* Replace `path` by these bytes or leave it as it was. */
vg_status vg_file_write_atomic(const char *path, const void *bytes, size_t size, vg_err *err);
/* mkdir -p; VG_OK when it is there already as a directory. */
vg_status vg_file_make_dirs(const char *path, vg_err *err);
/* Remove a directory tree (does not follow symbolic links). */
vg_status vg_file_remove_tree(const char *path, vg_err *err);
bool vg_file_exists(const char *path);
bool vg_file_is_dir(const char *path);
/* "a/b" from "a" and "b", malloc'd; aborts never: NULL on out of memory. */
char *vg_path_join(const char *a, const char *b);
/* printf into a malloc'd string; NULL on out of memory. */
char *vg_strf(const char *format, ...) __attribute__((format(printf, 1, 2)));
#endif
