/* tui_jobs.c: see tui_jobs.h. */
#include "app/tui/tui_jobs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "app/media/frames.h"

#define PREVIEW_LIMIT_BYTES (16u << 20)
#define RUNNING_REBUILD_MS  250

_Static_assert((int)VG_UI_JOB_INTERRUPTED == (int)VG_JOB_INTERRUPTED &&
                   (int)VG_UI_JOB_DONE == (int)VG_JOB_DONE,
               "states are cast");

/* ---- frames ---- */

static bool still_wanted(void *user, int done, int total)
{
    (void)done, (void)total;
    return atomic_load(&((vg_tui_frames *)user)->stop) == 0;
}

static vg_status read_frames(vg_tui_frames *f, vg_err *err)
{
    vg_frames_store *store = NULL;
    vg_status status = vg_frames_store_open(f->dir, &store, err);
    if (status == VG_OK)
        status = vg_frames_store_load(store, still_wanted, f, &f->frames, err);
    vg_frames_store_close(store);
    /* The screens take width and height from the job; a file of another size is as good as broken. */
    if (status == VG_OK && (f->frames.width != f->width || f->frames.height != f->height))
        status = VG_FAIL(err, VG_E_FORMAT, "the frames are %dx%d, the job's are %dx%d",
                         f->frames.height, f->frames.width, f->height, f->width);
    return status;
}

static void *load_frames(void *user)
{
    vg_tui_frames *f = user;
    vg_err err = {0};
    bool good = read_frames(f, &err) == VG_OK;
    /* The folder is known; the file's name is enough. */
    size_t folder = strlen(f->dir);
    const char *why = err.message;
    if (!strncmp(why, f->dir, folder) && why[folder] == '/')
        why += folder + 1;
    vg_text_clean_to(f->broken, sizeof f->broken, why);
    atomic_store(&f->state, good ? 1 : -1);
    uint64_t one = 1;
    if (write(f->wake_fd, &one, sizeof one) != (ssize_t)sizeof one)
        return NULL; /* polling finds it too */
    return NULL;
}

static void frames_free(vg_tui_frames *f)
{
    if (!f)
        return;
    atomic_store(&f->stop, 1);
    if (f->started)
        pthread_join(f->thread, NULL);
    vg_frames_deinit(&f->frames);
    free(f->dir);
    free(f);
}

static void drop_frames(vg_tui_variant *v)
{
    frames_free(v->frames);
    v->frames = NULL;
}

void vg_tui_job_drop_frames(vg_tui_job *job)
{
    for (int i = 0; i < job->snapshot.variants_count; i++)
        drop_frames(&job->variants[i]);
}

const char *vg_tui_job_frames_broken(const vg_tui_job *job, int variant)
{
    const vg_tui_frames *f = variant >= 0 && variant < job->snapshot.variants_count
                                 ? job->variants[variant].frames
                                 : NULL;
    return f && atomic_load(&f->state) < 0 ? f->broken : NULL;
}

const uint8_t *vg_tui_job_frame(vg_tui_job *job, int variant, int index, int wake_fd)
{
    if (variant < 0 || variant >= job->snapshot.variants_count || index < 0 ||
        !job->snapshot.variants[variant].frames_ready)
        return NULL;
    vg_tui_variant *v = &job->variants[variant];
    if (!v->frames) {
        v->frames = vg_xcalloc(1, sizeof *v->frames);
        v->frames->dir = vg_job_variant_path(&job->job, variant, NULL);
        v->frames->wake_fd = wake_fd;
        v->frames->width = job->ui.width;
        v->frames->height = job->ui.height;
        v->frames->started = pthread_create(&v->frames->thread, NULL, load_frames, v->frames) == 0;
        if (!v->frames->started) {
            snprintf(v->frames->broken, sizeof v->frames->broken, "no thread to read them with");
            atomic_store(&v->frames->state, -1);
        }
    }
    const vg_frames *f = &v->frames->frames;
    if (atomic_load(&v->frames->state) != 1 || index >= f->count)
        return NULL;
    return f->rgb + (size_t)index * (size_t)f->width * (size_t)f->height * 3;
}

/* ---- previews ---- */

