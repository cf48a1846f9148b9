/* tui_job.c: see tui_job.h. */
#include "app/tui/tui_job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "app/job/preview_file.h"

#define PREVIEW_LIMIT_BYTES (16u << 20)
#define RUNNING_REBUILD_MS  250 /* times count on while it runs */

_Static_assert((int)VG_UI_JOB_NOT_RUN == (int)VG_JOB_NOT_RUN &&
                   (int)VG_UI_JOB_DONE == (int)VG_JOB_DONE,
               "states are cast");
_Static_assert((int)VG_UI_LOG_BAD == (int)VG_LOG_BAD && (int)VG_UI_LOG_STAGE == (int)VG_LOG_STAGE,
               "levels are cast");

/* ---- previews ---- */

static void load_preview(vg_tui_job *job, int variant)
{
    vg_tui_detail *d = &job->details[variant];
    char *path = vg_job_variant_path(&job->job, variant, VG_VARIANT_PREVIEW), *file = NULL;
    size_t size = 0;
    int w, h;
    const uint8_t *rgb = vg_file_read(path, PREVIEW_LIMIT_BYTES, &file, &size, NULL) == VG_OK
                             ? vg_preview_parse(file, size, &w, &h)
                             : NULL;
    if (rgb) {
        free(d->preview);
        d->preview = vg_xcalloc((size_t)w * (size_t)h, 3);
        memcpy(d->preview, rgb, (size_t)w * (size_t)h * 3);
        d->preview_w = w;
        d->preview_h = h;
        d->preview_serial = job->snapshot.variants[variant].preview_serial;
    }
    free(file);
    free(path);
}

/* ---- what the screens see ---- */

static void build_metrics(vg_tui_detail *to, const vg_variant_snapshot *from)
{
    for (int m = 0; m < VG_METRIC_COUNT; m++) {
        const vg_metric *metric = vg_metrics[m];
        const vg_report_metric *value = &from->metrics.metric[m];
        to->metrics[m] = (vg_ui_metric){
            .label = metric->label,
            .unit = metric->unit,
            .higher_is_better = metric->higher_is_better,
            .mean = from->means[m],
            .frames = value->measured ? value->frames : NULL,
            .frames_count = value->measured && value->frames ? from->metrics.frames : 0,
        };
    }
}

static void build_variant(vg_tui_job *job, int i)
{
    const vg_variant_snapshot *from = &job->snapshot.variants[i];
    vg_tui_detail *d = job->details ? &job->details[i] : NULL;
    job->variants[i] = (vg_ui_variant){
        .name = from->id,
        .label = from->label,
        .state = (vg_ui_job_state)from->state,
        .stage = from->stage,
        .step = from->step,
        .steps = from->steps,
        .part = from->part,
        .parts = from->parts,
        .boundary_step = from->boundary_step,
        .denoise_s_per_it = from->s_per_it,
        .wall_s = vg_variant_wall_s(from),
        .eta_s = vg_variant_eta_s(&job->snapshot, i),
        .step_s = from->step_s,
        .peak_bytes = from->peak_bytes,
        .precision = from->precision,
        .frames_ready = from->frames_ready,
    };
    if (!d)
        return;
    if (from->preview_serial != d->preview_serial)
        load_preview(job, i);
    build_metrics(d, from);
    job->variants[i].preview = d->preview;
    job->variants[i].preview_w = d->preview_w;
    job->variants[i].preview_h = d->preview_h;
    job->variants[i].preview_serial = d->preview_serial;
    job->variants[i].metrics = i > 0 ? d->metrics : NULL;
    job->variants[i].metrics_count = i > 0 ? VG_METRIC_COUNT : 0;
}

