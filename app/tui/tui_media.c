/* tui_media.c: see tui_media.h. */
#include "app/tui/tui_media.h"

#include <stdlib.h>
#include <string.h>
#include "app/job/export.h"
#include "app/tui/tui_say.h"

/* ---- frames ---- */

static void drop_frames(vg_tui_job *job)
{
    for (int i = 0; job->details && i < job->snapshot.variants_count; i++) {
        vg_tui_frames_free(job->details[i].frames);
        job->details[i].frames = NULL;
    }
}

/* One job's clips at a time. */
static void frame_only(vg_tui_media *m, const vg_tui_job *job)
{
    if (!strcmp(m->framed, job->id))
        return;
    for (int i = 0; i < m->store->count; i++)
        if (m->store->jobs[i] != job)
            drop_frames(m->store->jobs[i]);
    snprintf(m->framed, sizeof m->framed, "%s", job->id);
}

static const uint8_t *frame(void *self, const char *id, int variant, int index)
{
    vg_tui_media *m = self;
    vg_tui_job *job = vg_tui_store_find(m->store, id);
    if (!job || variant < 0 || variant >= job->snapshot.variants_count ||
        !job->snapshot.variants[variant].frames_ready)
        return NULL;
    frame_only(m, job);
    vg_tui_detail *d = &job->details[variant];
    if (!d->frames) {
        char *dir = vg_job_variant_path(&job->job, variant, NULL);
        d->frames = vg_tui_frames_new(dir, job->ui.width, job->ui.height, m->store->wake);
        free(dir);
    }
    return vg_tui_frames_at(d->frames, index);
}

static const char *broken(void *self, const char *id, int variant)
{
    vg_tui_media *m = self;
    vg_tui_job *job = vg_tui_store_find(m->store, id);
    const vg_tui_frames *frames = job && variant >= 0 && variant < job->snapshot.variants_count
                                      ? job->details[variant].frames
                                      : NULL;
    return frames ? vg_tui_frames_broken(frames) : NULL;
}

/* ---- export ---- */

static void *run_export(void *user)
{
    vg_tui_media *m = user;
    vg_job job = {0};
    vg_err err = {0};
    vg_status status = vg_job_open(m->dir, &job, &err);
    if (status == VG_OK) {
        vg_snapshot snapshot;
        char *path = vg_job_path(&job, m->gain > 0 ? VG_JOB_COMPARISON_DIFF : VG_JOB_COMPARISON);
        vg_snapshot_init(&snapshot, &job);
        vg_snapshot_refresh(&snapshot, NULL, NULL);
        status = vg_job_export(&job, &snapshot, path, m->gain, false, NULL, NULL, &err);
        vg_text_clean_to(m->message, sizeof m->message, status == VG_OK ? path : err.message);
        vg_snapshot_deinit(&snapshot);
        free(path);
    } else {
        vg_text_clean_to(m->message, sizeof m->message, err.message);
    }
    vg_job_deinit(&job);
    atomic_store(&m->state, status == VG_OK ? VG_UI_EXPORT_DONE : VG_UI_EXPORT_FAILED);
    vg_tui_wake_now(m->store->wake);
    return NULL;
}

static void join_export(vg_tui_media *m)
{
    if (m->started)
        pthread_join(m->thread, NULL);
    m->started = false;
    free(m->dir);
    m->dir = NULL;
}

static bool export_start(void *self, const char *id, double gain, char *message, size_t size)
{
    vg_tui_media *m = self;
    vg_tui_job *job = vg_tui_store_find(m->store, id);
    if (!job)
        return vg_tui_say(message, size, "this job is gone");
    if (atomic_load(&m->state) == VG_UI_EXPORT_RUNNING)
        return vg_tui_say(message, size, "an export is running");
    for (int i = 0; i < job->snapshot.variants_count; i++) {
        if (!job->snapshot.variants[i].frames_ready)
            return vg_tui_say(message, size, "not all variants are finished");
    }
    join_export(m);
    m->dir = vg_xstrdup(job->dir);
    m->gain = gain;
    atomic_store(&m->state, VG_UI_EXPORT_RUNNING);
    m->started = pthread_create(&m->thread, NULL, run_export, m) == 0;
    if (!m->started) {
        atomic_store(&m->state, VG_UI_EXPORT_NONE);
        return vg_tui_say(message, size, "cannot start a thread");
    }
    return true;
}

static vg_ui_export_state export_poll(void *self, char *message, size_t size)
{
    vg_tui_media *m = self;
    vg_ui_export_state state = (vg_ui_export_state)atomic_load(&m->state);
    vg_tui_say(message, size, "");
    if (state == VG_UI_EXPORT_DONE || state == VG_UI_EXPORT_FAILED) {
        vg_tui_say(message, size, m->message);
        join_export(m);
        atomic_store(&m->state, VG_UI_EXPORT_NONE);
    }
    return state;
}

/* ---- beginning and end ---- */

void vg_tui_media_init(vg_tui_media *m, vg_tui_store *store)
{
    *m = (vg_tui_media){.store = store};
    atomic_store(&m->state, VG_UI_EXPORT_NONE);
}

void vg_tui_media_deinit(vg_tui_media *m)
{
    /* It was asked for; the terminal is given back already. */
    if (atomic_load(&m->state) == VG_UI_EXPORT_RUNNING)
        fputs("The comparison clip is still being written ...\n", stderr);
    join_export(m);
}

void vg_tui_media_host(vg_tui_media *media, vg_ui_media_host *host)
{
    *host = (vg_ui_media_host){.self = media,
                               .frame = frame,
                               .broken = broken,
                               .export_start = export_start,
                               .export_poll = export_poll};
}
