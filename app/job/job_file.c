/* job_file.c: job.json, written and read. See job.h. */
#include "app/job/job.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "app/job/job_create.h"
#include "app/job/kind.h"

/* 1: a variant was a scheme. */
#define JOB_VERSION 2

static void add_text(cJSON *object, const char *key, const char *text)
{
    if (text)
        cJSON_AddStringToObject(object, key, text);
}

/* What a variant runs with beyond what all do. */
static cJSON *difference_json(const vg_job *job, const vg_job_variant *v)
{
    vg_settings own = {{0}};
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        const char *text = v->resolved.text[i], *shared = job->resolved.text[i];
        if (text && i != VG_OPT_quantization && (!shared || strcmp(text, shared)))
            own.text[i] = vg_xstrdup(text);
    }
    cJSON *o = vg_settings_to_json(&own);
    vg_settings_deinit(&own);
    return o;
}

static cJSON *variant_json(const vg_job *job, int i)
{
    const vg_job_variant *v = &job->variants[i];
    const vg_variant asked = {.id = v->id, .label = v->label, .overlay = v->overlay};
    cJSON *o = vg_variant_to_json(&asked);
    cJSON_AddItemToObject(o, "resolved", difference_json(job, v));
    if (strcmp(v->model_dir, job->model_dir)) {
        cJSON *model = cJSON_AddObjectToObject(o, "model");
        add_text(model, "dir", v->model_dir);
        add_text(model, "weights_identity", v->identity);
    }
    add_text(o, "output", v->outputs.output);
    add_text(o, "save_latents", v->outputs.save_latents);
    add_text(o, "save_frames", v->outputs.save_frames);
    return o;
}

cJSON *vg_job_to_json(const vg_job *job)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "vgen_job", JOB_VERSION);
    add_text(root, "kind", job->kind->name);
    cJSON_AddNumberToObject(root, "created", (double)(int64_t)(job->created * 1000) / 1000);
    add_text(root, "code_version", job->code_version);
    add_text(root, "device", job->device);
    cJSON *model = cJSON_AddObjectToObject(root, "model");
    add_text(model, "dir", job->model_dir);
    add_text(model, "family", job->family);
    add_text(model, "weights_identity", job->identity);
    cJSON *variants = cJSON_AddArrayToObject(root, "variants");
    for (int i = 0; i < job->variants_count; i++)
        cJSON_AddItemToArray(variants, variant_json(job, i));
    add_text(root, "comparison_output", job->comparison_output);
    cJSON_AddItemToObject(root, "settings", vg_settings_to_json(&job->settings));
    cJSON_AddItemToObject(root, "resolved", vg_settings_to_json(&job->resolved));
    return root;
}

static vg_status take_text(const cJSON *o, const char *name, const char *key, bool needed,
                           char **to, vg_err *err)
{
    const char *text = NULL;
    VG_TRY(vg_json_get_string(o, name, key, &text, err));
    if (!text && needed)
        return VG_FAIL(err, VG_E_FORMAT, "%s: %s is missing, it needs a string", name, key);
    if (text && strlen(text) >= PATH_MAX)
        return VG_FAIL(err, VG_E_FORMAT, "%s: %s is %zu bytes long, at most %d", name, key,
                       strlen(text), PATH_MAX - 1);
    *to = text ? vg_text_clean(text) : NULL; /* it may come from anybody, and goes to a terminal */
    return VG_OK;
}

static vg_status take_path(const cJSON *o, const char *name, const char *key, bool needed,
                           char **to, vg_err *err)
{
    const char *text = NULL;
    VG_TRY(take_text(o, name, key, needed, to, err));
    if (*to && **to != '/')
        return VG_FAIL(err, VG_E_FORMAT, "%s: %s is not an absolute path", name, key);
    VG_TRY(vg_json_get_string(o, name, key, &text, err));
    free(*to);
    *to = vg_xstrdup(text);
    return VG_OK;
}

