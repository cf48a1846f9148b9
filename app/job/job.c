/* job.c: making and reading job folders. See job.h. */
#include "app/job/job.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "app/job/job_media.h"
#include "app/job/lock.h"
#include "app/settings/paths.h"
#include "kernels/base/hash.h"
#include "engine/run/budget.h"
#include "engine/run/hub.h"

#define JOB_VERSION 1

void vg_job_deinit(vg_job *job)
{
    free(job->id);
    free(job->dir);
    free(job->model_dir);
    free(job->family);
    free(job->identity);
    free(job->code_version);
    free(job->device);
    free(job->comparison_output);
    for (int i = 0; i < VG_SCHEME_COUNT; i++) {
        free(job->outputs[i].output);
        free(job->outputs[i].save_latents);
        free(job->outputs[i].save_frames);
    }
    vg_settings_deinit(&job->settings);
    vg_settings_deinit(&job->resolved);
    *job = (vg_job){0};
}

char *vg_job_path(const vg_job *job, const char *file)
{
    return vg_xstrf("%s/%s", job->dir, file);
}

char *vg_job_variant_path(const vg_job *job, int variant, const char *file)
{
    return vg_xstrf("%s/variants/%s%s%s", job->dir, vg_scheme_name(job->schemes[variant]),
                    file ? "/" : "", file ? file : "");
}

bool vg_job_running(const char *dir, pid_t *pid)
{
    char note[64];
    char *path = vg_xstrf("%s/%s", dir, VG_JOB_LOCK);
    bool held = vg_lock_held(path, note, sizeof note);
    free(path);
    if (pid)
        *pid = held ? (pid_t)strtol(note, NULL, 10) : 0;
    return held;
}

/* ---- names ---- */

