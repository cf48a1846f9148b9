/* compare_draw.c: the compare screen's picture: panes, table, curve, scrubber. */
#include "ui/screens/screen_compare.h"
#include "ui/term/text.h"
#include "ui/widgets/widgets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int vg_compare_panes(const vg_compare *s, const vg_ui_job *j, int *panes)
{
    int n = 0;
    if (j->variants_count < 2) {
        if (j->variants_count == 1)
            panes[n++] = 0;
        return n;
    }
    if (s->mode == VG_COMPARE_FLICKER) {
        panes[n++] = s->flicker_b ? s->other : 0;
        return n;
    }
    if (s->mode == VG_COMPARE_DIFFERENCE || s->only_pair || j->variants_count == 2) {
        panes[n++] = 0;
        panes[n++] = s->other;
    } else {
        for (int i = 0; i < j->variants_count && n < VG_COMPARE_PANES_MAX; i++)
            panes[n++] = i;
    }
    if (s->swapped)
        for (int i = 0; i < n / 2; i++) {
            int keep = panes[i];
            panes[i] = panes[n - 1 - i];
            panes[n - 1 - i] = keep;
        }
    if (s->mode == VG_COMPARE_DIFFERENCE)
        panes[n++] = -1;
    return n;
}

const vg_ui_metric *vg_compare_metric(const vg_compare *s, const vg_ui_job *j)
{
    if (s->other < 0 || s->other >= j->variants_count)
        return NULL;
    const vg_ui_variant *v = &j->variants[s->other];
    if (!v->metrics || s->metric < 0 || s->metric >= v->metrics_count)
        return NULL;
    return &v->metrics[s->metric];
}

int vg_compare_worst(const vg_compare *s, const vg_ui_job *j)
{
    const vg_ui_metric *m = vg_compare_metric(s, j);
    int worst = -1;
    for (int i = 0; m && m->frames && i < m->frames_count; i++) {
        double v = m->frames[i];
        if (!isfinite(v))
            continue;
        if (worst < 0 || (m->higher_is_better ? v < m->frames[worst] : v > m->frames[worst]))
            worst = i;
    }
    return worst;
}

