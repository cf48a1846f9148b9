/* cmd_device.c: vgen device, the hidden command by which the screens ask where a job would run and what it may take there. */
#include "app/cli/cli.h"
#include "app/job/device.h"

static int run(vg_args *args)
{
    vg_generate_params params;
    size_t limit = 0;
    vg_settings_params(&args->settings, &params);
    vg_device_budget(&args->settings, &params, &limit);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "device", params.device == VG_DEVICE_CUDA ? "cuda" : "cpu");
    if (params.device == VG_DEVICE_CPU && !vg_settings_is_set(&args->settings, VG_OPT_device))
        cJSON_AddStringToObject(o, "reason", vg_device_default_reason());
    if (limit)
        cJSON_AddNumberToObject(o, "limit_bytes", (double)limit);
    vg_json_print(stdout, o, false);
    return VG_EXIT_OK;
}

extern const vg_command vg_command_device;
const vg_command vg_command_device = {
    .name = "device",
    .arguments = "",
    .summary = "where a job would run, and the memory it may take there, as JSON",
    .settings = "device vram_limit",
    .hidden = true,
    .run = run,
};
