/* report.c: metrics of a variant against its reference: measured, kept as metrics.json, written as
 * CSV. The table is report_table.c's; what is measured is engine/metrics/'s. */
#include "app/report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "kernels/base/text.h"
#include "kernels/base/json.h"

void vg_report_metrics_deinit(vg_report_metrics *metrics)
{
    if (!metrics)
        return;
    for (int i = 0; i < VG_METRIC_COUNT; i++)
        free(metrics->metric[i].frames);
    memset(metrics, 0, sizeof *metrics);
}

/* Mean, extremes and worst frame from the values of the frames; NaN (a picture too small for the
 * metric) does not count. */
static void summarise(vg_report_metric *m, int count, bool higher_is_better)
{
    double sum = 0;
    int finite = 0, known = 0;
    m->worst_frame = -1;
    m->identical_frames = 0;
    for (int i = 0; i < count; i++) {
        double v = m->frames[i];
        if (isnan(v))
            continue;
        if (!known || v < m->min)
            m->min = v;
        if (!known || v > m->max)
            m->max = v;
        if (!known ||
            (higher_is_better ? v < m->frames[m->worst_frame] : v > m->frames[m->worst_frame]))
            m->worst_frame = i;
        known++;
        if (isinf(v)) {
            m->identical_frames++;
        } else {
            sum += v;
            finite++;
        }
    }
    m->measured = known > 0;
    m->mean = finite ? sum / finite : INFINITY;
}

static vg_status check_pair(const char *name, const vg_frame_source *a, const vg_frame_source *b,
                            vg_err *err)
{
    if (a->count != b->count || a->width != b->width || a->height != b->height)
        return VG_FAIL(err, VG_E_SHAPE,
                       "%d frames of %dx%d cannot be compared with '%s', which has %d of %dx%d",
                       a->count, a->width, a->height, name, b->count, b->width, b->height);
    if (a->count < 1 || a->count > VG_FRAMES_COUNT_MAX)
        return VG_FAIL(err, VG_E_ARG, "nothing to compare with '%s': %d frames", name, a->count);
    return VG_OK;
}

/* What one comparison works on. */
typedef struct pair {
    const vg_frame_source *frames, *reference;
    const float *latents, *reference_latents; /* NULL: not at hand */
    vg_metric_setup setup;
    void *state[VG_METRIC_COUNT];
    bool open[VG_METRIC_COUNT];
} pair;

static void close_metrics(pair *p)
{
    for (int i = 0; i < VG_METRIC_COUNT; i++)
        if (p->open[i])
            vg_metric_close(vg_metrics[i], p->state[i]);
}

/* Those that cannot be had here stay closed. */
static vg_status open_metrics(pair *p, vg_report_metrics *m, vg_err *err)
{
    for (int i = 0; i < VG_METRIC_COUNT; i++) {
        bool pictures = vg_metrics[i]->input == VG_METRIC_PICTURES;
        m->metric[i].worst_frame = -1;
        if (!pictures && (!p->latents || !p->reference_latents || !p->setup.values))
            continue;
        vg_status status = vg_metric_open(vg_metrics[i], &p->setup, &p->state[i], err);
        if (status == VG_E_MISSING)
            continue;
        if (status != VG_OK)
            return status;
        p->open[i] = true;
        if (!pictures)
            continue;
        m->metric[i].frames = calloc((size_t)m->frames, sizeof *m->metric[i].frames);
        if (!m->metric[i].frames)
            return VG_FAIL(err, VG_E_NOMEM, "out of memory for the metrics of %d frames",
                           m->frames);
    }
    return VG_OK;
}

static vg_status measure_frame(pair *p, int frame, vg_report_metrics *m, vg_err *err)
{
    const uint8_t *a, *b;
    VG_TRY(p->frames->get(p->frames->user, frame, &a, err));
    VG_TRY(p->reference->get(p->reference->user, frame, &b, err));
    for (int i = 0; i < VG_METRIC_COUNT; i++)
        if (p->open[i] && m->metric[i].frames)
            VG_TRY(vg_metrics[i]->frame(p->state[i], &p->setup, a, b, &m->metric[i].frames[frame],
                                        err));
    return VG_OK;
}

static vg_status measure_clip(pair *p, vg_report_metrics *m, vg_err *err)
{
    for (int i = 0; i < VG_METRIC_COUNT; i++) {
        vg_report_metric *one = &m->metric[i];
        if (!p->open[i] || one->frames)
            continue;
        VG_TRY(vg_metrics[i]->frame(p->state[i], &p->setup, p->latents, p->reference_latents,
                                    &one->mean, err));
        one->min = one->max = one->mean;
        one->measured = !isnan(one->mean);
    }
    return VG_OK;
}

