/* worker_files.c: what lies in the job's folder already, and whether it is this job's. Every file that a later stage goes on from carries
 * `made_with`, a fingerprint of the settings it was made with (vg_job_fingerprint):
 *
 *   the same        it is gone on from
 *   another one     job.json was changed: one line and the end, never a mixture of two jobs (vg_worker_check_files)
 *   none, damaged   as if it was not there: that stage is done again, with the same bytes as result */
#include "app/worker/worker_run.h"
#include "kernels/base/newfile.h"

#include <stdlib.h>
#include <string.h>
#include "app/job/weights.h"
#include "app/media/clip.h"

typedef enum mark { MARK_NONE, MARK_OURS, MARK_OTHER } mark;

static mark compare_mark(const char *found, const char *ours)
{
    return !found || !*found ? MARK_NONE : !strcmp(found, ours) ? MARK_OURS : MARK_OTHER;
}

static mark tensors_mark(const char *path, const char *ours)
{
    vg_safetensors *st = NULL;
    if (!vg_file_exists(path) || vg_safetensors_open(path, &st, NULL) != VG_OK)
        return MARK_NONE;
    /* The mark of a file that is damaged says nothing. */
    mark m = vg_safetensors_check(st, NULL) == VG_OK
                 ? compare_mark(vg_safetensors_metadata(st, VG_MADE_WITH), ours)
                 : MARK_NONE;
    vg_safetensors_close(st);
    return m;
}

static mark json_mark(const char *path, const char *ours)
{
    const char *found = NULL;
    cJSON *root = vg_worker_open_sealed(path);
    if (!root)
        return MARK_NONE;
    mark m = vg_json_get_string(root, path, VG_MADE_WITH, &found, NULL) == VG_OK
                 ? compare_mark(found, ours)
                 : MARK_NONE;
    cJSON_Delete(root);
    return m;
}

/* Of the two, one is there. */
static const char *const frames_files[] = {VG_FRAMES_FILE_CLIP, VG_FRAMES_FILE_TENSORS};

vg_status vg_worker_note_frames(vg_worker *w, const char *dir, vg_err *err)
{
    vg_status status = VG_OK;
    for (size_t i = 0; i < 2 && status == VG_OK; i++) {
        char *path = vg_xstrf("%s/%s", dir, frames_files[i]);
        status = vg_worker_note_piece(w, path, err);
        free(path);
    }
    return status;
}

static vg_piece look_at_frames(const vg_worker *w, const char *dir)
{
    vg_piece piece = VG_PIECE_MISSING;
    for (size_t i = 0; i < 2 && piece == VG_PIECE_MISSING; i++) {
        char *path = vg_xstrf("%s/%s", dir, frames_files[i]);
        piece = vg_worker_look(w, path);
        free(path);
    }
    return piece;
}

static mark frames_mark(const vg_worker *w, const char *dir, const char *ours)
{
    vg_frames_store *store = NULL;
    if (look_at_frames(w, dir) == VG_PIECE_DAMAGED ||
        vg_frames_store_open(dir, &store, NULL) != VG_OK)
        return MARK_NONE;
    mark m = compare_mark(vg_frames_store_metadata(store, VG_MADE_WITH), ours);
    vg_frames_store_close(store);
    return m;
}

/* ---- changed under our feet ---- */

/* path is inside the job's folder; taken. */
static vg_status refuse_other(const vg_worker *w, char *path, mark m, vg_err *err)
{
    vg_status status = VG_OK;
    if (m == MARK_OTHER)
        status = VG_FAIL(
            err, VG_E_FORMAT,
            "%s was made with other settings than job.json says now; put job.json back, or start a new job",
            path + strlen(w->job.dir) + 1);
    free(path);
    return status;
}

vg_status vg_worker_check_files(vg_worker *w, vg_err *err)
{
    for (int i = 0; i < w->job.variants_count; i++) {
        static const char *const tensors[] = {VG_VARIANT_STATE, VG_VARIANT_LATENTS};
        char *path = vg_job_shared_path(&w->job, i, VG_DECIDES_CONDITIONS, VG_JOB_CONDITIONS);
        VG_TRY(refuse_other(w, path, tensors_mark(path, w->made_with_conditions[i]), err));
        path = vg_job_shared_path(&w->job, i, VG_DECIDES_SCALES, VG_JOB_CALIBRATION);
        VG_TRY(refuse_other(w, path, json_mark(path, w->made_with_scales[i]), err));
        for (size_t k = 0; k < sizeof tensors / sizeof *tensors; k++) {
            path = vg_job_variant_path(&w->job, i, tensors[k]);
            VG_TRY(refuse_other(w, path, tensors_mark(path, w->made_with[i]), err));
        }
        path = vg_job_variant_path(&w->job, i, VG_VARIANT_FILE);
        VG_TRY(refuse_other(w, path, json_mark(path, w->made_with[i]), err));
        path = vg_job_variant_path(&w->job, i, NULL);
        VG_TRY(refuse_other(w, path, frames_mark(w, path, w->made_with[i]), err));
    }
    return VG_OK;
}

/* ---- the decoder ---- */

void vg_worker_check_decoders(vg_worker *w)
{
    bool replaced = false;
    for (int i = 0; i < w->job.variants_count; i++) {
        /* One that cannot be read is no reason to make again what it made; decoding will say what is wrong. */
        if (vg_job_weights_of_decoder(w->models[i], w->decoded_with[i], NULL) != VG_OK)
            continue;
        w->decoder_replaced[i] = vg_job_weights_check(w->job.variants[i].identity, w->models[i],
                                                      NULL, VG_STAGE_DECODE, NULL) != VG_OK;
        replaced = replaced || w->decoder_replaced[i];
    }
    if (replaced)
        vg_worker_note(w, "the decoder is not the one that the job was made with; its clips are "
                          "those of the one that is there now");
}

