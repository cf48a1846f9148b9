/* report_table.c: the final comparison table as text, Markdown and JSON: one list of columns serves the first two. */
#include "app/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "app/text.h"

#define CELL_BYTES 96

enum { VARIANT, DENOISE_S_IT, WALL_S_IT, WALL_S, PEAK, WEIGHTS, METRICS, COLUMN_COUNT = METRICS + VG_METRIC_COUNT };

static bool known(double v)
{
    return isfinite(v) && v >= 0;
}

static double per_step(const vg_report_row *row, double seconds)
{
    return row->steps > 0 && known(seconds) ? seconds / row->steps : -1;
}

/* Four significant digits: 0.04213, 12.34, 321.0. */
static void seconds_text(double v, char *text, size_t size)
{
    if (!known(v))
        snprintf(text, size, "-");
    else
        snprintf(text, size, "%.*f", v < 1 ? 4 : v < 10 ? 3 : v < 100 ? 2 : 1, v);
}

void vg_report_bytes(size_t bytes, char *text, size_t size)
{
    if (bytes)
        vg_text_bytes(bytes, text, size);
    else
        snprintf(text, size, "-");
}

/* A metric's value: dB with two digits, shares with four. */
static void value_text(vg_metric metric, double v, char *text, size_t size)
{
    if (isnan(v))
        snprintf(text, size, "-");
    else if (isinf(v))
        snprintf(text, size, "inf");
    else
        snprintf(text, size, "%.*f", metric == VG_METRIC_PSNR ? 2 : 4, v);
}

static void metric_text(const vg_report_row *row, vg_metric metric, char *text, size_t size)
{
    if (!vg_metric_describe(metric)->available)
        snprintf(text, size, "n/a");
    else if (row->reference)
        snprintf(text, size, "reference");
    else if (!row->metrics || !row->metrics->metric[metric].measured)
        snprintf(text, size, "-");
    else
        value_text(metric, row->metrics->metric[metric].mean, text, size);
}

static void header_text(int column, char *text, size_t size)
{
    static const char *const names[METRICS] = {"variant", "denoise s/it", "wall s/it", "wall s", "peak memory", "weights"};
    if (column < METRICS) {
        snprintf(text, size, "%s", names[column]);
        return;
    }
    const vg_metric_info *info = vg_metric_describe((vg_metric)(column - METRICS));
    snprintf(text, size, "%s%s%s", info->label, *info->unit ? " " : "", info->unit);
}

static void cell_text(const vg_report_row *row, int column, char *text, size_t size)
{
    char stage[32];
    switch (column) {
    case VARIANT:
        vg_text_clean_to(text, size, row->variant ? row->variant : "");
        break;
    case DENOISE_S_IT:
        seconds_text(per_step(row, row->denoise_seconds), text, size);
        break;
    case WALL_S_IT:
        seconds_text(per_step(row, row->wall_seconds), text, size);
        break;
    case WALL_S:
        seconds_text(row->wall_seconds, text, size);
        break;
    case PEAK:
        vg_report_bytes(row->peak_bytes, text, size);
        if (row->peak_stage && row->peak_bytes) {
            size_t used = strlen(text);
            vg_text_clean_to(stage, sizeof stage, row->peak_stage);
            snprintf(text + used, size - used, " (%s)", stage);
        }
        break;
    case WEIGHTS:
        vg_report_bytes(row->weight_bytes, text, size);
        break;
    default:
        metric_text(row, (vg_metric)(column - METRICS), text, size);
    }
}

static void print_padded(FILE *out, const char *text, int width, bool left)
{
    int space = width - vg_text_columns(text);
    if (left)
        fputs(text, out);
    for (int i = 0; i < space; i++)
        fputc(' ', out);
    if (!left)
        fputs(text, out);
}

