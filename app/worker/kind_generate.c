/* kind_generate.c: jobs that make clips: every variant from its inputs to its clip, then all of them side by side. See kind.h. */
#include "app/job/fold.h"
#include "app/job/job_create.h"
#include "app/job/kind.h"
#include "app/worker/worker_run.h"

#include <stdlib.h>
#include <string.h>

static vg_status open_model(vg_worker *w, int i, vg_err *err)
{
    const vg_job_variant *v = &w->job.variants[i];
    vg_load_format format = vg_settings_load_format(&v->resolved);
    for (int k = 0; k < i; k++) {
        const vg_job_variant *other = &w->job.variants[k];
        if (!strcmp(other->model_dir, v->model_dir) &&
            vg_settings_load_format(&other->resolved) == format) {
            w->models[i] = w->models[k];
            return VG_OK;
        }
    }
    /* Its weights are compared with the job's by the stages that read them. */
    return vg_model_open(v->model_dir, format, &w->models[i], err);
}

static vg_status open_models(vg_worker *w, vg_err *err)
{
    for (int i = 0; i < w->job.variants_count; i++)
        VG_TRY(open_model(w, i, err));
    w->model = w->models[0];
    return VG_OK;
}

static void close_models(vg_worker *w)
{
    for (int i = 0; i < w->job.variants_count; i++) {
        bool shared = false;
        for (int k = 0; k < i; k++)
            shared = shared || w->models[k] == w->models[i];
        if (!shared)
            vg_model_close(w->models[i]);
    }
}

static vg_status read_init_latents(vg_worker *w, vg_err *err)
{
    char *path = vg_job_path(&w->job, VG_JOB_INIT_LATENTS);
    vg_latents latents = {0};
    vg_status status = VG_OK;
    if (*vg_settings_get(&w->job.resolved, VG_OPT_init_latents)) {
        status = vg_worker_read_latents(path, &latents, err);
        if (status == VG_OK) {
            w->init_latents = latents.values;
            memcpy(w->init_shape, latents.shape, sizeof w->init_shape);
        }
    }
    free(path);
    return status;
}

/* What was asked for and what is made, where they differ. */
static void note_moved_frames(vg_worker *w)
{
    int64_t made = vg_settings_int(&w->job.resolved, VG_OPT_num_frames);
    if (vg_settings_is_set(&w->job.settings, VG_OPT_num_frames) &&
        vg_settings_int(&w->job.settings, VG_OPT_num_frames) != made)
        vg_worker_note(
            w, "%lld frames were asked for, %lld are made: the model makes them in groups",
            (long long)vg_settings_int(&w->job.settings, VG_OPT_num_frames), (long long)made);
}

static vg_status run_variants(vg_worker *w, vg_err *err)
{
    note_moved_frames(w);
    VG_TRY(vg_job_check_outputs(&w->job, err));
    VG_TRY(vg_worker_check_files(w, err));
    vg_worker_check_decoders(w);
    VG_TRY(vg_job_probe_clips(&w->job, err));
    for (int i = 0; i < w->job.variants_count; i++)
        VG_TRY(vg_worker_variant(w, i, err));
    if (w->stopped)
        return VG_OK;
    vg_snapshot_refresh(&w->snapshot, NULL, NULL);
    return vg_worker_write_comparison(w, err);
}

static vg_status run(vg_worker *w, vg_err *err)
{
    vg_status status;
    for (int i = 0; i < w->job.variants_count; i++) {
        vg_job_fingerprint(&w->job, i, w->made_with[i]);
        vg_job_fingerprint_shared(&w->job, i, VG_DECIDES_CONDITIONS, w->made_with_conditions[i]);
        vg_job_fingerprint_shared(&w->job, i, VG_DECIDES_SCALES, w->made_with_scales[i]);
    }
    vg_worker_files_open(w);
    VG_TRY_GOTO(status, open_models(w, err), done);
    VG_TRY_GOTO(status, read_init_latents(w, err), done);
    status = run_variants(w, err);
done:
    free(w->init_latents);
    vg_worker_files_close(w);
    close_models(w);
    return status;
}

const vg_job_kind vg_job_kind_generate = {
    .name = "generate",
    .help = "make clips, one a variant, and compare them",
    .create = vg_job_create_clips,
    .run = run,
    .fold = vg_fold_clips,
    .report = vg_snapshot_report_clips,
    .print = vg_snapshot_print_clips,
};