/* A file that the job will write. Its place is looked at before it is (vg_job_check_outputs). */
static vg_status take_output(const cJSON *o, const char *name, const char *key, const char *ending,
                             char **to, vg_err *err)
{
    VG_TRY(take_path(o, name, key, false, to, err));
    const char *file = *to ? strrchr(*to, '/') + 1 : "";
    size_t n = strlen(file), m = strlen(ending);
    if (*to && (n <= m || strcasecmp(file + n - m, ending)))
        return VG_FAIL(err, VG_E_FORMAT, "%s: %s: %s does not end in %s", name, key, *to, ending);
    return VG_OK;
}

static vg_status check_difference(const vg_settings *s, const char *name, const char *id,
                                  vg_err *err)
{
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        if (s->text[i] && !vg_option_has(&vg_options[i], VG_OPTION_VARIES))
            return VG_FAIL(err, VG_E_FORMAT, "%s: variant %s: %s cannot differ between variants",
                           name, id, vg_options[i].key);
    }
    return VG_OK;
}

/* Behind the settings that all share. */
static vg_status parse_variant(const cJSON *item, const char *name, const vg_variant *asked,
                               vg_job *job, vg_job_variant *v, vg_err *err)
{
    const cJSON *own = cJSON_GetObjectItemCaseSensitive(item, "resolved"),
                *model = cJSON_GetObjectItemCaseSensitive(item, "model");
    vg_settings difference = {{0}};
    vg_status status = VG_OK;
    *v = (vg_job_variant){.id = vg_xstrdup(asked->id), .label = vg_xstrdup(asked->label)};
    vg_settings_copy(&v->overlay, &asked->overlay);
    vg_variant_settings(&job->resolved, asked, &v->resolved);
    if (own)
        status = vg_settings_from_json(&difference, own, name, NULL, err);
    if (status == VG_OK)
        status = check_difference(&difference, name, v->id, err);
    if (status == VG_OK)
        vg_settings_merge(&v->resolved, &difference);
    vg_settings_deinit(&difference);
    VG_TRY(status);
    if (model && !cJSON_IsObject(model))
        return VG_FAIL(err, VG_E_FORMAT, "%s: variant %s: model is not an object", name, v->id);
    if (model) {
        VG_TRY(take_path(model, name, "dir", true, &v->model_dir, err));
        VG_TRY(take_text(model, name, "weights_identity", false, &v->identity, err));
    } else {
        v->model_dir = vg_xstrdup(job->model_dir);
        v->identity = vg_xstrdup(job->identity);
    }
    VG_TRY(take_output(item, name, "output", ".mp4", &v->outputs.output, err));
    VG_TRY(take_output(item, name, "save_latents", ".safetensors", &v->outputs.save_latents, err));
    return take_output(item, name, "save_frames", ".safetensors", &v->outputs.save_frames, err);
}

static vg_status parse_variants(const cJSON *root, const char *name, vg_job *job, vg_err *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "variants"), *item;
    int count = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    vg_variants asked = {0};
    vg_status status = VG_OK;
    if (count < 1 || count > VG_VARIANTS_MAX)
        return VG_FAIL(err, VG_E_FORMAT, "%s: variants needs to be a list of 1 to %d objects", name,
                       VG_VARIANTS_MAX);
    job->variants = vg_xcalloc((size_t)count, sizeof *job->variants);
    cJSON_ArrayForEach(item, list)
    {
        int i = job->variants_count;
        VG_TRY_GOTO(status, vg_variants_add_json(&asked, item, name, err), done);
        job->variants_count++;
        VG_TRY_GOTO(status, parse_variant(item, name, &asked.items[i], job, &job->variants[i], err),
                    done);
    }
done:
    vg_variants_deinit(&asked);
    return status;
}

