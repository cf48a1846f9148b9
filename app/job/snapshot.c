/* snapshot.c: the life of a snapshot: its journal is followed, and what the journal alone does not say (the lock, files) is added. See
 * snapshot.h; what events mean is fold.c's. */
#include "app/job/snapshot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "app/job/fold.h"

#define START_GRACE_S 10.0 /* a worker that was asked for has this long to take its lock */

const char *vg_job_state_text(vg_job_state state)
{
    static const char *const names[] = {"queued",    "running",     "done",   "failed",
                                        "cancelled", "interrupted", "not run"};
    return names[state];
}

bool vg_job_state_is_final(vg_job_state state)
{
    return state != VG_JOB_QUEUED && state != VG_JOB_RUNNING;
}

/* ---- beginning and end ---- */

static void init_card(vg_job_card *card, const vg_job *job)
{
    char summary[160];
    const vg_settings *s = &job->resolved;
    vg_settings_summary(s, summary, sizeof summary);
    *card = (vg_job_card){
        .id = vg_xstrdup(job->id),
        .dir = vg_xstrdup(job->dir),
        .model = vg_text_clean(vg_settings_get(s, VG_OPT_model)),
        .prompt = vg_xstrdup(vg_settings_get(s, VG_OPT_prompt)),
        .summary = vg_xstrdup(summary),
        .created = job->created,
        .fps = vg_settings_real(s, VG_OPT_fps),
        .frames = vg_settings_int(s, VG_OPT_num_frames),
        .width = vg_settings_int(s, VG_OPT_width),
        .height = vg_settings_int(s, VG_OPT_height),
    };
}

void vg_variant_snapshot_init(vg_variant_snapshot *v, const char *id, const char *label)
{
    *v = (vg_variant_snapshot){.id = vg_xstrdup(id),
                               .label = vg_xstrdup(label),
                               .state = VG_JOB_QUEUED,
                               .expert = -1,
                               .boundary_step = -1,
                               .s_per_it = NAN,
                               .precision = vg_xstrdup("")};
    for (int i = 0; i < VG_METRIC_COUNT; i++)
        v->means[i] = NAN;
}

void vg_snapshot_init(vg_snapshot *s, const vg_job *job)
{
    struct stat st;
    char *log = vg_job_path(job, VG_JOB_LOG);
    *s = (vg_snapshot){.job = job,
                       .current = -1,
                       .state = VG_JOB_QUEUED,
                       .message = vg_xstrdup(""),
                       .device = vg_text_clean(job->device),
                       .log_bytes = stat(log, &st) == 0 ? (size_t)st.st_size : 0,
                       .variants_count = job->variants_count,
                       .variants = vg_xcalloc((size_t)job->variants_count, sizeof *s->variants)};
    free(log);
    init_card(&s->card, job);
    vg_event_reader_init(&s->reader, job->dir);
    for (int i = 0; i < s->variants_count; i++) {
        const vg_job_variant *v = &job->variants[i];
        int steps = vg_settings_int(&v->resolved, VG_OPT_num_inference_steps);
        vg_variant_snapshot_init(&s->variants[i], v->id, v->label);
        s->variants[i].steps = steps > 0 ? steps : 0;
    }
}

static void deinit_variant(vg_variant_snapshot *v)
{
    free(v->id);
    free(v->label);
    free(v->step_s);
    free(v->gauges);
    free(v->precision);
    vg_layer_attentions_deinit(&v->attention);
    vg_report_metrics_deinit(&v->metrics);
}

void vg_snapshot_deinit(vg_snapshot *s)
{
    for (int i = 0; i < s->variants_count; i++)
        deinit_variant(&s->variants[i]);
    free(s->variants);
    free(s->card.id);
    free(s->card.dir);
    free(s->card.model);
    free(s->card.prompt);
    free(s->card.summary);
    free(s->message);
    free(s->device);
    free(s->gauges);
    free(s->gauge_history);
    vg_job_log_deinit(&s->log);
    vg_event_reader_deinit(&s->reader);
    *s = (vg_snapshot){0};
}

