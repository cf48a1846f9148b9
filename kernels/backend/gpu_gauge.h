/* gpu_gauge.h: clocks, power, temperature and memory of an NVIDIA GPU, read through NVML. The library is opened at run time: a machine
 * without it, a driver without a function or a board without a sensor are normal, and give no gauge or fewer metrics. Needs no CUDA. */
#ifndef VG_KERNELS_BACKEND_GPU_GAUGE_H
#define VG_KERNELS_BACKEND_GPU_GAUGE_H

#include <stdbool.h>
#include <stdint.h>
#include "kernels/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vg_gpu_metric {
#define VG_GPU_METRIC(name, label, unit, over) VG_GPU_##name,
#include "kernels/backend/gpu_metrics.def"
#undef VG_GPU_METRIC
    VG_GPU_METRIC_COUNT
} vg_gpu_metric;

typedef enum vg_gpu_over { VG_GPU_PEAK, VG_GPU_MEAN, VG_GPU_COUNTER } vg_gpu_over;

typedef struct vg_gpu_metric_info {
    const char *name;  /* "power_w" */
    const char *label; /* "power" */
    const char *unit;  /* "W" */
    vg_gpu_over over;
} vg_gpu_metric_info;
/* Its row of gpu_metrics.def. */
const vg_gpu_metric_info *vg_gpu_metric_describe(vg_gpu_metric metric);

/* One reading. A metric holds something only where its bit is set; it is 0 elsewhere. */
typedef struct vg_gpu_sample {
    uint32_t valid;                    /* bit 1 << metric */
    double value[VG_GPU_METRIC_COUNT]; /* units: kernels/backend/gpu_metrics.def */
} vg_gpu_sample;

/* Was it measured? What was not is no 0. */
static inline bool vg_gpu_has(const vg_gpu_sample *sample, vg_gpu_metric metric)
{
    return (sample->valid >> metric & 1u) != 0;
}

typedef struct vg_gpu_gauge vg_gpu_gauge;

/* Open the gauge of one GPU.
 *   pci_bus_id  in   "0000:17:00.0", as vg_device_info has it: CUDA's ordinals are renumbered by CUDA_VISIBLE_DEVICES, NVML's are not
 *   uuid        in   of the device or its MIG instance, as vg_device_info has it, or NULL. Of an instance memory and processes are its own;
 *                    clocks, power and temperature are the whole GPU's
 *   gauge       out  the caller's; vg_gpu_gauge_close
 * VGEN_NVML_LIBRARY in the environment names another library than libnvidia-ml.so.1.
 * Errors: VG_E_MISSING (no library, no such GPU, "" as bus id), VG_E_DEVICE (the library will not start), VG_E_NOMEM. Callers that only
 * want to show something ignore them. Source: NVIDIA NVML API reference. Tests: test_gpu_gauge. */
vg_status vg_gpu_gauge_open(const char *pci_bus_id, const char *uuid, vg_gpu_gauge **gauge,
                            vg_err *err);

/* Read all metrics now; what cannot be read is left out. Takes about 45 ms, of which 2 x 20 ms are the driver's measuring of PCIe.
 * memory_ours_bytes is that of this process by its number. Where numbers are another namespace's (containers), the only process on the GPU
 * is taken for this one, since who asks has a context on it; with several it stays unknown.
 * One gauge belongs to one thread at a time; several gauges may be read at once. */
void vg_gpu_gauge_read(vg_gpu_gauge *gauge, vg_gpu_sample *sample);

void vg_gpu_gauge_close(vg_gpu_gauge *gauge); /* NULL is a no-op */

#ifdef __cplusplus
}
#endif
#endif