/* What the run screen shows of a GPU; memory has a gauge of its own. Returns how many there are. */
static int build_gauges(vg_tui_job *job)
{
    /* low, high: the scale of the drawing, such that work near the limit shows; high NaN: the limit, or the peak. */
    static const struct {
        vg_gpu_metric metric, limit; /* limit VG_GPU_METRIC_COUNT: none */
        double low, high;
    } rows[VG_TUI_GAUGES] = {
        {VG_GPU_utilization_percent, VG_GPU_METRIC_COUNT, 0, 100},
        {VG_GPU_power_w, VG_GPU_power_limit_w, 60, NAN},
        {VG_GPU_sm_clock_mhz, VG_GPU_sm_clock_max_mhz, 1000, NAN},
        {VG_GPU_temperature_c, VG_GPU_METRIC_COUNT, 25, 95},
        {VG_GPU_pcie_in_mb_s, VG_GPU_METRIC_COUNT, 0, NAN},
        {VG_GPU_pcie_out_mb_s, VG_GPU_METRIC_COUNT, 0, NAN},
    };
    const vg_snapshot *s = &job->snapshot;
    int n = 0;
    for (int i = 0; s->gauges && s->gauge_history && i < VG_TUI_GAUGES; i++) {
        vg_gpu_metric m = rows[i].metric;
        const vg_gpu_metric_info *info = vg_gpu_metric_describe(m);
        bool live = s->state == VG_JOB_RUNNING && vg_gpu_has(&s->gpu, m);
        double limit =
            rows[i].limit < VG_GPU_METRIC_COUNT ? vg_gauges_peak(s->gauges, rows[i].limit) : NAN;
        if (!s->gauges->metric[m].any)
            continue;
        job->gauges[n++] = (vg_ui_gauge){
            .label = info->label,
            .unit = info->unit,
            .now = live ? s->gpu.value[m] : NAN,
            .mean = vg_gauges_mean(s->gauges, m),
            .peak = vg_gauges_peak(s->gauges, m),
            .limit = limit,
            .low = rows[i].low,
            .high = isfinite(rows[i].high) ? rows[i].high : limit,
            .history = s->gauge_history->samples[m],
            .history_count = s->gauge_history->count,
        };
    }
    return n;
}

static int build_log(vg_tui_job *job)
{
    const vg_job_log *log = &job->snapshot.log;
    if (log->count > job->log_capacity) {
        job->log_capacity = log->capacity;
        job->log = vg_xrealloc(job->log, (size_t)job->log_capacity * sizeof *job->log);
    }
    for (int i = 0; i < log->count; i++) {
        const vg_log_line *from = &log->lines[i];
        job->log[i] = (vg_ui_log_line){.at = from->at,
                                       .variant = from->variant,
                                       .level = (vg_ui_log_level)from->level,
                                       .text = from->text,
                                       .seconds = from->seconds};
    }
    return log->count;
}

static void build(vg_tui_job *job)
{
    const vg_snapshot *s = &job->snapshot;
    const vg_job_memory memory = vg_snapshot_memory(s);
    bool over = vg_job_state_is_final(s->state);
    free(job->comparison);
    job->comparison = s->comparison_ready ? vg_xstrf("%s/%s", job->dir, VG_JOB_COMPARISON) : NULL;
    for (int i = 0; i < s->variants_count; i++)
        build_variant(job, i);
    int log_count = build_log(job), gauges_count = build_gauges(job);
    job->ui = (vg_ui_job){
        .id = job->id,
        .dir = job->dir,
        .model = s->card.model,
        .prompt = job->prompt,
        .summary = s->card.summary,
        .state = (vg_ui_job_state)s->state,
        .message = s->message,
        .created = s->card.created,
        .fps = s->card.fps,
        .frames = s->card.frames,
        .width = s->card.width,
        .height = s->card.height,
        .variants = job->variants,
        .variants_count = s->variants_count,
        .current = over ? -1 : s->current,
        .eta_s = over ? NAN : vg_job_eta_s(s),
        .device = s->device,
        .memory_label = memory.is_device ? "VRAM" : "RSS",
        .memory_now = over ? 0 : memory.now,
        .memory_peak = memory.peak,
        .memory_total = memory.total,
        .memory_others = over ? 0 : memory.others,
        .memory_planned = over ? 0 : memory.planned,
        .gauges = job->gauges,
        .gauges_count = gauges_count,
        .log = job->log,
        .log_count = log_count,
        .comparison = job->comparison ? job->comparison : "",
    };
    job->built_serial = s->serial;
    job->built_ms = vg_now_monotonic_ms();
}

/* Of a folder that cannot be read there is a name, and why. */
static void build_damaged(vg_tui_job *job)
{
    struct stat st;
    job->ui = (vg_ui_job){.id = job->id,
                          .dir = job->dir,
                          .model = "",
                          .prompt = "",
                          .summary = "",
                          .state = VG_UI_JOB_DAMAGED,
                          .message = job->damaged,
                          .created = stat(job->dir, &st) == 0 ? (double)st.st_mtime : 0,
                          .current = -1,
                          .eta_s = NAN,
                          .device = "",
                          .memory_label = "",
                          .comparison = ""};
}

