/* summary.c: summary.json, the snapshot of a job that has ended in one small file, so that a list of thousands of jobs reads no journal. It is
 * trusted only while the journal is as long as it was then; nothing in it is believed otherwise than a journal is. See snapshot.h. */
#include "app/job/fold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define VERSION        1
#define FILE_BYTES_MAX (256u << 10)
#define VARIANTS_MAX   64
#define NUMBER_MAX     1e18

/* 0 without one. */
static int64_t journal_bytes(const char *dir)
{
    struct stat st;
    char *path = vg_xstrf("%s/%s", dir, VG_EVENTS_FILE);
    int64_t bytes = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (int64_t)st.st_size : 0;
    free(path);
    return bytes;
}

bool vg_snapshot_is_stale(const vg_snapshot *s)
{
    return journal_bytes(s->card.dir) != s->reader.offset;
}

void vg_snapshot_slim(vg_snapshot *s)
{
    int64_t read = s->reader.offset;
    for (int i = 0; i < s->variants_count; i++) {
        vg_variant_snapshot *v = &s->variants[i];
        free(v->step_s);
        free(v->gauges);
        vg_report_metrics_deinit(&v->metrics);
        v->step_s = NULL;
        v->step_s_capacity = 0;
        v->gauges = NULL;
    }
    free(s->gauges);
    free(s->gauge_history);
    s->gauges = NULL;
    s->gauge_history = NULL;
    vg_job_log_deinit(&s->log);
    vg_event_reader_deinit(&s->reader);
    s->reader.offset = read;
    s->job = NULL;
}

/* ---- writing ---- */

static cJSON *variant_json(const vg_variant_snapshot *v)
{
    cJSON *o = cJSON_CreateObject(), *means = NULL;
    cJSON_AddStringToObject(o, "id", v->id);
    cJSON_AddStringToObject(o, "label", v->label);
    cJSON_AddStringToObject(o, "state", vg_job_state_text(v->state));
    cJSON_AddNumberToObject(o, "step", v->step);
    cJSON_AddNumberToObject(o, "steps", v->steps);
    cJSON_AddItemToObject(o, "s_per_it", vg_report_figure_json(v->s_per_it));
    cJSON_AddNumberToObject(o, "wall_s", v->wall_s);
    cJSON_AddNumberToObject(o, "peak_bytes", (double)v->peak_bytes);
    cJSON_AddNumberToObject(o, "weight_bytes", (double)v->weight_bytes);
    cJSON_AddStringToObject(o, "precision", v->precision);
    cJSON_AddBoolToObject(o, "frames", v->frames_ready);
    cJSON_AddBoolToObject(o, "clip", v->clip_ready);
    means = cJSON_AddObjectToObject(o, "metrics");
    for (int m = 0; m < VG_METRIC_COUNT; m++)
        if (!isnan(v->means[m]))
            cJSON_AddItemToObject(means, vg_metrics[m]->name, vg_report_figure_json(v->means[m]));
    return o;
}

vg_status vg_snapshot_summarise(const vg_snapshot *s, vg_err *err)
{
    char *path = vg_xstrf("%s/%s", s->card.dir, VG_JOB_SUMMARY);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "vgen_summary", VERSION);
    cJSON_AddNumberToObject(root, "events_bytes", (double)s->reader.offset);
    cJSON_AddStringToObject(root, "state", vg_job_state_text(s->state));
    cJSON_AddStringToObject(root, "message", s->message);
    cJSON_AddBoolToObject(root, "stopped", s->stopped);
    cJSON_AddBoolToObject(root, "comparison", s->comparison_ready);
    cJSON_AddNumberToObject(root, "ended", s->ended);
    cJSON_AddNumberToObject(root, "created", s->card.created);
    cJSON_AddStringToObject(root, "device", s->device);
    cJSON_AddStringToObject(root, "model", s->card.model);
    cJSON_AddStringToObject(root, "prompt", s->card.prompt);
    cJSON_AddStringToObject(root, "settings", s->card.summary);
    cJSON_AddNumberToObject(root, "fps", s->card.fps);
    cJSON_AddNumberToObject(root, "frames", s->card.frames);
    cJSON_AddNumberToObject(root, "width", s->card.width);
    cJSON_AddNumberToObject(root, "height", s->card.height);
    cJSON *variants = cJSON_AddArrayToObject(root, "variants");
    for (int i = 0; i < s->variants_count; i++)
        cJSON_AddItemToArray(variants, variant_json(&s->variants[i]));
    vg_status status = vg_json_save(path, root, err);
    cJSON_Delete(root);
    free(path);
    return status;
}

/* ---- reading ---- */

/* What is wrong is remembered, and asked for once at the end. */
typedef struct source {
    const char *name; /* the file */
    vg_status status;
    vg_err *err;
} source;

static double number(source *from, const cJSON *o, const char *key, double least, double most)
{
    double value = 0;
    if (from->status == VG_OK)
        from->status = vg_json_get_double(o, from->name, key, least, most, &value, from->err);
    return value;
}

static int count(source *from, const cJSON *o, const char *key)
{
    return (int)number(from, o, key, 0, 1e9);
}

static bool flag(source *from, const cJSON *o, const char *key)
{
    bool value = false;
    if (from->status == VG_OK)
        from->status = vg_json_get_bool(o, from->name, key, &value, from->err);
    return value;
}

static const char *text_as_is(source *from, const cJSON *o, const char *key)
{
    const char *value = "";
    if (from->status == VG_OK)
        from->status = vg_json_get_string(o, from->name, key, &value, from->err);
    return value;
}

/* Cleaned, malloc'd, never NULL. */
static char *text(source *from, const cJSON *o, const char *key)
{
    return vg_text_clean(text_as_is(from, o, key));
}