static void load_preview(vg_tui_job *job, int variant)
{
    vg_tui_variant *v = &job->variants[variant];
    char *path = vg_job_variant_path(&job->job, variant, VG_VARIANT_PREVIEW), *file = NULL;
    size_t size = 0;
    int w = 0, h = 0, head = 0;
    if (vg_file_read(path, PREVIEW_LIMIT_BYTES, &file, &size, NULL) == VG_OK &&
        sscanf(file, "P6 %d %d 255%n", &w, &h, &head) == 2 && head > 0 && w > 0 && h > 0 &&
        w <= 8192 && h <= 8192 && (size_t)head + 1 + (size_t)w * (size_t)h * 3 == size) {
        free(v->preview);
        v->preview = vg_xcalloc((size_t)w * (size_t)h, 3);
        memcpy(v->preview, file + head + 1, (size_t)w * (size_t)h * 3);
        v->preview_w = w;
        v->preview_h = h;
        v->preview_serial = job->snapshot.variants[variant].preview_serial;
    }
    free(file);
    free(path);
}

/* ---- snapshots ---- */

static void build_metrics(vg_tui_variant *to, const vg_variant_snapshot *from)
{
    for (int m = 0; m < VG_METRIC_COUNT; m++) {
        const vg_metric *info = vg_metrics[m];
        const vg_report_metric *value = &from->metrics.metric[m];
        bool there = value->measured;
        to->metrics[m] = (vg_ui_metric){
            .label = info->label,
            .unit = info->unit,
            .higher_is_better = info->higher_is_better,
            .mean = from->means[m],
            .frames = there ? value->frames : NULL,
            .frames_count = there && value->frames ? from->metrics.frames : 0,
        };
    }
}

static void build_variant(vg_tui_job *job, int i)
{
    const vg_variant_snapshot *from = &job->snapshot.variants[i];
    vg_tui_variant *own = &job->variants[i];
    if (from->preview_serial != own->preview_serial)
        load_preview(job, i);
    free(own->clip);
    own->clip =
        from->clip_ready ? vg_job_variant_path(&job->job, i, VG_VARIANT_CLIP) : vg_xstrdup("");
    build_metrics(own, from);
    job->ui_variants[i] = (vg_ui_variant){
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
        .preview = own->preview,
        .preview_w = own->preview_w,
        .preview_h = own->preview_h,
        .preview_serial = own->preview_serial,
        .peak_bytes = from->peak_bytes,
        .precision = from->precision,
        .clip = own->clip,
        .metrics = i > 0 ? own->metrics : NULL,
        .metrics_count = i > 0 ? VG_METRIC_COUNT : 0,
        .frames_ready = from->frames_ready,
    };
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
    const vg_snapshot *snapshot = &job->snapshot;
    const vg_gauge_figures *all = snapshot->gauges;
    int n = 0;
    for (int i = 0; snapshot->gauge_history && i < VG_TUI_GAUGES; i++) {
        vg_gpu_metric m = rows[i].metric;
        const vg_gpu_metric_info *info = vg_gpu_metric_describe(m);
        bool live = snapshot->state == VG_JOB_RUNNING && vg_gpu_has(&snapshot->gpu, m);
        double limit =
            rows[i].limit < VG_GPU_METRIC_COUNT ? vg_gauges_peak(all, rows[i].limit) : NAN;
        if (!all->metric[m].any)
            continue;
        job->gauges[n++] = (vg_ui_gauge){
            .label = info->label,
            .unit = info->unit,
            .now = live ? snapshot->gpu.value[m] : NAN,
            .mean = vg_gauges_mean(all, m),
            .peak = vg_gauges_peak(all, m),
            .limit = limit,
            .low = rows[i].low,
            .high = isfinite(rows[i].high) ? rows[i].high : limit,
            .history = snapshot->gauge_history->samples[m],
            .history_count = snapshot->gauge_history->count,
        };
    }
    return n;
}

