/* run_gauges.c: see run_gauges.h. Numbers stand in columns of fixed width: a value that changes moves nothing. */
#include "ui/screens/run_gauges.h"

#include "ui/term/text.h"
#include "ui/screens/ui.h"
#include "ui/widgets/widgets.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- memory ---- */

#define GIB 1073741824.0

/* " label" in dim, then a size in GiB that is as wide whatever it is up to 999. Returns the column behind. */
static int put_gib(vg_grid *g, int row, int x, int end, vg_text_role role, const char *label,
                   uint64_t bytes)
{
    x += vg_text(g, row, x, end - x, VG_R_DIM, label);
    return x + vg_textf(g, row, x, end - x, role, "%4.1f", (double)bytes / GIB) + 1;
}

/* On a GPU: ours, its peak, the plan where there is room, what others have, all in GiB. */
static void draw_shares(const vg_ui_job *j, vg_grid *g, int row, int x, int end)
{
    bool over = !j->memory_now, wide = end - x >= 56;
    if (!over)
        x = put_gib(g, row, x, end, VG_R_TEXT, wide ? "ours " : "", j->memory_now);
    x = put_gib(g, row, x, end, VG_R_WARN, "peak ", j->memory_peak);
    if (wide && j->memory_planned)
        x = put_gib(g, row, x, end, VG_R_TEXT, "plan ", j->memory_planned);
    if (!over)
        x = put_gib(g, row, x, end, VG_R_TEXT, "others ", j->memory_others);
    vg_textf(g, row, x, end - x, VG_R_DIM, "of %.*f GiB", (double)j->memory_total / GIB < 100,
             (double)j->memory_total / GIB);
}

static void draw_amounts(const vg_ui_job *j, vg_grid *g, int row, int x, int end, bool over)
{
    char now[32], peak[32], total[32];
    vg_format_bytes(now, sizeof now, j->memory_now ? j->memory_now : UINT64_MAX);
    vg_format_bytes(peak, sizeof peak, j->memory_peak ? j->memory_peak : UINT64_MAX);
    vg_format_bytes(total, sizeof total, j->memory_total ? j->memory_total : UINT64_MAX);
    if (!over)
        x += vg_text(g, row, x, end - x, VG_R_TEXT, now) + 1;
    x += vg_text(g, row, x, end - x, VG_R_DIM, "peak ");
    x += vg_text(g, row, x, end - x, VG_R_WARN, peak) + 1;
    x += vg_text(g, row, x, end - x, VG_R_DIM, "of ");
    vg_text(g, row, x, end - x, VG_R_DIM, total);
}

/* " 98 %   652 W  1755 MHz": as many as fit; the units say what is what. */
static void draw_strip(const vg_ui_job *j, vg_grid *g, vg_rect r)
{
    int x = r.col, end = r.col + r.cols;
    for (int i = 0; i < j->gauges_count; i++) {
        const vg_ui_gauge *a = &j->gauges[i];
        double value = isfinite(a->now) ? a->now : a->mean;
        int width = 5 + 1 + vg_text_width(a->unit);
        if (x + width > end)
            break;
        if (isfinite(value))
            vg_textf(g, r.row, x, 5, isfinite(a->now) ? VG_R_TEXT : VG_R_DIM, "%5.0f", value);
        else
            vg_text_right(g, r.row, x, 5, VG_R_DIM, "--");
        vg_text(g, r.row, x + 6, width - 6, VG_R_DIM, a->unit);
        x += width + 1;
    }
}

void vg_run_draw_memory(const vg_ui_job *j, vg_grid *g, vg_rect r)
{
    /* Nothing runs: the peak is what is left to tell. */
    bool over = !j->memory_now && j->memory_peak;
    const char *label = j->memory_label && j->memory_label[0] ? j->memory_label : "Memory";
    const vg_level level = {.now = (double)(over ? j->memory_peak : j->memory_now),
                            .others = (double)j->memory_others,
                            .peak = (double)j->memory_peak,
                            .planned = (double)j->memory_planned,
                            .total = (double)j->memory_total};
    int x = r.col + (r.cols < 48 ? 2 : 8), end = r.col + r.cols;
    vg_text(g, r.row, r.col + 2, 8, VG_R_DIM, label);
    vg_gauge(g, r.row, r.col + 8, r.cols - 8, &level, over ? VG_R_DIM : VG_R_ACCENT);
    if (j->gauges_count > 0 && j->memory_total)
        draw_shares(j, g, r.row + 1, x, end);
    else
        draw_amounts(j, g, r.row + 1, x, end, over);
    if (r.rows < 3)
        return;
    vg_text(g, r.row + 2, r.col + 2, 5, VG_R_DIM, "GPU");
    draw_strip(j, g, (vg_rect){r.row + 2, r.col + 6, 1, r.cols - 6});
}

/* ---- gauges ---- */

enum { LABEL_COLS = 12, VALUE_COLS = 7, UNIT_COLS = 5 };

int vg_run_gauges_rows(const vg_ui_job *j)
{
    return j->gauges_count + 1;
}

static void put_value(vg_grid *g, int row, int col, vg_text_role role, double value)
{
    char text[32];
    snprintf(text, sizeof text, isfinite(value) ? "%.0f" : "--", value);
    vg_text_right(g, row, col, VALUE_COLS - 1, isfinite(value) ? role : VG_R_DIM, text);
}

/* Which of now, mean and peak there is room and reason for. */
typedef struct columns {
    bool now, figures, wide;
} columns;