static vg_job_state state(source *from, const cJSON *o)
{
    const char *value = text_as_is(from, o, "state");
    for (int i = 0; i < VG_JOB_STATE_COUNT; i++)
        if (!strcmp(value, vg_job_state_text((vg_job_state)i)))
            return (vg_job_state)i;
    if (from->status == VG_OK)
        from->status = VG_FAIL(from->err, VG_E_FORMAT, "%s: there is no such state", from->name);
    return VG_JOB_INTERRUPTED;
}

static double figure(const cJSON *o, const char *key)
{
    double value = NAN;
    (void)vg_report_figure_read(cJSON_GetObjectItemCaseSensitive(o, key), &value);
    return value;
}

static void read_variant(source *from, const cJSON *o, vg_variant_snapshot *v)
{
    const cJSON *means = cJSON_GetObjectItemCaseSensitive(o, "metrics");
    *v = (vg_variant_snapshot){
        .id = text(from, o, "id"),
        .label = text(from, o, "label"),
        .state = state(from, o),
        .step = count(from, o, "step"),
        .steps = count(from, o, "steps"),
        .s_per_it = figure(o, "s_per_it"),
        .wall_s = number(from, o, "wall_s", 0, 1e12),
        .peak_bytes = (uint64_t)number(from, o, "peak_bytes", 0, NUMBER_MAX),
        .weight_bytes = (uint64_t)number(from, o, "weight_bytes", 0, NUMBER_MAX),
        .precision = text(from, o, "precision"),
        .frames_ready = flag(from, o, "frames"),
        .clip_ready = flag(from, o, "clip"),
        .expert = -1,
        .boundary_step = -1,
    };
    for (int m = 0; m < VG_METRIC_COUNT; m++) {
        v->means[m] = figure(means, vg_metrics[m]->name);
        v->metrics_ready = v->metrics_ready || !isnan(v->means[m]);
    }
}

static void read_variants(source *from, const cJSON *list, vg_snapshot *s)
{
    const cJSON *item;
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (from->status == VG_OK && (n < 1 || n > VARIANTS_MAX))
        from->status = VG_FAIL(from->err, VG_E_FORMAT, "%s: variants is no list of 1 to %d",
                               from->name, VARIANTS_MAX);
    if (from->status != VG_OK)
        return;
    s->variants = vg_xcalloc((size_t)n, sizeof *s->variants);
    cJSON_ArrayForEach(item, list) read_variant(from, item, &s->variants[s->variants_count++]);
}

static void read_all(source *from, const cJSON *root, vg_snapshot *s)
{
    s->state = state(from, root);
    s->message = text(from, root, "message");
    s->stopped = flag(from, root, "stopped");
    s->comparison_ready = flag(from, root, "comparison");
    s->ended = number(from, root, "ended", 0, 1e11);
    s->device = text(from, root, "device");
    s->card.created = number(from, root, "created", 0, 1e11);
    s->card.model = text(from, root, "model");
    s->card.prompt = vg_xstrdup(text_as_is(from, root, "prompt"));
    s->card.summary = text(from, root, "settings");
    s->card.fps = number(from, root, "fps", 0, 1e4);
    s->card.frames = count(from, root, "frames");
    s->card.width = count(from, root, "width");
    s->card.height = count(from, root, "height");
    read_variants(from, cJSON_GetObjectItemCaseSensitive(root, "variants"), s);
    if (from->status == VG_OK && !vg_job_state_is_final(s->state))
        from->status = VG_FAIL(from->err, VG_E_FORMAT, "%s: the state is not an end", from->name);
}

/* VG_E_MISSING: there is none, or the journal went on since (or is gone); VG_E_FORMAT: damaged. */
static vg_status read_summary(const char *dir, vg_snapshot *snapshot, vg_err *err)
{
    char *path = vg_xstrf("%s/%s", dir, VG_JOB_SUMMARY), *file = NULL;
    const char *slash = strrchr(dir, '/');
    size_t size = 0;
    cJSON *root = NULL;
    vg_snapshot s = {.current = -1, .last = VG_LAST_NONE};
    source from = {.name = path, .err = err};
    if (vg_file_read(path, FILE_BYTES_MAX, &file, &size, NULL) != VG_OK) {
        from.status = VG_FAIL(err, VG_E_MISSING, "%s: there is no summary", dir);
        goto done;
    }
    VG_TRY_GOTO(from.status, vg_json_parse(file, size, path, &root, err), done);
    s.reader.offset = (int64_t)number(&from, root, "events_bytes", 0, NUMBER_MAX);
    if ((int)number(&from, root, "vgen_summary", 0, 1e6) != VERSION ||
        s.reader.offset != journal_bytes(dir)) {
        from.status = VG_FAIL(err, VG_E_MISSING, "%s: the journal went on since", path);
        goto done;
    }
    s.card.id = vg_text_clean(slash ? slash + 1 : dir);
    s.card.dir = vg_xstrdup(dir);
    read_all(&from, root, &s);
    if (from.status == VG_OK) {
        *snapshot = s;
        s = (vg_snapshot){0};
    }
done:
    vg_snapshot_deinit(&s);
    cJSON_Delete(root);
    free(file);
    free(path);
    return from.status;
}

vg_status vg_snapshot_glance(const char *dir, vg_job *job, vg_snapshot *snapshot, vg_err *err)
{
    *job = (vg_job){0};
    if (read_summary(dir, snapshot, NULL) == VG_OK)
        return VG_OK;
    VG_TRY(vg_job_open(dir, job, err));
    vg_snapshot_init(snapshot, job);
    vg_snapshot_refresh(snapshot, NULL, NULL);
    return VG_OK;
}
