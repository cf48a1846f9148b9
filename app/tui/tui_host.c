/* tui_host.c: see tui_host.h. Everything runs on the thread of the screens except loading frames and writing the comparison clip, which have
 * threads of their own and hand over through an atomic and an eventfd. */
#include "app/tui/tui_host.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "app/job/export.h"
#include "app/settings/paths.h"
#include "app/settings/presets.h"
#include "app/tui/tui_device.h"
#include "app/tui/tui_form.h"
#include "app/tui/tui_jobs.h"
#include "app/worker/worker.h"

#define SCAN_EVERY_MS 2000 /* when inotify is silent or missing */
#define POLL_EVERY_MS 500  /* also how soon a worker that was killed is noticed */
#define CHILDREN_MAX  64

typedef struct export_run {
    pthread_t thread;
    atomic_int state; /* 2 nothing, 0 running, 1 done, -1 failed */
    bool started;
    char *dir;
    double gain;
    int wake_fd;
    char message[VG_ERR_MESSAGE_MAX];
} export_run;

struct vg_tui_host {
    vg_ui_host table;
    char *jobs_dir;
    vg_tui_form form;
    vg_tui_device device;
    vg_tui_job **jobs;
    int jobs_count;
    vg_ui_job *list; /* what jobs() hands out */
    int epoll_fd, inotify_fd, event_fd, timer_fd, root_watch;
    bool ticking; /* the timer runs: some job is alive */
    bool scan_wanted;
    int64_t scanned_ms, polled_ms;
    struct {
        pid_t pid;
        char *dir; /* of its job; "" of another child */
    } children[CHILDREN_MAX];
    int children_count;
    vg_lines preset_names;
    const vg_tui_job *framed; /* whose frames are in memory */
    export_run export;
};

