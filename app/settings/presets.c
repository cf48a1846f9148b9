/* presets.c: see presets.h. */
#include "app/settings/presets.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include "app/settings/paths.h"

#define PRESET_LIMIT_BYTES (1u << 20)

static bool is_preset_file(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && name[0] != '.' && !strcmp(name + n - 5, ".json");
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const vg_preset_entry *)a)->name, ((const vg_preset_entry *)b)->name);
}

static char *description_of(const char *path)
{
    cJSON *root = NULL;
    char *text = NULL;
    if (vg_json_load(path, &root, NULL) == VG_OK) {
        const cJSON *comment = cJSON_GetObjectItemCaseSensitive(root, "_comment");
        if (cJSON_IsString(comment))
            text = vg_text_clean(comment->valuestring);
    }
    cJSON_Delete(root);
    return text ? text : vg_xstrdup("");
}

void vg_presets_list(vg_preset_entry **entries, int *count)
{
    vg_lines dirs = {0};
    vg_preset_entry *list = NULL;
    int n = 0;
    char *user = vg_paths_user_presets();
    char *user_real = realpath(user, NULL);
    vg_paths_presets(&dirs);
    for (int d = 0; d < dirs.count; d++) {
        DIR *dir = opendir(dirs.items[d]);
        struct dirent *item;
        while (dir && (item = readdir(dir))) {
            if (!is_preset_file(item->d_name))
                continue;
            char *name = vg_xstrf("%.*s", (int)(strlen(item->d_name) - 5), item->d_name);
            bool known = false;
            for (int i = 0; i < n && !known; i++)
                known = !strcmp(list[i].name, name);
            if (known) {
                free(name);
                continue;
            }
            list = vg_xrealloc(list, (size_t)(n + 1) * sizeof *list);
            char *path = vg_xstrf("%s/%s", dirs.items[d], item->d_name);
            list[n++] = (vg_preset_entry){name, path, description_of(path),
                                          user_real && !strcmp(dirs.items[d], user_real)};
        }
        if (dir)
            closedir(dir);
    }
    if (n > 1)
        qsort(list, (size_t)n, sizeof *list, compare_entries);
    free(user);
    free(user_real);
    vg_lines_free(&dirs);
    *entries = list;
    *count = n;
}

void vg_presets_list_free(vg_preset_entry *entries, int count)
{
    for (int i = 0; i < count; i++) {
        free(entries[i].name);
        free(entries[i].path);
        free(entries[i].description);
    }
    free(entries);
}

static bool is_name(const char *name)
{
    if (!*name || *name == '.' || strlen(name) > 100)
        return false;
    return name[strspn(name,
                       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] == 0;
}

vg_status vg_presets_find(const char *name, char **path, vg_err *err)
{
    if (!*name)
        return VG_FAIL(err, VG_E_MISSING, "preset: the name is empty; `vgen presets` lists them");
    if (strchr(name, '/') || is_preset_file(name)) {
        if (!vg_file_exists(name))
            return VG_FAIL(err, VG_E_MISSING, "preset %s: there is no such file", name);
        *path = vg_xstrdup(name);
        return VG_OK;
    }
    vg_lines dirs = {0};
    char *found = NULL;
    vg_paths_presets(&dirs);
    for (int i = 0; i < dirs.count && !found; i++) {
        char *candidate = vg_xstrf("%s/%s.json", dirs.items[i], name);
        if (vg_file_exists(candidate))
            found = candidate;
        else
            free(candidate);
    }
    vg_lines_free(&dirs);
    if (found) {
        *path = found;
        return VG_OK;
    }
    vg_preset_entry *entries = NULL;
    int count = 0;
    vg_presets_list(&entries, &count);
    const char **names = vg_xcalloc((size_t)count, sizeof *names);
    for (int i = 0; i < count; i++)
        names[i] = entries[i].name;
    const char *near = vg_text_nearest(name, names, count);
    if (near)
        VG_FAIL(err, VG_E_MISSING, "preset %s is not known; did you mean %s?", name, near);
    else
        VG_FAIL(err, VG_E_MISSING, "preset %s is not known; `vgen presets` lists them", name);
    free(names);
    vg_presets_list_free(entries, count);
    return VG_E_MISSING;
}

vg_status vg_presets_parse(const char *text, size_t size, const char *name, vg_settings *s,
                           vg_lines *warnings, vg_err *err)
{
    cJSON *root = NULL;
    VG_TRY(vg_json_parse(text, size, name, &root, err));
    vg_status status = vg_settings_from_json(s, root, name, warnings, err);
    cJSON_Delete(root);
    return status;
}

vg_status vg_presets_load(const char *name, vg_settings *s, vg_lines *warnings, vg_err *err)
{
    char *path = NULL, *text = NULL;
    size_t size = 0;
    vg_status status;
    VG_TRY(vg_presets_find(name, &path, err));
    VG_TRY_GOTO(status, vg_file_read(path, PRESET_LIMIT_BYTES, &text, &size, err), done);
    status = vg_presets_parse(text, size, path, s, warnings, err);
done:
    free(text);
    free(path);
    return status;
}

/* {"height": 96, ...} with whole paths of the files that decide pixels: a preset is used from any folder. */
static cJSON *json_of(const vg_settings *s)
{
    vg_settings copy = {{0}};
    vg_settings_copy(&copy, s);
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        const vg_option *o = &vg_options[i];
        if ((o->type == VG_TYPE_PATH || o->type == VG_TYPE_PATHS) && copy.text[i] &&
            vg_option_decides(o, VG_DECIDES_PIXELS))
            (void)vg_settings_whole_paths(&copy, (vg_option_id)i, NULL); /* were good before */
    }
    cJSON *json = vg_settings_to_json(&copy);
    vg_settings_deinit(&copy);
    return json;
}

vg_status vg_presets_save(const char *name, const vg_settings *s, const char *comment, char **path,
                          vg_err *err)
{
    if (!is_name(name))
        return VG_FAIL(
            err, VG_E_ARG,
            "preset name \"%s\": use letters, digits, '-', '_' and '.', not beginning with '.'",
            name);
    char *dir = vg_paths_user_presets();
    char *file = vg_xstrf("%s/%s.json", dir, name);
    cJSON *settings = json_of(s), *root = cJSON_CreateObject();
    if (comment && *comment)
        cJSON_AddStringToObject(root, "_comment", comment);
    for (cJSON *item = settings->child; item;) {
        cJSON *next = item->next;
        cJSON_AddItemToObject(root, item->string, cJSON_DetachItemViaPointer(settings, item));
        item = next;
    }
    vg_status status = vg_file_make_private_dirs(dir, err);
    if (status == VG_OK)
        status = vg_json_save(file, root, err);
    cJSON_Delete(settings);
    cJSON_Delete(root);
    free(dir);
    if (status == VG_OK && path)
        *path = file;
    else
        free(file);
    return status;
}