static void print_line(FILE *out, const char *head, const char *name, const char *text)
{
    char clean[4096];
    fprintf(out, "%s%s", head, vg_text_clean_to(clean, sizeof clean, name ? name : ""));
    fprintf(out, ": %s\n", vg_text_clean_to(clean, sizeof clean, text));
}

static const vg_report_row *reference_of(const vg_report_row *rows, int count)
{
    for (int i = 0; i < count; i++)
        if (rows[i].reference)
            return &rows[i];
    return NULL;
}

/* What the figures mean, the worst frames, notes and files. */
static void print_below(FILE *out, const vg_report_row *rows, int count, const char *comparison_clip, const char *bullet)
{
    char name[CELL_BYTES], value[CELL_BYTES];
    fprintf(out, "%sdenoise s/it: the denoise loop alone, over its steps. wall s/it: the whole variant (load, text, calibration, denoise, "
                 "decode), over the same steps.\n", bullet);
    const vg_report_row *reference = reference_of(rows, count);
    if (reference) {
        vg_text_clean_to(name, sizeof name, reference->variant ? reference->variant : "");
        fprintf(out, "%sPSNR and SSIM: mean over the frames, against %s; n/a: not computed by this version.\n", bullet, name);
    }
    for (int i = 0; i < count; i++) {
        const vg_report_metrics *m = rows[i].metrics;
        if (rows[i].reference || !m)
            continue;
        vg_text_clean_to(name, sizeof name, rows[i].variant ? rows[i].variant : "");
        for (int k = 0; k < VG_METRIC_COUNT; k++) {
            const vg_report_metric *v = &m->metric[k];
            const vg_metric_info *info = vg_metric_describe((vg_metric)k);
            if (!v->measured || v->worst_frame < 0 || v->worst_frame >= m->frames || !v->frames)
                continue;
            value_text((vg_metric)k, v->frames[v->worst_frame], value, sizeof value);
            fprintf(out, "%s%s: worst %s %s%s%s in frame %d of %d", bullet, name, info->label, value, *info->unit ? " " : "", info->unit,
                    v->worst_frame + 1, m->frames);
            if (v->identical_frames)
                fprintf(out, "; %d frames are identical", v->identical_frames);
            fputc('\n', out);
        }
    }
    for (int i = 0; i < count; i++)
        if (rows[i].note && *rows[i].note)
            print_line(out, bullet, rows[i].variant, rows[i].note);
    for (int i = 0; i < count; i++)
        if (rows[i].clip) {
            snprintf(value, sizeof value, "%sclip ", bullet);
            print_line(out, value, rows[i].variant, rows[i].clip);
        }
    if (comparison_clip)
        print_line(out, bullet, "comparison clip", comparison_clip);
}

void vg_report_print(FILE *out, const vg_report_row *rows, int count, const char *comparison_clip)
{
    char text[CELL_BYTES];
    int width[COLUMN_COUNT];
    for (int c = 0; c < COLUMN_COUNT; c++) {
        header_text(c, text, sizeof text);
        width[c] = vg_text_columns(text);
        for (int i = 0; i < count; i++) {
            cell_text(&rows[i], c, text, sizeof text);
            int n = vg_text_columns(text);
            width[c] = n > width[c] ? n : width[c];
        }
    }
    for (int i = -1; i < count; i++) {
        for (int c = 0; c < COLUMN_COUNT; c++) {
            if (i < 0)
                header_text(c, text, sizeof text);
            else
                cell_text(&rows[i], c, text, sizeof text);
            if (c)
                fputs("  ", out);
            print_padded(out, text, width[c], c == VARIANT);
        }
        fputc('\n', out);
    }
    fputc('\n', out);
    print_below(out, rows, count, comparison_clip, "");
}

