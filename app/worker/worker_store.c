/* worker_store.c: the job's folder as a store of the sequence of stages (engine/run/sequence.h). Each finished piece is a file that carries the
 * fingerprint of what it was made with; conditions and input scales may be shared by variants. */
#include "app/worker/worker_run.h"

#include <stdlib.h>
#include <string.h>
#include "app/job/weights.h"
#include "app/settings/paths.h"
#include "kernels/base/hash.h"

static char *variant_path(const vg_worker *w, const char *file)
{
    return vg_job_variant_path(&w->job, w->variant, file);
}

/* ---- inputs ---- */

static vg_status open_inputs(void *user, vg_generate_params *params, vg_err *err)
{
    vg_worker *w = user;
    VG_TRY(vg_job_media_open(w->job.dir, &w->job.resolved, &w->media, err));
    for (int i = 0; i < w->media.count; i++)
        if (w->media.files[i].note[0])
            vg_worker_note(w, "%s: %s", vg_options[w->media.option[i]].key, w->media.files[i].note);
    vg_job_media_give(&w->media, params);
    return VG_OK;
}

static void close_inputs(void *user)
{
    vg_worker *w = user;
    vg_job_media_deinit(&w->media);
}

/* Are they still those that the job was made with? */
static vg_status check_weights(void *user, const vg_generate_params *params, vg_stage stage,
                               vg_err *err)
{
    const vg_worker *w = user;
    return vg_job_weights_check(w->job.variants[w->variant].identity, w->model, params, stage, err);
}

/* ---- conditions ---- */

static char *conditions_path(const vg_worker *w)
{
    return vg_job_shared_path(&w->job, w->variant, VG_DECIDES_CONDITIONS, VG_JOB_CONDITIONS);
}

static bool load_conditions(void *user, vg_conditions *conditions)
{
    vg_worker *w = user;
    char *path = conditions_path(w);
    bool good = vg_worker_tensors_good(path, w->made_with_conditions[w->variant]) &&
                vg_conditions_read(path, conditions, NULL) == VG_OK;
    free(path);
    return good;
}

static vg_status save_conditions(void *user, const vg_conditions *conditions, vg_err *err)
{
    vg_worker *w = user;
    char *path = conditions_path(w);
    const char *const metadata[] = {VG_SAFETENSORS_CHECKSUM, VG_SAFETENSORS_UNKNOWN, VG_MADE_WITH,
                                    w->made_with_conditions[w->variant], NULL};
    vg_status status = vg_conditions_write(path, conditions, metadata, err);
    free(path);
    return status;
}

/* ---- input scales: in the job, and in a cache for all jobs of this user ---- */

/* Everything that decides the scales: two jobs with the same key get the same file, bit for bit. weights: what decides them of those. */
static char *scales_key(const vg_worker *w, const char *weights)
{
    const vg_job_variant *v = &w->job.variants[w->variant];
    uint64_t hash = VG_FNV1A_BEGIN;
    char tail[64];
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        const char *text = vg_settings_get(&v->resolved, (vg_option_id)i);
        if (vg_option_decides(&vg_options[i], VG_DECIDES_SCALES))
            hash = vg_fnv1a(hash, text, strlen(text) + 1);
    }
    snprintf(tail, sizeof tail, "-%s-%d-%s-%s", w->job.device, VG_WORKER_CALIBRATION_STEPS,
             VG_VERSION, "3");
    return vg_xstrf("%s-%016llx%s", weights, (unsigned long long)hash, tail);
}

typedef struct scales_place {
    char *path;           /* in the job */
    char *folder, *cache; /* in the cache */
    char *key;
    char weights[17];
} scales_place;

static scales_place scales_place_of(const vg_worker *w)
{
    scales_place p = {
        .path = vg_job_shared_path(&w->job, w->variant, VG_DECIDES_SCALES, VG_JOB_CALIBRATION)};
    char *cache = vg_paths_cache();
    vg_job_weights_of_latents(w->job.variants[w->variant].identity, w->model, w->params, p.weights);
    p.key = scales_key(w, p.weights);
    p.folder = vg_xstrf("%s/calibration", cache);
    p.cache = vg_xstrf("%s/%s.json", p.folder, p.key);
    free(cache);
    return p;
}