static void slug_of(const char *prompt, char *slug, size_t size)
{
    size_t n = 0;
    for (const char *c = prompt; *c && n + 1 < size && n < 32; c++) {
        if ((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9'))
            slug[n++] = *c;
        else if (*c >= 'A' && *c <= 'Z')
            slug[n++] = (char)(*c + 'a' - 'A');
        else if (n && slug[n - 1] != '-')
            slug[n++] = '-';
    }
    /* Whole words only, when the cut fell into one. */
    if (n == 32) {
        size_t cut = n;
        while (cut > 8 && slug[cut - 1] != '-')
            cut--;
        n = cut > 8 ? cut : n;
    }
    while (n && slug[n - 1] == '-')
        n--;
    slug[n] = 0;
    if (!n)
        snprintf(slug, size, "clip");
}

static char *new_id(const char *prompt)
{
    char slug[40], date[32] = "00000000-000000";
    unsigned short tail = 0;
    struct tm tm;
    time_t now = time(NULL);
    slug_of(prompt, slug, sizeof slug);
    if (localtime_r(&now, &tm))
        strftime(date, sizeof date, "%Y%m%d-%H%M%S", &tm);
    if (getrandom(&tail, sizeof tail, 0) != (ssize_t)sizeof tail)
        tail = (unsigned short)(vg_now_monotonic_ms() ^ getpid());
    return vg_xstrf("%s-%s-%04x", date, slug, tail);
}

/* "out.mp4" with "-2" and "-fp8" put before the ending. */
static char *output_name(const char *path, int batch, const char *scheme)
{
    char *absolute = vg_paths_absolute(path);
    char number[24] = "";
    const char *slash = strrchr(absolute, '/'), *dot = strrchr(absolute, '.');
    if (batch > 0)
        snprintf(number, sizeof number, "-%d", batch);
    size_t stem = dot && dot > slash + 1 ? (size_t)(dot - absolute) : strlen(absolute);
    char *name = vg_xstrf("%.*s%s%s%s%s", (int)stem, absolute, number, scheme ? "-" : "",
                          scheme ? scheme : "", absolute + stem);
    free(absolute);
    return name;
}

vg_status vg_job_check_output(const char *key, const char *path, const char *ending, vg_err *err)
{
    char *folder = vg_paths_absolute(path);
    char *slash = strrchr(folder, '/');
    size_t n = strlen(path), m = strlen(ending);
    vg_status status = VG_OK;
    *(slash == folder ? slash + 1 : slash) = 0;
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (strlen(name) <= m || strcasecmp(path + n - m, ending))
        status = VG_FAIL(err, VG_E_ARG, "%s: %s does not end in %s", key, path, ending);
    else if (!vg_file_is_dir(folder))
        status = VG_FAIL(err, VG_E_ARG, "%s: there is no folder %s", key, folder);
    else if (vg_file_is_dir(path))
        status = VG_FAIL(err, VG_E_ARG, "%s: %s is a folder", key, path);
    else if (access(folder, W_OK) != 0)
        status = VG_FAIL(err, VG_E_ARG, "%s: the folder %s cannot be written", key, folder);
    free(folder);
    return status;
}

vg_status vg_job_check_outputs(const vg_job *job, vg_err *err)
{
    for (int i = 0; i < job->variants_count; i++) {
        const vg_job_outputs *o = &job->outputs[i];
        if (o->output)
            VG_TRY(vg_job_check_output("output", o->output, ".mp4", err));
        if (o->save_latents)
            VG_TRY(vg_job_check_output("save_latents", o->save_latents, ".safetensors", err));
        if (o->save_frames)
            VG_TRY(vg_job_check_output("save_frames", o->save_frames, ".safetensors", err));
    }
    return job->comparison_output
               ? vg_job_check_output("output", job->comparison_output, ".mp4", err)
               : VG_OK;
}

/* The same file by two spellings: its folder is there (vg_job_check_output), it need not be. malloc'd. */
static char *real_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = vg_xstrf("%.*s", slash > path ? (int)(slash - path) : 1, path),
         *real = realpath(folder, NULL);
    char *name = vg_xstrf("%s/%s", real ? real : folder, slash + 1);
    free(folder);
    free(real);
    return name;
}

/* Two outputs in one file: the later one would overwrite the earlier. */
static vg_status check_distinct(const vg_job *job, vg_err *err)
{
    vg_lines names = {0};
    vg_status status = VG_OK;
    for (int i = 0; i < job->variants_count; i++) {
        const vg_job_outputs *o = &job->outputs[i];
        const char *const paths[] = {o->output, o->save_latents, o->save_frames};
        for (int k = 0; k < 3; k++) {
            if (paths[k])
                vg_lines_add(&names, real_name(paths[k]));
        }
    }
    if (job->comparison_output)
        vg_lines_add(&names, real_name(job->comparison_output));
    vg_lines_sort(&names);
    for (int i = 1; i < names.count && status == VG_OK; i++) {
        if (!strcmp(names.items[i - 1], names.items[i]))
            status =
                VG_FAIL(err, VG_E_ARG,
                        "output, save_latents, save_frames: two of them would be written to %s",
                        names.items[i]);
    }
    vg_lines_free(&names);
    return status;
}

static vg_status plan_outputs(vg_job *job, int batch, vg_err *err)
{
    static const struct {
        vg_option_id id;
        const char *ending;
        size_t offset;
    } kinds[] = {
        {VG_OPT_output, ".mp4", offsetof(vg_job_outputs, output)},
        {VG_OPT_save_latents, ".safetensors", offsetof(vg_job_outputs, save_latents)},
        {VG_OPT_save_frames, ".safetensors", offsetof(vg_job_outputs, save_frames)},
    };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const char *path = vg_settings_get(&job->settings, kinds[k].id);
        if (!*path)
            continue;
        VG_TRY(vg_job_check_output(vg_options[kinds[k].id].key, path, kinds[k].ending, err));
        for (int i = 0; i < job->variants_count; i++) {
            char **slot = (char **)((char *)&job->outputs[i] + kinds[k].offset);
            *slot = output_name(path, batch,
                                job->variants_count > 1 ? vg_scheme_name(job->schemes[i]) : NULL);
        }
        if (k == 0 && job->variants_count > 1)
            job->comparison_output = output_name(path, batch, NULL);
    }
    return check_distinct(job, err);
}

/* ---- job.json ---- */

static void add_text(cJSON *object, const char *key, const char *text)
{
    if (text)
        cJSON_AddStringToObject(object, key, text);
}