void vg_snapshot_worker_ended(vg_snapshot *s)
{
    if (s->last == VG_LAST_ASKED)
        s->last_t = 0;
}

void vg_snapshot_say(vg_snapshot *s, const char *message)
{
    free(s->message);
    s->message = vg_text_clean(message);
}

/* ---- what many events add up to ---- */

static void settle_variant(vg_snapshot *s, int i)
{
    vg_variant_snapshot *v = &s->variants[i];
    int timed = 0;
    v->denoise_s = 0;
    for (int k = 0; k < v->step && k < v->step_s_capacity; k++) {
        if (!isfinite(v->step_s[k]))
            continue;
        v->denoise_s += v->step_s[k];
        timed++;
    }
    v->s_per_it = timed ? v->denoise_s / timed : NAN;
    if (!v->metrics_unread)
        return;
    v->metrics_unread = false;
    char *dir = vg_job_variant_path(s->job, i, NULL);
    vg_report_metrics fresh = {0};
    if (vg_report_metrics_read(dir, &fresh, NULL) == VG_OK) {
        vg_report_metrics_deinit(&v->metrics);
        v->metrics = fresh;
        for (int m = 0; m < VG_METRIC_COUNT; m++)
            v->means[m] = fresh.metric[m].measured ? fresh.metric[m].mean : NAN;
    }
    free(dir);
}

/* The journal may be gone; finished variants are known from their files as well. */
static bool all_files_there(const vg_snapshot *s)
{
    for (int i = 0; i < s->variants_count; i++) {
        char *path = vg_job_variant_path(s->job, i, VG_VARIANT_FILE);
        bool there = vg_file_exists(path);
        free(path);
        if (!there)
            return false;
    }
    return true;
}

static vg_job_state state_of(const vg_snapshot *s, bool running)
{
    switch (s->last) {
    case VG_LAST_DONE:
        return VG_JOB_DONE;
    case VG_LAST_FAILED:
        return VG_JOB_FAILED;
    case VG_LAST_CANCELLED:
        return VG_JOB_CANCELLED;
    case VG_LAST_STOPPED:
        return VG_JOB_INTERRUPTED;
    case VG_LAST_QUEUED:
        return running ? VG_JOB_QUEUED : VG_JOB_INTERRUPTED;
    case VG_LAST_STARTED:
        return running ? VG_JOB_RUNNING : VG_JOB_INTERRUPTED;
    case VG_LAST_ASKED:
        return running || fabs(vg_now_unix() - s->last_t) < START_GRACE_S ? VG_JOB_QUEUED
                                                                          : VG_JOB_INTERRUPTED;
    case VG_LAST_NONE:
        break;
    }
    return running ? VG_JOB_RUNNING : all_files_there(s) ? VG_JOB_DONE : VG_JOB_INTERRUPTED;
}

/* A variant that was begun when the job ended shares the job's fate. */
static vg_job_state variant_state(const vg_snapshot *s, int i)
{
    const vg_variant_snapshot *v = &s->variants[i];
    if (v->state == VG_JOB_DONE || s->state == VG_JOB_DONE)
        return VG_JOB_DONE;
    if (vg_job_state_is_final(s->state))
        return v->anchor_t > 0 ? s->state : VG_JOB_NOT_RUN;
    return v->state == VG_JOB_RUNNING && i == s->current ? s->state : VG_JOB_QUEUED;
}

static void derive_state(vg_snapshot *s)
{
    vg_job_state state = state_of(s, vg_job_running(s->card.dir, &s->pid));
    if (state == VG_JOB_INTERRUPTED && s->last != VG_LAST_STOPPED)
        vg_snapshot_say(
            s, "the worker ended without finishing; resume goes on from the last finished step");
    if (state != s->state)
        s->serial++;
    s->state = state;
    for (int i = 0; i < s->variants_count; i++)
        s->variants[i].state = variant_state(s, i);
}

typedef struct follow {
    vg_snapshot *snapshot;
    vg_event_take tell;
    void *user;
} follow;