/* ---- reading ---- */

static void free_details(vg_tui_job *job)
{
    for (int i = 0; job->details && i < job->snapshot.variants_count; i++) {
        vg_tui_frames_free(job->details[i].frames);
        free(job->details[i].preview);
    }
    free(job->details);
    job->details = NULL;
}

static void forget(vg_tui_job *job)
{
    free_details(job);
    vg_snapshot_deinit(&job->snapshot);
    vg_job_deinit(&job->job);
    free(job->variants);
    free(job->log);
    free(job->prompt);
    free(job->comparison);
    free(job->damaged);
    job->job = (vg_job){0};
    job->variants = NULL;
    job->log = NULL;
    job->log_capacity = 0;
    job->prompt = job->comparison = job->damaged = NULL;
}

static void take_snapshot(vg_tui_job *job)
{
    job->variants = vg_xcalloc((size_t)job->snapshot.variants_count, sizeof *job->variants);
    job->prompt = vg_text_clean(job->snapshot.card.prompt);
}

void vg_tui_job_read(vg_tui_job *job)
{
    vg_err err = {0};
    forget(job);
    job->known = true;
    if (vg_snapshot_glance(job->dir, &job->job, &job->snapshot, &err) != VG_OK) {
        job->damaged = vg_text_clean(err.message);
        build_damaged(job);
        return;
    }
    take_snapshot(job);
    if (vg_tui_job_alive(job))
        vg_tui_job_open(job);
    else
        vg_tui_job_close(job);
}

bool vg_tui_job_is_open(const vg_tui_job *job)
{
    return job->details != NULL;
}

bool vg_tui_job_open(vg_tui_job *job)
{
    if (job->details || job->damaged)
        return job->details != NULL;
    if (!job->snapshot.job) { /* a summary so far */
        forget(job);
        job->known = true;
        vg_err err = {0};
        if (vg_job_open(job->dir, &job->job, &err) != VG_OK) {
            job->damaged = vg_text_clean(err.message);
            build_damaged(job);
            return false;
        }
        vg_snapshot_init(&job->snapshot, &job->job);
        vg_snapshot_refresh(&job->snapshot, NULL, NULL);
        take_snapshot(job);
    }
    job->details = vg_xcalloc((size_t)job->snapshot.variants_count, sizeof *job->details);
    build(job);
    return true;
}

void vg_tui_job_close(vg_tui_job *job)
{
    free_details(job);
    vg_snapshot_slim(&job->snapshot);
    vg_job_deinit(&job->job);
    job->job = (vg_job){0};
    free(job->log);
    job->log = NULL;
    job->log_capacity = 0;
    build(job);
}

bool vg_tui_job_alive(const vg_tui_job *job)
{
    return job->known && !job->damaged && !vg_job_state_is_final(job->snapshot.state);
}

bool vg_tui_job_refresh(vg_tui_job *job)
{
    job->touched = false;
    if (!vg_tui_job_is_open(job)) {
        if (!job->damaged && !vg_snapshot_is_stale(&job->snapshot))
            return false;
        vg_tui_job_read(job);
        return true;
    }
    bool was_alive = vg_tui_job_alive(job);
    vg_snapshot_refresh(&job->snapshot, NULL, NULL);
    /* A worker that has ended may have made again what was broken. */
    for (int i = 0; was_alive && !vg_tui_job_alive(job) && i < job->snapshot.variants_count; i++) {
        vg_tui_detail *d = &job->details[i];
        if (d->frames && vg_tui_frames_broken(d->frames)) {
            vg_tui_frames_free(d->frames);
            d->frames = NULL;
        }
    }
    bool ticking = job->snapshot.state == VG_JOB_RUNNING &&
                   vg_now_monotonic_ms() - job->built_ms >= RUNNING_REBUILD_MS;
    if (job->snapshot.serial == job->built_serial && !ticking)
        return false;
    build(job);
    return true;
}

vg_tui_job *vg_tui_job_new(const char *dir)
{
    vg_tui_job *job = vg_xcalloc(1, sizeof *job);
    job->dir = vg_xstrdup(dir);
    job->id = vg_job_id_of(dir);
    job->watch = -1;
    return job;
}

void vg_tui_job_free(vg_tui_job *job)
{
    if (!job)
        return;
    forget(job);
    free(job->dir);
    free(job->id);
    free(job);
}