static vg_status parse_root(const cJSON *root, const char *name, vg_job *job, vg_err *err)
{
    int64_t version = 0;
    VG_TRY(vg_json_get_int(root, name, "vgen_job", 1, 1000, &version, err));
    if (version < 1 || version > JOB_VERSION)
        return VG_FAIL(err, VG_E_FORMAT,
                       "%s: not a job of this version (vgen_job is %d, it needs 1 to %d)", name,
                       (int)version, JOB_VERSION);
    const char *kind_name = vg_job_kinds[0]->name;
    VG_TRY(vg_json_get_string(root, name, "kind", &kind_name, err));
    job->kind = vg_job_kind_find(kind_name);
    if (!job->kind) {
        char clean[48];
        return VG_FAIL(err, VG_E_FORMAT, "%s: a job of kind %s is not known to this version", name,
                       vg_text_clean_to(clean, sizeof clean, kind_name));
    }
    VG_TRY(vg_json_get_double(root, name, "created", 0, 1e11, &job->created, err));
    VG_TRY(take_text(root, name, "code_version", false, &job->code_version, err));
    VG_TRY(take_text(root, name, "device", true, &job->device, err));
    vg_device_kind kind;
    int ordinal;
    if (!vg_device_parse(job->device, &kind, &ordinal))
        return VG_FAIL(err, VG_E_FORMAT, "%s: device %s is not known, it needs cpu, cuda or cuda:N",
                       name, job->device);
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(root, "model");
    if (!cJSON_IsObject(model))
        return VG_FAIL(err, VG_E_FORMAT, "%s: model is missing, it needs an object", name);
    VG_TRY(take_path(model, name, "dir", true, &job->model_dir, err));
    VG_TRY(take_text(model, name, "family", false, &job->family, err));
    VG_TRY(take_text(model, name, "weights_identity", false, &job->identity, err));
    VG_TRY(take_output(root, name, "comparison_output", ".mp4", &job->comparison_output, err));
    VG_TRY(vg_settings_from_json(&job->settings, cJSON_GetObjectItemCaseSensitive(root, "settings"),
                                 name, NULL, err));
    VG_TRY(vg_settings_from_json(&job->resolved, cJSON_GetObjectItemCaseSensitive(root, "resolved"),
                                 name, NULL, err));
    static const vg_option_id needed[] = {VG_OPT_height, VG_OPT_width, VG_OPT_num_frames,
                                          VG_OPT_num_inference_steps};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (!vg_settings_is_set(&job->resolved, needed[i]))
            return VG_FAIL(err, VG_E_FORMAT, "%s: resolved.%s is missing", name,
                           vg_options[needed[i]].key);
    }
    return parse_variants(root, name, job, err);
}

vg_status vg_job_parse(const char *text, size_t size, const char *name, vg_job *job, vg_err *err)
{
    cJSON *root = NULL;
    vg_job parsed = {0};
    VG_TRY(vg_json_parse(text, size, name, &root, err));
    vg_status status = parse_root(root, name, &parsed, err);
    cJSON_Delete(root);
    if (status == VG_OK)
        *job = parsed;
    else
        vg_job_deinit(&parsed);
    return status;
}

vg_status vg_job_open(const char *dir, vg_job *job, vg_err *err)
{
    char *absolute = realpath(dir, NULL), *path = NULL, *text = NULL;
    size_t size = 0;
    vg_status status;
    if (!absolute)
        return VG_FAIL(err, VG_E_MISSING, "job %s: %s", dir, strerror(errno));
    path = vg_xstrf("%s/%s", absolute, VG_JOB_FILE);
    if (!vg_file_exists(path)) {
        status = VG_FAIL(err, VG_E_MISSING, "%s: there is no %s, so this is not a job", absolute,
                         VG_JOB_FILE);
        goto done;
    }
    VG_TRY_GOTO(status, vg_file_read(path, VG_JOB_FILE_BYTES_MAX, &text, &size, err), done);
    VG_TRY_GOTO(status, vg_job_parse(text, size, path, job, err), done);
    job->dir = absolute;
    job->id = vg_job_id_of(absolute); /* for people; paths come from dir */
    absolute = NULL;
done:
    free(absolute);
    free(path);
    free(text);
    return status;
}