static void scales_place_free(scales_place *p)
{
    free(p->path);
    free(p->folder);
    free(p->cache);
    free(p->key);
}

static bool load_scales(void *user, vg_input_scales **scales)
{
    vg_worker *w = user;
    const char *made_with = w->made_with_scales[w->variant];
    scales_place p = scales_place_of(w);
    bool good = vg_worker_scales_good(p.path, made_with);
    /* Latents that somebody gave are no part of the key. */
    if (!good && !w->init_latents &&
        vg_worker_scales_copy(p.cache, p.path, p.key, made_with, NULL) == VG_OK) {
        vg_worker_note(w, "input scales: from the cache (%s.json)", p.key);
        good = true;
    }
    good = good && vg_input_scales_read(p.path, p.weights, scales, NULL) == VG_OK;
    scales_place_free(&p);
    return good;
}

static vg_status save_scales(void *user, const vg_input_scales *scales, vg_err *err)
{
    vg_worker *w = user;
    scales_place p = scales_place_of(w);
    vg_status status = vg_input_scales_write(
        scales, p.weights, vg_calibration_settings(w->params, VG_WORKER_CALIBRATION_STEPS), p.path,
        err);
    if (status == VG_OK)
        status = vg_worker_scales_seal(p.path, p.key, w->made_with_scales[w->variant], err);
    if (status == VG_OK)
        vg_worker_note(w, "input scales: measured on this prompt");
    if (status == VG_OK && !w->init_latents && vg_file_make_private_dirs(p.folder, NULL) == VG_OK)
        (void)vg_worker_scales_copy(p.path, p.cache, p.key, NULL, NULL);
    scales_place_free(&p);
    return status;
}

/* ---- state, latents, frames ---- */

static bool load_state(void *user, vg_denoise_state *state)
{
    vg_worker *w = user;
    char *path = variant_path(w, VG_VARIANT_STATE);
    bool good = vg_worker_tensors_good(path, w->made_with[w->variant]) &&
                vg_denoise_state_read(path, state, NULL) == VG_OK;
    free(path);
    return good;
}

static vg_status save_state(void *user, const vg_denoise_state *state, vg_err *err)
{
    vg_worker *w = user;
    char *path = variant_path(w, VG_VARIANT_STATE);
    const char *const metadata[] = {VG_SAFETENSORS_CHECKSUM, VG_SAFETENSORS_UNKNOWN, VG_MADE_WITH,
                                    w->made_with[w->variant], NULL};
    vg_status status = vg_denoise_state_write(path, state, metadata, err);
    free(path);
    return status;
}

static bool load_latents(void *user, vg_latents *latents)
{
    vg_worker *w = user;
    char *path = variant_path(w, VG_VARIANT_LATENTS);
    bool good = vg_worker_tensors_good(path, w->made_with[w->variant]) &&
                vg_worker_read_latents(path, latents, NULL) == VG_OK;
    free(path);
    return good;
}

static vg_status save_latents(void *user, const vg_latents *latents, vg_err *err)
{
    vg_worker *w = user;
    char *path = variant_path(w, VG_VARIANT_LATENTS);
    vg_status status = vg_worker_write_latents(path, latents, w->made_with[w->variant], err);
    free(path);
    return status;
}

static bool have_frames(void *user)
{
    vg_worker *w = user;
    char *dir = variant_path(w, NULL);
    bool have = vg_worker_find_frames(w, w->params, dir);
    free(dir);
    return have;
}

static vg_status save_frames(void *user, const vg_frames *frames, vg_err *err)
{
    vg_worker *w = user;
    w->frames_made = true;
    return vg_worker_keep_frames(w, frames, err);
}

vg_store vg_worker_store(vg_worker *w)
{
    return (vg_store){.user = w,
                      .open_inputs = open_inputs,
                      .close_inputs = close_inputs,
                      .check_weights = check_weights,
                      .load_conditions = load_conditions,
                      .save_conditions = save_conditions,
                      .load_scales = load_scales,
                      .save_scales = save_scales,
                      .load_state = load_state,
                      .save_state = save_state,
                      .load_latents = load_latents,
                      .save_latents = save_latents,
                      .have_frames = have_frames,
                      .save_frames = save_frames};
}
