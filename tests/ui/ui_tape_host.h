/* ui_tape_host.h: the program's own host (app/tui) over recorded jobs, which are played up to the clock of the test: the same moment always gives
 * the same screen. The form is a fake (ui_form_fake.h); starting plays a recording. */
#ifndef VG_TESTS_UI_UI_TAPE_HOST_H
#define VG_TESTS_UI_UI_TAPE_HOST_H

#include "app/tui/tui_host.h"
#include "tests/tape.h"
#include "tests/ui/ui_form_fake.h"

enum { TAPES_MAX = 16 };

typedef struct tape_host {
    vg_ui_host host; /* for the screens */
    vg_tui_host *real;
    fake_form form;
    char root[64]; /* of the job folders */
    bool owns_root;
    struct {
        tape *tape;
        double from; /* the clock when it began */
    } jobs[TAPES_MAX];
    int jobs_count;
    double now, started_at; /* the clock, s; its beginning in Unix time */
    bool real_clock;        /* it follows the real one */
    double speed;
    bool gpu;           /* what is started has gauges */
    bool frames_slow;   /* no frame is there yet */
    const char *broken; /* nor of the variants after the first, for this reason */
    int made;           /* jobs started, for their names */
    vg_ui_job shown
        [TAPES_MAX]; /* what get hands out: paths of the test's folder are none of the golden's business */
} tape_host;

/* ---- jobs ---- */

static inline tape *tape_host_add(tape_host *h, const char *name, const char *id, double age,
                                  double from, const char *prompt)
{
    assert_true(h->jobs_count < TAPES_MAX);
    tape *t = tape_insert(name, h->real->store.dir, id, h->started_at + h->now - age, prompt);
    h->jobs[h->jobs_count].from = from;
    h->jobs[h->jobs_count++].tape = t;
    h->real->store.scan_wanted = true;
    return t;
}

static inline tape *tape_host_tape(const tape_host *h, const char *id)
{
    for (int i = 0; i < h->jobs_count; i++)
        if (!strcmp(strrchr(h->jobs[i].tape->dir, '/') + 1, id))
            return h->jobs[i].tape;
    return NULL;
}

static inline bool tape_host_refresh(void *self)
{
    tape_host *h = self;
    bool changed = false;
    if (h->real_clock)
        h->now = (vg_now_unix() - h->started_at) * h->speed;
    for (int i = 0; i < h->jobs_count; i++)
        if (tape_play(h->jobs[i].tape, h->now - h->jobs[i].from)) {
            /* Not every file system tells of it. */
            vg_tui_store_changed(&h->real->store, -1);
            changed = true;
        }
    return h->real->table.refresh(h->real) || changed;
}

static inline int tape_host_wake_fd(void *self)
{
    (void)self;
    return -1; /* nothing but the clock makes news */
}

static inline vg_ui_job_list tape_host_list(void *self)
{
    const vg_ui_jobs_host *real = &((tape_host *)self)->real->table.jobs;
    return real->list(real->self);
}

static inline bool tape_host_remove(void *self, const char *id, char *message, size_t size)
{
    const vg_ui_jobs_host *real = &((tape_host *)self)->real->table.jobs;
    return real->remove(real->self, id, message, size);
}

static inline const vg_ui_job *tape_host_get(void *self, const char *id)
{
    tape_host *h = self;
    const vg_ui_job *job = h->real->table.jobs.get(h->real->table.jobs.self, id);
    static int next;
    if (!job)
        return NULL;
    vg_ui_job *copy = &h->shown[next++ % TAPES_MAX];
    *copy = *job;
    copy->dir = "/home/person/.local/state/vgen/jobs/demo";
    copy->comparison = "";
    return copy;
}

static inline bool tape_host_cancel(void *self, const char *id, char *message, size_t size)
{
    tape *t = tape_host_tape(self, id);
    (void)message, (void)size;
    if (t)
        tape_cancel(t);
    vg_tui_store_changed(&((tape_host *)self)->real->store, -1);
    return t != NULL;
}

static inline bool tape_host_resume(void *self, const char *id, char *message, size_t size)
{
    tape_host *h = self;
    (void)message, (void)size;
    for (int i = 0; i < h->jobs_count; i++)
        if (h->jobs[i].tape == tape_host_tape(h, id)) {
            h->jobs[i].tape->played = 0;
            h->jobs[i].from = h->now;
            return true;
        }
    return false;
}

