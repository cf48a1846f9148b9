/* quantize_export.c: what was measured becomes a checkpoint: the other parts copied, each expert written, how it was made, its name. */
#include "app/worker/quantize_output.h"
#include "app/worker/quantize_run.h"
#include "kernels/base/clock.h"
#include "kernels/base/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1u << 20)

static void tell_stage(vg_worker *w, const char *what, const char *stage, const char *detail,
                       double seconds)
{
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_stage);
    e.what = what;
    e.stage = stage;
    e.detail = detail;
    e.seconds = seconds;
    vg_worker_tell(w, e);
}

static void tell_bytes(vg_quantize_run *r, uint64_t done)
{
    int64_t now = vg_now_monotonic_ms();
    if (now - r->told_ms < 150)
        return;
    r->told_ms = now;
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_progress);
    e.stage = "export";
    e.part = (int)((r->bytes_before + done) / MIB);
    e.parts = (int)(r->bytes_all / MIB) + 1;
    vg_worker_tell(r->w, e);
}

static void on_copy(void *user, uint64_t bytes)
{
    tell_bytes(user, bytes);
}

static void on_export(void *user, uint64_t done, uint64_t of)
{
    (void)of;
    tell_bytes(user, done);
}

/* An expert's folder that is whole has its config, which is written last. */
static vg_status export_expert(vg_quantize_run *r, const char *name,
                               const vg_generate_params *params, const vg_export_options *options,
                               vg_export_counts *counts, vg_err *err)
{
    char *dir = vg_xstrf("%s/%s", r->hidden, name), *config = vg_xstrf("%s/config.json", dir);
    vg_status status = VG_OK;
    if (!vg_file_exists(config)) {
        status = vg_file_remove_tree(dir, err);
        if (status == VG_OK)
            status = vg_file_make_dirs(dir, err);
        if (status == VG_OK)
            status = vg_quantize_export(r->model, params, name, dir, *options, counts, err);
    }
    r->bytes_before += counts->bytes;
    free(dir);
    free(config);
    return status;
}
/* ---- how it was made ---- */

/* Of the file as it is now: FNV-1a 64, as the names of a job's inputs. */
static void add_digest(cJSON *o, const char *path)
{
    char *bytes = NULL, hex[17];
    size_t size = 0;
    if (vg_file_read(path, VG_PICTURE_FILE_MAX, &bytes, &size, NULL) != VG_OK)
        return;
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)vg_fnv1a(VG_FNV1A_BEGIN, bytes, size));
    cJSON_AddStringToObject(o, "picture_digest", hex);
    free(bytes);
}

static cJSON *samples_json(const vg_quantize_run *r)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < r->plan.samples; i++) {
        vg_generate_params p;
        vg_media media;
        int picture = vg_quantize_sample_picture(&r->plan, i);
        if (vg_quantize_sample(&r->plan, i, &p, &media, NULL) != VG_OK)
            continue;
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "prompt", p.inputs.prompt);
        cJSON_AddNumberToObject(o, "seed", (double)p.seed);
        cJSON_AddStringToObject(o, "mode", p.mode);
        if (picture >= 0) {
            const char *path = r->plan.pictures.items[picture], *slash = strrchr(path, '/');
            cJSON_AddStringToObject(o, "picture", slash ? slash + 1 : path);
            add_digest(o, path);
        }
        cJSON_AddItemToArray(list, o);
    }
    return list;
}

static cJSON *passes_json(const vg_quantize_run *r)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < r->plan.passes_count; i++) {
        const vg_quantize_pass *pass = &r->plan.passes[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "expert", r->ranges.experts[pass->expert].name);
        cJSON_AddBoolToObject(o, "measured", pass->measure);
        cJSON_AddNumberToObject(o, "boundary_ratio", pass->boundary_ratio);
        cJSON_AddNumberToObject(o, "steps_per_sample", pass->steps);
        cJSON_AddItemToArray(list, o);
    }
    return list;
}

static cJSON *report_json(const vg_quantize_run *r, const vg_export_counts *counts)
{
    const vg_job *job = &r->w->job;
    cJSON *root = cJSON_CreateObject(), *folders;
    cJSON_AddStringToObject(root, "format", "vgen-calibration");
    cJSON_AddNumberToObject(root, "version", 1);
    cJSON_AddStringToObject(root, "job", job->id);
    cJSON_AddStringToObject(root, "vgen", VG_VERSION);
    cJSON_AddStringToObject(root, "device", job->device);
    cJSON *source = cJSON_AddObjectToObject(root, "source");
    const char *slash = strrchr(job->model_dir, '/');
    cJSON_AddStringToObject(source, "model", vg_settings_get(&job->settings, VG_OPT_model));
    cJSON_AddStringToObject(source, "folder", slash ? slash + 1 : job->model_dir);
    cJSON_AddStringToObject(source, "family", job->family ? job->family : "");
    cJSON_AddStringToObject(source, "weights_identity", job->identity ? job->identity : "");
    cJSON_AddItemToObject(root, "settings", vg_settings_to_json(&job->resolved));
    cJSON_AddItemToObject(root, "samples", samples_json(r));
    cJSON_AddItemToObject(root, "passes", passes_json(r));
    folders = cJSON_AddObjectToObject(root, "folders");
    for (int e = 0; e < r->ranges.count; e++) {
        cJSON *o = cJSON_AddObjectToObject(folders, r->ranges.experts[e].name);
        cJSON_AddNumberToObject(o, "quantised_layers", counts[e].quantised);
        cJSON_AddNumberToObject(o, "kept_layers", counts[e].kept);
        cJSON_AddNumberToObject(o, "bytes", (double)counts[e].bytes);
        cJSON_AddItemToObject(o, "inputs",
                              vg_range_expert_json(&r->ranges.experts[e], r->ranges.steps));
    }
    return root;
}

