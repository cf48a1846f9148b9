/* worker_outputs.c: what a variant leaves: latents, lossless frames, its clip, metrics against the first variant, and the files that a
 * person asked for. Every file appears whole or not at all. */
#include "app/worker/worker_run.h"

#include <stdlib.h>
#include <string.h>
#include "app/media/clip.h"
#include "app/job/export.h"

vg_status vg_worker_write_latents(const char *path, const vg_latents *latents,
                                  const char *made_with, vg_err *err)
{
    vg_safetensors_entry entry = {"latents",
                                  vg_tensor_of(latents->values, VG_F32, 4, latents->shape)};
    char steps[24], done[24];
    snprintf(steps, sizeof steps, "%d", latents->steps);
    snprintf(done, sizeof done, "%d", latents->steps_done);
    const char *const metadata[] = {VG_SAFETENSORS_CHECKSUM,
                                    VG_SAFETENSORS_UNKNOWN,
                                    "steps",
                                    steps,
                                    "steps_done",
                                    done,
                                    made_with ? VG_MADE_WITH : NULL,
                                    made_with,
                                    NULL};
    return vg_safetensors_write(path, &entry, 1, metadata + (made_with ? 0 : 2), err);
}

vg_status vg_worker_read_latents(const char *path, vg_latents *latents, vg_err *err)
{
    vg_safetensors *st = NULL;
    vg_status status = VG_OK;
    VG_TRY(vg_safetensors_open(path, &st, err));
    const vg_tensor *t = vg_safetensors_find(st, "latents");
    if (vg_safetensors_check(st, err) == VG_E_FORMAT) {
        status = VG_E_FORMAT;
    } else if (!t || !vg_tensor_is(t, VG_F32, 4)) {
        status = VG_FAIL(err, VG_E_FORMAT,
                         "%s: there is no F32 tensor latents with 4 dimensions in it", path);
    } else {
        const char *steps = vg_safetensors_metadata(st, "steps"),
                   *done = vg_safetensors_metadata(st, "steps_done");
        size_t bytes = vg_tensor_bytes(t);
        *latents = (vg_latents){.values = vg_xcalloc(bytes, 1),
                                .steps = steps ? atoi(steps) : 0,
                                .steps_done = done ? atoi(done) : 0};
        memcpy(latents->values, t->data, bytes);
        memcpy(latents->shape, t->shape, sizeof latents->shape);
    }
    vg_safetensors_close(st);
    return status;
}

static bool keep_going(void *user, int done, int total)
{
    (void)user;
    (void)done;
    (void)total;
    return atomic_load(&vg_worker_cancel_flag) == 0;
}

/* used: out, or NULL: the encoder. */
static vg_status write_clip(vg_worker *w, int variant, const vg_frame_source *source,
                            const char *path, const char **used, vg_err *err)
{
    char *title = vg_text_clean(vg_settings_get(&w->job.variants[variant].resolved, VG_OPT_prompt));
    char *recipe = vg_job_recipe(&w->job, variant);
    vg_clip_options options = {
        .title = title, .comment = recipe, .progress = keep_going, .used = used};
    vg_status status =
        vg_clip_write(path, source, vg_settings_real(&w->job.resolved, VG_OPT_fps), &options, err);
    free(title);
    free(recipe);
    return status;
}

vg_status vg_worker_measure(vg_worker *w, vg_err *err)
{
    char *dir = vg_job_variant_path(&w->job, w->variant, NULL);
    char *reference_dir = vg_job_variant_path(&w->job, 0, NULL);
    char *reference_latents = vg_job_variant_path(&w->job, 0, VG_VARIANT_LATENTS);
    char *latents_path = vg_job_variant_path(&w->job, w->variant, VG_VARIANT_LATENTS);
    char *csv = vg_job_variant_path(&w->job, w->variant, VG_REPORT_METRICS_CSV), *json = NULL;
    vg_frames_store *own = NULL, *store = NULL;
    vg_latents a = {0}, b = {0};
    vg_report_metrics metrics = {0};
    vg_status status;
    VG_TRY_GOTO(status, vg_frames_store_open(dir, &own, err), done);
    VG_TRY_GOTO(status, vg_frames_store_open(reference_dir, &store, err), done);
    VG_TRY_GOTO(status, vg_worker_read_latents(latents_path, &a, err), done);
    VG_TRY_GOTO(status, vg_worker_read_latents(reference_latents, &b, err), done);
    vg_frame_source source = vg_frames_store_source(own), reference = vg_frames_store_source(store);
    bool same = !memcmp(a.shape, b.shape, sizeof a.shape);
    size_t count = (size_t)(a.shape[0] * a.shape[1] * a.shape[2] * a.shape[3]);
    VG_TRY_GOTO(status,
                vg_report_metrics_measure(w->snapshot.variants[0].id, &source, &reference,
                                          same ? a.values : NULL, same ? b.values : NULL,
                                          same ? count : 0, vg_engine_backend(w->engine),
                                          keep_going, NULL, &metrics, err),
                done);
    /* The JSON last: where it is there, so is the table. */
    VG_TRY_GOTO(status, vg_report_metrics_write_csv(csv, &metrics, err), done);
    VG_TRY_GOTO(status, vg_report_metrics_write(dir, &metrics, err), done);
    json = vg_job_variant_path(&w->job, w->variant, VG_REPORT_METRICS_FILE);
    VG_TRY_GOTO(status, vg_worker_note_piece(w, csv, err), done);
    VG_TRY_GOTO(status, vg_worker_note_piece(w, json, err), done);
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_metrics);
    for (int i = 0; i < VG_METRIC_COUNT; i++) {
        if (metrics.metric[i].measured)
            e.means.of[i] = metrics.metric[i].mean;
    }
    vg_worker_tell(w, e);
