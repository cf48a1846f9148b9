/* cmd_models.c: vgen models. */
#include "app/cli/cli.h"
#include "app/settings/paths.h"
#include "engine/run/hub.h"

#include <stdlib.h>

static int run(vg_args *args)
{
    vg_lines dirs = {0};
    vg_model_entry *entries = NULL;
    vg_err err = {0};
    int count = 0;
    char bytes[32];
    vg_paths_presets(&dirs);
    vg_status status =
        vg_model_list((const char *const *)dirs.items, dirs.count, &entries, &count, &err);
    vg_lines_free(&dirs);
    if (status != VG_OK)
        return vg_cli_fail(args, &err);
    if (vg_args_has(args, "json")) {
        cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "models");
        for (int i = 0; i < count; i++) {
            cJSON *o = cJSON_CreateObject();
            cJSON_AddStringToObject(o, "model", entries[i].id);
            cJSON_AddStringToObject(o, "dir", entries[i].dir);
            cJSON_AddStringToObject(o, "family", entries[i].family);
            cJSON_AddStringToObject(o, "modes", entries[i].modes);
            cJSON_AddStringToObject(o, "precision", entries[i].precision);
            cJSON_AddNumberToObject(o, "bytes", (double)entries[i].bytes);
            cJSON_AddBoolToObject(o, "complete", entries[i].missing == NULL);
            if (entries[i].missing)
                cJSON_AddStringToObject(o, "missing", entries[i].missing);
            cJSON_AddItemToArray(list, o);
        }
        vg_json_print(stdout, root, false);
    } else {
        if (!count)
            fputs("no models: none in the hub cache, none came along\n", stderr);
        for (int i = 0; i < count; i++) {
            char *id = vg_text_clean(entries[i].id),
                 *precision = vg_text_clean(entries[i].precision);
            printf("%-40s %-6s %-6s %10s  %s\n", id, *entries[i].family ? entries[i].family : "?",
                   *entries[i].modes ? entries[i].modes : "?",
                   vg_text_bytes(entries[i].bytes, bytes, sizeof bytes),
                   *precision ? precision : "?");
            if (entries[i].missing) {
                fputs("    not usable: ", stdout);
                vg_text_print(stdout, entries[i].missing);
                putchar('\n');
            }
            free(id);
            free(precision);
        }
    }
    vg_model_list_free(entries, count);
    return VG_EXIT_OK;
}

static const vg_arg_spec specs[] = {{"json", 0, NULL, "as one JSON object"}, {0}};

extern const vg_command vg_command_models;
const vg_command vg_command_models = {
    .name = "models",
    .arguments = "[--json]",
    .summary = "list the models on this machine",
    .text =
        "List the models that --model takes: those in the local hub cache (HF_HUB_CACHE, HF_HOME) and the bundled demos, with family, modes, size and precision, and what is missing of those "
        "that are not complete. A folder in diffusers' layout works by its path without being listed.",
    .specs = specs,
    .run = run,
};