static inline bool tape_host_start(void *self, char *id, size_t id_size, const char **key,
                                   char *message, size_t size)
{
    tape_host *h = ((fake_form *)self)->owner;
    char name[32];
    int variants = 1;
    for (const char *c = fake_value(&h->form, "quantization"); *c; c++)
        variants += *c == ',';
    *key = NULL;
    if (h->jobs_count == TAPES_MAX) {
        snprintf(message, size, "the disk is full");
        return false;
    }
    snprintf(name, sizeof name, "demo-%d", ++h->made);
    tape_host_add(h,
                  h->gpu          ? "gpu"
                  : variants == 1 ? "one"
                  : variants == 2 ? "two"
                                  : "three",
                  name, 0, h->now, fake_value(&h->form, "prompt"));
    tape_host_refresh(h);
    snprintf(id, id_size, "%s", name);
    return true;
}

static inline bool tape_host_take_job(void *self, const char *id, char *message, size_t size)
{
    tape_host *h = ((fake_form *)self)->owner;
    const vg_ui_job *j = tape_host_get(h, id);
    return j && fake_set(&h->form, "prompt", j->prompt, message, size);
}

/* ---- media ---- */

static inline const char *tape_host_broken(void *self, const char *id, int variant)
{
    const tape_host *h = self;
    const vg_ui_media_host *real = &h->real->table.media;
    return h->broken && variant > 0 ? h->broken : real->broken(real->self, id, variant);
}

static inline const uint8_t *tape_host_frame(void *self, const char *id, int variant, int index)
{
    const tape_host *h = self;
    const vg_ui_media_host *real = &h->real->table.media;
    return h->frames_slow || tape_host_broken(self, id, variant)
               ? NULL
               : real->frame(real->self, id, variant, index);
}

static inline bool tape_host_export_start(void *self, const char *id, double gain, char *message,
                                          size_t size)
{
    const vg_ui_media_host *real = &((tape_host *)self)->real->table.media;
    return real->export_start(real->self, id, gain, message, size);
}

static inline vg_ui_export_state tape_host_export_poll(void *self, char *message, size_t size)
{
    const vg_ui_media_host *real = &((tape_host *)self)->real->table.media;
    return real->export_poll(real->self, message, size);
}

/* ---- making one ---- */

static inline vg_status tape_host_no_worker(const char *dir, int max_steps, pid_t *pid, vg_err *err)
{
    (void)max_steps, (void)pid;
    return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: nothing is started here", dir);
}

/* root: an empty folder for the jobs, which stays; NULL: one of its own. */
static inline tape_host *tape_host_new(const char *root)
{
    tape_host *h = calloc(1, sizeof *h);
    vg_settings none = {{0}};
    vg_err err;
    assert_non_null(h);
    h->speed = 1;
    h->started_at = 1800000000;
    h->owns_root = !root;
    snprintf(h->root, sizeof h->root, "%s", root ? root : "/tmp/vgen-tapes-XXXXXX");
    if (!root)
        assert_non_null(mkdtemp(h->root));
    const vg_tui_host_options options = {
        .jobs_dir = h->root, .form = &none, .start = tape_host_no_worker};
    CHECK_OK(vg_tui_host_open(&options, &h->real, &err), err);
    fake_form_init(&h->form, h);
    h->host = (vg_ui_host){
        .self = h,
        .wake_fd = tape_host_wake_fd,
        .refresh = tape_host_refresh,
        .form = {&h->form, fake_fields, fake_value, fake_default, fake_set, fake_complete,
                 fake_check, fake_plan, fake_presets, fake_preset_load, fake_preset_save,
                 tape_host_take_job, tape_host_start},
        .jobs = {h, tape_host_list, tape_host_get, tape_host_cancel, tape_host_resume,
                 tape_host_remove},
        .media = {h, tape_host_frame, tape_host_broken, tape_host_export_start,
                  tape_host_export_poll},
        .models = {&h->form, fake_models},
    };
    return h;
}

static inline void tape_host_free(tape_host *h)
{
    vg_tui_host_close(h->real);
    for (int i = 0; i < h->jobs_count; i++)
        tape_free(h->jobs[i].tape);
    fake_form_deinit(&h->form);
    if (h->owns_root)
        vg_file_remove_tree(h->root, NULL);
    free(h);
}

/* A history of jobs in every state, newest first. */
static inline void tape_host_history(tape_host *h)
{
    static const struct {
        const char *tape, *id;
        double age;
    } rows[] = {{"three", "20261105-120000-a-big-red-ball", 1500},
                {"cancelled", "20261105-101010-moving-left", 7200},
                {"failed", "20261103-231500-two-cats", 50 * 3600},
                {"one", "20261101-090000-a-small-yellow-square", 3 * 86400}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        tape_host_add(h, rows[i].tape, rows[i].id, rows[i].age, -1000, NULL);
    tape_host_refresh(h);
}
#endif
