/* device.c: the device that a job runs on. See device.h. */
#include "app/job/device.h"

#include <stdlib.h>
#include <string.h>
#include "app/settings/paths.h"
#include "engine/run/budget.h"

vg_status vg_device_check(const char *device, vg_err *err)
{
    if (strcmp(device, "cuda"))
        return VG_OK;
    vg_backend *be = NULL;
    VG_TRY(vg_backend_open(VG_DEVICE_CUDA, 0, 0, &be, err));
    static const char *const names[] = {
#define VG_OP(name, help) #name,
#include "kernels/op/ops.def"
#undef VG_OP
    };
    int missing = 0, first = -1;
    for (int i = 0; i < VG_OP_COUNT; i++) {
        if (!vg_backend_supports(be, (vg_op)i)) {
            missing++;
            first = first < 0 ? i : first;
        }
    }
    vg_backend_close(be);
    if (missing)
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "device cuda: %d of %d operations are not there yet in this build (the first: %s); use --device cpu",
            missing, VG_OP_COUNT, names[first]);
    return VG_OK;
}

vg_status vg_device_open(const char *device, int threads, vg_engine **engine, vg_err *err)
{
    VG_TRY(vg_engine_open(!strcmp(device, "cuda") ? VG_DEVICE_CUDA : VG_DEVICE_CPU, 0,
                          threads > 0 ? threads : 0, engine, err));
    char *cache = vg_paths_cache(), *folder = vg_xstrf("%s/gemm", cache);
    vg_status status = vg_backend_keep_choices(vg_engine_backend(*engine), folder, err);
    free(folder);
    free(cache);
    if (status != VG_OK)
        vg_engine_close(*engine);
    return status;
}

static const char *default_device; /* opening a driver takes seconds: once per process */

const char *vg_device_default(void)
{
    if (!default_device)
        default_device = vg_device_check("cuda", NULL) == VG_OK ? "cuda" : "cpu";
    return default_device;
}

void vg_device_learn(bool is_cuda)
{
    default_device = is_cuda ? "cuda" : "cpu";
}

void vg_device_budget(const vg_settings *settings, vg_generate_params *params, size_t *limit)
{
    const char *device = vg_settings_get(settings, VG_OPT_device);
    vg_engine *engine = NULL;
    params->device =
        !strcmp(*device ? device : vg_device_default(), "cuda") ? VG_DEVICE_CUDA : VG_DEVICE_CPU;
    *limit = params->memory_limit;
    if (!*limit && params->device == VG_DEVICE_CUDA &&
        vg_engine_open(VG_DEVICE_CUDA, 0, 0, &engine, NULL) == VG_OK)
        (void)vg_budget_limit(engine, params, limit, NULL);
    vg_engine_close(engine);
}