vg_status vg_report_metrics_measure(const char *reference_name, const vg_frame_source *frames,
                                    const vg_frame_source *reference, const float *latents,
                                    const float *reference_latents, size_t latents_count,
                                    vg_backend *backend, vg_frames_progress progress,
                                    void *progress_user, vg_report_metrics *out, vg_err *err)
{
    VG_TRY(check_pair(reference_name, frames, reference, err));
    vg_report_metrics m = {.frames = frames->count};
    pair p = {.frames = frames,
              .reference = reference,
              .latents = latents,
              .reference_latents = reference_latents,
              .setup = {.height = frames->height,
                        .width = frames->width,
                        .values = latents_count,
                        .backend = backend}};
    vg_status status;
    vg_text_clean_to(m.reference, sizeof m.reference, reference_name);
    VG_TRY_GOTO(status, open_metrics(&p, &m, err), done);
    for (int i = 0; i < m.frames; i++) {
        if (progress && !progress(progress_user, i, m.frames)) {
            status = VG_FAIL(err, VG_E_CANCELLED, "metrics cancelled after %d of %d frames", i,
                             m.frames);
            goto done;
        }
        VG_TRY_GOTO(status, measure_frame(&p, i, &m, err), done);
    }
    VG_TRY_GOTO(status, measure_clip(&p, &m, err), done);
    for (int i = 0; i < VG_METRIC_COUNT; i++)
        if (m.metric[i].frames)
            summarise(&m.metric[i], m.frames, vg_metrics[i]->higher_is_better);
    *out = m;
    m = (vg_report_metrics){0};
done:
    close_metrics(&p);
    vg_report_metrics_deinit(&m);
    return status;
}

/* ---- metrics.json ---- */

cJSON *vg_report_figure_json(double v)
{
    return isnan(v)   ? cJSON_CreateNull()
           : isinf(v) ? cJSON_CreateString("inf")
                      : cJSON_CreateNumber(v);
}

