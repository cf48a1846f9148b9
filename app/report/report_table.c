/* report_table.c: the final comparison table as text, Markdown and JSON: one list of columns serves
 * the first two. */
#include "app/report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "kernels/base/text.h"

#define CELL_BYTES 96

enum {
    VARIANT,
    DENOISE_S_IT,
    WALL_S_IT,
    WALL_S,
    PEAK,
    WEIGHTS,
    METRICS,
    COLUMN_COUNT = METRICS + VG_METRIC_COUNT
};

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

static void value_text(const vg_metric *metric, double v, char *text, size_t size)
{
    if (isnan(v))
        snprintf(text, size, "-");
    else if (isinf(v))
        snprintf(text, size, "inf");
    else
        snprintf(text, size, "%.*f", metric->digits, v);
}

static void metric_text(const vg_report_row *row, int metric, char *text, size_t size)
{
    if (row->reference)
        snprintf(text, size, "ref");
    else if (!row->metrics || !row->metrics->metric[metric].measured)
        snprintf(text, size, "-");
    else
        value_text(vg_metrics[metric], row->metrics->metric[metric].mean, text, size);
}

/* Headers take two lines, so that the table fits 80 columns. */
static void header_text(int column, int line, char *text, size_t size)
{
    static const char *const names[METRICS][2] = {{"", "variant"},    {"denoise", "s/it"},
                                                  {"wall", "s/it"},   {"wall", "s"},
                                                  {"peak", "memory"}, {"", "weights"}};
    if (column < METRICS) {
        snprintf(text, size, "%s", names[column][line]);
        return;
    }
    const vg_metric *info = vg_metrics[column - METRICS];
    const char *space = strchr(info->label, ' ');
    if (*info->unit)
        snprintf(text, size, "%s", line ? info->unit : info->label);
    else if (space)
        snprintf(text, size, "%.*s", line ? (int)strlen(space + 1) : (int)(space - info->label),
                 line ? space + 1 : info->label);
    else
        snprintf(text, size, "%s", line ? info->label : "");
}

