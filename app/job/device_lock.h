/* device_lock.h: one job at a time per physical device, whoever runs it: all users of the machine, from any login, cron or sudo.
 *
 * The lock is a file named by the device (the GPU's UUID, or that of its MIG instance; "cpu") in a place that all users share and that
 * outlives a login: /run/lock where everyone may write there, else /tmp/vgen-locks. Where neither can be used (a read-only container), in the
 * person's own state folder. $VGEN_LOCK_DIR names another place. Nothing that lies there is followed or trusted: no links, no pipes. */
#ifndef VG_APP_JOB_DEVICE_LOCK_H
#define VG_APP_JOB_DEVICE_LOCK_H

#include "app/job/lock.h"

/* Path of the lock of "cpu", "cuda" or "cuda:N"; its folder is there afterwards. malloc'd. NULL with err filled: VG_E_IO names the places
 * and why not, VG_E_DEVICE that there is no such GPU. */
char *vg_device_lock_path(const char *device, vg_err *err);
/* Who holds it, for a person: the name of a job, "process 123", "another user's process"; "" nobody. */
void vg_device_lock_holder(const char *path, char *text, size_t size);
#endif
