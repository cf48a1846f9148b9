/* gpu_gauge.c: see gpu_gauge.h. The few declarations of NVML's binary interface that it needs are written here from NVIDIA's NVML API
 * reference (docs.nvidia.com/deploy/nvml-api), so that no header of the driver or of CUDA is needed to build. The structures and the
 * symbols' version suffixes below are frozen there: a changed structure gets a new suffix.
 * Checked beside nvidia-smi on an H100 (driver 580.159): equal memory, power, clocks and temperature. */
#include "kernels/backend/gpu_gauge.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NVML_LIBRARY "libnvidia-ml.so.1"

/* ---- NVML, as far as it is needed ---- */

typedef struct nvml_device *nvml_device; /* nvmlDevice_t */

enum {
    NVML_SUCCESS = 0, /* nvmlReturn_t */
    NVML_ERROR_FUNCTION_NOT_FOUND = 13,
    NVML_CLOCK_SM = 1,           /* nvmlClockType_t */
    NVML_TEMPERATURE_GPU = 0,    /* nvmlTemperatureSensors_t */
    NVML_PCIE_UTIL_TX_BYTES = 0, /* nvmlPcieUtilCounter_t: as the GPU sees it */
    NVML_PCIE_UTIL_RX_BYTES = 1,
};
#define NVML_VALUE_NOT_AVAILABLE (~0ull)

typedef struct nvml_memory { /* nvmlMemory_t, bytes */
    unsigned long long total, free, used;
} nvml_memory;

typedef struct nvml_memory_v2 { /* nvmlMemory_v2_t, bytes; version is size | 2 << 24 */
    unsigned version;
    unsigned long long total, reserved, free, used;
} nvml_memory_v2;

typedef struct nvml_utilization { /* nvmlUtilization_t, percent */
    unsigned gpu, memory;
} nvml_utilization;

typedef struct nvml_process_v1 { /* nvmlProcessInfo_v1_t: of the name without suffix */
    unsigned pid;
    unsigned long long used; /* bytes */
} nvml_process_v1;

typedef struct nvml_process_v2 { /* nvmlProcessInfo_v2_t: of the suffixes _v2 and _v3 */
    unsigned pid;
    unsigned long long used; /* bytes */
    unsigned gpu_instance, compute_instance;
} nvml_process_v2;

typedef struct nvml_api {
    int (*init)(void);
    int (*shutdown)(void);
    int (*handle)(const char *pci_bus_id, nvml_device *device);
    int (*handle_of_uuid)(const char *uuid, nvml_device *device);
    int (*memory)(nvml_device device, nvml_memory *memory);
    int (*memory_v2)(nvml_device device, nvml_memory_v2 *memory);
    int (*processes_v1)(nvml_device device, unsigned *count, nvml_process_v1 *processes);
    int (*processes_v2)(nvml_device device, unsigned *count, nvml_process_v2 *processes);
    int (*utilization)(nvml_device device, nvml_utilization *utilization);
    int (*power)(nvml_device device, unsigned *milliwatt);
    int (*power_limit)(nvml_device device, unsigned *milliwatt);
    int (*clock)(nvml_device device, unsigned type, unsigned *mhz);
    int (*clock_max)(nvml_device device, unsigned type, unsigned *mhz);
    int (*temperature)(nvml_device device, unsigned sensor, unsigned *celsius);
    int (*energy)(nvml_device device, unsigned long long *millijoule);
    int (*pcie)(nvml_device device, unsigned counter, unsigned *kb_per_s);
} nvml_api;

/* Where each function goes, under which names it may be found, the newest first. */
static const struct {
    size_t offset;
    bool needed;
    const char *names[2];
} symbols[] = {
    {offsetof(nvml_api, init), true, {"nvmlInit_v2", "nvmlInit"}},
    {offsetof(nvml_api, shutdown), true, {"nvmlShutdown"}},
    {offsetof(nvml_api, handle),
     true,
     {"nvmlDeviceGetHandleByPciBusId_v2", "nvmlDeviceGetHandleByPciBusId"}},
    {offsetof(nvml_api, handle_of_uuid), false, {"nvmlDeviceGetHandleByUUID"}},
    {offsetof(nvml_api, memory), false, {"nvmlDeviceGetMemoryInfo"}},
    {offsetof(nvml_api, memory_v2), false, {"nvmlDeviceGetMemoryInfo_v2"}},
    {offsetof(nvml_api, processes_v1), false, {"nvmlDeviceGetComputeRunningProcesses"}},
    {offsetof(nvml_api, processes_v2),
     false,
     {"nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"}},
    {offsetof(nvml_api, utilization), false, {"nvmlDeviceGetUtilizationRates"}},
    {offsetof(nvml_api, power), false, {"nvmlDeviceGetPowerUsage"}},
    {offsetof(nvml_api, power_limit), false, {"nvmlDeviceGetEnforcedPowerLimit"}},
    {offsetof(nvml_api, clock), false, {"nvmlDeviceGetClockInfo"}},
    {offsetof(nvml_api, clock_max), false, {"nvmlDeviceGetMaxClockInfo"}},
    {offsetof(nvml_api, temperature), false, {"nvmlDeviceGetTemperature"}},
    {offsetof(nvml_api, energy), false, {"nvmlDeviceGetTotalEnergyConsumption"}},
    {offsetof(nvml_api, pcie), false, {"nvmlDeviceGetPcieThroughput"}},
};