static cJSON *job_json(const vg_job *job)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "vgen_job", JOB_VERSION);
    cJSON_AddNumberToObject(root, "created", (double)(int64_t)(job->created * 1000) / 1000);
    add_text(root, "code_version", job->code_version);
    add_text(root, "device", job->device);
    cJSON *model = cJSON_AddObjectToObject(root, "model");
    add_text(model, "dir", job->model_dir);
    add_text(model, "family", job->family);
    add_text(model, "weights_identity", job->identity);
    cJSON *variants = cJSON_AddArrayToObject(root, "variants");
    for (int i = 0; i < job->variants_count; i++) {
        cJSON *v = cJSON_CreateObject();
        add_text(v, "quantization", vg_scheme_name(job->schemes[i]));
        add_text(v, "output", job->outputs[i].output);
        add_text(v, "save_latents", job->outputs[i].save_latents);
        add_text(v, "save_frames", job->outputs[i].save_frames);
        cJSON_AddItemToArray(variants, v);
    }
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

/* A file that the job will write. Its place is looked at when it is written (vg_job_check_outputs). */
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

static vg_status parse_variants(const cJSON *root, const char *name, vg_job *job, vg_err *err)
{
    const cJSON *variants = cJSON_GetObjectItemCaseSensitive(root, "variants"), *item;
    int count = cJSON_IsArray(variants) ? cJSON_GetArraySize(variants) : 0;
    if (count < 1 || count > VG_SCHEME_COUNT)
        return VG_FAIL(err, VG_E_FORMAT, "%s: variants needs to be a list of 1 to %d objects", name,
                       VG_SCHEME_COUNT);
    cJSON_ArrayForEach(item, variants)
    {
        const char *scheme = NULL;
        int i = job->variants_count;
        if (!cJSON_IsObject(item))
            return VG_FAIL(err, VG_E_FORMAT, "%s: variants holds something that is not an object",
                           name);
        VG_TRY(vg_json_get_string(item, name, "quantization", &scheme, err));
        if (!scheme || vg_scheme_parse(scheme, &job->schemes[i], NULL) != VG_OK)
            return VG_FAIL(err, VG_E_FORMAT, "%s: variants: quantization %s is not known", name,
                           scheme ? scheme : "(missing)");
        for (int k = 0; k < i; k++) {
            if (job->schemes[k] == job->schemes[i])
                return VG_FAIL(err, VG_E_FORMAT, "%s: variants: %s is there twice", name, scheme);
        }
        job->variants_count++;
        VG_TRY(take_output(item, name, "output", ".mp4", &job->outputs[i].output, err));
        VG_TRY(take_output(item, name, "save_latents", ".safetensors",
                           &job->outputs[i].save_latents, err));
        VG_TRY(take_output(item, name, "save_frames", ".safetensors", &job->outputs[i].save_frames,
                           err));
    }
    return VG_OK;
}