/* Both add functions take the item also when they fail. */
static bool add(cJSON *object, const char *key, cJSON *item)
{
    if (item && cJSON_AddItemToObject(object, key, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static cJSON *metric_json(const vg_report_metric *m, int count)
{
    if (!m->measured)
        return cJSON_CreateNull();
    cJSON *o = cJSON_CreateObject();
    bool ok = o && add(o, "mean", vg_report_figure_json(m->mean));
    if (ok && m->frames) {
        ok = add(o, "min", vg_report_figure_json(m->min)) &&
             add(o, "max", vg_report_figure_json(m->max)) &&
             add(o, "worst_frame", cJSON_CreateNumber(m->worst_frame + 1)) &&
             add(o, "identical_frames", cJSON_CreateNumber(m->identical_frames));
        cJSON *list = ok ? cJSON_CreateArray() : NULL;
        for (int i = 0; list && ok && i < count; i++) {
            cJSON *item = vg_report_figure_json(m->frames[i]);
            ok = item && cJSON_AddItemToArray(list, item);
            if (!ok)
                cJSON_Delete(item);
        }
        if (ok)
            ok = add(o, "frames", list);
        else
            cJSON_Delete(list);
    }
    if (!ok) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

cJSON *vg_report_metrics_json(const vg_report_metrics *metrics)
{
    cJSON *root = cJSON_CreateObject();
    bool ok = root && add(root, "reference", cJSON_CreateString(metrics->reference)) &&
              add(root, "frames", cJSON_CreateNumber(metrics->frames));
    for (int i = 0; ok && i < VG_METRIC_COUNT; i++)
        ok = add(root, vg_metrics[i]->name, metric_json(&metrics->metric[i], metrics->frames));
    if (ok)
        return root;
    cJSON_Delete(root);
    return NULL;
}

vg_status vg_report_metrics_write(const char *dir, const vg_report_metrics *metrics, vg_err *err)
{
    char *path = vg_path_join(dir, VG_REPORT_METRICS_FILE);
    cJSON *root = vg_report_metrics_json(metrics);
    vg_status status = path && root
                           ? vg_json_save(path, root, err)
                           : VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for metrics", dir);
    cJSON_Delete(root);
    free(path);
    return status;
}

bool vg_report_figure_read(const cJSON *item, double *value)
{
    if (cJSON_IsNumber(item) && isfinite(item->valuedouble))
        *value = item->valuedouble;
    else if (cJSON_IsString(item) && strcmp(item->valuestring, "inf") == 0)
        *value = INFINITY;
    else if (cJSON_IsNull(item))
        *value = NAN;
    else
        return false;
    return true;
}

static vg_status read_number(const cJSON *item, const char *path, const char *metric,
                             const char *key, double *value, vg_err *err)
{
    if (vg_report_figure_read(item, value))
        return VG_OK;
    return VG_FAIL(err, VG_E_FORMAT, "%s: %s.%s is not a number, \"inf\" or null", path, metric,
                   key);
}

static vg_status read_metric(const cJSON *item, const char *path, const vg_metric *metric,
                             int count, vg_report_metric *m, vg_err *err)
{
    m->worst_frame = -1;
    if (!item || cJSON_IsNull(item))
        return VG_OK;
    if (!cJSON_IsObject(item))
        return VG_FAIL(err, VG_E_FORMAT, "%s: %s is not an object or null", path, metric->name);
    if (metric->input != VG_METRIC_PICTURES) {
        VG_TRY(read_number(cJSON_GetObjectItemCaseSensitive(item, "mean"), path, metric->name,
                           "mean", &m->mean, err));
        m->min = m->max = m->mean;
        m->measured = !isnan(m->mean);
        return VG_OK;
    }
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(item, "frames"), *value;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != count)
        return VG_FAIL(err, VG_E_FORMAT, "%s: %s.frames does not hold %d numbers", path,
                       metric->name, count);
    m->frames = malloc((size_t)count * sizeof *m->frames);
    if (!m->frames)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for metrics", path);
    int i = 0;
    cJSON_ArrayForEach(value, list)
    {
        VG_TRY(read_number(value, path, metric->name, "frames", &m->frames[i], err));
        i++;
    }
    /* The summary is derived: taking it from the values keeps both from contradicting each other.
     */
    summarise(m, count, metric->higher_is_better);
    return VG_OK;
}

vg_status vg_report_metrics_read(const char *dir, vg_report_metrics *metrics, vg_err *err)
{
    vg_report_metrics m = {0};
    cJSON *root = NULL;
    const char *reference = "";
    int64_t frames = 0;
    vg_status status = VG_OK;
    char *path = vg_path_join(dir, VG_REPORT_METRICS_FILE);
    if (!path)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for a path", dir);
    if (!vg_file_exists(path)) {
        status = VG_FAIL(err, VG_E_MISSING, "%s: no metrics there", dir);
        goto done;
    }
    VG_TRY_GOTO(status, vg_json_load(path, &root, err), done);
    VG_TRY_GOTO(status, vg_json_get_string(root, path, "reference", &reference, err), done);
    VG_TRY_GOTO(status, vg_json_get_int(root, path, "frames", 1, VG_FRAMES_COUNT_MAX, &frames, err),
                done);
    if (!frames) {
        status = VG_FAIL(err, VG_E_FORMAT, "%s: 'frames' is missing", path);
        goto done;
    }
    m.frames = (int)frames;
    vg_text_clean_to(m.reference, sizeof m.reference, reference);
    for (int i = 0; i < VG_METRIC_COUNT; i++) {
        const vg_metric *metric = vg_metrics[i];
        VG_TRY_GOTO(status,
                    read_metric(cJSON_GetObjectItemCaseSensitive(root, metric->name), path, metric,
                                m.frames, &m.metric[i], err),
                    done);
    }
    *metrics = m;
    memset(&m, 0, sizeof m);
done:
    vg_report_metrics_deinit(&m);
    cJSON_Delete(root);
    free(path);
    return status;
}

/* ---- CSV ---- */

vg_status vg_report_metrics_write_csv(const char *path, const vg_report_metrics *metrics,
                                      vg_err *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for metrics", path);
    fputs("frame", f);
    for (int i = 0; i < VG_METRIC_COUNT; i++)
        if (vg_metrics[i]->input == VG_METRIC_PICTURES)
            fprintf(f, ",%s", vg_metrics[i]->name);
    fputc('\n', f);
    for (int n = 0; n < metrics->frames; n++) {
        fprintf(f, "%d", n + 1);
        for (int i = 0; i < VG_METRIC_COUNT; i++) {
            if (vg_metrics[i]->input != VG_METRIC_PICTURES)
                continue;
            const double *values = metrics->metric[i].frames;
            if (!values || isnan(values[n]))
                fputc(',', f);
            else if (isinf(values[n]))
                fputs(",inf", f);
            else
                fprintf(f, ",%.6f", values[n]);
        }
        fputc('\n', f);
    }
    bool failed = ferror(f);
    if (fclose(f) != 0 || failed) {
        free(text);
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for metrics", path);
    }
    vg_status status = vg_file_write_atomic(path, text, size, err);
    free(text);
    return status;
}