static void cell_text(const vg_report_row *row, int column, char *text, size_t size)
{
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
        snprintf(text, size, known(row->wall_seconds) ? "%.1f" : "-", row->wall_seconds);
        break;
    case PEAK:
        vg_report_bytes(row->peak_bytes, text, size);
        break;
    case WEIGHTS:
        vg_report_bytes(row->weight_bytes, text, size);
        break;
    default:
        metric_text(row, column - METRICS, text, size);
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

/* Which stage needed the most memory. */
static void print_peaks(FILE *out, const vg_report_row *rows, int count, const char *bullet)
{
    char name[CELL_BYTES], stage[CELL_BYTES];
    int n = 0;
    for (int i = 0; i < count; i++) {
        if (!rows[i].peak_stage || !rows[i].peak_bytes)
            continue;
        vg_text_clean_to(name, sizeof name, rows[i].variant ? rows[i].variant : "");
        vg_text_clean_to(stage, sizeof stage, rows[i].peak_stage);
        if (n++)
            fprintf(out, ", %s in %s", name, stage);
        else
            fprintf(out, "%sMost memory: %s in %s", bullet, name, stage);
        if (rows[i].planned_bytes) {
            vg_report_bytes(rows[i].planned_bytes, name, sizeof name);
            fprintf(out, " (planned: %s)", name);
        }
        if (rows[i].calibration_peak_bytes) {
            vg_report_bytes(rows[i].calibration_peak_bytes, name, sizeof name);
            fprintf(out, ", its calibration before that: %s", name);
        }
    }
    if (n)
        fputc('\n', out);
}

/* "Energy of a step: BF16 11300 J (energy counter), FP8 per-tensor 9650 J (energy counter)" */
static void print_energy(FILE *out, const vg_report_row *rows, int count, const char *bullet)
{
    char name[CELL_BYTES];
    int n = 0;
    for (int i = 0; i < count; i++) {
        if (!rows[i].joules_from || !*rows[i].joules_from || !known(rows[i].joules_per_step))
            continue;
        vg_text_clean_to(name, sizeof name, rows[i].variant ? rows[i].variant : "");
        if (n++)
            fputs(", ", out);
        else
            fprintf(out, "%sEnergy of a step: ", bullet);
        fprintf(out, "%s %.4g J (%s)", name, rows[i].joules_per_step, rows[i].joules_from);
    }
    if (n)
        fputc('\n', out);
}

static void print_worst(FILE *out, const vg_report_row *row, const char *bullet)
{
    char name[CELL_BYTES], value[CELL_BYTES];
    int n = 0, identical = 0;
    vg_text_clean_to(name, sizeof name, row->variant ? row->variant : "");
    for (int k = 0; k < VG_METRIC_COUNT; k++) {
        const vg_report_metric *m = &row->metrics->metric[k];
        const vg_metric *info = vg_metrics[k];
        if (!m->measured || !m->frames || m->worst_frame < 0 ||
            m->worst_frame >= row->metrics->frames)
            continue;
        value_text(info, m->frames[m->worst_frame], value, sizeof value);
        if (!n)
            fprintf(out, "%s%s: worst ", bullet, name);
        else
            fputs(n % 2 ? ", " : ",\n    ", out); /* two a line fit */
        n++;
        fprintf(out, "%s %s%s%s (frame %d)", info->label, value, *info->unit ? " " : "", info->unit,
                m->worst_frame + 1);
        identical = m->identical_frames > identical ? m->identical_frames : identical;
    }
    if (n)
        fprintf(out, " of %d", row->metrics->frames);
    if (n && identical)
        fprintf(out, "; identical: %d", identical);
    if (n)
        fputc('\n', out);
}

/* "PSNR, SSIM: means over the frames, against bf16." */
static void print_means(FILE *out, const char *reference, const char *bullet)
{
    int n = 0;
    for (int k = 0; k < VG_METRIC_COUNT; k++)
        if (vg_metrics[k]->input == VG_METRIC_PICTURES)
            fprintf(out, "%s%s", n++ ? ", " : bullet, vg_metrics[k]->label);
    fprintf(out, ": means over the frames, against %s.\n", reference);
}

/* What the figures mean, the worst frames, notes and files. */
static void print_below(FILE *out, const vg_report_row *rows, int count,
                        const char *comparison_clip, const char *bullet)
{
    char name[CELL_BYTES], value[CELL_BYTES];
    fprintf(out,
            "%sdenoise s/it: the denoise loop alone. wall s/it: all of the variant (load, "
            "text,\n%scalibration, denoise, decode) over the "
            "same steps.\n",
            bullet, *bullet ? "  " : "");
    const vg_report_row *reference = reference_of(rows, count);
    if (reference) {
        vg_text_clean_to(name, sizeof name, reference->variant ? reference->variant : "");
        print_means(out, name, bullet);
    }
    print_peaks(out, rows, count, bullet);
    print_energy(out, rows, count, bullet);
    for (int i = 0; i < count; i++)
        if (!rows[i].reference && rows[i].metrics)
            print_worst(out, &rows[i], bullet);
    for (int i = 0; i < count; i++)
        if (*rows[i].attention)
            print_line(out, bullet, rows[i].variant, rows[i].attention);
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

/* Lines -2 and -1 are the header. */
static void line_cell(const vg_report_row *rows, int line, int column, char *text, size_t size)
{
    if (line < 0)
        header_text(column, line + 2, text, size);
    else
        cell_text(&rows[line], column, text, size);
}

void vg_report_print(FILE *out, const vg_report_row *rows, int count, const char *comparison_clip)
{
    char text[CELL_BYTES];
    int width[COLUMN_COUNT];
    for (int c = 0; c < COLUMN_COUNT; c++) {
        width[c] = 0;
        for (int i = -2; i < count; i++) {
            line_cell(rows, i, c, text, sizeof text);
            int n = vg_text_columns(text);
            width[c] = n > width[c] ? n : width[c];
        }
    }
    for (int i = -2; i < count; i++) {
        for (int c = 0; c < COLUMN_COUNT; c++) {
            line_cell(rows, i, c, text, sizeof text);
            if (c)
                fputc(' ', out);
            print_padded(out, text, width[c], c == VARIANT);
        }
        fputc('\n', out);
    }
    fputc('\n', out);
    print_below(out, rows, count, comparison_clip, "");
}

void vg_report_print_markdown(FILE *out, const vg_report_row *rows, int count,
                              const char *comparison_clip)
{
    char text[CELL_BYTES];
    for (int i = -2; i < count; i++) {
        fputc('|', out);
        for (int c = 0; c < COLUMN_COUNT; c++) {
            if (i == -2) {
                header_text(c, 0, text, sizeof text);
                size_t n = strlen(text);
                if (n > 0 && n + 1 < sizeof text)
                    text[n++] = ' ';
                header_text(c, 1, text + n, sizeof text - n);
            } else if (i == -1)
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

/* ---- captions ---- */

void vg_report_caption(const vg_report_row *row, bool timings, char *text, size_t size)
{
    char value[CELL_BYTES];
    size_t used = 0;
    if (!size)
        return;
    text[0] = '\0';
    double s_it = per_step(row, row->denoise_seconds);
    if (row->reference)
        snprintf(text, size, "reference");
    used = strlen(text);
    if (timings && s_it >= 0) {
        seconds_text(s_it, value, sizeof value);
        snprintf(text + used, size - used, "%s%s s/it", used ? "  " : "", value);
        used = strlen(text);
    }
    for (int k = 0; k < VG_METRIC_COUNT && !row->reference && row->metrics; k++) {
        const vg_report_metric *m = &row->metrics->metric[k];
        const vg_metric *info = vg_metrics[k];
        if (!m->measured)
            continue;
        value_text(info, m->mean, value, sizeof value);
        snprintf(text + used, size - used, "%s%s %s%s%s", used ? "  " : "", info->label, value,
                 *info->unit ? " " : "", info->unit);
        used = strlen(text);
    }
}