static vg_status parse_root(const cJSON *root, const char *name, vg_job *job, vg_err *err)
{
    int64_t version = 0;
    VG_TRY(vg_json_get_int(root, name, "vgen_job", 1, 1000, &version, err));
    if (version != JOB_VERSION)
        return VG_FAIL(err, VG_E_FORMAT,
                       "%s: not a job of this version (vgen_job is %d, it needs %d)", name,
                       (int)version, JOB_VERSION);
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
    VG_TRY(parse_variants(root, name, job, err));
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
    return VG_OK;
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

/* ---- making ---- */

/* Open latents that a person gave: F32 [C,T,h,w], or [1,C,T,h,w]. Views into *st. VG_E_ARG for anything wrong with them. */
static vg_status open_init_latents(const char *path, vg_safetensors **st, vg_tensor *latents,
                                   vg_err *err)
{
    char shape[96];
    vg_err inner = {0};
    if (vg_safetensors_open(path, st, &inner) != VG_OK)
        return VG_FAIL(err, VG_E_ARG, "init_latents: %s", inner.message);
    const vg_tensor *t = vg_safetensors_find(*st, "latents");
    if (!t || t->dtype != VG_F32 || !(t->ndim == 4 || (t->ndim == 5 && t->shape[0] == 1))) {
        VG_FAIL(err, VG_E_ARG, "init_latents: %s needs a tensor latents, F32 [C,T,h,w]%s%s", path,
                t ? ", not " : "", t ? vg_tensor_describe(t, shape, sizeof shape) : "");
        vg_safetensors_close(*st);
        *st = NULL;
        return VG_E_ARG;
    }
    *latents = t->ndim == 5 ? vg_tensor_of(t->data, VG_F32, 4, t->shape + 1) : *t;
    return VG_OK;
}

/* They are copied into the job, so that it resumes even when the file goes. */
static vg_status copy_init_latents(const char *from, const char *dir, vg_err *err)
{
    vg_safetensors *st = NULL;
    vg_safetensors_entry entry = {.name = "latents"};
    VG_TRY(open_init_latents(from, &st, &entry.tensor, err));
    char *to = vg_xstrf("%s/%s", dir, VG_JOB_INIT_LATENTS);
    vg_status status = vg_safetensors_write(to, &entry, 1, NULL, err);
    free(to);
    vg_safetensors_close(st);
    return status;
}

/* Their shape follows from the size, which the model has decided by now. */
static vg_status check_init_latents(const vg_model *model, const char *path,
                                    const vg_generate_params *params, vg_err *err)
{
    vg_safetensors *st = NULL;
    vg_tensor latents;
    vg_generate_params p = *params;
    char shape[96];
    vg_err inner = {0};
    VG_TRY(open_init_latents(path, &st, &latents, err));
    p.init_latents = latents.data;
    p.init_latents_shape = latents.shape;
    vg_status status = vg_model_defaults(model, &p, &inner);
    if (status != VG_OK)
        status = VG_FAIL(err, VG_E_ARG, "init_latents: %s is %s: %s", path,
                         vg_tensor_describe(&latents, shape, sizeof shape), inner.message);
    vg_safetensors_close(st);
    return status;
}

/* A run that cannot fit would end in the hands of the kernel, and take others with it. Weights are left out: on the CPU they are mapped
 * from the file and need not be resident; the CUDA backend says itself what does not fit. */
static vg_status check_memory(const vg_model *model, const vg_generate_params *params, vg_err *err)
{
    vg_plan plan;
    char wanted[32], there[32];
    uint64_t total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGE_SIZE);
    vg_status planned = vg_plan_make(model, params, &plan, NULL);
    if (planned == VG_E_NOMEM)
        return VG_FAIL(
            err, VG_E_ARG,
            "height x width x num_frames: %dx%dx%d needs more than this machine has even "
            "to be planned; make it smaller",
            params->height, params->width, params->num_frames);
    if (planned != VG_OK)
        return VG_OK;
    for (int i = 0; i < plan.count; i++) {
        uint64_t bytes = (uint64_t)plan.stages[i].activations + plan.stages[i].workspace;
        if (params->memory_limit) /* the stage itself refuses, and says what would fit */
            break;
        if (bytes > total)
            return VG_FAIL(
                err, VG_E_ARG,
                "height x width x num_frames: %dx%dx%d needs %s in stage %s, this machine has %s; make it smaller%s",
                params->height, params->width, params->num_frames,
                vg_text_bytes(bytes, wanted, sizeof wanted), plan.stages[i].name,
                vg_text_bytes(total, there, sizeof there),
                !params->vae_tiling && !strcmp(plan.stages[i].name, "decode")
                    ? " or try vae_use_tiling"
                    : "");
    }
    return VG_OK;
}

/* Is everything given that the mode needs? Whoever gave too little may not know what there is. */
static vg_status check_inputs(const vg_model *model, const vg_generate_params *params, vg_err *err)
{
    vg_err inner = {0};
    vg_status status = vg_model_check_inputs(model, params, &inner);
    return status == VG_OK ? VG_OK
                           : VG_FAIL(err, status, "%s; this model's modes: %s", inner.message,
                                     vg_model_modes(model));
}

