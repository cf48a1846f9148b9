/* fileio.h: small-file reading with a size limit, and atomic replacement (temporary, fsync, rename). */
#ifndef VG_KERNELS_BASE_FILEIO_H
#define VG_KERNELS_BASE_FILEIO_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whole regular file into a malloc'd, NUL-terminated buffer that the caller frees; size may be NULL. The bytes may hold
 * NULs of their own. Errors: VG_E_IO (also for a folder, a pipe, a device), VG_E_FORMAT (over the limit; a Git LFS pointer),
 * VG_E_NOMEM. */
vg_status vg_file_read(const char *path, size_t limit_bytes, char **text, size_t *size,
                       vg_err *err);
/* VG_E_FORMAT when a file that begins with these bytes is only the pointer that a clone without Git LFS leaves in place of a large file. */
vg_status vg_file_check_pointer(const char *path, const void *bytes, size_t size, vg_err *err);
/* Replace `path` by these bytes or leave it as it was (newfile.h says how, and with which mode): synced, as is its folder.
 * A symbolic link at `path` is replaced, not followed. Errors: VG_E_IO, VG_E_NOMEM. */
vg_status vg_file_write_atomic(const char *path, const void *bytes, size_t size, vg_err *err);
/* The same from several pieces, written one after the other. */
typedef struct vg_file_part {
    const void *bytes;
    size_t size;
} vg_file_part;
/* Errors as vg_file_write_atomic. */
vg_status vg_file_write_atomic_parts(const char *path, const vg_file_part *parts, int count,
                                     vg_err *err);
/* The same, not synced: for what is soon replaced again and can be lost, as a preview. */
vg_status vg_file_write_volatile(const char *path, const void *bytes, size_t size, vg_err *err);
/* mkdir -p; VG_OK when it is there already as a directory. Private: what is made is for its owner only (0700). */
vg_status vg_file_make_dirs(const char *path, vg_err *err);
/* Folders that are there already keep their mode. */
vg_status vg_file_make_private_dirs(const char *path, vg_err *err);
/* Remove a directory tree, or a single file (does not follow symbolic links). VG_OK when there is nothing at `path`. */
vg_status vg_file_remove_tree(const char *path, vg_err *err);
/* Of any kind; false also where it cannot be looked at. */
bool vg_file_exists(const char *path);
/* A folder, or a link to one. */
bool vg_file_is_dir(const char *path);
/* "a/b" from "a" and "b", malloc'd; aborts never: NULL on out of memory. */
char *vg_path_join(const char *a, const char *b);
/* printf into a malloc'd string; NULL on out of memory. */
char *vg_strf(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line "KEY:  N kB" of a file of /proc, in bytes ("MemTotal" of /proc/meminfo, "VmRSS" of /proc/self/status); 0: it cannot be read. */
uint64_t vg_proc_bytes(const char *file, const char *key);
/* Memory that this machine has for more, page cache included ("MemAvailable"), bytes; 0 unknown. */
size_t vg_memory_available(void);
/* Memory of the machine, or the container's limit where that is less, bytes; 0 unknown. */
uint64_t vg_memory_total(void);
#endif