static void take(void *user, const vg_event_line *line)
{
    const follow *f = user;
    if (line->event)
        vg_fold(f->snapshot, line->event);
    else
        f->snapshot->events_unknown++;
    if (f->tell)
        f->tell(f->user, line);
}

bool vg_snapshot_refresh(vg_snapshot *s, vg_event_take tell, void *user)
{
    follow f = {s, tell, user};
    uint64_t before = s->serial;
    if (vg_event_reader_poll(&s->reader, take, &f) > 0) {
        s->serial++;
        for (int i = 0; i < s->variants_count; i++)
            settle_variant(s, i);
    }
    s->events_malformed = s->reader.malformed;
    derive_state(s);
    return s->serial != before;
}

/* ---- figures ---- */

double vg_variant_wall_s(const vg_variant_snapshot *v)
{
    double wall = v->wall_s;
    if (v->state == VG_JOB_RUNNING && v->anchor_t > 0) {
        double now = v->wall_base + (vg_now_unix() - v->anchor_t);
        if (now > wall && now - wall < 3600)
            wall = now;
    }
    return wall;
}

double vg_variant_eta_s(const vg_snapshot *s, int variant)
{
    const vg_variant_snapshot *v = &s->variants[variant];
    if (v->state != VG_JOB_RUNNING || !isfinite(v->s_per_it) || !v->steps)
        return NAN;
    double left = v->s_per_it * (v->steps - v->step);
    /* Decoding: as long as an earlier variant took. Without one, what is left after the last step is not known. */
    double decode = 0;
    for (int i = 0; i < s->variants_count; i++)
        decode = s->variants[i].stage_s[VG_STAGE_DECODE] > 0
                     ? s->variants[i].stage_s[VG_STAGE_DECODE]
                     : decode;
    if (v->stage_s[VG_STAGE_DECODE] > 0)
        decode = 0;
    else if (v->step >= v->steps && decode <= 0)
        return NAN;
    return left + decode;
}

double vg_job_eta_s(const vg_snapshot *s)
{
    if (s->current < 0)
        return NAN;
    const vg_variant_snapshot *now = &s->variants[s->current];
    double left = vg_variant_eta_s(s, s->current), one = vg_variant_wall_s(now) + left;
    for (int i = 0; i < s->variants_count; i++) {
        const vg_variant_snapshot *v = &s->variants[i];
        if (v->state == VG_JOB_QUEUED) /* as long as the one at work will have taken */
            left += one;
    }
    return left;
}

vg_job_memory vg_snapshot_memory(const vg_snapshot *s)
{
    vg_job_memory m = {.is_device = s->memory_is_device,
                       .now = s->memory_now,
                       .peak = s->memory_peak,
                       .total = s->memory_total};
    double ours_peak = s->gauges ? vg_gauges_peak(s->gauges, VG_GPU_memory_ours_bytes) : NAN;
    if (isfinite(ours_peak)) {
        /* With the context and the libraries' workspaces; a peak between two readings is known to the backend alone. */
        m.peak = (uint64_t)fmax(m.is_device ? (double)m.peak : 0, ours_peak);
        if (vg_gpu_has(&s->gpu, VG_GPU_memory_ours_bytes))
            m.now = (uint64_t)s->gpu.value[VG_GPU_memory_ours_bytes];
        else if (!m.is_device)
            m.now = 0; /* the process's own is not what is asked for */
        m.is_device = true;
    }
    if (m.is_device && s->current >= 0)
        m.planned = s->variants[s->current].planned_bytes;
    if (m.is_device && vg_gpu_has(&s->gpu, VG_GPU_memory_total_bytes))
        m.total = (uint64_t)s->gpu.value[VG_GPU_memory_total_bytes];
    if (m.is_device && vg_gpu_has(&s->gpu, VG_GPU_memory_used_bytes)) {
        uint64_t used = (uint64_t)s->gpu.value[VG_GPU_memory_used_bytes];
        m.others = used > m.now ? used - m.now : 0;
    }
    return m;
}