static vg_status resolve_model(vg_job *job, const vg_job_media *media, vg_err *err)
{
    vg_lines presets = {0};
    vg_model *model = NULL;
    vg_generate_params params;
    vg_precision_report precision; /* only whether there is one */
    char identity[17] = "";
    vg_status status;
    vg_paths_presets(&presets);
    VG_TRY_GOTO(status,
                vg_model_find(vg_settings_get(&job->settings, VG_OPT_model),
                              (const char *const *)presets.items, presets.count, &job->model_dir,
                              err),
                done);
    char *real = realpath(job->model_dir, NULL);
    if (real) {
        free(job->model_dir);
        job->model_dir = real;
    }
    VG_TRY_GOTO(status,
                vg_model_open(job->model_dir, vg_settings_load_format(&job->settings), &model, err),
                done);
    VG_TRY_GOTO(status, vg_model_check(model, err), done);
    for (int i = 0; i < job->variants_count; i++) {
        vg_settings_params(&job->settings, job->schemes[i], &params);
        vg_job_media_give(media, &params);
        VG_TRY_GOTO(status, vg_model_defaults(model, &params, err), done);
        VG_TRY_GOTO(status, vg_model_precision(model, &params, &precision, err), done);
        VG_TRY_GOTO(status, check_inputs(model, &params, err), done);
        VG_TRY_GOTO(status, vg_budget_check_size(&params, err), done);
        if (!strcmp(job->device, "cpu"))
            VG_TRY_GOTO(status, check_memory(model, &params, err), done);
    }
    if (*vg_settings_get(&job->settings, VG_OPT_init_latents))
        VG_TRY_GOTO(status,
                    check_init_latents(model, vg_settings_get(&job->settings, VG_OPT_init_latents),
                                       &params, err),
                    done);
    vg_settings_copy(&job->resolved, &job->settings);
    VG_TRY_GOTO(status, vg_settings_take_resolved(&job->resolved, &params, err), done);
    VG_TRY_GOTO(status, vg_job_media_name(media, &job->resolved, err), done);
    VG_TRY_GOTO(status, vg_model_identity(model, identity, err), done);
    job->identity = vg_xstrdup(identity);
    job->family = vg_xstrdup(vg_model_family_name(model));
done:
    vg_model_close(model);
    vg_lines_free(&presets);
    return status;
}

/* Fill a folder under a hidden name, then give it its name: a job folder always has a whole job.json. */
static vg_status make_folder(const char *jobs_dir, vg_job *job, const vg_job_media *media,
                             vg_err *err)
{
    const vg_job_event created = vg_job_event_of(VG_JOB_EVENT_created);
    vg_status status = VG_OK;
    for (int attempt = 0; attempt < 8; attempt++) {
        char *id = new_id(vg_settings_get(&job->settings, VG_OPT_prompt));
        char *hidden = vg_xstrf("%s/.new-%s", jobs_dir, id),
             *final = vg_xstrf("%s/%s", jobs_dir, id);
        char *file = vg_xstrf("%s/%s", hidden, VG_JOB_FILE),
             *variants = vg_xstrf("%s/variants", hidden);
        const char *init = vg_settings_get(&job->settings, VG_OPT_init_latents);
        cJSON *root = job_json(job);
        vg_event_writer events = {.fd = -1};
        status = vg_file_make_private_dirs(variants, err);
        if (status == VG_OK && *init)
            status = copy_init_latents(init, hidden, err);
        if (status == VG_OK)
            status = vg_job_media_keep(media, hidden, err);
        if (status == VG_OK)
            status = vg_json_save(file, root, err);
        if (status == VG_OK)
            status = vg_event_writer_open(hidden, &events, err);
        if (status == VG_OK)
            status = vg_event_write(&events, &created, err);
        vg_event_writer_close(&events);
        bool taken = vg_file_exists(final);
        if (status == VG_OK && !taken && rename(hidden, final) != 0)
            status = VG_FAIL(err, VG_E_IO, "%s: cannot make the job's folder: %s", final,
                             strerror(errno));
        if (status != VG_OK || taken)
            (void)vg_file_remove_tree(hidden, NULL);
        cJSON_Delete(root);
        free(hidden);
        free(file);
        free(variants);
        if (status == VG_OK && !taken) {
            job->id = id;
            job->dir = final;
            return VG_OK;
        }
        free(id);
        free(final);
        if (status != VG_OK)
            return status;
    }
    return VG_FAIL(err, VG_E_BUSY, "%s: no free name for a job", jobs_dir);
}

/* Where the pictures lay, from any folder. */
static vg_status take_paths(vg_settings *settings, const vg_job_media *media, vg_err *err)
{
    for (int i = 0; i < media->count; i++) {
        char *path = vg_paths_absolute(vg_settings_get(settings, media->option[i]));
        vg_status status = vg_settings_set(settings, media->option[i], path, err);
        free(path);
        if (status != VG_OK)
            return status;
    }
    return VG_OK;
}