void vg_report_print_markdown(FILE *out, const vg_report_row *rows, int count, const char *comparison_clip)
{
    char text[CELL_BYTES];
    for (int i = -2; i < count; i++) {
        fputc('|', out);
        for (int c = 0; c < COLUMN_COUNT; c++) {
            if (i == -2)
                header_text(c, text, sizeof text);
            else if (i == -1)
                snprintf(text, sizeof text, "%s", c == VARIANT ? "---" : "---:");
            else
                cell_text(&rows[i], c, text, sizeof text);
            fputc(' ', out);
            for (const char *s = text; *s; s++) {
                if (*s == '|')
                    fputc('\\', out);
                fputc(*s, out);
            }
            fputs(" |", out);
        }
        fputc('\n', out);
    }
    fputc('\n', out);
    print_below(out, rows, count, comparison_clip, "- ");
}

/* ---- JSON ---- */

static bool add(cJSON *object, const char *key, cJSON *item)
{
    if (item && cJSON_AddItemToObject(object, key, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static cJSON *time_json(double v)
{
    return known(v) ? cJSON_CreateNumber(v) : cJSON_CreateNull();
}

static cJSON *text_json(const char *text)
{
    return text ? cJSON_CreateString(text) : cJSON_CreateNull();
}

static cJSON *bytes_json(size_t bytes)
{
    return bytes ? cJSON_CreateNumber((double)bytes) : cJSON_CreateNull();
}

static cJSON *row_json(const vg_report_row *row)
{
    cJSON *o = cJSON_CreateObject();
    if (o && add(o, "variant", text_json(row->variant)) && add(o, "reference", cJSON_CreateBool(row->reference)) &&
        add(o, "steps", cJSON_CreateNumber(row->steps)) && add(o, "denoise_seconds", time_json(row->denoise_seconds)) &&
        add(o, "denoise_s_per_it", time_json(per_step(row, row->denoise_seconds))) &&
        add(o, "wall_seconds", time_json(row->wall_seconds)) && add(o, "wall_s_per_it", time_json(per_step(row, row->wall_seconds))) &&
        add(o, "peak_bytes", bytes_json(row->peak_bytes)) && add(o, "peak_stage", text_json(row->peak_stage)) &&
        add(o, "weight_bytes", bytes_json(row->weight_bytes)) &&
        add(o, "metrics", row->metrics ? vg_report_metrics_json(row->metrics) : cJSON_CreateNull()) &&
        add(o, "clip", text_json(row->clip)) && add(o, "note", text_json(row->note)))
        return o;
    cJSON_Delete(o);
    return NULL;
}

cJSON *vg_report_json(const vg_report_row *rows, int count, const char *comparison_clip)
{
    cJSON *root = cJSON_CreateObject(), *list = root ? cJSON_AddArrayToObject(root, "variants") : NULL;
    bool ok = list != NULL;
    for (int i = 0; ok && i < count; i++) {
        cJSON *row = row_json(&rows[i]);
        ok = row && cJSON_AddItemToArray(list, row);
        if (!ok)
            cJSON_Delete(row);
    }
    if (ok && add(root, "comparison_clip", text_json(comparison_clip)))
        return root;
    cJSON_Delete(root);
    return NULL;
}

/* ---- captions ---- */

void vg_report_caption(const vg_report_row *row, char *text, size_t size)
{
    char value[CELL_BYTES];
    size_t used = 0;
    if (!size)
        return;
    text[0] = '\0';
    double s_it = per_step(row, row->denoise_seconds);
    if (s_it >= 0) {
        seconds_text(s_it, value, sizeof value);
        snprintf(text, size, "%s s/it", value);
        used = strlen(text);
    }
    for (int k = 0; k < VG_METRIC_COUNT && !row->reference && row->metrics; k++) {
        const vg_report_metric *m = &row->metrics->metric[k];
        const vg_metric_info *info = vg_metric_describe((vg_metric)k);
        if (!m->measured)
            continue;
        value_text((vg_metric)k, m->mean, value, sizeof value);
        snprintf(text + used, size - used, "%s%s %s%s%s", used ? "  " : "", info->label, value, *info->unit ? " " : "", info->unit);
        used = strlen(text);
    }
}
