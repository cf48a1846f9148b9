/* device.h: the device that a job runs on: "cpu", "cuda" (the first visible GPU) or "cuda:N". */
#ifndef VG_APP_JOB_DEVICE_H
#define VG_APP_JOB_DEVICE_H

#include "app/settings/settings.h"

/* What a device's name means; false when it is none. ordinal: among the visible GPUs. */
bool vg_device_parse(const char *device, vg_device_kind *kind, int *ordinal);
/* "cuda" when this build has it, the machine has it, and it can do every operation; else "cpu". */
const char *vg_device_default(void);
/* Why the default is the CPU, in one line for a person; NULL when it is not. Falling back is never silent: who makes a job without naming a
 * device says this. */
const char *vg_device_default_reason(void);
/* Another process has looked: no driver is opened here for it. reason: NULL with is_cuda. */
void vg_device_learn(bool is_cuda, const char *reason);
/* Where these settings would run (params->device), and how many bytes they may take there: --vram-limit, else on a GPU what is free less the
 * engine's margin; 0 = no limit, or it cannot be told. */
void vg_device_budget(const vg_settings *settings, vg_generate_params *params, size_t *limit);
/* VG_E_UNSUPPORTED or VG_E_DEVICE with one clear line when the device cannot run a job. */
vg_status vg_device_check(const char *device, vg_err *err);
/* The physical device behind a name (vg_backend_identify). VG_E_ARG for a name that is none. */
vg_status vg_device_identify(const char *device, char id[VG_DEVICE_ID_MAX], vg_err *err);
/* An engine on the device, which keeps its choices of matrix product algorithms below the cache folder. threads: of the CPU, 0 = all. */
vg_status vg_device_open(const char *device, int threads, vg_engine **engine, vg_err *err);
#endif