done:
    vg_report_metrics_deinit(&metrics);
    vg_latents_deinit(&a);
    vg_latents_deinit(&b);
    vg_frames_store_close(own);
    vg_frames_store_close(store);
    free(dir);
    free(reference_dir);
    free(reference_latents);
    free(latents_path);
    free(csv);
    free(json);
    return status;
}

vg_status vg_worker_keep_frames(vg_worker *w, const vg_frames *frames, vg_err *err)
{
    char *dir = vg_job_variant_path(&w->job, w->variant, NULL),
         *recipe = vg_job_recipe(&w->job, w->variant);
    const char *const metadata[] = {"comment",
                                    recipe,
                                    VG_MADE_WITH,
                                    w->made_with[w->variant],
                                    VG_DECODED_WITH,
                                    w->decoded_with[w->variant],
                                    NULL};
    vg_status status = vg_frames_store_write(
        dir, frames, vg_settings_real(&w->job.resolved, VG_OPT_fps), metadata, err);
    if (status == VG_OK)
        status = vg_worker_note_frames(w, dir, err);
    if (status == VG_OK)
        vg_worker_say(w, VG_JOB_EVENT_frames);
    free(dir);
    free(recipe);
    return status;
}

vg_status vg_worker_keep_clip(vg_worker *w, vg_err *err)
{
    if (!vg_clip_available()) {
        vg_worker_note(w, "this build writes no .mp4; the frames are kept");
        return VG_OK;
    }
    char *dir = vg_job_variant_path(&w->job, w->variant, NULL),
         *clip = vg_job_variant_path(&w->job, w->variant, VG_VARIANT_CLIP);
    const char *encoder = "";
    vg_frames_store *store = NULL;
    vg_status status = vg_frames_store_open(dir, &store, err);
    if (status == VG_OK) {
        vg_frame_source source = vg_frames_store_source(store);
        status = write_clip(w, w->variant, &source, clip, &encoder, err);
    }
    if (status == VG_OK)
        status = vg_worker_note_piece(w, clip, err);
    if (status == VG_OK) {
        vg_job_event e = vg_job_event_of(VG_JOB_EVENT_clip);
        e.encoder = encoder;
        vg_worker_tell(w, e);
    }
    vg_frames_store_close(store);
    free(dir);
    free(clip);
    return status;
}

static vg_status write_frames_tensor(const char *path, const vg_frames *frames, vg_err *err)
{
    vg_safetensors_entry entry = {"frames", vg_tensor_make(frames->rgb, VG_U8, 4, frames->count,
                                                           frames->height, frames->width, 3)};
    return vg_safetensors_write(path, &entry, 1, NULL, err);
}

static bool wanted(const char *path, bool only_missing)
{
    return path && !(only_missing && vg_file_exists(path));
}

vg_status vg_worker_write_outputs(vg_worker *w, int variant, bool only_missing, vg_err *err)
{
    const vg_job_outputs *out = &w->job.variants[variant].outputs;
    char *dir = vg_job_variant_path(&w->job, variant, NULL),
         *latents_path = vg_job_variant_path(&w->job, variant, VG_VARIANT_LATENTS);
    vg_frames_store *store = NULL;
    vg_latents latents = {0};
    vg_frames frames = {0};
    vg_status status = VG_OK;
    if (wanted(out->save_latents, only_missing)) {
        VG_TRY_GOTO(status, vg_worker_read_latents(latents_path, &latents, err), done);
        VG_TRY_GOTO(status, vg_worker_write_latents(out->save_latents, &latents, NULL, err), done);
    }
    if (wanted(out->save_frames, only_missing) || wanted(out->output, only_missing))
        VG_TRY_GOTO(status, vg_frames_store_open(dir, &store, err), done);
    if (wanted(out->save_frames, only_missing)) {
        VG_TRY_GOTO(status, vg_frames_store_load(store, keep_going, NULL, &frames, err), done);
        VG_TRY_GOTO(status, write_frames_tensor(out->save_frames, &frames, err), done);
    }
    if (wanted(out->output, only_missing)) {
        vg_frame_source source = vg_frames_store_source(store);
        VG_TRY_GOTO(status, write_clip(w, variant, &source, out->output, NULL, err), done);
    }
done:
    vg_frames_deinit(&frames);
    vg_latents_deinit(&latents);
    vg_frames_store_close(store);
    free(dir);
    free(latents_path);
    return status;
}

vg_status vg_worker_write_comparison(vg_worker *w, vg_err *err)
{
    char *path = vg_job_path(&w->job, VG_JOB_COMPARISON);
    bool have = vg_worker_look(w, path) == VG_PIECE_WHOLE && w->snapshot.comparison_ready &&
                !w->pictures_again;
    vg_status status = VG_OK;
    if (w->job.variants_count < 2 || !vg_clip_available())
        goto done;
    if (!have)
        VG_TRY_GOTO(status,
                    vg_job_export(&w->job, &w->snapshot, path, 0, false, keep_going, NULL, err),
                    done);
    if (!have)
        VG_TRY_GOTO(status, vg_worker_note_piece(w, path, err), done);
    /* A file of that name that is older than the job's first end is not ours. */
    if (wanted(w->job.comparison_output, have && w->snapshot.finished))
        VG_TRY_GOTO(status,
                    vg_job_export(&w->job, &w->snapshot, w->job.comparison_output, 0, false,
                                  keep_going, NULL, err),
                    done);
    if (!have)
        vg_worker_say(w, VG_JOB_EVENT_comparison);
done:
    free(path);
    return status;
}
