/* device.h: the device that a job runs on, "cpu" or "cuda". */
#ifndef VG_APP_JOB_DEVICE_H
#define VG_APP_JOB_DEVICE_H

#include "app/settings/settings.h"

/* "cuda" when this build has it, the machine has it, and it can do every operation; else "cpu". */
const char *vg_device_default(void);
void vg_device_learn(
    bool is_cuda); /* another process has looked: no driver is opened here for it */
/* Where these settings would run (params->device), and how many bytes they may take there: --vram-limit, else on a GPU what is free less the
 * engine's margin; 0 = no limit, or it cannot be told. */
void vg_device_budget(const vg_settings *settings, vg_generate_params *params, size_t *limit);
/* VG_E_UNSUPPORTED or VG_E_DEVICE with one clear line when the device cannot run a job. */
vg_status vg_device_check(const char *device, vg_err *err);
/* An engine on "cpu" or "cuda", which keeps its choices of matrix product algorithms below the cache folder. threads: of the CPU, 0 = all. */
vg_status vg_device_open(const char *device, int threads, vg_engine **engine, vg_err *err);
#endif
