/* presets.h: named settings in JSON files, NAME.json in the folders of vg_paths_presets; a person's own wins over one that came along. */
#ifndef VG_APP_SETTINGS_PRESETS_H
#define VG_APP_SETTINGS_PRESETS_H

#include "app/settings/settings.h"

typedef struct vg_preset_entry {
    char *name; /* without .json */
    char *path;
    char *description; /* its "_comment", "" when none; cleaned */
    bool user;         /* the person's own */
} vg_preset_entry;

/* All presets, sorted by name, each once. */
void vg_presets_list(vg_preset_entry **entries, int *count);
/* The entries with their texts, and the array. */
void vg_presets_list_free(vg_preset_entry *entries, int count);

/* The file of a preset: a name, or a path to a .json file. VG_E_MISSING says the nearest name. */
vg_status vg_presets_find(const char *name, char **path, vg_err *err);
/* Take a preset into s (what it sets wins). Unknown keys become warnings. */
vg_status vg_presets_load(const char *name, vg_settings *s, vg_lines *warnings, vg_err *err);
/* Check JSON text as a preset; the part of _load that a fuzzer can reach. */
vg_status vg_presets_parse(const char *text, size_t size, const char *name, vg_settings *s,
                           vg_lines *warnings, vg_err *err);
/* Save as the person's own preset, atomically; the path in *path (malloc'd, or NULL not to ask). Names: letters, digits, ". - _". */
vg_status vg_presets_save(const char *name, const vg_settings *s, const char *comment, char **path,
                          vg_err *err);
#endif
