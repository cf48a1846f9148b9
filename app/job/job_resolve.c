/* job_resolve.c: what the checkpoints make of what was asked: every setting of every variant filled in, and all checked that can be checked
 * before a long run. See job_create.h. */
#include "app/job/job_create.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "app/job/weights.h"
#include "app/settings/paths.h"
#include "engine/run/budget.h"
#include "engine/run/hub.h"

/* ---- initial latents ---- */

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
vg_status vg_job_init_latents_copy(const char *from, const char *dir, vg_err *err)
{
    vg_safetensors *st = NULL;
    vg_safetensors_entry entry = {.name = "latents"};
    VG_TRY(open_init_latents(from, &st, &entry.tensor, err));
    char *to = vg_xstrf("%s/%s", dir, VG_JOB_INIT_LATENTS);
    const char *const metadata[] = {VG_SAFETENSORS_CHECKSUM, VG_SAFETENSORS_UNKNOWN, NULL};
    vg_status status = vg_safetensors_write(to, &entry, 1, metadata, err);
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

/* ---- models ---- */

typedef struct models { /* opened so far, one for each folder and load format */
    struct {
        char *dir;
        vg_load_format format;
        vg_model *model;
    } list[VG_VARIANTS_MAX];
    int count;
    vg_lines presets;
} models;

static void models_close(models *m)
{
    for (int i = 0; i < m->count; i++) {
        vg_model_close(m->list[i].model);
        free(m->list[i].dir);
    }
    vg_lines_free(&m->presets);
}

/* *dir: absolute, malloc'd. */
static vg_status models_get(models *m, const vg_settings *s, char **dir, vg_model **model,
                            vg_err *err)
{
    vg_load_format format = vg_settings_load_format(s);
    char *found = NULL;
    VG_TRY(vg_model_find(vg_settings_get(s, VG_OPT_model), (const char *const *)m->presets.items,
                         m->presets.count, &found, err));
    char *real = realpath(found, NULL);
    if (real) {
        free(found);
        found = real;
    }
    *dir = found;
    for (int i = 0; i < m->count; i++) {
        if (m->list[i].format == format && !strcmp(m->list[i].dir, found)) {
            *model = m->list[i].model;
            return VG_OK;
        }
    }
    VG_TRY(vg_model_open(found, format, model, err));
    m->list[m->count].dir = vg_xstrdup(found);
    m->list[m->count].format = format;
    m->list[m->count++].model = *model;
    return vg_model_check(*model, err);
}

/* ---- a variant ---- */

/* Clips are compared picture by picture, latents number by number. */
static vg_status check_alike(const vg_model *a, const vg_generate_params *p, const vg_model *b,
                             const vg_generate_params *q, vg_err *err)
{
    if (strcmp(vg_model_family_name(a), vg_model_family_name(b)))
        return VG_FAIL(err, VG_E_ARG,
                       "model: it is of family %s, the reference of %s; variants are of one family",
                       vg_model_family_name(b), vg_model_family_name(a));
    if (p->height != q->height || p->width != q->width || p->num_frames != q->num_frames)
        return VG_FAIL(err, VG_E_ARG,
                       "model: its clip would be %dx%dx%d, the reference's %dx%dx%d; variants make "
                       "clips of one shape",
                       q->height, q->width, q->num_frames, p->height, p->width, p->num_frames);
    return VG_OK;
}

/* What its layers will really run in, where the name of the scheme says something else. */
static void label_by_precision(const vg_precision_report *r, const vg_generate_params *params,
                               vg_job_variant *v)
{
    char *own = vg_settings_scheme_label(&v->resolved, params->scheme);
    bool of_scheme = !strcmp(v->label, own);
    bool rules = params->precision && *params->precision;
    const char *attention = of_scheme ? vg_attend_label(params->attention.mode) : "";
    char *label = NULL;
    if (of_scheme && params->scheme == VG_SCHEME_BF16 && !r->layers[VG_PRECISION_HIGH] && !rules)
        label = vg_xstrdup("F32");
    else if (of_scheme && params->scheme == VG_SCHEME_FP8 && r->layers[VG_PRECISION_CHANNEL])
        label = vg_xstrdup(r->layers[VG_PRECISION_TENSOR] ? "FP8 per-tensor and per-channel"
                                                          : "FP8 per-channel");
    else
        label = vg_xstrdup(of_scheme ? vg_scheme_label(params->scheme) : v->label);
    free(v->label);
    v->label = vg_xstrf(
        "%s%s%s%s", label, of_scheme && rules ? ", with rules" : "",
        params->scheme == VG_SCHEME_BF16 && r->dequantised ? " (dequantised FP8)" : "", attention);
    free(label);
    free(own);
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

/* The reference's checkpoint fills in what nobody said, so that variants differ in what their overlays say and in nothing else. */
static vg_status resolve_variant(models *m, vg_job *job, int i, const vg_job_media *media,
                                 vg_model *reference, const vg_generate_params *first, vg_err *err)
{
    vg_job_variant *v = &job->variants[i];
    vg_settings *s = &v->resolved;
    vg_generate_params params;
    vg_precision_report precision;
    vg_model *model = NULL;
    VG_TRY(vg_settings_draw_seed(&v->overlay, err));
    vg_settings_copy(s, &job->settings);
    vg_settings_merge(s, &v->overlay);
    VG_TRY(models_get(m, s, &v->model_dir, &model, err));
    vg_settings_params(s, &params);
    vg_job_media_give(media, &params);
    VG_TRY(vg_model_defaults(reference, &params, err));
    VG_TRY(vg_model_defaults(model, &params, err));
    VG_TRY(check_alike(reference, first, model, &params, err));
    VG_TRY(vg_model_precision(model, &params, &precision, err));
    VG_TRY(check_inputs(model, &params, err));
    VG_TRY(vg_budget_check_size(&params, err));
    if (!strcmp(job->device, "cpu"))
        VG_TRY(check_memory(model, &params, err));
    VG_TRY(vg_settings_take_resolved(s, &params, err));
    VG_TRY(vg_job_media_name(media, s, err));
    VG_TRY(vg_job_weights(model, &v->identity, err));
    label_by_precision(&precision, &params, v);
    return VG_OK;
}

/* The settings that all share, as the reference's checkpoint has them. */
static vg_status resolve_shared(models *m, vg_job *job, const vg_job_media *media,
                                vg_model **reference, vg_generate_params *params, vg_err *err)
{
    const char *init = vg_settings_get(&job->settings, VG_OPT_init_latents);
    vg_settings s = {{0}};
    vg_status status;
    VG_TRY(vg_settings_draw_seed(&job->settings, err));
    vg_settings_copy(&s, &job->settings);
    vg_settings_merge(&s, &job->variants[0].overlay);
    VG_TRY_GOTO(status, models_get(m, &s, &job->model_dir, reference, err), done);
    vg_settings_copy(&job->resolved, &job->settings);
    vg_settings_params(&job->resolved, params);
    vg_job_media_give(media, params);
    VG_TRY_GOTO(status, vg_model_defaults(*reference, params, err), done);
    VG_TRY_GOTO(status, vg_settings_take_resolved(&job->resolved, params, err), done);
    VG_TRY_GOTO(status, vg_job_media_name(media, &job->resolved, err), done);
    if (*init)
        VG_TRY_GOTO(status, check_init_latents(*reference, init, params, err), done);
    VG_TRY_GOTO(status, vg_job_weights(*reference, &job->identity, err), done);
    job->family = vg_xstrdup(vg_model_family_name(*reference));
done:
    vg_settings_deinit(&s);
    return status;
}

static vg_status resolve(vg_job *job, const vg_job_media *media, vg_err *err)
{
    models m = {0};
    vg_model *reference = NULL;
    vg_generate_params params;
    vg_paths_presets(&m.presets);
    vg_status status = resolve_shared(&m, job, media, &reference, &params, err);
    for (int i = 0; status == VG_OK && i < job->variants_count; i++) {
        status = resolve_variant(&m, job, i, media, reference, &params, err);
        if (status != VG_OK && i > 0)
            vg_err_prefix(err, "%s", job->variants[i].label);
    }
    models_close(&m);
    return status;
}

vg_status vg_job_create_clips(vg_job *job, const vg_job_media *media, int batch, vg_err *err)
{
    VG_TRY(vg_job_plan_outputs(job, batch, err));
    VG_TRY(resolve(job, media, err));
    if (vg_job_probe_clips(job, err) != VG_OK)
        return err ? err->code = VG_E_ARG : VG_E_ARG;
    return VG_OK;
}