static void watch(vg_tui_host *h, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (fd >= 0)
        epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void remember_child(vg_tui_host *h, pid_t pid, const char *dir)
{
    if (h->children_count < CHILDREN_MAX) {
        h->children[h->children_count].dir = vg_xstrdup(dir);
        h->children[h->children_count++].pid = pid;
    }
}

static void ask_device(vg_tui_host *h)
{
    pid_t pid = 0;
    if (vg_tui_device_ask(&h->device, &pid)) {
        watch(h, h->device.fd);
        remember_child(h, pid, "");
    }
}

static bool say(char *message, size_t size, const char *text)
{
    if (message && size)
        vg_text_clean_to(message, size, text);
    return false;
}

/* ---- what changed ---- */

static vg_tui_job *find_job(const vg_tui_host *h, const char *id)
{
    for (int i = 0; id && i < h->jobs_count; i++) {
        if (!strcmp(h->jobs[i]->job.id, id))
            return h->jobs[i];
    }
    return NULL;
}

static void close_job(vg_tui_host *h, vg_tui_job *job)
{
    if (job->watch >= 0)
        inotify_rm_watch(h->inotify_fd, job->watch);
    if (h->framed == job)
        h->framed = NULL;
    vg_tui_job_close(job);
}

/* Match the list with the folder. */
static bool scan(vg_tui_host *h)
{
    vg_lines dirs = {0};
    bool changed = false;
    h->scan_wanted = false;
    h->scanned_ms = vg_now_monotonic_ms();
    vg_job_list(h->jobs_dir, &dirs);
    vg_tui_job **jobs = vg_xcalloc((size_t)dirs.count, sizeof *jobs);
    int n = 0;
    for (int i = 0; i < h->jobs_count; i++)
        h->jobs[i]->seen = false;
    for (int i = 0; i < dirs.count; i++) {
        vg_tui_job *job = NULL;
        for (int k = 0; k < h->jobs_count && !job; k++) {
            if (!strcmp(h->jobs[k]->job.dir, dirs.items[i]))
                job = h->jobs[k];
        }
        if (!job) {
            if (vg_tui_job_open(dirs.items[i], &job, NULL) != VG_OK)
                continue;
            if (h->inotify_fd >= 0)
                job->watch = inotify_add_watch(h->inotify_fd, job->job.dir,
                                               IN_MODIFY | IN_CREATE | IN_MOVED_TO);
            changed = true;
        }
        job->seen = true;
        changed = changed || n >= h->jobs_count || h->jobs[n] != job;
        jobs[n++] = job;
    }
    for (int i = 0; i < h->jobs_count; i++) {
        if (!h->jobs[i]->seen) {
            close_job(h, h->jobs[i]);
            changed = true;
        }
    }
    free(h->jobs);
    h->jobs = jobs;
    h->jobs_count = n;
    vg_lines_free(&dirs);
    return changed;
}

/* True when a frame was loaded, an export ended, or the device is known: the snapshots are the same, what they lead to is not. */
static bool drain(vg_tui_host *h)
{
    _Alignas(struct inotify_event) char buffer[16384];
    uint64_t count;
    ssize_t n;
    bool news = read(h->event_fd, &count, sizeof count) == (ssize_t)sizeof count;
    if (h->timer_fd >= 0 && read(h->timer_fd, &count, sizeof count) < 0)
        count = 0;
    if (vg_tui_device_take(&h->device)) {
        vg_device_learn(h->device.is_cuda);
        vg_tui_form_set_device(&h->form, h->device.is_cuda, h->device.limit);
        news = true;
    }
    while (h->inotify_fd >= 0 && (n = read(h->inotify_fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const struct inotify_event *)(buffer + at);
            at += (ssize_t)(sizeof *event + event->len);
            if (event->wd == h->root_watch || event->mask & IN_Q_OVERFLOW)
                h->scan_wanted = true;
            for (int i = 0; i < h->jobs_count; i++) {
                if (h->jobs[i]->watch == event->wd || event->mask & IN_Q_OVERFLOW)
                    h->jobs[i]->touched = true;
            }
        }
    }
    return news;
}

/* A worker that is killed writes nothing: while one should be alive, its lock is looked at twice a second. */
static void tick_while_alive(vg_tui_host *h)
{
    bool alive = false;
    for (int i = 0; i < h->jobs_count; i++)
        alive = alive || !vg_job_state_is_final(h->jobs[i]->snapshot.state);
    if (h->timer_fd < 0 || alive == h->ticking)
        return;
    struct timespec every = {.tv_nsec = alive ? POLL_EVERY_MS * 1000000L : 0};
    struct itimerspec spec = {every, every};
    if (timerfd_settime(h->timer_fd, 0, &spec, NULL) == 0)
        h->ticking = alive;
    if (!alive && h->device.is_cuda) /* what the job had of it is free again */
        ask_device(h);
}

static void reap(vg_tui_host *h)
{
    for (int i = 0; i < h->children_count;) {
        if (waitpid(h->children[i].pid, NULL, WNOHANG) == 0) {
            i++;
            continue;
        }
        /* One that ended before it took its job's lock: nobody needs to wait for it to begin. */
        for (int k = 0; k < h->jobs_count; k++) {
            if (!strcmp(h->jobs[k]->job.dir, h->children[i].dir)) {
                h->jobs[k]->touched = true;
                if (h->jobs[k]->snapshot.last == VG_LAST_ASKED)
                    h->jobs[k]->snapshot.last_t = 0;
            }
        }
        free(h->children[i].dir);
        h->children[i] = h->children[--h->children_count];
    }
}

static bool refresh(void *self)
{
    vg_tui_host *h = self;
    int64_t now = vg_now_monotonic_ms();
    bool changed = drain(h);
    reap(h);
    if (h->scan_wanted || now - h->scanned_ms >= SCAN_EVERY_MS)
        changed = scan(h) || changed;
    bool poll_all = now - h->polled_ms >= POLL_EVERY_MS;
    if (poll_all)
        h->polled_ms = now;
    for (int i = 0; i < h->jobs_count; i++) {
        vg_tui_job *job = h->jobs[i];
        bool alive = !vg_job_state_is_final(job->snapshot.state);
        if (job->touched || !job->ui.id || (alive && poll_all) || (poll_all && job->watch < 0))
            changed = vg_tui_job_refresh(job) || changed;
        else if (job->snapshot.state == VG_JOB_RUNNING)
            changed = vg_tui_job_refresh(job) || changed;
    }
    if (changed) {
        h->list = vg_xrealloc(h->list, (size_t)(h->jobs_count + 1) * sizeof *h->list);
        for (int i = 0; i < h->jobs_count; i++)
            h->list[i] = h->jobs[i]->ui;
    }
    tick_while_alive(h);
    return changed;
}

static int wake_fd(void *self)
{
    return ((vg_tui_host *)self)->epoll_fd;
}

/* ---- the form ---- */

static const vg_ui_field *fields(void *self, int *count)
{
    return vg_tui_form_fields(&((vg_tui_host *)self)->form, count);
}

static const char *value(void *self, const char *key)
{
    const vg_tui_host *h = self;
    int id = vg_option_find(key);
    return id >= 0 && h->form.settings.text[id] ? h->form.settings.text[id] : "";
}

static const char *default_text(void *self, const char *key)
{
    return vg_tui_form_default(&((vg_tui_host *)self)->form, key);
}

static bool set(void *self, const char *key, const char *text, char *message, size_t size)
{
    vg_tui_host *h = self;
    vg_err err = {0};
    int id = vg_option_find(key);
    if (id < 0)
        return say(message, size, "there is no such setting");
    if (vg_settings_set(&h->form.settings, (vg_option_id)id, text, &err) != VG_OK) {
        /* The field's name is on the screen already. */
        const char *rest = strstr(err.message, ": ");
        return say(message, size, rest ? rest + 2 : err.message);
    }
    h->form.dirty = true;
    if (message && size)
        message[0] = 0;
    return true;
}

static bool check(void *self, const char **key, char *message, size_t size)
{
    return vg_tui_form_check(&((vg_tui_host *)self)->form, key, message, size);
}

static vg_ui_plan plan(void *self)
{
    return vg_tui_form_plan(&((vg_tui_host *)self)->form);
}

static const char *const *presets(void *self)
{
    vg_tui_host *h = self;
    vg_preset_entry *entries = NULL;
    int count = 0;
    vg_lines_free(&h->preset_names);
    vg_presets_list(&entries, &count);
    for (int i = 0; i < count; i++)
        vg_lines_add(&h->preset_names, vg_text_clean(entries[i].name));
    vg_presets_list_free(entries, count);
    vg_lines_add(&h->preset_names, NULL);
    h->preset_names.count--;
    return (const char *const *)h->preset_names.items;
}

static bool preset_load(void *self, const char *name, char *message, size_t size)
{
    vg_tui_host *h = self;
    vg_settings loaded = {{0}};
    vg_lines warnings = {0};
    vg_err err = {0};
    bool good = vg_presets_load(name, &loaded, &warnings, &err) == VG_OK;
    if (good) {
        /* A preset without a prompt keeps the one that was written. */
        if (!loaded.text[VG_OPT_prompt])
            loaded.text[VG_OPT_prompt] = vg_xstrdup(h->form.settings.text[VG_OPT_prompt]);
        vg_settings_deinit(&h->form.settings);
        h->form.settings = loaded;
        h->form.dirty = true;
        say(message, size, warnings.count ? warnings.items[0] : "");
    } else {
        vg_settings_deinit(&loaded);
        say(message, size, err.message);
    }
    vg_lines_free(&warnings);
    return good;
}

static bool preset_save(void *self, const char *name, char *message, size_t size)
{
    vg_tui_host *h = self;
    vg_err err = {0};
    char *path = NULL;
    if (vg_presets_save(name, &h->form.settings, NULL, &path, &err) != VG_OK)
        return say(message, size, err.message);
    if (size)
        vg_text_clean_to(message, size, "saved: ");
    size_t n = size ? strlen(message) : 0;
    say(message + n, size - n, path);
    free(path);
    return true;
}

/* ---- jobs ---- */

static const vg_ui_job *jobs(void *self, int *count)
{
    vg_tui_host *h = self;
    *count = h->jobs_count;
    return h->list;
}

static const vg_ui_job *job_by_id(void *self, const char *id)
{
    vg_tui_job *job = find_job(self, id);
    return job && job->ui.id ? &job->ui : NULL;
}

static char *last_form_path(void)
{
    char *state = vg_paths_state(), *path = vg_xstrf("%s/last-form.json", state);
    free(state);
    return path;
}

bool vg_tui_host_last_form(vg_settings *form)
{
    char *path = last_form_path(), *text = NULL;
    size_t size = 0;
    bool good = vg_file_exists(path) && vg_file_read(path, 1u << 20, &text, &size, NULL) == VG_OK &&
                vg_presets_parse(text, size, path, form, NULL, NULL) == VG_OK;
    free(text);
    free(path);
    return good;
}

static void save_last_form(const vg_settings *form)
{
    char *state = vg_paths_state(), *path = last_form_path();
    cJSON *root = vg_settings_to_json(form);
    if (vg_file_make_dirs(state, NULL) == VG_OK)
        (void)vg_json_save(path, root, NULL);
    cJSON_Delete(root);
    free(state);
    free(path);
}

static bool spawn(vg_tui_host *h, const char *dir, int max_steps, char *message, size_t size)
{
    vg_err err = {0};
    pid_t pid = 0;
    if (vg_worker_start(dir, max_steps, &pid, &err) != VG_OK)
        return say(message, size, err.message);
    remember_child(h, pid, dir);
    return true;
}

static bool start(void *self, char *id, size_t id_size, char *message, size_t size)
{
    vg_tui_host *h = self;
    vg_err err = {0};
    vg_job job = {0};
    const char *key = NULL;
    if (!vg_tui_form_check(&h->form, &key, message, size))
        return false;
    if (vg_job_create(h->jobs_dir, &h->form.settings, 0, &job, &err) != VG_OK)
        return say(message, size, err.message);
    save_last_form(&h->form.settings);
    snprintf(id, id_size, "%s", job.id);
    bool good =
        spawn(h, job.dir, vg_settings_int(&h->form.settings, VG_OPT_max_steps_run), message, size);
    vg_job_deinit(&job);
    h->scan_wanted = true;
    refresh(h);
    return good;
}

static bool cancel(void *self, const char *id, char *message, size_t size)
{
    vg_tui_job *job = find_job(self, id);
    pid_t pid = 0;
    if (!job)
        return say(message, size, "this job is gone");
    if (!vg_job_running(job->job.dir, &pid) || pid <= 1)
        return say(message, size,
                   vg_job_state_is_final(job->snapshot.state)
                       ? "this job is not running"
                       : "the worker is just starting; try again");
    if (kill(pid, SIGTERM) != 0)
        return say(message, size, strerror(errno));
    return true;
}

static bool resume(void *self, const char *id, char *message, size_t size)
{
    vg_tui_host *h = self;
    vg_tui_job *job = find_job(h, id);
    if (!job)
        return say(message, size, "this job is gone");
    if (vg_job_running(job->job.dir, NULL))
        return say(message, size, "this job is running");
    bool good = spawn(h, job->job.dir, VG_UNSET_INT, message, size);
    job->touched = true;
    return good;
}

static bool remove_job(void *self, const char *id, char *message, size_t size)
{
    vg_tui_host *h = self;
    vg_tui_job *job = find_job(h, id);
    vg_err err = {0};
    if (!job)
        return say(message, size, "this job is gone");
    if (vg_job_running(job->job.dir, NULL) || !vg_job_state_is_final(job->snapshot.state))
        return say(message, size, "this job is running; cancel it first");
    vg_tui_job_drop_frames(job);
    if (vg_file_remove_tree(job->job.dir, &err) != VG_OK)
        return say(message, size, err.message);
    h->scan_wanted = true;
    refresh(h);
    return true;
}

static bool load_settings(void *self, const char *id, char *message, size_t size)
{
    vg_tui_host *h = self;
    vg_tui_job *job = find_job(h, id);
    if (!job)
        return say(message, size, "this job is gone");
    vg_settings_deinit(&h->form.settings);
    vg_settings_copy(&h->form.settings, &job->job.settings);
    /* The form does not show what was written elsewhere, or where that job stopped: another job must not write over its files. */
    static const vg_option_id own[] = {VG_OPT_output, VG_OPT_save_latents, VG_OPT_save_frames,
                                       VG_OPT_max_steps_run};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        vg_settings_unset(&h->form.settings, own[i]);
    h->form.dirty = true;
    return true;
}

static const uint8_t *frame(void *self, const char *id, int variant, int index)
{
    vg_tui_host *h = self;
    vg_tui_job *job = find_job(h, id);
    if (!job)
        return NULL;
    /* One job's clips at a time: they are large. */
    if (h->framed != job) {
        for (int i = 0; i < h->jobs_count; i++) {
            if (h->jobs[i] != job)
                vg_tui_job_drop_frames(h->jobs[i]);
        }
        h->framed = job;
    }
    return vg_tui_job_frame(job, variant, index, h->event_fd);
}

static const char *frames_broken(void *self, const char *id, int variant)
{
    vg_tui_job *job = find_job(self, id);
    return job ? vg_tui_job_frames_broken(job, variant) : NULL;
}

/* ---- export ---- */

static void *run_export(void *user)
{
    export_run *e = user;
    vg_job job = {0};
    vg_err err = {0};
    vg_status status = vg_job_open(e->dir, &job, &err);
    if (status == VG_OK) {
        vg_snapshot snapshot;
        char *path = vg_job_path(&job, e->gain > 0 ? VG_JOB_COMPARISON_DIFF : VG_JOB_COMPARISON);
        vg_snapshot_init(&snapshot, &job);
        vg_snapshot_refresh(&snapshot, NULL, NULL);
        status = vg_job_export(&job, &snapshot, path, e->gain, false, NULL, NULL, &err);
        vg_text_clean_to(e->message, sizeof e->message, status == VG_OK ? path : err.message);
        vg_snapshot_deinit(&snapshot);
        free(path);
    } else {
        vg_text_clean_to(e->message, sizeof e->message, err.message);
    }
    vg_job_deinit(&job);
    atomic_store(&e->state, status == VG_OK ? 1 : -1);
    uint64_t one = 1;
    if (write(e->wake_fd, &one, sizeof one) != (ssize_t)sizeof one)
        return NULL;
    return NULL;
}

static void join_export(vg_tui_host *h)
{
    if (h->export.started)
        pthread_join(h->export.thread, NULL);
    h->export.started = false;
    free(h->export.dir);
    h->export.dir = NULL;
}

static bool export_start(void *self, const char *id, double gain, char *message, size_t size)
{
    vg_tui_host *h = self;
    vg_tui_job *job = find_job(h, id);
    if (!job)
        return say(message, size, "this job is gone");
    if (atomic_load(&h->export.state) == 0)
        return say(message, size, "an export is running");
    for (int i = 0; i < job->snapshot.variants_count; i++) {
        if (!job->snapshot.variants[i].frames_ready)
            return say(message, size, "not all schemes are finished");
    }
    join_export(h);
    h->export.dir = vg_xstrdup(job->job.dir);
    h->export.gain = gain;
    h->export.wake_fd = h->event_fd;
    atomic_store(&h->export.state, 0);
    h->export.started = pthread_create(&h->export.thread, NULL, run_export, &h->export) == 0;
    if (!h->export.started) {
        atomic_store(&h->export.state, 2);
        return say(message, size, "cannot start a thread");
    }
    return true;
}

static int export_poll(void *self, char *message, size_t size)
{
    vg_tui_host *h = self;
    int state = atomic_load(&h->export.state);
    if (message && size)
        message[0] = 0;
    if (state == 1 || state == -1) {
        say(message, size, h->export.message);
        join_export(h);
        atomic_store(&h->export.state, 2);
    }
    return state;
}

/* ---- opening ---- */

vg_status vg_tui_host_open(const char *jobs_dir, const vg_settings *form, vg_tui_host **host,
                           vg_err *err)
{
    char *dir = vg_paths_jobs(jobs_dir);
    vg_status status = vg_file_make_dirs(dir, err);
    if (status != VG_OK) {
        free(dir);
        return status;
    }
    char *real = realpath(dir, NULL);
    vg_tui_host *h = vg_xcalloc(1, sizeof *h);
    h->jobs_dir = real ? real : vg_xstrdup(dir);
    free(dir);
    vg_tui_form_init(&h->form, form);
    vg_tui_device_init(&h->device);
    atomic_store(&h->export.state, 2);
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    h->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    h->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    h->root_watch = h->inotify_fd >= 0
                        ? inotify_add_watch(h->inotify_fd, h->jobs_dir,
                                            IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM)
                        : -1;
    h->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    watch(h, h->timer_fd);
    watch(h, h->inotify_fd);
    watch(h, h->event_fd);
    ask_device(h);
    h->scan_wanted = true;
    h->table = (vg_ui_host){
        .self = h,
        .wake_fd = wake_fd,
        .refresh = refresh,
        .fields = fields,
        .value = value,
        .default_text = default_text,
        .set = set,
        .check = check,
        .plan = plan,
        .presets = presets,
        .preset_load = preset_load,
        .preset_save = preset_save,
        .jobs = jobs,
        .job = job_by_id,
        .start = start,
        .cancel = cancel,
        .resume = resume,
        .remove = remove_job,
        .load_settings = load_settings,
        .frame = frame,
        .frames_broken = frames_broken,
        .export_start = export_start,
        .export_poll = export_poll,
    };
    refresh(h);
    *host = h;
    return VG_OK;
}

void vg_tui_host_close(vg_tui_host *h)
{
    if (!h)
        return;
    if (atomic_load(&h->export.state) ==
        0) /* it was asked for; the terminal is given back already */
        fputs("The comparison clip is still being written ...\n", stderr);
    join_export(h);
    for (int i = 0; i < h->jobs_count; i++)
        close_job(h, h->jobs[i]);
    free(h->jobs);
    free(h->list);
    for (int i = 0; i < h->children_count; i++)
        free(h->children[i].dir);
    vg_lines_free(&h->preset_names);
    vg_tui_device_deinit(&h->device);
    vg_tui_form_deinit(&h->form);
    if (h->inotify_fd >= 0)
        close(h->inotify_fd);
    if (h->event_fd >= 0)
        close(h->event_fd);
    if (h->timer_fd >= 0)
        close(h->timer_fd);
    if (h->epoll_fd >= 0)
        close(h->epoll_fd);
    free(h->jobs_dir);
    free(h);
}

const vg_ui_host *vg_tui_host_table(vg_tui_host *host)
{
    return &host->table;
}