/* Frames from before a decoder was noted in them were made by the one that job.json names. */
static bool of_this_decoder(const vg_worker *w, const vg_frames_store *store)
{
    const char *found = vg_frames_store_metadata(store, VG_DECODED_WITH),
               *now = w->decoded_with[w->variant];
    return !now[0] || (found && found[0] ? !strcmp(found, now) : !w->decoder_replaced[w->variant]);
}

/* ---- usable pieces ---- */

bool vg_worker_tensors_good(const char *path, const char *made_with)
{
    return tensors_mark(path, made_with) == MARK_OURS;
}

bool vg_worker_find_frames(vg_worker *w, const vg_generate_params *params, const char *dir)
{
    vg_frames_store *store = NULL;
    const uint8_t *rgb;
    vg_piece piece = look_at_frames(w, dir);
    if (frames_mark(w, dir, w->made_with[w->variant]) != MARK_OURS ||
        vg_frames_store_open(dir, &store, NULL) != VG_OK)
        return false;
    bool good = of_this_decoder(w, store) && vg_frames_store_count(store) == params->num_frames &&
                vg_frames_store_height(store) == params->height &&
                vg_frames_store_width(store) == params->width;
    /* Every picture has a checksum; decoding finds damage where none is noted of the file. */
    for (int i = 0; good && piece != VG_PIECE_WHOLE && i < params->num_frames; i++)
        good = vg_frames_store_get(store, i, &rgb, NULL) == VG_OK;
    vg_frames_store_close(store);
    if (good && piece == VG_PIECE_UNKNOWN)
        (void)vg_worker_note_frames(w, dir, NULL); /* or they are decoded again next time */
    return good;
}

bool vg_worker_find_clip(const vg_worker *w)
{
    if (!vg_clip_available())
        return true;
    char *path = vg_job_variant_path(&w->job, w->variant, VG_VARIANT_CLIP);
    bool good = vg_worker_look(w, path) == VG_PIECE_WHOLE;
    free(path);
    return good;
}

bool vg_worker_find_metrics(vg_worker *w, const vg_generate_params *params, const char *dir)
{
    static const char *const names[] = {VG_REPORT_METRICS_FILE, VG_REPORT_METRICS_CSV};
    vg_report_metrics metrics = {0};
    bool good = true;
    if (w->variant == 0)
        return true;
    for (size_t i = 0; i < 2 && good; i++) {
        char *path = vg_xstrf("%s/%s", dir, names[i]);
        good = vg_worker_look(w, path) == VG_PIECE_WHOLE;
        free(path);
    }
    good = good && vg_report_metrics_read(dir, &metrics, NULL) == VG_OK &&
           metrics.frames == params->num_frames;
    vg_report_metrics_deinit(&metrics);
    return good;
}

bool vg_worker_find_report(vg_worker *w, const char *path)
{
    return json_mark(path, w->made_with[w->variant]) == MARK_OURS;
}

/* ---- input scales: text that people may edit, so it is sealed ---- */

/* The file as JSON when it is whole and was measured under this key (NULL: any); NULL otherwise. */
static cJSON *scales_load(const char *path, const char *key)
{
    const char *found = "";
    cJSON *root = vg_worker_open_sealed(path);
    if (root && vg_json_get_string(root, path, "key", &found, NULL) == VG_OK && *found &&
        (!key || !strcmp(found, key)))
        return root;
    cJSON_Delete(root);
    return NULL;
}

bool vg_worker_scales_good(const char *path, const char *made_with)
{
    /* The key names the program's version too; a job goes on with the scales that it began with. */
    cJSON *root = json_mark(path, made_with) == MARK_OURS ? scales_load(path, NULL) : NULL;
    bool good = root != NULL;
    cJSON_Delete(root);
    return good;
}

vg_status vg_worker_scales_copy(const char *from, const char *to, const char *key,
                                const char *made_with, vg_err *err)
{
    cJSON *root = scales_load(from, key);
    if (!root)
        return VG_FAIL(err, VG_E_FORMAT, "%s: damaged, or of other settings", from);
    cJSON_DeleteItemFromObjectCaseSensitive(root, VG_MADE_WITH);
    if (made_with)
        cJSON_AddStringToObject(root, VG_MADE_WITH, made_with);
    vg_worker_seal(root);
    vg_status status = vg_json_save(to, root, err);
    cJSON_Delete(root);
    return status;
}

vg_status vg_worker_scales_seal(const char *path, const char *key, const char *made_with,
                                vg_err *err)
{
    cJSON *root = NULL;
    VG_TRY(vg_json_load(path, &root, err));
    cJSON_AddStringToObject(root, "key", key);
    cJSON_AddStringToObject(root, VG_MADE_WITH, made_with);
    vg_worker_seal(root);
    vg_status status = vg_json_save(path, root, err);
    cJSON_Delete(root);
    return status;
}

/* ---- what a kill left half written ---- */

static void sweep_beside(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!slash)
        return;
    char *folder = vg_xstrf("%.*s", slash > path ? (int)(slash - path) : 1, path);
    vg_newfile_sweep(folder);
    free(folder);
}

void vg_worker_sweep(const vg_job *job)
{
    vg_newfile_sweep(job->dir);
    sweep_beside(job->comparison_output);
    for (int i = 0; i < job->variants_count; i++) {
        const vg_job_outputs *o = &job->variants[i].outputs;
        char *folder = vg_job_variant_path(job, i, NULL);
        vg_newfile_sweep(folder);
        free(folder);
        sweep_beside(o->output);
        sweep_beside(o->save_latents);
        sweep_beside(o->save_frames);
    }
}
