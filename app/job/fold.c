/* fold.c: from events to a snapshot. See fold.h. */
#include "app/job/fold.h"
#include "app/job/kind.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX  100000 /* of more, the journal is not believed */
#define NESTED_MAX 16     /* stages within themselves */

static int variant_of(const vg_snapshot *s, const vg_job_event *e)
{
    for (int i = 0; *e->variant && i < s->variants_count; i++) {
        if (!strcmp(s->variants[i].id, e->variant))
            return i;
    }
    return -1;
}

static int stage_index(const char *name)
{
    for (int i = 0; i < VG_STAGE_COUNT; i++) {
        if (!strcmp(vg_stage_name((vg_stage)i), name))
            return i;
    }
    return -1;
}

static bool ends(const vg_job_event *e)
{
    return !strcmp(e->what, "end");
}

static void take_bytes(uint64_t *to, uint64_t said)
{
    if (said)
        *to = said;
}

void vg_fold_text(char **to, const char *said)
{
    free(*to);
    *to = vg_text_clean(said);
}

/* ---- of a variant ---- */

static void fold_step(vg_variant_snapshot *v, const vg_job_event *e)
{
    if (e->step < 1 || e->step > STEPS_MAX)
        return;
    if (e->step > v->step_s_capacity) {
        int capacity = e->step + 63;
        v->step_s = vg_xrealloc(v->step_s, (size_t)capacity * sizeof *v->step_s);
        for (int i = v->step_s_capacity; i < capacity; i++)
            v->step_s[i] = NAN;
        v->step_s_capacity = capacity;
    }
    v->step_s[e->step - 1] = e->seconds;
    /* Over what was loaded in between. */
    snprintf(v->stage, sizeof v->stage, "%s", vg_stage_name(VG_STAGE_DENOISE));
    v->detail[0] = 0;
    v->step = e->step;
    if (e->steps >= 0 && e->steps <= STEPS_MAX)
        v->steps = e->steps;
    v->part = v->parts = 0;
    v->expert = e->expert == 1;
    if (v->expert == 1 && v->boundary_step < 0)
        v->boundary_step = e->step - 1;
}

static void fold_stage(vg_variant_snapshot *v, const vg_job_event *e)
{
    int i = stage_index(e->stage);
    if (ends(e)) {
        if (i < 0 || v->stage_open[i] <= 0)
            return;
        /* A stage inside itself counts once. */
        if (--v->stage_open[i] == 0 && e->seconds > 0 && e->seconds < 1e9)
            v->stage_s[i] += e->seconds;
        return;
    }
    if (i >= 0 && v->stage_open[i] < NESTED_MAX)
        v->stage_open[i]++;
    vg_text_clean_to(v->stage, sizeof v->stage, e->stage);
    vg_text_clean_to(v->detail, sizeof v->detail, e->detail);
    v->part = v->parts = 0;
}

static void begin_variant(vg_snapshot *s, int i, const vg_job_event *e)
{
    vg_variant_snapshot *v = &s->variants[i];
    s->current = i;
    v->state = VG_JOB_RUNNING;
    memset(v->stage_open, 0, sizeof v->stage_open);
    v->anchor_t = isfinite(e->t) ? e->t : 0;
    v->wall_base = v->wall_s;
    vg_energy_break(&v->energy);
    take_bytes(&v->planned_bytes, e->planned_bytes);
    v->step = e->step > 0 ? e->step : 0;
    if (v->step > v->step_s_capacity)
        v->step = v->step_s_capacity;
}

static void end_variant(vg_snapshot *s, int i, const vg_job_event *e)
{
    vg_variant_snapshot *v = &s->variants[i];
    v->state = VG_JOB_DONE;
    v->stage[0] = 0;
    take_bytes(&v->peak_bytes, e->peak_bytes);
    take_bytes(&v->calibration_peak_bytes, e->calibration_peak_bytes);
    take_bytes(&v->weight_bytes, e->weight_bytes);
    if (*e->peak_stage)
        vg_text_clean_to(v->peak_stage, sizeof v->peak_stage, e->peak_stage);
    if (s->current == i)
        s->current = -1;
}

