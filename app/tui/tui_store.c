/* tui_store.c: see tui_store.h. */
#include "app/tui/tui_store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "app/settings/paths.h"
#include "app/tui/tui_say.h"
#include "app/worker/worker.h"

#define SLICE_MS 15 /* of reading at a time */
#define LOOK_EVERY_MS                                                                              \
    2000 /* at the folder, for what inotify does not tell (file systems of a network) */
#define POLL_EVERY_MS 500 /* also how soon a worker that was killed is noticed */
#define POLL_JOBS     250 /* that inotify does not tell of, at a time */
#define OPEN_MAX      8   /* jobs that are over and open all the same */

/* ---- which jobs there are ---- */

static double folder_time(const vg_tui_store *s)
{
    struct stat st;
    return stat(s->dir, &st) == 0 ? (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec * 1e-9
                                  : 0;
}

static int by_dir(const void *a, const void *b)
{
    return strcmp((*(vg_tui_job *const *)a)->dir, (*(vg_tui_job *const *)b)->dir);
}

static void drop(vg_tui_store *s, vg_tui_job *job)
{
    vg_tui_wake_unwatch(s->wake, job->watch);
    vg_tui_job_free(job);
}

/* Match the list with the folder. */
static bool scan(vg_tui_store *s)
{
    vg_lines dirs = {0};
    s->scan_wanted = false;
    s->scanned_ms = vg_now_monotonic_ms();
    s->changed_s = folder_time(s);
    vg_job_list(s->dir, &dirs);
    int old = s->count;
    vg_tui_job **jobs = vg_xcalloc((size_t)dirs.count + 1, sizeof *jobs),
               **known = vg_xcalloc((size_t)old + 1, sizeof *known);
    bool changed = dirs.count != old;
    memcpy(known, s->jobs, (size_t)old * sizeof *known);
    qsort(known, (size_t)old, sizeof *known, by_dir);
    for (int i = 0; i < old; i++)
        known[i]->seen = false;
    for (int i = 0; i < dirs.count; i++) {
        vg_tui_job key = {.dir = dirs.items[i]}, *wanted = &key,
                   **found = bsearch(&wanted, known, (size_t)old, sizeof *known, by_dir);
        jobs[i] = found ? *found : vg_tui_job_new(dirs.items[i]);
        jobs[i]->seen = true;
        changed = changed || i >= old || s->jobs[i] != jobs[i];
    }
    for (int i = 0; i < old; i++)
        if (!known[i]->seen)
            drop(s, known[i]);
    free(known);
    free(s->jobs);
    s->jobs = jobs;
    s->count = dirs.count;
    s->cursor = 0;
    vg_lines_free(&dirs);
    return changed;
}

/* The folder changed since the scan, or so shortly before it that its time does not tell. */
static bool folder_changed(vg_tui_store *s)
{
    double now = folder_time(s);
    return now != s->changed_s || now > vg_now_unix() - LOOK_EVERY_MS * 2e-3;
}

/* ---- reading, opening, closing ---- */

static bool read_some(vg_tui_store *s)
{
    int64_t until = vg_now_monotonic_ms() + SLICE_MS;
    bool any = false;
    s->unread = 0;
    for (int i = 0; i < s->count; i++) {
        vg_tui_job *job = s->jobs[i];
        if (job->known)
            continue;
        if (any && vg_now_monotonic_ms() >= until) {
            s->unread++;
            continue;
        }
        job->watch = vg_tui_wake_watch(s->wake, job->dir);
        vg_tui_job_read(job);
        any = true;
    }
    if (s->unread)
        vg_tui_wake_now(s->wake);
    return any;
}

/* The one that was longest not looked at, of those that are over and open; NULL while they are few. */
static vg_tui_job *longest_unused(const vg_tui_store *s)
{
    vg_tui_job *oldest = NULL;
    int open = 0;
    for (int i = 0; i < s->count; i++) {
        vg_tui_job *job = s->jobs[i];
        if (!vg_tui_job_is_open(job) || vg_tui_job_alive(job))
            continue;
        open++;
        if (!oldest || job->used < oldest->used)
            oldest = job;
    }
    return open > OPEN_MAX ? oldest : NULL;
}

/* ---- what changed ---- */

void vg_tui_store_changed(vg_tui_store *s, int watch)
{
    if (watch == s->watch || watch < 0)
        s->scan_wanted = true;
    for (int i = 0; i < s->count; i++)
        if (watch < 0 || s->jobs[i]->watch == watch)
            s->jobs[i]->touched = true;
}

void vg_tui_store_ended(vg_tui_store *s, const char *dir)
{
    for (int i = 0; *dir && i < s->count; i++)
        if (!strcmp(s->jobs[i]->dir, dir)) {
            s->jobs[i]->touched = true;
            vg_snapshot_worker_ended(&s->jobs[i]->snapshot);
        }
}

/* Those that inotify does not tell of: those that are alive each time, the others in turn. */
static void touch_unwatched(vg_tui_store *s)
{
    for (int n = 0; n < POLL_JOBS && n < s->count; n++) {
        vg_tui_job *job = s->jobs[s->cursor = (s->cursor + 1) % s->count];
        job->touched = job->touched || job->watch < 0;
    }
    for (int i = 0; i < s->count; i++)
        s->jobs[i]->touched = s->jobs[i]->touched || vg_tui_job_alive(s->jobs[i]);
}

static bool refresh_jobs(vg_tui_store *s)
{
    bool changed = false;
    s->alive = false;
    for (int i = 0; i < s->count; i++) {
        vg_tui_job *job = s->jobs[i];
        if (job->known && (job->touched || job->snapshot.state == VG_JOB_RUNNING))
            changed = vg_tui_job_refresh(job) || changed;
        s->alive = s->alive || vg_tui_job_alive(job);
    }
    return changed;
}

static void make_list(vg_tui_store *s)
{
    s->list = vg_xrealloc(s->list, (size_t)(s->count + 1) * sizeof *s->list);
    s->list_count = 0;
    for (int i = 0; i < s->count; i++)
        if (s->jobs[i]->known)
            s->list[s->list_count++] = &s->jobs[i]->ui;
    s->serial++;
}

bool vg_tui_store_refresh(vg_tui_store *s)
{
    int64_t now = vg_now_monotonic_ms();
    bool changed = false;
    if (now - s->looked_ms >= LOOK_EVERY_MS) {
        s->looked_ms = now;
        s->scan_wanted = s->scan_wanted || folder_changed(s);
    }
    if (s->scan_wanted)
        changed = scan(s);
    if (now - s->polled_ms >= POLL_EVERY_MS) {
        s->polled_ms = now;
        touch_unwatched(s);
    }
    changed = read_some(s) || changed;
    changed = refresh_jobs(s) || changed;
    for (vg_tui_job *job; (job = longest_unused(s));)
        vg_tui_job_close(job);
    if (changed)
        make_list(s);
    vg_tui_wake_every(s->wake, s->alive ? POLL_EVERY_MS : 0);
    return changed;
}

/* ---- the jobs of the screens ---- */

static vg_tui_job *find(vg_tui_store *s, const char *id)
{
    for (int i = 0; id && i < s->count; i++)
        if (!strcmp(s->jobs[i]->id, id))
            return s->jobs[i];
    return NULL;
}

static vg_tui_job *look_at(vg_tui_store *s, const char *id)
{
    vg_tui_job *job = find(s, id);
    if (!job)
        return NULL;
    job->used = ++s->uses;
    if (!job->known) {
        job->watch = vg_tui_wake_watch(s->wake, job->dir);
        vg_tui_job_read(job);
    }
    vg_tui_job_open(job);
    return job;
}

vg_tui_job *vg_tui_store_find(vg_tui_store *s, const char *id)
{
    vg_tui_job *job = look_at(s, id);
    return job && vg_tui_job_is_open(job) ? job : NULL;
}

static vg_ui_job_list list(void *self)
{
    const vg_tui_store *s = self;
    return (vg_ui_job_list){s->list, s->list_count, s->unread, s->serial};
}

static const vg_ui_job *get(void *self, const char *id)
{
    vg_tui_job *job = look_at(self, id);
    return job ? &job->ui : NULL;
}

static bool cancel(void *self, const char *id, char *message, size_t size)
{
    vg_tui_job *job = find(self, id);
    vg_err err = {0};
    if (!job)
        return vg_tui_say(message, size, "this job is gone");
    if (!vg_job_running(job->dir, NULL))
        return vg_tui_say(message, size,
                          vg_tui_job_alive(job) ? "the worker is just starting; try again"
                                                : "this job is not running");
    /* Asked once more after a while, it is ended where it is. */
    double now = vg_now_unix();
    bool again = job->cancel_asked > 0 && now - job->cancel_asked >= VG_WORKER_GRACE_S;
    if ((again ? vg_worker_kill(job->dir, 0.05, &err) : vg_worker_cancel(job->dir, &err)) != VG_OK)
        return vg_tui_say(message, size, err.message);
    if (job->cancel_asked <= 0 || again)
        job->cancel_asked = now;
    return true;
}

static bool resume(void *self, const char *id, char *message, size_t size)
{
    vg_tui_job *job = find(self, id);
    if (!job)
        return vg_tui_say(message, size, "this job is gone");
    if (vg_job_running(job->dir, NULL))
        return vg_tui_say(message, size, "this job is running");
    return vg_tui_store_start(self, job->dir, VG_UNSET_INT, message, size);
}

static bool remove_job(void *self, const char *id, char *message, size_t size)
{
    vg_tui_store *s = self;
    vg_tui_job *job = find(s, id);
    vg_err err = {0};
    if (!job)
        return vg_tui_say(message, size, "this job is gone");
    if (vg_job_running(job->dir, NULL) || vg_tui_job_alive(job))
        return vg_tui_say(message, size, "this job is running; cancel it first");
    if (vg_job_remove(job->dir, &err) != VG_OK)
        return vg_tui_say(message, size, err.message);
    s->scan_wanted = true;
    vg_tui_store_refresh(s);
    return true;
}

void vg_tui_store_host(vg_tui_store *store, vg_ui_jobs_host *host)
{
    *host = (vg_ui_jobs_host){.self = store,
                              .list = list,
                              .get = get,
                              .cancel = cancel,
                              .resume = resume,
                              .remove = remove_job};
}

bool vg_tui_store_start(vg_tui_store *s, const char *dir, int max_steps, char *message, size_t size)
{
    vg_err err = {0};
    pid_t pid = 0;
    if (s->start(dir, max_steps, &pid, &err) != VG_OK)
        return vg_tui_say(message, size, err.message);
    vg_tui_wake_child(s->wake, pid, dir);
    s->scan_wanted = true;
    for (int i = 0; i < s->count; i++)
        s->jobs[i]->touched = s->jobs[i]->touched || !strcmp(s->jobs[i]->dir, dir);
    return true;
}

/* ---- beginning and end ---- */

vg_status vg_tui_store_init(vg_tui_store *s, const char *dir, vg_tui_start start, vg_tui_wake *wake,
                            vg_err *err)
{
    VG_TRY(vg_file_make_private_dirs(dir, err));
    char *real = realpath(dir, NULL);
    *s = (vg_tui_store){.wake = wake,
                        .dir = real ? real : vg_paths_absolute(dir),
                        .start = start,
                        .jobs = vg_xcalloc(1, sizeof *s->jobs),
                        .scan_wanted = true};
    s->watch = vg_tui_wake_watch(wake, s->dir);
    return VG_OK;
}

void vg_tui_store_deinit(vg_tui_store *s)
{
    for (int i = 0; i < s->count; i++)
        vg_tui_job_free(s->jobs[i]);
    free(s->jobs);
    free(s->list);
    free(s->dir);
    *s = (vg_tui_store){0};
}