static columns choose_columns(const vg_ui_job *j, vg_rect r)
{
    bool live = false;
    for (int i = 0; i < j->gauges_count; i++)
        live = live || isfinite(j->gauges[i].now);
    bool wide = r.cols >= LABEL_COLS + 3 * VALUE_COLS + UNIT_COLS + 12;
    return (columns){.now = live || wide, .figures = !live || wide, .wide = wide};
}

/* label, the last value, its mean and peak, unit, what it can reach, and its course. */
static void draw_gauge(const vg_ui_gauge *a, const columns *c, vg_grid *g, vg_rect r)
{
    int x = r.col + LABEL_COLS, end = r.col + r.cols;
    vg_text(g, r.row, r.col, LABEL_COLS - 1, VG_R_DIM, a->label);
    if (c->now) {
        put_value(g, r.row, x, VG_R_TEXT, a->now);
        x += VALUE_COLS;
    }
    if (c->figures) {
        put_value(g, r.row, x, VG_R_TEXT, a->mean);
        put_value(g, r.row, x + VALUE_COLS, VG_R_WARN, a->peak);
        x += 2 * VALUE_COLS;
    }
    vg_text(g, r.row, x, UNIT_COLS, VG_R_DIM, a->unit);
    x += UNIT_COLS;
    if (c->wide && end - x >= 24) {
        if (isfinite(a->limit))
            vg_textf(g, r.row, x, 8, VG_R_DIM, "of %.0f", a->limit);
        x += 9;
    }
    double high = isfinite(a->high) ? a->high : a->peak;
    if (high > a->low)
        vg_sparkline(g, r.row, x, end - x, a->history, a->history_count, a->low, high, VG_R_ACCENT);
}

void vg_run_draw_gauges(const vg_ui_job *j, vg_grid *g, vg_rect r)
{
    static const char *const names[] = {"now", "mean", "peak"};
    const columns c = choose_columns(j, r);
    const bool shown[] = {c.now, c.figures, c.figures};
    int row = r.row, x = r.col + LABEL_COLS;
    /* A last value needs no heading; without room for it, a gauge is worth more. */
    if (r.rows > j->gauges_count || c.figures) {
        vg_text(g, row, r.col, LABEL_COLS, VG_R_TITLE, "GPU");
        for (int i = 0; i < 3; i++) {
            if (!shown[i])
                continue;
            vg_text_right(g, row, x, VALUE_COLS - 1, VG_R_DIM, names[i]);
            x += VALUE_COLS;
        }
        row++;
    }
    for (int i = 0; i < j->gauges_count && row < r.row + r.rows; i++, row++)
        draw_gauge(&j->gauges[i], &c, g, (vg_rect){row, r.col, 1, r.cols});
}

/* ---- steps ---- */

enum { STEP_COLS = 7, NAME_COLS = 11 };

static int steps_of(const vg_ui_job *j)
{
    int most = 0;
    for (int i = 0; i < j->variants_count; i++)
        most = j->variants[i].steps > most ? j->variants[i].steps : most;
    return most;
}

static int steps_across(int cols)
{
    return cols >= NAME_COLS + 4 * STEP_COLS ? (cols - NAME_COLS) / STEP_COLS : 0;
}

/* A heading, then for each block the steps' numbers, the variants, and a blank line. */
int vg_run_steps_rows(const vg_ui_job *j, int cols, int room)
{
    int steps = steps_of(j), across = steps_across(cols), each = j->variants_count + 2;
    if (steps < 2 || across < 1 || room < each)
        return 0;
    int blocks = (steps + across - 1) / across, fit = room / each;
    return (blocks < fit ? blocks : fit) * each;
}

static void draw_steps_block(const vg_ui_job *j, vg_grid *g, vg_rect r, int first, int steps)
{
    int across = steps_across(r.cols);
    vg_text(g, r.row, r.col, NAME_COLS - 1, VG_R_TITLE, "Step, s");
    for (int k = 0; k < across && first + k < steps; k++) {
        int x = r.col + NAME_COLS + k * STEP_COLS;
        char text[32];
        snprintf(text, sizeof text, "%d", first + k + 1);
        vg_text_right(g, r.row, x, STEP_COLS - 1, VG_R_DIM, text);
        for (int i = 0; i < j->variants_count; i++) {
            const vg_ui_variant *v = &j->variants[i];
            double s = first + k < v->step && v->step_s ? v->step_s[first + k] : NAN;
            if (!isfinite(s))
                continue;
            snprintf(text, sizeof text, "%.*f", s < 10 ? 3 : s < 100 ? 2 : s < 1000 ? 1 : 0, s);
            vg_text_right(g, r.row + 1 + i, x, STEP_COLS - 1, VG_R_TEXT, text);
        }
    }
    for (int i = 0; i < j->variants_count; i++)
        vg_text(g, r.row + 1 + i, r.col, NAME_COLS - 1, vg_variant_role(i), j->variants[i].name);
}

void vg_run_draw_steps(const vg_ui_job *j, vg_grid *g, vg_rect r)
{
    int steps = steps_of(j), across = steps_across(r.cols), each = j->variants_count + 2, at = 0;
    if (across < 1)
        return;
    int blocks = (steps + across - 1) / across, fit = r.rows / each;
    const vg_ui_variant *v =
        j->current >= 0 && j->current < j->variants_count ? &j->variants[j->current] : NULL;
    /* The block that is being filled stays in sight. */
    if (v && v->step > 0 && (v->step - 1) / across >= fit)
        at = (v->step - 1) / across - fit + 1;
    for (int b = 0; b < fit && at + b < blocks; b++)
        draw_steps_block(j, g, (vg_rect){r.row + b * each, r.col, each, r.cols}, (at + b) * across,
                         steps);
}
