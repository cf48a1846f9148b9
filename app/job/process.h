/* process.h: from a number in a file to a process that may be signalled. A lock says "process 123", and a folder may come from anybody: what
 * is signalled is only a process of ours that holds this very lock. */
#ifndef VG_APP_JOB_PROCESS_H
#define VG_APP_JOB_PROCESS_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Send `number` to process `pid` if it is ours and holds the lock on the file `lock_path`; the number cannot have gone to another process in
 * between. number 0 only looks. Errors: VG_E_MISSING (no such process, or not one that holds the lock), VG_E_IO (may not be signalled). */
vg_status vg_process_signal(pid_t pid, const char *lock_path, int number, vg_err *err);

/* The job that process `pid` works on, as its command line says ("vgen work DIR"): the folder's name, cleaned. False when it is none, or
 * belongs to somebody else who hides it. */
bool vg_process_job(pid_t pid, char *name, size_t size);
#endif
