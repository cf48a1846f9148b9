/* gauges.c: see gauges.h. */
#include "app/report/gauges.h"
#include "kernels/base/text.h"

#include <math.h>
#include <string.h>

void vg_gauges_add(vg_gauge_figures *figures, const vg_gpu_sample *sample, bool in_mean)
{
    for (int m = 0; m < VG_GPU_METRIC_COUNT; m++) {
        vg_gauge_figure *f = &figures->metric[m];
        if (!vg_gpu_has(sample, (vg_gpu_metric)m))
            continue;
        double v = sample->value[m];
        f->peak = f->any ? fmax(f->peak, v) : v;
        f->any = true;
        if (in_mean) {
            f->sum += v;
            f->count++;
        }
    }
}

bool vg_gauges_any(const vg_gauge_figures *figures)
{
    for (int m = 0; m < VG_GPU_METRIC_COUNT; m++) {
        if (figures->metric[m].any)
            return true;
    }
    return false;
}

double vg_gauges_mean(const vg_gauge_figures *figures, vg_gpu_metric metric)
{
    const vg_gauge_figure *f = &figures->metric[metric];
    return f->count ? f->sum / f->count : NAN;
}

double vg_gauges_peak(const vg_gauge_figures *figures, vg_gpu_metric metric)
{
    const vg_gauge_figure *f = &figures->metric[metric];
    return f->any ? f->peak : NAN;
}

/* A tenth of a unit is finer than any sensor; the journal stays small. */
static double rounded(double value)
{
    return fabs(value) < 1e12 ? round(value * 10) / 10 : value;
}

vg_gpu_sample vg_gauges_sample(const vg_gauge_figures *figures)
{
    vg_gpu_sample sample = {0};
    for (int m = 0; m < VG_GPU_METRIC_COUNT; m++) {
        double v = vg_gpu_metric_describe((vg_gpu_metric)m)->over == VG_GPU_MEAN
                       ? vg_gauges_mean(figures, (vg_gpu_metric)m)
                       : vg_gauges_peak(figures, (vg_gpu_metric)m); /* of a counter: the last */
        if (!isfinite(v))
            continue;
        sample.valid |= 1u << m;
        sample.value[m] = rounded(v);
    }
    return sample;
}

void vg_gauges_to_json(const vg_gpu_sample *sample, cJSON *json)
{
    for (int m = 0; m < VG_GPU_METRIC_COUNT; m++)
        if (vg_gpu_has(sample, (vg_gpu_metric)m))
            cJSON_AddNumberToObject(json, vg_gpu_metric_describe((vg_gpu_metric)m)->name,
                                    sample->value[m]);
}

void vg_gauges_from_json(const cJSON *json, vg_gpu_sample *sample)
{
    *sample = (vg_gpu_sample){0};
    for (int m = 0; m < VG_GPU_METRIC_COUNT; m++) {
        const char *name = vg_gpu_metric_describe((vg_gpu_metric)m)->name;
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
        if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 1e18))
            continue;
        sample->valid |= 1u << m;
        sample->value[m] = item->valuedouble;
    }
}

/* Its mean and its peak say nothing; how much it rose is energy.h's. */
static bool is_counter(int metric)
{
    return vg_gpu_metric_describe((vg_gpu_metric)metric)->over == VG_GPU_COUNTER;
}

static void add_figure(cJSON *o, const char *key, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(o, key, rounded(value));
    else
        cJSON_AddNullToObject(o, key);
}

cJSON *vg_gauges_json(const vg_gauge_figures *figures)
{
    if (!vg_gauges_any(figures))
        return NULL;
    cJSON *o = cJSON_CreateObject();
    for (int m = 0; m < VG_GPU_METRIC_COUNT; m++) {
        if (!figures->metric[m].any || is_counter(m))
            continue;
        cJSON *one = cJSON_AddObjectToObject(o, vg_gpu_metric_describe((vg_gpu_metric)m)->name);
        add_figure(one, "mean", vg_gauges_mean(figures, (vg_gpu_metric)m));
        add_figure(one, "peak", vg_gauges_peak(figures, (vg_gpu_metric)m));
    }
    return o;
}

/* A cell of the table; bytes as GiB. */
static void print_cell(FILE *out, double value, bool bytes)
{
    if (!isfinite(value))
        fprintf(out, "%9s", "-");
    else
        fprintf(out, "%9.*f", bytes ? 1 : 0, bytes ? value / (1 << 30) : value);
}

void vg_gauges_print(FILE *out, const char *const *names, const vg_gauge_figures *const *figures,
                     int count)
{
    fprintf(out, "%-22s", "gauges");
    for (int i = 0; i < count; i++) {
        char name[72];
        vg_text_clean_to(name, sizeof name, names[i]);
        vg_text_cut(name, 17);
        fprintf(out, "%*s%s", 18 - vg_text_columns(name), "", name);
    }
    fprintf(out, "\n%-22s", "  means: denoise steps");
    for (int i = 0; i < count; i++)
        fprintf(out, "%9s%9s", "mean", "peak");
    fputc('\n', out);
    for (int m = 0; m < VG_GPU_METRIC_COUNT; m++) {
        const vg_gpu_metric_info *info = vg_gpu_metric_describe((vg_gpu_metric)m);
        bool bytes = !strcmp(info->unit, "B"), any = false;
        for (int i = 0; i < count; i++)
            any = any || figures[i]->metric[m].any;
        if (!any || is_counter(m))
            continue;
        fprintf(out, "  %-15s%-5s", info->label, bytes ? "GiB" : info->unit);
        for (int i = 0; i < count; i++) {
            print_cell(out, vg_gauges_mean(figures[i], (vg_gpu_metric)m), bytes);
            print_cell(out, vg_gauges_peak(figures[i], (vg_gpu_metric)m), bytes);
        }
        fputc('\n', out);
    }
}

void vg_gauges_remember(vg_gauge_history *history, const vg_gpu_sample *sample)
{
    if (history->count == VG_GAUGE_HISTORY) {
        for (int m = 0; m < VG_GPU_METRIC_COUNT; m++)
            memmove(history->samples[m], history->samples[m] + 1,
                    (VG_GAUGE_HISTORY - 1) * sizeof history->samples[m][0]);
        history->count--;
    }
    for (int m = 0; m < VG_GPU_METRIC_COUNT; m++)
        history->samples[m][history->count] =
            vg_gpu_has(sample, (vg_gpu_metric)m) ? sample->value[m] : NAN;
    history->count++;
}
