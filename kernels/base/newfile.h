/* newfile.h: a file that has no name until it is whole. What is written goes into an unnamed file in the target's folder
 * (O_TMPFILE; where the file system has none, under a temporary name), which is synced, closed without an error and only then
 * put in the target's place. A process that is killed leaves nothing behind, but for the instant between two names.
 *
 * A temporary name is short and does not depend on the target's, so a target may have any name that its folder can hold. Its
 * writer holds a lock on it as long as it lives: vg_newfile_sweep knows the dead by that, in containers too.
 *
 * A file is as private as its folder: below a folder that only its owner may enter it gets mode 0600, elsewhere 0666 less the
 * process's umask. */
#ifndef VG_KERNELS_BASE_NEWFILE_H
#define VG_KERNELS_BASE_NEWFILE_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct vg_newfile {
    int fd;     /* open for reading and writing, for whoever fills it; not to be closed */
    int folder; /* of the target */
    char *path; /* the target's, for messages */
    bool named; /* it lies under `temporary` now */
    char temporary[40];
} vg_newfile;

/* Errors: VG_E_IO, VG_E_NOMEM. After an error there is nothing to abort. */
vg_status vg_newfile_open(const char *path, vg_newfile *file, vg_err *err);
/* Errors: VG_E_IO, with the reason. */
vg_status vg_newfile_write(vg_newfile *file, const void *bytes, size_t size, vg_err *err);
/* "/proc/self/fd/N": what was written so far can be opened and read again by this name until commit or abort. */
void vg_newfile_name(const vg_newfile *file, char name[32]);
/* Put it in the target's place, replacing what is there (a symbolic link is replaced, not followed). durable: it is synced, and
 * its folder after it. The file is gone afterwards, whatever the result; on failure the target is what it was, or, when only
 * the last sync failed, the new file. Errors: VG_E_IO. */
vg_status vg_newfile_commit(vg_newfile *file, bool durable, vg_err *err);
/* Drop it. A vg_newfile that was never opened must be {.fd = -1}. */
void vg_newfile_abort(vg_newfile *file);

/* What was renamed in `folder`, or put there, is there after a power cut too. Errors: VG_E_IO. */
vg_status vg_folder_sync(const char *folder, vg_err *err);
/* Remove the temporaries in `folder` whose writers are dead. */
void vg_newfile_sweep(const char *folder);
#endif