/* For --json and print: the same without the layers. */
static vg_status write_summary(const vg_quantize_run *r, const vg_export_counts *counts,
                               vg_err *err)
{
    char *path = vg_job_path(&r->w->job, VG_QUANTIZE_EXPORT_FILE);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, VG_MADE_WITH, r->made_with);
    cJSON_AddStringToObject(root, "output", r->output);
    cJSON_AddStringToObject(root, "scheme", vg_scheme_label(vg_job_variant_scheme(&r->w->job, 0)));
    cJSON_AddNumberToObject(root, "samples", r->plan.samples);
    cJSON_AddNumberToObject(root, "steps", r->plan.steps);
    cJSON_AddNumberToObject(root, "encode_s", r->encode_s);
    cJSON_AddNumberToObject(root, "calibrate_s", r->passes_s);
    cJSON_AddNumberToObject(root, "export_s", r->export_s);
    cJSON_AddNumberToObject(root, "peak_bytes", (double)r->w->calibration_peak_bytes);
    cJSON *folders = cJSON_AddArrayToObject(root, "folders");
    for (int e = 0; e < r->ranges.count; e++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "folder", r->ranges.experts[e].name);
        cJSON_AddNumberToObject(o, "quantised_layers", counts[e].quantised);
        cJSON_AddNumberToObject(o, "kept_layers", counts[e].kept);
        cJSON_AddNumberToObject(o, "bytes", (double)counts[e].bytes);
        cJSON_AddItemToArray(folders, o);
    }
    vg_status status = vg_json_save(path, root, err);
    cJSON_Delete(root);
    free(path);
    return status;
}

static vg_status write_report(const vg_quantize_run *r, const vg_export_counts *counts, vg_err *err)
{
    char *path = vg_xstrf("%s/" VG_QUANTIZE_REPORT, r->hidden);
    cJSON *root = report_json(r, counts);
    vg_status status = vg_json_save(path, root, err);
    cJSON_Delete(root);
    free(path);
    return status;
}

static void tell_counts(vg_worker *w, const vg_export_counts *counts, int count)
{
    char text[96];
    int quantised = 0, kept = 0;
    for (int e = 0; e < count; e++) {
        quantised += counts[e].quantised;
        kept += counts[e].kept;
    }
    snprintf(text, sizeof text, "%d layers %s, %d kept in BF16", quantised,
             vg_scheme_label(vg_job_variant_scheme(&w->job, 0)), kept);
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_precision);
    e.text = text;
    vg_worker_tell(w, e);
}

static vg_status export_within(vg_quantize_run *r, const vg_export_options *options, vg_err *err)
{
    const char *names[VG_QUANTIZE_EXPERTS_MAX + 1] = {NULL};
    const char *model_dir = r->w->job.model_dir;
    int count = vg_quantize_experts(r->model, names);
    vg_export_counts counts[VG_QUANTIZE_EXPERTS_MAX] = {0};
    vg_generate_params params;
    double begin = vg_now();
    bool overwrite = vg_settings_bool(&r->w->job.resolved, VG_OPT_overwrite);
    VG_TRY(vg_quantize_sample(&r->plan, 0, &params, &r->media, err));
    r->rest_bytes = r->bytes_all = vg_quantize_output_rest(model_dir, names);
    for (int e = 0; e < count; e++) {
        VG_TRY(vg_quantize_count(r->model, &params, names[e], &counts[e], err));
        r->bytes_all += counts[e].bytes;
    }
    tell_counts(r->w, counts, count);
    tell_stage(r->w, "begin", "export", "", NAN);
    VG_TRY(vg_quantize_output_copy(model_dir, names, r->hidden, &vg_worker_cancel_flag, on_copy, r,
                                   err));
    r->bytes_before = r->rest_bytes;
    for (int e = 0; e < count; e++)
        VG_TRY(export_expert(r, names[e], &params, options, &counts[e], err));
    VG_TRY(write_report(r, counts, err));
    VG_TRY(vg_quantize_output_name(r->hidden, r->output, overwrite, err));
    r->export_s = vg_now() - begin;
    tell_stage(r->w, "end", "export", "", r->export_s);
    return write_summary(r, counts, err);
}

vg_status vg_quantize_export_all(vg_quantize_run *r, vg_err *err)
{
    vg_threads *pool;
    vg_export_options options = {
        .compat_rounding = vg_settings_bool(&r->w->job.resolved, VG_OPT_modelopt_compat_rounding),
        .cancel = &vg_worker_cancel_flag,
        .progress = on_export,
        .user = r};
    vg_input_scales *scales = NULL;
    VG_TRY(vg_threads_new(vg_settings_int(&r->w->job.resolved, VG_OPT_threads), &pool, err));
    vg_status status = vg_ranges_scales(&r->ranges, &scales, err);
    options.input_scales = scales;
    options.pool = pool;
    if (status == VG_OK)
        status = export_within(r, &options, err);
    vg_input_scales_free(scales);
    vg_threads_free(pool);
    return status;
}
