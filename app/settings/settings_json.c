/* settings_json.c: settings as a JSON object, to and fro. See settings.h. */
#include "app/settings/settings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

cJSON *vg_settings_to_json(const vg_settings *s)
{
    cJSON *object = cJSON_CreateObject();
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        const char *t = s->text[i];
        if (!t)
            continue;
        switch (vg_options[i].type) {
        case VG_TYPE_INT:
        case VG_TYPE_REAL:
            cJSON_AddNumberToObject(object, vg_options[i].key, strtod(t, NULL));
            break;
        case VG_TYPE_SEED:
            /* Beyond 2^53 a JSON number is not exact: text then. */
            if (strtoull(t, NULL, 10) <= (1ull << 53))
                cJSON_AddNumberToObject(object, vg_options[i].key, strtod(t, NULL));
            else
                cJSON_AddStringToObject(object, vg_options[i].key, t);
            break;
        case VG_TYPE_BOOL:
            cJSON_AddBoolToObject(object, vg_options[i].key, !strcmp(t, "true"));
            break;
        case VG_TYPE_PATHS: {
            vg_lines paths = {0};
            vg_settings_paths(s, (vg_option_id)i, &paths);
            cJSON_AddItemToObject(
                object, vg_options[i].key,
                cJSON_CreateStringArray((const char *const *)paths.items, paths.count));
            vg_lines_free(&paths);
            break;
        }
        case VG_TYPE_LIST: {
            cJSON *list = cJSON_AddArrayToObject(object, vg_options[i].key);
            while (*t) {
                size_t n = strcspn(t, ",");
                char *word = vg_xstrf("%.*s", (int)n, t);
                cJSON_AddItemToArray(list, cJSON_CreateString(word));
                free(word);
                t += n + (t[n] == ',');
            }
            break;
        }
        default:
            cJSON_AddStringToObject(object, vg_options[i].key, t);
            break;
        }
    }
    return object;
}

/* The text form of a JSON value, malloc'd; NULL when its JSON type cannot be this option's. */
static char *json_text(const vg_option *o, const cJSON *item)
{
    if (cJSON_IsString(item) && o->type != VG_TYPE_BOOL && o->type != VG_TYPE_INT &&
        o->type != VG_TYPE_REAL)
        return vg_xstrdup(item->valuestring);
    if (cJSON_IsBool(item) && o->type == VG_TYPE_BOOL)
        return vg_xstrdup(cJSON_IsTrue(item) ? "true" : "false");
    if (cJSON_IsNumber(item) &&
        (o->type == VG_TYPE_INT || o->type == VG_TYPE_REAL || o->type == VG_TYPE_SEED)) {
        double v = item->valuedouble;
        if (o->type != VG_TYPE_REAL && v == floor(v) && fabs(v) <= 9007199254740992.0)
            return vg_xstrf("%.0f", v);
        return vg_text_real(v);
    }
    /* "0.37" is a name here, and people write it as a number. */
    if (cJSON_IsNumber(item) && o->type == VG_TYPE_ENUM)
        return vg_text_real(item->valuedouble);
    if (cJSON_IsArray(item) && (o->type == VG_TYPE_LIST || o->type == VG_TYPE_PATHS)) {
        const char *between = o->type == VG_TYPE_LIST ? "," : VG_PATHS_BETWEEN;
        char *joined = vg_xstrdup("");
        const cJSON *part;
        cJSON_ArrayForEach(part, item)
        {
            if (!cJSON_IsString(part)) {
                free(joined);
                return NULL;
            }
            char *next = vg_xstrf("%s%s%s", joined, *joined ? between : "", part->valuestring);
            free(joined);
            joined = next;
        }
        return joined;
    }
    return NULL;
}

static void warn_unknown(const char *key, const char *name, vg_lines *warnings)
{
    char clean[64], clean_name[256];
    const char *near = vg_option_nearest(key);
    vg_text_clean_to(clean, sizeof clean, key);
    vg_text_clean_to(clean_name, sizeof clean_name, name);
    if (!warnings || warnings->count >= 16)
        return;
    if (near)
        vg_lines_add(warnings, vg_xstrf("%s: %s is not a setting and is ignored; did you mean %s?",
                                        clean_name, clean, near));
    else
        vg_lines_add(warnings,
                     vg_xstrf("%s: %s is not a setting and is ignored", clean_name, clean));
}

vg_status vg_settings_from_json(vg_settings *s, const cJSON *object, const char *name,
                                vg_lines *warnings, vg_err *err)
{
    vg_settings taken = {{0}};
    vg_status status = VG_OK;
    const cJSON *item;
    if (!cJSON_IsObject(object))
        return VG_FAIL(err, VG_E_FORMAT, "%s: settings need to be an object like {\"height\": 480}",
                       name);
    cJSON_ArrayForEach(item, object)
    {
        int id = item->string ? vg_option_find(item->string) : -1;
        if (!item->string || item->string[0] == '_' || cJSON_IsNull(item))
            continue;
        if (id < 0) {
            warn_unknown(item->string, name, warnings);
            continue;
        }
        const vg_option *o = &vg_options[id];
        char expects[256];
        char *text = json_text(o, item);
        if (!text) {
            status = VG_FAIL(err, VG_E_FORMAT, "%s: %s is %s, it needs %s", name, o->key,
                             vg_json_kind(item), vg_option_expects(o, expects, sizeof expects));
            goto done;
        }
        vg_err inner = {0};
        status = !*text && (o->type == VG_TYPE_LIST || o->type == VG_TYPE_PATHS)
                     ? VG_FAIL(&inner, VG_E_ARG, "%s: the list is empty", o->key)
                     : vg_settings_set(&taken, (vg_option_id)id, text, &inner);
        free(text);
        if (status != VG_OK) {
            status = VG_FAIL(err, VG_E_FORMAT, "%s: %s", name, inner.message);
            goto done;
        }
    }
    vg_settings_merge(s, &taken);
done:
    vg_settings_deinit(&taken);
    return status;
}
