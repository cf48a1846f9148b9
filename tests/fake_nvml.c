/* fake_nvml.c: a libnvidia-ml.so.1 without a GPU, for the tests of the gauges. What it answers comes from the environment, so that a test
 * says beforehand what must be read:
 *
 *   FAKE_NVML_<name>=VALUE[,VALUE...]   call after call, then from the beginning again; "fail" answers "not supported"
 *     TOTAL RESERVED USED (bytes; memory), OURS (bytes of this process), OTHER_PID, OTHER (a second process and its bytes),
 *     UTILIZATION (%), POWER, POWER_LIMIT (mW), SM_CLOCK, SM_CLOCK_MAX (MHz), TEMPERATURE (C), ENERGY (mJ, and as much more as POWER's default draws while the clock runs), PCIE_RX, PCIE_TX (KB/s)
 *   FAKE_NVML_PCI    the bus id that the one GPU answers to [0000:17:00.0]
 *   FAKE_NVML_MIG    a MIG instance of it: its UUID, "MIG-..."
 *   FAKE_NVML_INIT   status of nvmlInit [0]
 *   FAKE_NVML_PID    process number that OURS is reported under [this process's]
 *
 * FAKE_NVML_OLD builds what an old driver has: only names without suffix, and fewer of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

/* The next of FAKE_NVML_<name>'s values into *value (as it was: `value` keeps its default when the variable is not set). */
static int next(const char *name, unsigned long long *value)
{
    static struct {
        const char *name;
        int calls;
    } seen[32];
    char key[64];
    int slot = 0, at;
    snprintf(key, sizeof key, "FAKE_NVML_%s", name);
    const char *list = getenv(key);
    if (!list || !*list)
        return SUCCESS;
    while (slot < 31 && seen[slot].name && strcmp(seen[slot].name, name))
        slot++;
    seen[slot].name = name;
    int count = 1;
    for (const char *c = list; *c; c++)
        count += *c == ',';
    for (at = seen[slot].calls++ % count; at > 0; at--)
        list = strchr(list, ',') + 1;
    if (!strncmp(list, "fail", 4))
        return NOT_SUPPORTED;
    *value = strtoull(list, NULL, 10);
    return SUCCESS;
}

static int next_number(const char *name, unsigned fallback, unsigned *value)
{
    unsigned long long v = fallback;
    int status = next(name, &v);
    if (status == SUCCESS)
        *value = (unsigned)v;
    return status;
}

static int started;

#ifdef FAKE_NVML_OLD
#define SUFFIXED(name, suffix) name
#else
#define SUFFIXED(name, suffix) name##suffix
#endif

int SUFFIXED(nvmlInit, _v2)(void);
int SUFFIXED(nvmlInit, _v2)(void)
{
    unsigned status = SUCCESS;
    (void)next_number("INIT", SUCCESS, &status);
    started += status == SUCCESS;
    return (int)status;
}

int nvmlShutdown(void);
int nvmlShutdown(void)
{
    started--;
    return SUCCESS;
}

/* For the tests: how often it was started and not shut down. */
int fake_nvml_started(void);
int fake_nvml_started(void)
{
    return started;
}

int SUFFIXED(nvmlDeviceGetHandleByPciBusId, _v2)(const char *id, void **device);
int SUFFIXED(nvmlDeviceGetHandleByPciBusId, _v2)(const char *id, void **device)
{
    const char *ours = getenv("FAKE_NVML_PCI");
    if (started < 1 || strcmp(id, ours ? ours : "0000:17:00.0"))
        return NOT_FOUND;
    *device = &started;
    return SUCCESS;
}

static int check(const void *device)
{
    return device == &started && started > 0 ? SUCCESS : INVALID_ARGUMENT;
}

/* A MIG instance of the GPU: 10 GiB, of which 3 are used; of sensors and clocks the GPU alone knows. */
static int instance;

int nvmlDeviceGetHandleByUUID(const char *uuid, void **device);
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device)
{
    const char *mig = getenv("FAKE_NVML_MIG");
    if (started < 1 || !mig || strcmp(uuid, mig))
        return NOT_FOUND;
    *device = &instance;
    return SUCCESS;
}

/* memory[0..3]: total, reserved, free, used */
static int memory(void *device, unsigned long long m[4])
{
    if (device == &instance && started > 0) {
        m[0] = 10ull << 30;
        m[1] = 0;
        m[3] = 3ull << 30;
        m[2] = m[0] - m[3];
        return SUCCESS;
    }
    int status = check(device);
    m[0] = 80ull << 30;
    m[1] = 1ull << 29;
    m[3] = 30ull << 30;
    if (status == SUCCESS)
        status = next("TOTAL", &m[0]);
    if (status == SUCCESS)
        status = next("RESERVED", &m[1]);
    if (status == SUCCESS)
        status = next("USED", &m[3]);
    m[2] = m[0] - m[1] - m[3];
    return status;
}