struct vg_gpu_gauge {
    void *library;
    nvml_api nvml;
    nvml_device device;
    nvml_device share; /* whose memory and processes are read: the MIG instance, else the device */
    bool started;
};

/* ---- opening ---- */

static const vg_gpu_metric_info metrics[VG_GPU_METRIC_COUNT] = {
#define VG_GPU_METRIC(name, label, unit, over) {#name, label, unit, VG_GPU_##over},
#include "kernels/backend/gpu_metrics.def"
#undef VG_GPU_METRIC
};

const vg_gpu_metric_info *vg_gpu_metric_describe(vg_gpu_metric metric)
{
    return &metrics[metric];
}

static vg_status load(vg_gpu_gauge *gauge, vg_err *err)
{
    const char *name = getenv("VGEN_NVML_LIBRARY");

    name = name && *name ? name : NVML_LIBRARY;
    gauge->library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!gauge->library)
        return VG_FAIL(err, VG_E_MISSING, "no GPU gauge: %s cannot be loaded", name);
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *found = NULL;
        for (size_t k = 0; k < 2 && symbols[i].names[k] && !found; k++)
            found = dlsym(gauge->library, symbols[i].names[k]);
        if (!found && symbols[i].needed)
            return VG_FAIL(err, VG_E_MISSING, "no GPU gauge: %s lacks %s", name,
                           symbols[i].names[0]);
        memcpy((char *)&gauge->nvml + symbols[i].offset, &found, sizeof found);
    }
    return VG_OK;
}

static vg_status start(vg_gpu_gauge *gauge, const char *pci_bus_id, const char *uuid, vg_err *err)
{
    VG_TRY(load(gauge, err));
    int status = gauge->nvml.init();
    if (status != NVML_SUCCESS)
        return VG_FAIL(err, VG_E_DEVICE, "no GPU gauge: NVML does not start (error %d)", status);
    gauge->started = true;
    status = gauge->nvml.handle(pci_bus_id, &gauge->device);
    if (status != NVML_SUCCESS)
        return VG_FAIL(err, VG_E_MISSING, "no GPU gauge: NVML knows no GPU at PCI %s (error %d)",
                       pci_bus_id, status);
    /* NVML knows instances by their UUID alone, and by another prefix than whole GPUs. */
    char instance[64];
    snprintf(instance, sizeof instance, "MIG-%s", uuid ? uuid : "");
    gauge->share = gauge->device;
    if (uuid && *uuid && gauge->nvml.handle_of_uuid &&
        gauge->nvml.handle_of_uuid(instance, &gauge->share) != NVML_SUCCESS)
        gauge->share = gauge->device;
    return VG_OK;
}

vg_status vg_gpu_gauge_open(const char *pci_bus_id, const char *uuid, vg_gpu_gauge **gauge,
                            vg_err *err)
{
    if (!pci_bus_id || !*pci_bus_id)
        return VG_FAIL(err, VG_E_MISSING, "no GPU gauge: the device has no PCI bus id");
    vg_gpu_gauge *opened = calloc(1, sizeof *opened);
    if (!opened)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a GPU gauge");
    vg_status status = start(opened, pci_bus_id, uuid, err);
    if (status == VG_OK)
        *gauge = opened;
    else
        vg_gpu_gauge_close(opened);
    return status;
}

void vg_gpu_gauge_close(vg_gpu_gauge *gauge)
{
    if (!gauge)
        return;
    if (gauge->started)
        (void)gauge->nvml.shutdown();
    if (gauge->library)
        dlclose(gauge->library);
    free(gauge);
}

/* ---- reading ---- */

static void put(vg_gpu_sample *sample, vg_gpu_metric metric, int status, double value)
{
    if (status != NVML_SUCCESS)
        return;
    sample->valid |= 1u << metric;
    sample->value[metric] = value;
}

/* One number without and with a kind (which clock, which sensor); `per` of its units make one of ours. */
static void read_number(vg_gpu_sample *sample, vg_gpu_metric metric,
                        int (*get)(nvml_device, unsigned *), nvml_device device, double per)
{
    unsigned n = 0;
    int status = get ? get(device, &n) : NVML_ERROR_FUNCTION_NOT_FOUND;

    put(sample, metric, status, n / per);
}