uint64_t vg_compare_owner(const vg_ui_job *j, int v)
{
    uint64_t hash = 1469598103934665603u;
    for (const char *c = j->id; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    return (hash ^ (uint64_t)(v + 2)) * 1099511628211u;
}

/* How many panes stand in a row; their size in *fit. One row, unless stacking makes the pictures larger by far (a narrow window): sides
 * compare best beside each other, and adding the difference should not move them about. */
static int arrange(const vg_ui *ui, const vg_ui_job *j, int panes, int rows, int cols, vg_rect *fit)
{
    int best = panes;
    long most = -1;
    int w = j->width > 0 ? j->width : 16, h = j->height > 0 ? j->height : 9;
    for (int across = panes; across >= 1; across--) {
        int down = (panes + across - 1) / across;
        vg_rect room = {0, 0, rows / down - 1,
                        (cols - 2 * (across - 1)) / across}; /* one row for the label */
        vg_rect f = vg_pictures_fit(ui->pictures, room, w, h);
        long size = (long)f.rows * f.cols;
        if (size > most * 8 / 5) {
            most = size;
            best = across;
            *fit = f;
        }
    }
    return best;
}

void vg_compare_layout(const vg_ui *ui, const void *state, vg_rect area, vg_layout *out)
{
    const vg_compare *s = state;
    const vg_ui_job *j = vg_ui_job_now(ui);
    memset(out, 0, sizeof *out);
    if (!j)
        return;
    int panes[VG_COMPARE_PANES_MAX + 1], n = vg_compare_panes(s, j, panes);
    int head = area.rows >= 30 ? 2 : 1, below = 3;
    int table = j->variants_count + 1 + (area.rows >= 30 ? 2 : 1);
    vg_rect fit = {0, 0, 0, 0};
    int room = area.rows - head - below - table, all = area.rows - head - below;
    int across = n ? arrange(ui, j, n, room, area.cols, &fit) : 1;
    int down = n ? (n + across - 1) / across : 1;
    /* The table goes when it would cost the pictures a third of their height. */
    vg_rect larger = fit;
    int across_larger = n ? arrange(ui, j, n, all, area.cols, &larger) : 1;
    if (room < 5 || fit.rows * 3 < larger.rows * 2) {
        fit = larger;
        across = across_larger;
        down = n ? (n + across - 1) / across : 1;
        table = 0;
    }
    out->count = VG_COMPARE_PANE0 + n;
    out->r[VG_COMPARE_HEAD] = (vg_rect){area.row, area.col, head, area.cols};
    int row = area.row + head, width = fit.cols * across + 2 * (across - 1);
    int left = area.col + (area.cols - width) / 2;
    for (int i = 0; i < n && VG_COMPARE_PANE0 + i < VG_LAYOUT_MAX; i++)
        out->r[VG_COMPARE_PANE0 + i] =
            (vg_rect){row + i / across * (fit.rows + 1), left + i % across * (fit.cols + 2),
                      fit.rows + 1, fit.cols};
    row += down * (fit.rows + 1);
    int bottom = area.row + area.rows;
    int spare = bottom - row - below - table;
    if (table) {
        int gap = spare > 0 && area.rows >= 30 ? 1 : 0;
        out->r[VG_COMPARE_TABLE] = (vg_rect){row + gap, area.col, j->variants_count + 1, area.cols};
        row += table;
    }
    /* What is left belongs to the curve, one row at least. */
    int plot = bottom - 2 - row;
    if (plot > 28)
        plot = 28;
    if (plot < 1)
        plot = 1;
    out->r[VG_COMPARE_PLOT] = (vg_rect){bottom - 2 - plot, area.col, plot, area.cols};
    int axis =
        plot >= 5 ? 7 : 0; /* the track stands under the curve's field, right of its figures */
    out->r[VG_COMPARE_TRACK] = (vg_rect){bottom - 2, area.col + axis, 1, area.cols - axis};
    out->r[VG_COMPARE_STATUS] = (vg_rect){bottom - 1, area.col, 1, area.cols};
}

/* ---- panes ---- */
static double frame_metric(const vg_ui_metric *m, int frame)
{
    return m && m->frames && frame >= 0 && frame < m->frames_count ? m->frames[frame] : NAN;
}

static void draw_label(const vg_compare *s, const vg_ui_job *j, int v, vg_grid *g, vg_rect r)
{
    char value[32], line[64];
    if (v < 0) {
        snprintf(line, sizeof line, "difference x%g", s->gain);
        vg_text(g, r.row, r.col, r.cols, VG_R_WARN, line);
        return;
    }
    const vg_ui_variant *variant = &j->variants[v];
    int x = vg_text(g, r.row, r.col, r.cols, vg_variant_role(v), variant->label);
    if (v == 0) {
        vg_text_right(g, r.row, r.col + x + 1, r.cols - x - 1, VG_R_DIM, "reference");
        return;
    }
    const vg_ui_metric *m = s->metric < variant->metrics_count && variant->metrics
                                ? &variant->metrics[s->metric]
                                : NULL;
    if (!m)
        return;
    vg_format_metric(value, sizeof value, frame_metric(m, s->frame));
    bool figure = strcmp(value, "identical") != 0 && strcmp(value, "N/A") != 0;
    snprintf(line, sizeof line, "%s %s%s%s", m->label, value, figure && m->unit[0] ? " " : "",
             figure ? m->unit : "");
    if (vg_text_width(line) <= r.cols - x - 1)
        vg_text_right(g, r.row, r.col + x + 1, r.cols - x - 1, VG_R_TEXT, line);
}

/* What names variant v's picture (-1: the difference) at a frame. */
static uint64_t picture_serial(const vg_compare *s, int v, int frame)
{
    uint64_t serial = (uint64_t)(unsigned)frame + 1;
    return v < 0 ? serial | (uint64_t)(s->gain * 4) << 32 | (uint64_t)(unsigned)s->other << 56
                 : serial;
}

/* Variant v (-1: the difference) at a frame into rectangle p; without a grid only into the cache. False while frames are loading. */
static bool pane_picture(const vg_ui *ui, const vg_compare *s, const vg_ui_job *j, int v, int frame,
                         vg_grid *g, vg_rect p)
{
    const vg_ui_media_host *media = &ui->host->media;
    uint64_t serial = picture_serial(s, v, frame), owner = vg_compare_owner(j, v);
    const uint8_t *rgb = NULL;
    uint8_t *difference = NULL;
    if (!vg_picture_cached(ui->pictures, p, owner, serial)) {
        rgb = media->frame(media->self, j->id, v < 0 ? 0 : v, frame);
        if (rgb && v < 0) {
            const uint8_t *b = media->frame(media->self, j->id, s->other, frame);
            size_t bytes = (size_t)j->width * (size_t)j->height * 3;
            difference = b ? malloc(bytes) : NULL;
            if (difference)
                vg_picture_difference(difference, rgb, b, bytes, s->gain);
            rgb = difference;
        }
    }
    bool done = g ? vg_picture_draw(ui->pictures, g, p, owner, serial, rgb, j->width, j->height)
                  : vg_picture_prepare(ui->pictures, p, owner, serial, rgb, j->width, j->height);
    free(difference);
    return done;
}

static bool pane_ready(const vg_compare *s, const vg_ui_job *j, int v)
{
    return j->variants[v < 0 ? s->other : v].frames_ready &&
           (v >= 0 || j->variants[0].frames_ready);
}

/* Why pane v will stay without a picture; NULL when nothing is wrong. */
static const char *pane_broken(const vg_ui *ui, const vg_compare *s, const vg_ui_job *j, int v)
{
    const vg_ui_media_host *media = &ui->host->media;
    const char *why = media->broken(media->self, j->id, v < 0 ? 0 : v);
    return !why && v < 0 ? media->broken(media->self, j->id, s->other) : why;
}

bool vg_compare_prepare(const vg_ui *ui, const vg_compare *s, const vg_ui_job *j)
{
    enum { AHEAD = 16 };
    vg_layout l;
    int panes[VG_COMPARE_PANES_MAX + 1], n = vg_compare_panes(s, j, panes);
    vg_compare_layout(ui, s, vg_ui_area(ui), &l);
    for (int k = 1; k <= AHEAD && k < j->frames; k++)
        for (int i = 0; i < n && VG_COMPARE_PANE0 + i < VG_LAYOUT_MAX; i++) {
            vg_rect r = l.r[VG_COMPARE_PANE0 + i], p = {r.row + 1, r.col, r.rows - 1, r.cols};
            int frame = (s->frame + k) % j->frames;
            if (!pane_ready(s, j, panes[i]) || pane_broken(ui, s, j, panes[i]) ||
                vg_picture_cached(ui->pictures, p, vg_compare_owner(j, panes[i]),
                                  picture_serial(s, panes[i], frame)))
                continue;
            return pane_picture(ui, s, j, panes[i], frame, NULL, p);
        }
    return false;
}

bool vg_compare_loading(const vg_ui *ui, const vg_compare *s, const vg_ui_job *j)
{
    vg_layout l;
    int panes[VG_COMPARE_PANES_MAX + 1], n = vg_compare_panes(s, j, panes);
    vg_compare_layout(ui, s, vg_ui_area(ui), &l);
    for (int i = 0; i < n && VG_COMPARE_PANE0 + i < VG_LAYOUT_MAX; i++) {
        vg_rect r = l.r[VG_COMPARE_PANE0 + i], p = {r.row + 1, r.col, r.rows - 1, r.cols};
        if (pane_ready(s, j, panes[i]) && !pane_broken(ui, s, j, panes[i]) &&
            !vg_picture_cached(ui->pictures, p, vg_compare_owner(j, panes[i]),
                               picture_serial(s, panes[i], s->frame)))
            return true;
    }
    return false;
}

static void draw_pane(const vg_ui *ui, const vg_compare *s, const vg_ui_job *j, int v, vg_grid *g,
                      vg_rect r)
{
    char text[64];
    vg_rect p = {r.row + 1, r.col, r.rows - 1, r.cols};
    const char *why = pane_broken(ui, s, j, v);
    draw_label(s, j, v, g, r);
    if (!pane_ready(s, j, v)) {
        snprintf(text, sizeof text, " %s ",
                 vg_job_state_name(j->variants[v < 0 ? s->other : v].state));
        vg_picture_absent(g, p, text);
    } else if (why) {
        vg_picture_broken(g, p, why);
    } else if (!pane_picture(ui, s, j, v, s->frame, g, p)) {
        vg_picture_absent(g, p, " loading ");
    }
}

/* ---- table ---- */
enum { T_RATE = 20, T_WALL = 33, T_PEAK = 43, T_METRIC = 54, METRIC_COLS = 12 };

static void metric_title(const vg_ui_metric *m, char *out, size_t size)
{
    snprintf(out, size, m->unit[0] ? "%s %s" : "%s", m->label, m->unit);
}

static int metric_cols(const vg_ui_metric *m)
{
    char title[48];
    metric_title(m, title, sizeof title);
    int width = vg_text_width(title) + 3;
    return width > METRIC_COLS ? width : METRIC_COLS;
}

static void draw_table(const vg_compare *s, const vg_ui_job *j, vg_grid *g, vg_rect r)
{
    char text[48];
    int right = r.col + r.cols;
    const vg_ui_variant *example = j->variants_count > 1 ? &j->variants[1] : NULL;
    vg_text_right(g, r.row, r.col + T_RATE - 3, 12, VG_R_DIM, "denoise s/it");
    vg_text_right(g, r.row, r.col + T_WALL - 2, 9, VG_R_DIM, "wall");
    vg_text_right(g, r.row, r.col + T_PEAK, 9, VG_R_DIM, "peak");
    int x = r.col + T_METRIC;
    for (int m = 0;
         example && m < example->metrics_count && x + metric_cols(&example->metrics[m]) <= right;
         m++) {
        const vg_ui_metric *metric = &example->metrics[m];
        int cols = metric_cols(metric);
        metric_title(metric, text, sizeof text);
        vg_text_right(g, r.row, x, cols - 1, m == s->metric ? VG_R_TEXT : VG_R_DIM, text);
        x += cols;
    }
    int precision = x + 2;
    if (precision + 20 < right)
        vg_text(g, r.row, precision, right - precision, VG_R_DIM, "layers");
    for (int i = 0; i < j->variants_count && i + 1 < r.rows; i++) {
        const vg_ui_variant *v = &j->variants[i];
        int row = r.row + 1 + i;
        bool chosen = i == s->other && j->variants_count > 2;
        vg_text(g, row, r.col, T_RATE - 2, vg_variant_role(i), v->label);
        double own = v->denoise_s_per_it;
        snprintf(text, sizeof text, isfinite(own) ? "%.3f" : "--", own);
        vg_text_right(g, row, r.col + T_RATE - 1, 10, VG_R_TEXT, text);
        vg_format_seconds(text, sizeof text, v->wall_s > 0 ? v->wall_s : NAN);
        vg_text_right(g, row, r.col + T_WALL - 2, 9, VG_R_TEXT, text);
        vg_format_bytes(text, sizeof text, v->peak_bytes ? v->peak_bytes : UINT64_MAX);
        vg_text_right(g, row, r.col + T_PEAK, 9, VG_R_TEXT, text);
        x = r.col + T_METRIC;
        for (int m = 0;
             m < v->metrics_count && v->metrics && x + metric_cols(&v->metrics[m]) <= right; m++) {
            int cols = metric_cols(&v->metrics[m]);
            vg_format_metric(text, sizeof text, v->metrics[m].mean);
            vg_text_right(g, row, x, cols - 1, VG_R_TEXT, text);
            x += cols;
        }
        if (i == 0 && example)
            vg_text_right(g, row, r.col + T_METRIC, METRIC_COLS - 1, VG_R_DIM, "reference");
        if (precision + 20 < right && v->precision)
            vg_text(g, row, precision, right - precision, VG_R_DIM, v->precision);
        if (chosen)
            vg_put(g, row, r.col - 1, vg_glyph(g, '>', '>', 0x2502), vg_role_style(g, VG_R_ACCENT));
    }
}

/* ---- curve, track, status ---- */
static void draw_curve(const vg_compare *s, const vg_ui_job *j, vg_grid *g, vg_rect r)
{
    const vg_ui_metric *m = vg_compare_metric(s, j);
    if (!m || !m->frames)
        return;
    if (r.rows < 5) { /* one row of columns, each frame where the track has it */
        double lo = 0, hi = 0;
        vg_series one = {m->frames, m->frames_count, VG_R_TEXT};
        if (!vg_series_range(&one, 1, &lo, &hi))
            return;
        double pad = hi > lo ? (hi - lo) * 0.15 : 1;
        if (g->glyphs == VG_GLYPHS_FULL) {
            vg_series curve = {m->frames, m->frames_count, vg_variant_role(s->other)};
            vg_curve(g, r, &curve, 0, j->frames, lo - pad, hi + pad);
            return;
        }
        for (int x = 0; x < r.cols; x++) {
            double v = frame_metric(m, vg_scrubber_frame(x, r.cols, j->frames));
            vg_sparkline(g, r.row + r.rows - 1, r.col + x, 1, &v, 1, lo - pad, hi,
                         vg_variant_role(s->other));
        }
        return;
    }
    vg_series series[4];
    int n = 0;
    for (int i = 1; i < j->variants_count && n < 4; i++)
        if (s->metric < j->variants[i].metrics_count && j->variants[i].metrics &&
            j->variants[i].metrics[s->metric].frames)
            series[n++] =
                (vg_series){j->variants[i].metrics[s->metric].frames,
                            j->variants[i].metrics[s->metric].frames_count, vg_variant_role(i)};
    vg_plot_spec spec = {series, n, j->frames, s->frame, m->unit, false};
    int x = vg_textf(g, r.row, r.col, r.cols, VG_R_TITLE, "%s of each frame", m->label) + 2;
    for (int i = 1; i < j->variants_count; i++)
        x += vg_text(g, r.row, r.col + x, r.cols - x, vg_variant_role(i), j->variants[i].label) + 2;
    vg_plot(g, (vg_rect){r.row + 1, r.col - 1, r.rows - 1, r.cols + 1}, &spec);
}

static void draw_status(const vg_compare *s, const vg_ui_job *j, vg_grid *g, vg_rect r)
{
    char value[32];
    double fps = j->fps > 0 ? j->fps : 16;
    int x = r.col;
    vg_put(g, r.row, x, s->playing ? vg_glyph(g, '>', '>', 0x25b6) : vg_glyph(g, '=', '=', 0x2016),
           vg_role_style(g, VG_R_ACCENT));
    x += 2;
    x += vg_textf(g, r.row, x, 20, VG_R_TEXT, "frame %*d", j->frames >= 100 ? 3 : 2, s->frame + 1);
    x += vg_textf(g, r.row, x, 20, VG_R_DIM, "/%d", j->frames) + 2;
    x += vg_textf(g, r.row, x, 12, VG_R_DIM, "%.3f s", s->frame / fps) + 2;
    x += vg_textf(g, r.row, x, 20, VG_R_DIM, "%gx%s", s->speed, s->loop ? " loop" : "") + 2;
    /* At the right: this frame's figures of the compared variant. */
    if (s->other < 1 || s->other >= j->variants_count)
        return;
    const vg_ui_variant *v = &j->variants[s->other];
    char line[256] = "";
    for (int m = 0; m < v->metrics_count && v->metrics; m++) {
        if (!v->metrics[m].frames)
            continue;
        size_t n = strlen(line);
        vg_format_metric(value, sizeof value, frame_metric(&v->metrics[m], s->frame));
        bool figure = isfinite(frame_metric(&v->metrics[m], s->frame));
        snprintf(line + n, sizeof line - n, "%s%s %s%s%s", n ? "   " : "", v->metrics[m].label,
                 value, figure && v->metrics[m].unit[0] ? " " : "",
                 figure ? v->metrics[m].unit : "");
    }
    int room = r.col + r.cols - x;
    int figures = vg_text_width(line);
    if (figures == 0 || figures > room)
        return;
    vg_text_right(g, r.row, x, room, VG_R_TEXT, line);
    if (j->variants_count > 2 && vg_text_width(v->label) + 2 <= room - figures)
        vg_text(g, r.row, r.col + r.cols - figures - 2 - vg_text_width(v->label), room,
                vg_variant_role(s->other), v->label);
}

void vg_compare_draw(const vg_ui *ui, const void *state, vg_grid *g, vg_rect area)
{
    const vg_compare *s = state;
    const vg_ui_job *j = vg_ui_job_now(ui);
    if (!j || !vg_ui_has_frames(ui, state)) {
        vg_text(g, area.row + area.rows / 2 - 1, area.col + 2, area.cols - 2, VG_R_TITLE,
                j ? "No clip of this job is ready yet" : "Nothing to compare yet");
        int row = area.row + area.rows / 2;
        if (j)
            vg_textf(g, row, area.col + 2, area.cols - 2, VG_R_DIM,
                     "%c shows how far it is; the comparison opens when it is done.",
                     VG_SCREEN_KEY(run));
        else
            vg_textf(g, row, area.col + 2, area.cols - 2, VG_R_DIM,
                     "%c lists the jobs; %c starts a new one.", VG_SCREEN_KEY(jobs),
                     VG_SCREEN_KEY(setup));
        return;
    }
    vg_layout l;
    vg_compare_layout(ui, s, area, &l);
    vg_rect r = l.r[VG_COMPARE_HEAD];
    int x = vg_text(g, r.row, r.col, r.cols, VG_R_TITLE, j->model) + 2;
    x += vg_text(g, r.row, r.col + x, r.cols - x, VG_R_DIM, j->summary) + 2;
    if (r.cols - x > 20)
        vg_text(g, r.row, r.col + x, r.cols - x, VG_R_TEXT, j->prompt);
    int panes[VG_COMPARE_PANES_MAX + 1], n = vg_compare_panes(s, j, panes);
    for (int i = 0; i < n && VG_COMPARE_PANE0 + i < VG_LAYOUT_MAX; i++)
        draw_pane(ui, s, j, panes[i], g, l.r[VG_COMPARE_PANE0 + i]);
    if (l.r[VG_COMPARE_TABLE].rows)
        draw_table(s, j, g, l.r[VG_COMPARE_TABLE]);
    draw_curve(s, j, g, l.r[VG_COMPARE_PLOT]);
    vg_rect track = l.r[VG_COMPARE_TRACK];
    vg_scrubber(g, track.row, track.col, track.cols, s->frame, j->frames, vg_compare_worst(s, j),
                VG_R_ACCENT);
    draw_status(s, j, g, l.r[VG_COMPARE_STATUS]);
}
