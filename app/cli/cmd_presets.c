/* cmd_presets.c: vgen presets. */
#include <stdlib.h>
#include <string.h>
#include "app/cli/cli.h"
#include "app/settings/presets.h"

static int list(vg_args *args)
{
    vg_preset_entry *entries = NULL;
    int count = 0;
    vg_presets_list(&entries, &count);
    if (vg_args_has(args, "json")) {
        cJSON *root = cJSON_CreateObject(), *items = cJSON_AddArrayToObject(root, "presets");
        for (int i = 0; i < count; i++) {
            cJSON *o = cJSON_CreateObject();
            cJSON_AddStringToObject(o, "name", entries[i].name);
            cJSON_AddStringToObject(o, "path", entries[i].path);
            cJSON_AddStringToObject(o, "description", entries[i].description);
            cJSON_AddBoolToObject(o, "user", entries[i].user);
            cJSON_AddItemToArray(items, o);
        }
        vg_json_print(stdout, root, false);
    } else {
        for (int i = 0; i < count; i++) {
            char *name = vg_text_clean(entries[i].name);
            printf("%-28s %s%s\n", name, entries[i].user ? "(yours) " : "", entries[i].description);
            free(name);
        }
    }
    vg_presets_list_free(entries, count);
    return VG_EXIT_OK;
}

static int path(vg_args *args, const char *name)
{
    char *file = NULL;
    vg_err err = {0};
    if (vg_presets_find(name, &file, &err) != VG_OK)
        return vg_cli_usage(args, "%s", err.message);
    vg_text_print(stdout, file);
    putchar('\n');
    free(file);
    return VG_EXIT_OK;
}

static int show(vg_args *args, const char *name)
{
    vg_settings settings = {{0}};
    vg_lines warnings = {0};
    vg_err err = {0};
    vg_status status = vg_presets_load(name, &settings, &warnings, &err);
    vg_cli_warn(&warnings);
    if (status == VG_OK && vg_args_has(args, "json")) {
        vg_json_print(stdout, vg_settings_to_json(&settings), true);
    } else if (status == VG_OK) {
        for (int i = 0; i < VG_OPT_COUNT; i++) {
            if (!settings.text[i])
                continue;
            printf("%-22s", vg_options[i].key);
            vg_text_print(stdout, settings.text[i]);
            putchar('\n');
        }
    }
    int result = status == VG_OK ? VG_EXIT_OK : vg_cli_usage(args, "%s", err.message);
    vg_lines_free(&warnings);
    vg_settings_deinit(&settings);
    return result;
}

static int save(vg_args *args, const char *name)
{
    vg_settings settings = {{0}};
    vg_err err = {0};
    char *file = NULL;
    vg_status status = vg_cli_settings(args, &settings, &err);
    if (status == VG_OK)
        status = vg_presets_save(name, &settings, NULL, &file, &err);
    if (status == VG_OK) {
        vg_text_print(stdout, file);
        putchar('\n');
    }
    int result = status == VG_OK ? VG_EXIT_OK : vg_cli_fail(args, &err);
    free(file);
    vg_settings_deinit(&settings);
    return result;
}

static int run(vg_args *args)
{
    static const char *const verbs[] = {"list", "show", "path", "save"};
    const char *verb = args->words_count ? args->words[0] : "list",
               *name = args->words_count > 1 ? args->words[1] : NULL;
    if (!strcmp(verb, "list"))
        return list(args);
    if (strcmp(verb, "show") && strcmp(verb, "path") && strcmp(verb, "save")) {
        const char *near = vg_text_nearest(verb, verbs, 4);
        if (near)
            return vg_cli_usage(args, "%s is not known; did you mean %s?", verb, near);
        return vg_cli_usage(args, "%s is not known: list, show NAME, path NAME or save NAME", verb);
    }
    if (!name)
        return vg_cli_usage(args, "%s needs the preset's name", verb);
    return !strcmp(verb, "show")   ? show(args, name)
           : !strcmp(verb, "path") ? path(args, name)
                                   : save(args, name);
}

static const vg_arg_spec specs[] = {{"preset", 0, "NAME", "save: begin with this preset"},
                                    {"json", 0, NULL, "as one JSON object"},
                                    {0}};

extern const vg_command vg_command_presets;
const vg_command vg_command_presets = {
    .name = "presets",
    .arguments = "[list | show NAME | path NAME | save NAME [settings]]",
    .summary = "list, show and save named settings",
    .text =
        "Presets are JSON files with the keys of the settings. Your own are in $XDG_CONFIG_HOME/vgen/presets and win over those that came along; save writes there what the flags say.",
    .examples =
        "  vgen presets show demo\n  vgen presets save mine --preset demo --seed 7 --num-inference-steps 30\n",
    .settings = "*",
    .specs = specs,
    .max_args = 2,
    .run = run,
};
