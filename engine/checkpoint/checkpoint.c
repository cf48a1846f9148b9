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
    {"guider", "guider_config.json"},
};

const char *vg_checkpoint_config_name(const char *component)
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
    return strcmp(vg_checkpoint_config_name(component), "config.json") == 0;
}

/* Folders that a pipeline may have; their entries have to be components. */
static const char *const component_names[] = {
    "transformer",       "transformer_2", "vae",       "text_encoder",  "text_encoder_2",
    "tokenizer",         "tokenizer_2",   "scheduler", "image_encoder", "image_processor",
    "feature_extractor", "guider"};

/* A component is [library, class], or [null, null] or null when the pipeline has none. */
static vg_status check_entry(const cJSON *item, const char *path, vg_err *err)
{
    const cJSON *library = cJSON_IsArray(item) ? item->child : NULL;
    const cJSON *class_name = library ? library->next : NULL;

    if (cJSON_IsNull(item) || (class_name && !class_name->next &&
                               ((cJSON_IsString(library) && cJSON_IsString(class_name)) ||
                                (cJSON_IsNull(library) && cJSON_IsNull(class_name)))))
        return VG_OK;
    return VG_FAIL(err, VG_E_FORMAT,
                   "%s: \"%s\" must be [library, class], two texts, or [null, null]", path,
                   item->string);
}

static vg_status check_entries(const cJSON *index, const char *path, vg_err *err)
{
    for (size_t i = 0; i < sizeof component_names / sizeof component_names[0]; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(index, component_names[i]);
        if (item)
            VG_TRY(check_entry(item, path, err));
    }
    return VG_OK;
}

vg_status vg_checkpoint_open(const char *dir, vg_checkpoint **checkpoint, vg_err *err)
{
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
    VG_TRY_GOTO(status, check_entries(c->index, path, err), fail);
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
    char *path = vg_strf("%s/%s/%s", checkpoint->dir, name, vg_checkpoint_config_name(name));
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
    char *config = dir ? vg_path_join(dir, vg_checkpoint_config_name(name)) : NULL;

    if (!config)
        status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", root);
    if (status == VG_OK && has_weights(name))
        status = vg_weights_missing(dir, &weights, &weights_count, err);
    bool no_config = config && !vg_file_exists(config);
    if (status == VG_OK && !*first && (no_config || weights)) {
        *first = vg_strf("%s/%s", name, no_config ? vg_checkpoint_config_name(name) : weights);
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
