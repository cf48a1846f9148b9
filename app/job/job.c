/* job.c: what a job in memory is, its paths, and what its variants share. See job.h. */
#include "app/job/job.h"

#include <stdlib.h>
#include <string.h>
#include "app/job/lock.h"
#include "kernels/base/hash.h"

static void deinit_variant(vg_job_variant *v)
{
    free(v->id);
    free(v->label);
    free(v->model_dir);
    free(v->identity);
    free(v->outputs.output);
    free(v->outputs.save_latents);
    free(v->outputs.save_frames);
    vg_settings_deinit(&v->overlay);
    vg_settings_deinit(&v->resolved);
}

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
    for (int i = 0; i < job->variants_count; i++)
        deinit_variant(&job->variants[i]);
    free(job->variants);
    vg_settings_deinit(&job->settings);
    vg_settings_deinit(&job->resolved);
    *job = (vg_job){0};
}

vg_scheme vg_job_variant_scheme(const vg_job *job, int variant)
{
    return (vg_scheme)vg_settings_choice(&job->variants[variant].resolved, VG_OPT_quantization);
}

char *vg_job_path(const vg_job *job, const char *file)
{
    return vg_xstrf("%s/%s", job->dir, file);
}

char *vg_job_variant_path(const vg_job *job, int variant, const char *file)
{
    return vg_xstrf("%s/variants/%s%s%s", job->dir, job->variants[variant].id, file ? "/" : "",
                    file ? file : "");
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

/* ---- what variants share ---- */

static bool same_text(const char *a, const char *b)
{
    return !strcmp(a ? a : "", b ? b : "");
}

static bool agree(const vg_job *job, int a, int b, char what)
{
    const vg_job_variant *x = &job->variants[a], *y = &job->variants[b];
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        vg_option_id id = (vg_option_id)i;
        if (vg_option_decides(&vg_options[i], what) &&
            strcmp(vg_settings_get(&x->resolved, id), vg_settings_get(&y->resolved, id)))
            return false;
    }
    return same_text(x->identity, y->identity);
}

int vg_job_owner(const vg_job *job, int variant, char what)
{
    int owner = 0;
    while (owner < variant && !agree(job, owner, variant, what))
        owner++;
    return owner;
}

char *vg_job_shared_path(const vg_job *job, int variant, char what, const char *file)
{
    int owner = vg_job_owner(job, variant, what);
    return owner ? vg_job_variant_path(job, owner, file) : vg_job_path(job, file);
}

/* ---- what decides a result ---- */

static char *recipe(const vg_job *job, int variant, bool with_scheme)
{
    const vg_job_variant *v = &job->variants[variant];
    vg_settings s = {{0}};
    vg_settings_copy(&s, &v->resolved);
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        if (!vg_option_decides(&vg_options[i], VG_DECIDES_PIXELS))
            vg_settings_unset(&s, (vg_option_id)i);
    }
    vg_settings_unset(&s, VG_OPT_quantization); /* below, as one word */
    if (*vg_settings_get(&s, VG_OPT_model) == '/' || *vg_settings_get(&s, VG_OPT_model) == '.')
        vg_settings_unset(&s, VG_OPT_model);
    cJSON *root = vg_settings_to_json(&s);
    if (with_scheme)
        cJSON_AddStringToObject(root, "quantization",
                                vg_scheme_name(vg_job_variant_scheme(job, variant)));
    if (v->identity)
        cJSON_AddStringToObject(root, "weights_identity", v->identity);
    if (job->code_version)
        cJSON_AddStringToObject(root, "vgen", job->code_version);
    char *printed = cJSON_PrintUnformatted(root), *text = vg_xstrdup(printed ? printed : "{}");
    cJSON_free(printed);
    cJSON_Delete(root);
    vg_settings_deinit(&s);
    return text;
}

static void fingerprint(const vg_job *job, char *taken_recipe, char hex[17])
{
    char *init = NULL;
    size_t size = 0;
    uint64_t hash = vg_fnv1a(VG_FNV1A_BEGIN, taken_recipe, strlen(taken_recipe));
    if (*vg_settings_get(&job->resolved, VG_OPT_init_latents)) {
        char *path = vg_job_path(job, VG_JOB_INIT_LATENTS);
        if (vg_file_read(path, SIZE_MAX / 4, &init, &size, NULL) == VG_OK)
            hash = vg_fnv1a(hash, init, size);
        free(path);
    }
    snprintf(hex, 17, "%016llx", (unsigned long long)hash);
    free(init);
    free(taken_recipe);
}

char *vg_job_recipe(const vg_job *job, int variant)
{
    return recipe(job, variant, true);
}

void vg_job_fingerprint(const vg_job *job, int variant, char hex[17])
{
    fingerprint(job, recipe(job, variant, true), hex);
}

void vg_job_fingerprint_shared(const vg_job *job, int variant, char what, char hex[17])
{
    fingerprint(job, recipe(job, vg_job_owner(job, variant, what), false), hex);
}
