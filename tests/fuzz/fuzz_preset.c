/* fuzz_preset.c: presets as arbitrary bytes: parse, and what was taken must survive being written and read again. */
#include <stdint.h>
#include <stdlib.h>
#include "app/settings/presets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vg_settings s = {{0}}, again = {{0}};
    vg_lines warnings = {0};
    vg_err err = {0};
    if (vg_presets_parse((const char *)data, size, "fuzz.json", &s, &warnings, &err) == VG_OK) {
        cJSON *json = vg_settings_to_json(&s);
        vg_generate_params params;
        char summary[128];
        if (vg_settings_from_json(&again, json, "again", NULL, &err) != VG_OK)
            abort();
        for (int i = 0; i < VG_OPT_COUNT; i++) {
            if ((s.text[i] == NULL) != (again.text[i] == NULL))
                abort();
        }
        vg_settings_params(&s, &params);
        vg_settings_summary(&s, summary, sizeof summary);
        cJSON_Delete(json);
    }
    vg_lines_free(&warnings);
    vg_settings_deinit(&s);
    vg_settings_deinit(&again);
    return 0;
}
