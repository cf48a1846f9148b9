/* checkpoint.c: model_index.json and the configs beside it. Nothing of a component is opened before somebody asks. */
#include "engine/checkpoint/checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_NAME "model_index.json"

struct vg_checkpoint {
    char *dir; /* absolute */
    cJSON *index;
    const char *class_name; /* inside index */
    int diffusers_version;
};

/* Config files that are not called config.json. */
static const struct {
    const char *component, *file;
} config_names[] = {
    {"scheduler", "scheduler_config.json"},
    {"tokenizer", "tokenizer_config.json"},
    {"tokenizer_2", "tokenizer_config.json"},
    {"image_processor", "preprocessor_config.json"},
    {"feature_extractor", "preprocessor_config.json"},
};

static const char *config_name(const char *component)
{
    for (size_t i = 0; i < sizeof config_names / sizeof config_names[0]; i++) {
        if (strcmp(component, config_names[i].component) == 0)
            return config_names[i].file;
    }
    return "config.json";
}

/* Components without weights of their own. */
static bool has_weights(const char *component)
{
    return strcmp(config_name(component), "config.json") == 0;
}

/* "0.35.0.dev0" -> 35; 0 for anything that does not begin with two numbers. */
static int parse_version(const char *text)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return 0;
    unsigned long major = strtoul(text, &end, 10);
    if (end[0] != '.' || end[1] < '0' || end[1] > '9')
        return 0;
    unsigned long minor = strtoul(end + 1, &end, 10);
    return major < 1000 && minor < 1000 ? (int)(major * 1000 + minor) : 0;
}

vg_status vg_checkpoint_open(const char *dir, vg_checkpoint **checkpoint, vg_err *err)
{
    const char *version = "";
    char *path = NULL;
    vg_status status = VG_OK;
    vg_checkpoint *c = calloc(1, sizeof *c);

    if (!c)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
    c->dir = realpath(dir, NULL);
    if (!c->dir || !vg_file_is_dir(c->dir)) {
        status =
            VG_FAIL(err, VG_E_MISSING, "%s: %s", dir, c->dir ? "not a folder" : strerror(errno));
        goto fail;
    }
    path = vg_path_join(c->dir, INDEX_NAME);
    if (!path) {
        status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
        goto fail;
    }
    if (!vg_file_exists(path)) {
        status = VG_FAIL(err, VG_E_MISSING, "%s: no %s: not a checkpoint in diffusers' layout",
                         c->dir, INDEX_NAME);
        goto fail;
    }
    VG_TRY_GOTO(status, vg_json_load(path, &c->index, err), fail);
    VG_TRY_GOTO(status, vg_json_get_string(c->index, path, "_class_name", &c->class_name, err),
                fail);
    if (!c->class_name) {
        status = VG_FAIL(err, VG_E_FORMAT, "%s: \"_class_name\" is missing", path);
        goto fail;
    }
    VG_TRY_GOTO(status, vg_json_get_string(c->index, path, "_diffusers_version", &version, err),
                fail);
    c->diffusers_version = parse_version(version);
    free(path);
    *checkpoint = c;
    return VG_OK;
fail:
    free(path);
    vg_checkpoint_close(c);
    return status;
}

void vg_checkpoint_close(vg_checkpoint *checkpoint)
{
    if (!checkpoint)
        return;
    cJSON_Delete(checkpoint->index);
    free(checkpoint->dir);
    free(checkpoint);
}

const char *vg_checkpoint_dir(const vg_checkpoint *checkpoint)
{
    return checkpoint->dir;
}

const char *vg_checkpoint_class(const vg_checkpoint *checkpoint)
{
    return checkpoint->class_name;
}

const cJSON *vg_checkpoint_index(const vg_checkpoint *checkpoint)
{
    return checkpoint->index;
}

int vg_checkpoint_diffusers_version(const vg_checkpoint *checkpoint)
{
    return checkpoint->diffusers_version;
}

/* The class of an entry [library, class]; NULL for [null, null] and for plain settings such as boundary_ratio. */
static const char *entry_class(const cJSON *item)
{
    const cJSON *library = cJSON_IsArray(item) ? item->child : NULL;
    const cJSON *class_name = library ? library->next : NULL;

    if (!class_name || class_name->next || !cJSON_IsString(class_name))
        return NULL;
    return class_name->valuestring;
}

/* Component names become folder names. */
static bool plain_name(const char *name)
{
    return name[0] && name[0] != '.' && !strchr(name, '/');
}

const char *vg_checkpoint_component(const vg_checkpoint *checkpoint, const char *name)
{
    return plain_name(name) ? entry_class(cJSON_GetObjectItemCaseSensitive(checkpoint->index, name))
                            : NULL;
}

vg_status vg_checkpoint_config(const vg_checkpoint *checkpoint, const char *name, cJSON **config,
                               vg_err *err)
{
    if (!plain_name(name))
        return VG_FAIL(err, VG_E_ARG, "\"%s\" is not the name of a component", name);
    char *path = vg_strf("%s/%s/%s", checkpoint->dir, name, config_name(name));
    if (!path)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
    vg_status status = vg_file_exists(path) ? vg_json_load(path, config, err)
                                            : VG_FAIL(err, VG_E_MISSING, "%s: no such file", path);
    free(path);
    return status;
}

/* Adds what component `name` lacks: *count files, the first of all in *first (component/file). */
static vg_status add_missing(const char *root, const char *name, char **first, int *count,
                             vg_err *err)
{
    char *weights = NULL;
    int weights_count = 0;
    vg_status status = VG_OK;
    char *dir = vg_path_join(root, name);
    char *config = dir ? vg_path_join(dir, config_name(name)) : NULL;

    if (!config)
        status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", root);
    if (status == VG_OK && has_weights(name))
        status = vg_weights_missing(dir, &weights, &weights_count, err);
    bool no_config = config && !vg_file_exists(config);
    if (status == VG_OK && !*first && (no_config || weights)) {
        *first = vg_strf("%s/%s", name, no_config ? config_name(name) : weights);
        if (!*first)
            status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", root);
    }
    *count += weights_count + no_config;
    free(weights);
    free(config);
    free(dir);
    return status;
}

vg_status vg_checkpoint_missing(const vg_checkpoint *checkpoint, char **missing, vg_err *err)
{
    const cJSON *item;
    char *first = NULL;
    int count = 0;
    vg_status status = VG_OK;

    cJSON_ArrayForEach(item, checkpoint->index)
    {
        if (status == VG_OK && plain_name(item->string) && entry_class(item))
            status = add_missing(checkpoint->dir, item->string, &first, &count, err);
    }
    if (status == VG_OK && count > 1) {
        char *text = vg_strf("%s and %d more", first, count - 1);
        if (!text)
            status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", checkpoint->dir);
        free(first);
        first = text;
    }
    if (status != VG_OK) {
        free(first);
        return status;
    }
    *missing = first;
    return VG_OK;
}