/* What job.json will hold, and what is printed of it as JSON, is UTF-8. */
static vg_status check_texts(const vg_job *job, const char *dir, vg_err *err)
{
    VG_TRY(vg_job_check_name("jobs folder", dir, err));
    VG_TRY(vg_job_check_name("model", job->model_dir, err));
    for (int i = 0; i < job->variants_count; i++) {
        const vg_job_outputs *o = &job->outputs[i];
        if (o->output)
            VG_TRY(vg_job_check_name("output", o->output, err));
        if (o->save_latents)
            VG_TRY(vg_job_check_name("save_latents", o->save_latents, err));
        if (o->save_frames)
            VG_TRY(vg_job_check_name("save_frames", o->save_frames, err));
    }
    return job->comparison_output ? vg_job_check_name("output", job->comparison_output, err)
                                  : VG_OK;
}

vg_status vg_job_create(const char *jobs_dir, const vg_settings *settings, int batch, vg_job *job,
                        vg_err *err)
{
    vg_job made = {0};
    vg_job_media media = {0};
    vg_status status;
    char *dir = NULL, *real = NULL;
    made.created = vg_now_unix();
    made.code_version = vg_xstrdup(VG_VERSION);
    vg_settings_copy(&made.settings, settings);
    VG_TRY_GOTO(status, vg_settings_draw_seed(&made.settings, err), done);
    made.variants_count = vg_settings_schemes(settings, made.schemes);
    VG_TRY_GOTO(status, plan_outputs(&made, batch, err), done);
    const char *device = vg_settings_get(settings, VG_OPT_device);
    made.device = vg_xstrdup(*device ? device : vg_device_default());
    if (*device)
        VG_TRY_GOTO(status, vg_device_check(device, err), done);
    VG_TRY_GOTO(status, vg_job_media_read(&made.settings, &media, err), done);
    VG_TRY_GOTO(status, take_paths(&made.settings, &media, err), done);
    VG_TRY_GOTO(status, resolve_model(&made, &media, err), done);
    if (vg_job_probe_clips(&made, err) != VG_OK) {
        status = err ? err->code = VG_E_ARG : VG_E_ARG;
        goto done;
    }
    dir = vg_paths_jobs(jobs_dir);
    VG_TRY_GOTO(status, check_texts(&made, dir, err), done);
    VG_TRY_GOTO(status, vg_file_make_private_dirs(dir, err), done);
    real = realpath(dir, NULL);
    vg_job_sweep(real ? real : dir);
    VG_TRY_GOTO(status, make_folder(real ? real : dir, &made, &media, err), done);
    *job = made;
    made = (vg_job){0};
done:
    vg_job_media_deinit(&media);
    vg_job_deinit(&made);
    free(dir);
    free(real);
    return status;
}

/* ---- what decides a result ---- */

char *vg_job_recipe(const vg_job *job, int variant)
{
    vg_settings s = {{0}};
    vg_settings_copy(&s, &job->resolved);
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        if (!vg_option_decides(&vg_options[i], VG_DECIDES_PIXELS))
            vg_settings_unset(&s, (vg_option_id)i);
    }
    vg_settings_unset(&s, VG_OPT_quantization); /* of a variant, below */
    if (*vg_settings_get(&s, VG_OPT_model) == '/' || *vg_settings_get(&s, VG_OPT_model) == '.')
        vg_settings_unset(&s, VG_OPT_model);
    cJSON *root = vg_settings_to_json(&s);
    if (variant >= 0)
        add_text(root, "quantization", vg_scheme_name(job->schemes[variant]));
    add_text(root, "weights_identity", job->identity);
    add_text(root, "vgen", job->code_version);
    char *printed = cJSON_PrintUnformatted(root), *text = vg_xstrdup(printed ? printed : "{}");
    cJSON_free(printed);
    cJSON_Delete(root);
    vg_settings_deinit(&s);
    return text;
}

void vg_job_fingerprint(const vg_job *job, int variant, char hex[17])
{
    char *recipe = vg_job_recipe(job, variant), *init = NULL;
    size_t size = 0;
    uint64_t hash = vg_fnv1a(VG_FNV1A_BEGIN, recipe, strlen(recipe));
    if (*vg_settings_get(&job->resolved, VG_OPT_init_latents)) {
        char *path = vg_job_path(job, VG_JOB_INIT_LATENTS);
        if (vg_file_read(path, SIZE_MAX / 4, &init, &size, NULL) == VG_OK)
            hash = vg_fnv1a(hash, init, size);
        free(path);
    }
    snprintf(hex, 17, "%016llx", (unsigned long long)hash);
    free(init);
    free(recipe);
}