static void read_kind(vg_gpu_sample *sample, vg_gpu_metric metric,
                      int (*get)(nvml_device, unsigned, unsigned *), nvml_device device,
                      unsigned kind, double per)
{
    unsigned n = 0;
    int status = get ? get(device, kind, &n) : NVML_ERROR_FUNCTION_NOT_FOUND;

    put(sample, metric, status, n / per);
}

/* Used is what is neither free nor reserved: NVML's own `used` has meant both, with the reserve and without. */
static void read_memory(vg_gpu_gauge *g, vg_gpu_sample *sample)
{
    nvml_memory_v2 newer = {.version = (unsigned)sizeof newer | 2u << 24};
    nvml_memory older = {0};
    unsigned long long total, unused;

    if (g->nvml.memory_v2 && g->nvml.memory_v2(g->share, &newer) == NVML_SUCCESS) {
        total = newer.total;
        unused = newer.free + newer.reserved;
    } else if (g->nvml.memory && g->nvml.memory(g->share, &older) == NVML_SUCCESS) {
        total = older.total;
        unused = older.free;
    } else {
        return;
    }
    put(sample, VG_GPU_memory_total_bytes, NVML_SUCCESS, (double)total);
    if (unused <= total)
        put(sample, VG_GPU_memory_used_bytes, NVML_SUCCESS, (double)(total - unused));
}

enum { PROCESSES = 64 };

static void read_processes(vg_gpu_gauge *g, vg_gpu_sample *sample)
{
    /* Some drivers of the 535 series wrote entries of 32 bytes under the name of the 24-byte ones: there is room for them. */
    union {
        nvml_process_v1 v1[PROCESSES];
        nvml_process_v2 v2[PROCESSES];
        unsigned char room[PROCESSES * 32];
    } list;
    unsigned count = PROCESSES, ours = (unsigned)getpid();
    unsigned long long bytes = NVML_VALUE_NOT_AVAILABLE;
    bool newer = g->nvml.processes_v2 != NULL;
    int status;

    memset(&list, 0, sizeof list);
    if (newer)
        status = g->nvml.processes_v2(g->share, &count, list.v2);
    else if (g->nvml.processes_v1)
        status = g->nvml.processes_v1(g->share, &count, list.v1);
    else
        return;
    if (status != NVML_SUCCESS || count > PROCESSES)
        return;
    for (unsigned i = 0; i < count; i++) {
        if (count == 1 || (newer ? list.v2[i].pid : list.v1[i].pid) == ours)
            bytes = newer ? list.v2[i].used : list.v1[i].used;
    }
    if (bytes != NVML_VALUE_NOT_AVAILABLE)
        put(sample, VG_GPU_memory_ours_bytes, NVML_SUCCESS, (double)bytes);
}

static void read_energy(const nvml_api *nvml, nvml_device device, vg_gpu_sample *sample)
{
    unsigned long long millijoule = 0;

    if (nvml->energy) {
        int status = nvml->energy(device, &millijoule);
        put(sample, VG_GPU_energy_j, status, (double)millijoule / 1e3);
    }
}

void vg_gpu_gauge_read(vg_gpu_gauge *gauge, vg_gpu_sample *sample)
{
    const nvml_api *nvml = &gauge->nvml;
    nvml_device device = gauge->device;
    nvml_utilization busy = {0};

    *sample = (vg_gpu_sample){0};
    read_memory(gauge, sample);
    read_processes(gauge, sample);
    if (nvml->utilization) {
        int status = nvml->utilization(device, &busy);
        put(sample, VG_GPU_utilization_percent, status, busy.gpu);
    }
    read_energy(nvml, device, sample);
    read_number(sample, VG_GPU_power_w, nvml->power, device, 1e3);
    read_number(sample, VG_GPU_power_limit_w, nvml->power_limit, device, 1e3);
    read_kind(sample, VG_GPU_sm_clock_mhz, nvml->clock, device, NVML_CLOCK_SM, 1);
    read_kind(sample, VG_GPU_sm_clock_max_mhz, nvml->clock_max, device, NVML_CLOCK_SM, 1);
    read_kind(sample, VG_GPU_temperature_c, nvml->temperature, device, NVML_TEMPERATURE_GPU, 1);
    read_kind(sample, VG_GPU_pcie_in_mb_s, nvml->pcie, device, NVML_PCIE_UTIL_RX_BYTES, 1e3);
    read_kind(sample, VG_GPU_pcie_out_mb_s, nvml->pcie, device, NVML_PCIE_UTIL_TX_BYTES, 1e3);
}