static void fold_variant(vg_snapshot *s, int i, const vg_job_event *e)
{
    vg_variant_snapshot *v = &s->variants[i];
    bool begins = e->type == VG_JOB_EVENT_variant && !ends(e);
    /* Whoever works on a variant has begun, whatever was said in between (two people asking for a resume). */
    s->last = VG_LAST_STARTED;
    if (!begins && s->current == i && v->anchor_t > 0 && e->t >= v->anchor_t &&
        e->t - v->anchor_t < 1e8)
        v->wall_s = v->wall_base + (e->t - v->anchor_t);
    switch (e->type) {
    case VG_JOB_EVENT_variant:
        if (begins)
            begin_variant(s, i, e);
        else
            end_variant(s, i, e);
        break;
    case VG_JOB_EVENT_stage:
        fold_stage(v, e);
        break;
    case VG_JOB_EVENT_step:
        fold_step(v, e);
        break;
    case VG_JOB_EVENT_progress:
        v->part = e->part > 0 ? e->part : 0;
        v->parts = e->parts > 0 ? e->parts : 0;
        vg_text_clean_to(v->stage, sizeof v->stage, e->stage);
        break;
    default:
        break;
    }
}

/* ---- of the job ---- */

static void finish(vg_snapshot *s, vg_last last, const vg_job_event *e)
{
    s->last = last;
    s->ended = isfinite(e->t) ? e->t : 0;
    vg_fold_text(&s->message, e->message);
    s->stopped = last == VG_LAST_STOPPED;
}

static void add_reading(vg_gauge_figures **to, const vg_gpu_sample *sample, bool in_mean)
{
    if (!*to)
        *to = vg_xcalloc(1, sizeof **to);
    vg_gauges_add(*to, sample, in_mean);
}

/* What the gauges read belongs to the variant that runs. Variants are compared by their denoise steps, so that is where means are taken;
 * loading and decoding differ in length, not in kind. */
static void fold_gpu(vg_snapshot *s, const vg_gpu_sample *sample, double t)
{
    if (!sample->valid)
        return;
    s->gpu = *sample;
    add_reading(&s->gauges, sample, true);
    if (!s->gauge_history)
        s->gauge_history = vg_xcalloc(1, sizeof *s->gauge_history);
    vg_gauges_remember(s->gauge_history, sample);
    if (s->current < 0)
        return;
    vg_variant_snapshot *v = &s->variants[s->current];
    bool denoises = !strcmp(v->stage, vg_stage_name(VG_STAGE_DENOISE));
    add_reading(&v->gauges, sample, denoises);
    vg_energy_add(&v->energy, sample, t, denoises);
}

static void start(vg_snapshot *s, const vg_job_event *e)
{
    s->last = VG_LAST_STARTED;
    vg_fold_text(&s->message, "");
    s->runs++;
    s->stopped = false;
    take_bytes(&s->memory_total, e->memory_total);
    s->memory_is_device = e->memory_is_device;
    if (*e->device)
        vg_fold_text(&s->device, e->device);
}

static void fold_job(vg_snapshot *s, const vg_job_event *e)
{
    char line[160];
    switch (e->type) {
    case VG_JOB_EVENT_created:
    case VG_JOB_EVENT_resume:
        s->last = VG_LAST_ASKED;
        vg_fold_text(&s->message, "");
        s->stopped = false;
        break;
    case VG_JOB_EVENT_queued:
        s->last = VG_LAST_QUEUED;
        snprintf(line, sizeof line, "waiting for %.120s", e->waiting_for);
        vg_fold_text(&s->message, line);
        break;
    case VG_JOB_EVENT_started:
        start(s, e);
        break;
    case VG_JOB_EVENT_memory:
        take_bytes(&s->memory_now, e->now);
        take_bytes(&s->memory_peak, e->peak);
        break;
    case VG_JOB_EVENT_gpu:
        fold_gpu(s, &e->readings, isfinite(e->read_at) ? e->read_at : e->t);
        break;
    case VG_JOB_EVENT_done:
        finish(s, VG_LAST_DONE, e);
        s->finished = true;
        break;
    case VG_JOB_EVENT_failed:
        finish(s, VG_LAST_FAILED, e);
        break;
    case VG_JOB_EVENT_cancelled:
        finish(s, VG_LAST_CANCELLED, e);
        break;
    case VG_JOB_EVENT_stopped:
        finish(s, VG_LAST_STOPPED, e);
        break;
    default:
        break;
    }
}

void vg_fold(vg_snapshot *s, const vg_job_event *e)
{
    bool of_variant = vg_job_event_describe(e->type)->of_variant;
    int variant = of_variant ? variant_of(s, e) : -1;
    if (isfinite(e->t))
        s->last_t = e->t;
    if (of_variant && variant < 0 && *e->variant) /* of nobody */
        return;
    if (variant >= 0)
        fold_variant(s, variant, e);
    else
        fold_job(s, e);
    if (s->job) /* every snapshot that is folded has one */
        s->job->kind->fold(s, variant, e);
    vg_fold_log(&s->log, e, variant);
}
