/* lock.h: advisory locks on files that end with their holder, however it dies. Looking at a lock does not disturb it. */
#ifndef VG_APP_JOB_LOCK_H
#define VG_APP_JOB_LOCK_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Take the lock now and write `note` (one line: who holds it) into the file. *fd stays open while it is held.
 * VG_E_BUSY when another process has it; VG_E_IO when it cannot be made or locked, with the reason. */
vg_status vg_lock_take(const char *path, const char *note, int *fd, vg_err *err);
void vg_lock_release(int fd); /* -1 is a no-op */
/* Whether somebody holds it; the holder's note into `note` (may be NULL), control characters replaced. */
bool vg_lock_held(const char *path, char *note, size_t note_size);
/* A place among those who wait for the lock `path`, known from its time: a file of its own beside it, held while waiting. Whoever is
 * first may take the lock. vg_lock_leave gives the place up (NULL and -1 are no-ops). */
vg_status vg_lock_queue(const char *path, char **place, int *fd, vg_err *err);
/* True when nobody who is still waiting came before `place`; what the dead left behind is removed. */
bool vg_lock_first(const char *path, const char *place);
/* Removes and frees `place`, and closes fd. */
void vg_lock_leave(char *place, int fd);
#endif
