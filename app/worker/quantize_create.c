/* quantize_create.c: from what a person asks to a job that quantises: all that can be wrong is told here, before anything is written. */
#include "app/job/weights.h"
#include "app/settings/paths.h"
#include "app/worker/quantize_output.h"
#include "app/worker/quantize_plan.h"
#include "app/worker/quantize_run.h"
#include "engine/run/hub.h"

#include <stdlib.h>
#include <string.h>

static vg_status open_model(vg_job *job, vg_model **model, vg_err *err)
{
    vg_lines presets = {0};
    char *found = NULL;
    vg_paths_presets(&presets);
    vg_status status =
        vg_model_find(vg_settings_get(&job->settings, VG_OPT_model),
                      (const char *const *)presets.items, presets.count, &found, err);
    vg_lines_free(&presets);
    VG_TRY(status);
    job->model_dir = realpath(found, NULL);
    free(found);
    if (!job->model_dir)
        return VG_FAIL(err, VG_E_MISSING, "%s: there is no such folder",
                       vg_settings_get(&job->settings, VG_OPT_model));
    VG_TRY(vg_model_open(job->model_dir, vg_settings_load_format(&job->settings), model, err));
    return vg_model_check(*model, err);
}

static vg_status set_path(vg_settings *s, vg_option_id id, vg_err *err)
{
    if (!*vg_settings_get(s, id))
        return VG_OK;
    char *path = vg_paths_absolute(vg_settings_get(s, id));
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = 0;
    vg_status status = vg_settings_set(s, id, path, err);
    free(path);
    return status;
}

/* Rules of family, edges and person as one text, so that the worker need not make them again. */
static vg_status take_rules(vg_job *job, const vg_model *model, vg_err *err)
{
    char *rules;
    vg_settings *s = &job->resolved;
    VG_TRY(vg_quantize_rules(model, vg_settings_bool(s, VG_OPT_quantize_vace_proj_out),
                             vg_settings_int(s, VG_OPT_edge_blocks),
                             vg_settings_get(s, VG_OPT_precision), &rules, err));
    vg_status status = *rules ? vg_settings_set(s, VG_OPT_precision, rules, err) : VG_OK;
    free(rules);
    return status;
}

/* Every picture is opened once before anything is begun. */
static vg_status check_pictures(const vg_quantize_plan *plan, vg_err *err)
{
    for (int i = 0; i < plan->pictures.count; i++) {
        vg_picture picture = {0};
        vg_err why = {0};
        if (vg_picture_read(plan->pictures.items[i], &picture, &why) != VG_OK)
            return VG_FAIL(err, VG_E_ARG, "reference_images: %s", why.message);
        vg_picture_deinit(&picture);
    }
    return VG_OK;
}

static vg_status check_output(const vg_job *job, const vg_model *model,
                              const vg_generate_params *params, vg_err *err)
{
    const char *names[VG_QUANTIZE_EXPERTS_MAX + 1] = {NULL};
    int count = vg_quantize_experts(model, names);
    uint64_t bytes = vg_quantize_output_rest(job->model_dir, names);
    for (int e = 0; e < count; e++) {
        vg_export_counts counts;
        VG_TRY(vg_quantize_count(model, params, names[e], &counts, err));
        bytes += counts.bytes;
    }
    return vg_quantize_output_check(vg_settings_get(&job->resolved, VG_OPT_output), job->model_dir,
                                    vg_settings_bool(&job->resolved, VG_OPT_overwrite), bytes, err);
}

static vg_status check_settings(const vg_settings *s, vg_err *err)
{
    vg_scheme schemes[VG_SCHEME_COUNT];
    if (!*vg_settings_get(s, VG_OPT_output))
        return VG_FAIL(err, VG_E_ARG, "output: the folder to write is missing");
    if (vg_settings_schemes(s, schemes) != 1 ||
        vg_scheme_precision(schemes[0]) == VG_PRECISION_HIGH)
        return VG_FAIL(err, VG_E_ARG,
                       "quantization: one of fp8 (per tensor) and fp8-block (128x128) is wanted");
    return VG_OK;
}

static vg_status resolve(vg_job *job, const vg_model *model, vg_err *err)
{
    vg_quantize_plan plan = {.model = NULL};
    vg_generate_params params;
    vg_media media;
    vg_status status;
    VG_TRY(vg_settings_draw_seed(&job->settings, err));
    VG_TRY(set_path(&job->settings, VG_OPT_output, err));
    VG_TRY(set_path(&job->settings, VG_OPT_reference_images, err));
    vg_settings_copy(&job->resolved, &job->settings);
    VG_TRY(take_rules(job, model, err));
    VG_TRY_GOTO(status, vg_quantize_plan_make(&job->resolved, model, &plan, err), done);
    VG_TRY_GOTO(status, check_pictures(&plan, err), done);
    VG_TRY_GOTO(status, vg_quantize_sample(&plan, 0, &params, &media, err), done);
    VG_TRY_GOTO(status, check_output(job, model, &params, err), done);
    /* Modes differ from sample to sample. */
    if (!vg_settings_is_set(&job->settings, VG_OPT_mode))
        params.mode = NULL;
    VG_TRY_GOTO(status, vg_settings_take_resolved(&job->resolved, &params, err), done);
    VG_TRY_GOTO(status, vg_job_weights(model, &job->identity, err), done);
    job->family = vg_xstrdup(vg_model_family_name(model));
done:
    vg_quantize_plan_deinit(&plan);
    return status;
}

vg_status vg_quantize_create(vg_job *job, const vg_job_media *media, int batch, vg_err *err)
{
    vg_model *model = NULL;
    (void)media;
    (void)batch;
    VG_TRY(check_settings(&job->settings, err));
    if (job->variants_count != 1)
        return VG_FAIL(err, VG_E_ARG, "quantization: a job quantises in one way");
    vg_status status = open_model(job, &model, err);
    if (status == VG_OK)
        status = resolve(job, model, err);
    vg_model_close(model);
    VG_TRY(status);
    vg_job_variant *v = &job->variants[0];
    v->model_dir = vg_xstrdup(job->model_dir);
    v->identity = vg_xstrdup(job->identity);
    vg_settings_copy(&v->resolved, &job->resolved);
    return VG_OK;
}
