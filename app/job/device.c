/* device.c: the device that a job runs on. See device.h. */
#include "app/job/device.h"

#include <stdlib.h>
#include <string.h>
#include "app/settings/paths.h"
#include "engine/run/budget.h"

bool vg_device_parse(const char *device, vg_device_kind *kind, int *ordinal)
{
    const char *end = device + strcspn(device, ":");
    int choice = vg_option_choice(&vg_options[VG_OPT_device], device, strlen(device));
    if (choice < 0)
        return false;
    *kind = (vg_device_kind)choice;
    *ordinal = *end ? atoi(end + 1) : 0;
    return true;
}

static vg_status parse(const char *device, vg_device_kind *kind, int *ordinal, vg_err *err)
{
    return vg_device_parse(device, kind, ordinal)
               ? VG_OK
               : VG_FAIL(err, VG_E_ARG, "device %s is not known: it needs cpu, cuda or cuda:N",
                         device);
}

vg_status vg_device_identify(const char *device, char id[VG_DEVICE_ID_MAX], vg_err *err)
{
    vg_device_kind kind;
    int ordinal;
    VG_TRY(parse(device, &kind, &ordinal, err));
    return vg_backend_identify(kind, ordinal, id, err);
}

vg_status vg_device_check(const char *device, vg_err *err)
{
    vg_device_kind kind;
    int ordinal;
    vg_backend *be = NULL;
    VG_TRY(parse(device, &kind, &ordinal, err));
    if (kind != VG_DEVICE_CUDA)
        return VG_OK;
    VG_TRY(vg_backend_open(kind, ordinal, 0, &be, err));
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
    vg_device_kind kind;
    int ordinal;
    VG_TRY(parse(device, &kind, &ordinal, err));
    VG_TRY(vg_engine_open(kind, ordinal, threads > 0 ? threads : 0, engine, err));
    char *cache = vg_paths_cache(), *folder = vg_xstrf("%s/gemm", cache);
    vg_status status = vg_backend_keep_choices(vg_engine_backend(*engine), folder, err);
    free(folder);
    free(cache);
    if (status != VG_OK)
        vg_engine_close(*engine);
    return status;
}

static const char *default_device; /* opening a driver takes seconds: once per process */
static char default_reason[VG_ERR_MESSAGE_MAX];

const char *vg_device_default(void)
{
    vg_err err = {0};
    if (!default_device)
        vg_device_learn(vg_device_check("cuda", &err) == VG_OK, err.message);
    return default_device;
}

const char *vg_device_default_reason(void)
{
    return strcmp(vg_device_default(), "cpu") ? NULL : default_reason;
}

void vg_device_learn(bool is_cuda, const char *reason)
{
    default_device = is_cuda ? "cuda" : "cpu";
    vg_text_clean_to(default_reason, sizeof default_reason, reason ? reason : "");
}

void vg_device_budget(const vg_settings *settings, vg_generate_params *params, size_t *limit)
{
    const char *device = vg_settings_get(settings, VG_OPT_device);
    vg_engine *engine = NULL;
    int ordinal = 0;
    (void)vg_device_parse(*device ? device : vg_device_default(), &params->device, &ordinal);
    *limit = params->memory_limit;
    if (!*limit && params->device == VG_DEVICE_CUDA &&
        vg_engine_open(params->device, ordinal, 0, &engine, NULL) == VG_OK)
        (void)vg_budget_limit(engine, params, limit, NULL);
    vg_engine_close(engine);
}