static int build_log(vg_tui_job *job)
{
    static const vg_ui_log_kind kinds[] = {[VG_LOG_BAD] = VG_UI_LOG_BAD,
                                           [VG_LOG_END] = VG_UI_LOG_END,
                                           [VG_LOG_NOTE] = VG_UI_LOG_NOTE,
                                           [VG_LOG_STAGE] = VG_UI_LOG_STAGE};
    const vg_job_log *log = &job->snapshot.log;
    if (log->count > job->log_capacity) {
        job->log_capacity = log->capacity;
        job->log = vg_xrealloc(job->log, (size_t)job->log_capacity * sizeof *job->log);
    }
    for (int i = 0; i < log->count; i++) {
        const vg_log_line *from = &log->lines[i];
        job->log[i] = (vg_ui_log_line){.at = from->at,
                                       .variant = from->variant,
                                       .kind = kinds[from->level],
                                       .text = from->text,
                                       .seconds = from->seconds};
    }
    return log->count;
}

static void build(vg_tui_job *job)
{
    const vg_snapshot *snapshot = &job->snapshot;
    const vg_job_memory memory = vg_snapshot_memory(snapshot);
    bool over = vg_job_state_is_final(snapshot->state);
    free(job->comparison);
    job->comparison =
        snapshot->comparison_ready ? vg_job_path(&job->job, VG_JOB_COMPARISON) : vg_xstrdup("");
    for (int i = 0; i < job->snapshot.variants_count; i++) {
        /* A worker that has ended may have made again what was broken. */
        if (over && job->ui.id && !vg_job_state_is_final((vg_job_state)job->ui.state) &&
            vg_tui_job_frames_broken(job, i))
            drop_frames(&job->variants[i]);
        build_variant(job, i);
    }
    int log_count = build_log(job);
    job->ui = (vg_ui_job){
        .id = job->job.id,
        .dir = job->job.dir,
        .model = snapshot->card.model,
        .prompt = job->prompt,
        .summary = snapshot->card.summary,
        .state = (vg_ui_job_state)snapshot->state,
        .message = snapshot->message,
        .created = snapshot->card.created,
        .fps = snapshot->card.fps,
        .frames = snapshot->card.frames,
        .width = snapshot->card.width,
        .height = snapshot->card.height,
        .variants = job->ui_variants,
        .variants_count = job->snapshot.variants_count,
        .current = over ? -1 : snapshot->current,
        .device = snapshot->device,
        .memory_label = memory.is_device ? "VRAM" : "RSS",
        .memory_now = over ? 0 : memory.now,
        .memory_peak = memory.peak,
        .memory_total = memory.total,
        .memory_others = over ? 0 : memory.others,
        .memory_planned = over ? 0 : memory.planned,
        .gauges = job->gauges,
        .gauges_count = build_gauges(job),
        .log = job->log,
        .log_count = log_count,
        .comparison = job->comparison,
    };
    job->built_serial = snapshot->serial;
    job->built_ms = vg_now_monotonic_ms();
}

bool vg_tui_job_refresh(vg_tui_job *job)
{
    vg_snapshot_refresh(&job->snapshot, NULL, NULL);
    job->touched = false;
    bool ticking = job->snapshot.state == VG_JOB_RUNNING &&
                   vg_now_monotonic_ms() - job->built_ms >= RUNNING_REBUILD_MS;
    if (job->snapshot.serial == job->built_serial && job->ui.id && !ticking)
        return false;
    build(job);
    return true;
}

vg_status vg_tui_job_open(const char *dir, vg_tui_job **job, vg_err *err)
{
    vg_tui_job *j = vg_xcalloc(1, sizeof *j);
    vg_status status = vg_job_open(dir, &j->job, err);
    if (status != VG_OK) {
        free(j);
        return status;
    }
    vg_snapshot_init(&j->snapshot, &j->job);
    j->variants = vg_xcalloc((size_t)j->snapshot.variants_count, sizeof *j->variants);
    j->ui_variants = vg_xcalloc((size_t)j->snapshot.variants_count, sizeof *j->ui_variants);
    j->watch = -1;
    j->touched = true;
    j->prompt = vg_text_clean(j->snapshot.card.prompt);
    *job = j;
    return VG_OK;
}

void vg_tui_job_close(vg_tui_job *job)
{
    if (!job)
        return;
    vg_tui_job_drop_frames(job);
    for (int i = 0; i < job->snapshot.variants_count; i++) {
        free(job->variants[i].preview);
        free(job->variants[i].clip);
    }
    free(job->variants);
    free(job->ui_variants);
    free(job->log);
    free(job->prompt);
    free(job->comparison);
    vg_snapshot_deinit(&job->snapshot);
    vg_job_deinit(&job->job);
    free(job);
}