int nvmlDeviceGetMemoryInfo(void *device, unsigned long long m[3]);
int nvmlDeviceGetMemoryInfo(void *device, unsigned long long m[3])
{
    unsigned long long all[4];
    int status = memory(device, all);
    if (status == SUCCESS)
        m[0] = all[0], m[1] = all[2], m[2] = all[3] + all[1];
    return status;
}

/* The process in slot 0 is this one. */
static int process(int slot, unsigned *pid, unsigned long long *bytes)
{
    *bytes = slot ? 4ull << 30 : 24ull << 30;
    if (next_number(slot ? "OTHER_PID" : "PID", slot ? 0 : (unsigned)getpid(), pid) != SUCCESS)
        return 0;
    return *pid != 0 && next(slot ? "OTHER" : "OURS", bytes) == SUCCESS;
}

#ifdef FAKE_NVML_OLD
typedef struct entry {
    unsigned pid;
    unsigned long long bytes;
} entry;
#else
typedef struct entry {
    unsigned pid;
    unsigned long long bytes;
    unsigned gpu_instance, compute_instance;
} entry;

int nvmlDeviceGetMemoryInfo_v2(void *device, void *into);
int nvmlDeviceGetMemoryInfo_v2(void *device, void *into)
{
    struct {
        unsigned version;
        unsigned long long m[4];
    } *to = into;
    if (to->version != (sizeof *to | 2u << 24))
        return INVALID_ARGUMENT;
    return memory(device, to->m);
}
#endif

int SUFFIXED(nvmlDeviceGetComputeRunningProcesses, _v3)(void *device, unsigned *count, entry *list);
int SUFFIXED(nvmlDeviceGetComputeRunningProcesses, _v3)(void *device, unsigned *count, entry *list)
{
    unsigned n = 0, pid;
    unsigned long long bytes;
    if (device == &instance && started > 0) {
        list[0] = (entry){.pid = (unsigned)getpid(), .bytes = 2ull << 30};
        *count = 1;
        return SUCCESS;
    }
    if (check(device) != SUCCESS || *count < 2)
        return *count < 2 ? INSUFFICIENT_SIZE : INVALID_ARGUMENT;
    for (int slot = 1; slot >= 0; slot--) {
        if (process(slot, &pid, &bytes))
            list[n++] = (entry){.pid = pid, .bytes = bytes};
    }
    *count = n;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *device, unsigned busy[2]);
int nvmlDeviceGetUtilizationRates(void *device, unsigned busy[2])
{
    busy[1] = 41;
    return check(device) == SUCCESS ? next_number("UTILIZATION", 98, &busy[0]) : INVALID_ARGUMENT;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatt);
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatt)
{
    return check(device) == SUCCESS ? next_number("POWER", 652500, milliwatt) : INVALID_ARGUMENT;
}

int nvmlDeviceGetClockInfo(void *device, unsigned type, unsigned *mhz);
int nvmlDeviceGetClockInfo(void *device, unsigned type, unsigned *mhz)
{
    return check(device) == SUCCESS && type == 1 ? next_number("SM_CLOCK", 1755, mhz)
                                                 : INVALID_ARGUMENT;
}

int nvmlDeviceGetTemperature(void *device, unsigned sensor, unsigned *celsius);
int nvmlDeviceGetTemperature(void *device, unsigned sensor, unsigned *celsius)
{
    return check(device) == SUCCESS && sensor == 0 ? next_number("TEMPERATURE", 61, celsius)
                                                   : INVALID_ARGUMENT;
}

#ifndef FAKE_NVML_OLD
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatt);
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatt)
{
    return check(device) == SUCCESS ? next_number("POWER_LIMIT", 700000, milliwatt)
                                    : INVALID_ARGUMENT;
}

int nvmlDeviceGetMaxClockInfo(void *device, unsigned type, unsigned *mhz);
int nvmlDeviceGetMaxClockInfo(void *device, unsigned type, unsigned *mhz)
{
    return check(device) == SUCCESS && type == 1 ? next_number("SM_CLOCK_MAX", 1980, mhz)
                                                 : INVALID_ARGUMENT;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoule);
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoule)
{
    struct timespec now;
    unsigned long long base = 0;
    int status = check(device) == SUCCESS ? next("ENERGY", &base) : INVALID_ARGUMENT;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *millijoule =
        base +
        (unsigned long long)(652.5 * (1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec));
    return status;
}

int nvmlDeviceGetPcieThroughput(void *device, unsigned counter, unsigned *kb_per_s);
int nvmlDeviceGetPcieThroughput(void *device, unsigned counter, unsigned *kb_per_s)
{
    if (check(device) != SUCCESS || counter > 1)
        return INVALID_ARGUMENT;
    return counter ? next_number("PCIE_RX", 21500000, kb_per_s)
                   : next_number("PCIE_TX", 12000, kb_per_s);
}
#endif
