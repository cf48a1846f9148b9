/* screen_run.c: a job at work: each variant's stage, steps, speed and time, memory, and the picture as it forms. */
#include "ui/screens/run_gauges.h"
#include "ui/screens/screen_compare.h"
#include "ui/term/text.h"
#include "ui/widgets/widgets.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    DO_CANCEL = 1,
    DO_RESUME,
    DO_COMPARE,
    DO_NEW,
    DO_NEXT,
    DO_PREVIOUS,
    DO_LOG_BACK,
    DO_LOG_ON,
    DO_LOG_END,
    DO_LEVEL
};
enum { ASK_CANCEL = 1 };
enum { R_HEAD, R_VARIANTS, R_MEMORY, R_PREVIEW, R_GAUGES, R_STEPS, R_PLOT, R_LOG, RECTS };

typedef struct run_state {
    int chosen;        /* variant whose preview is shown, -1: the one at work */
    double done_since; /* the job became done while this screen was open, 0: no */
    int seen_state;
    char seen_job[256];
    bool stay;             /* the person touched a key since: do not leave by itself */
    vg_ui_log_level level; /* of the log: what matters less is left out */
    int log_back;          /* lines of it that are newer than the last one shown */
} run_state;

static void init(vg_ui *ui, void *state)
{
    (void)ui;
    run_state *s = state;
    s->chosen = s->seen_state = -1;
    s->level = VG_UI_LOG_STAGE;
}

static bool has_log(const vg_ui *ui, const void *state)
{
    (void)state;
    const vg_ui_job *j = vg_ui_job_now(ui);
    return j && j->log_count > 0;
}
static bool job_busy(const vg_ui *ui, const void *state)
{
    (void)state;
    const vg_ui_job *j = vg_ui_job_now(ui);
    return j && (j->state == VG_UI_JOB_RUNNING || j->state == VG_UI_JOB_QUEUED);
}
static bool job_stopped(const vg_ui *ui, const void *state)
{
    (void)state;
    const vg_ui_job *j = vg_ui_job_now(ui);
    return j && (j->state == VG_UI_JOB_FAILED || j->state == VG_UI_JOB_CANCELLED ||
                 j->state == VG_UI_JOB_INTERRUPTED);
}
static bool has_job(const vg_ui *ui, const void *state)
{
    (void)state;
    return vg_ui_job_now(ui) != NULL;
}
static bool several(const vg_ui *ui, const void *state)
{
    (void)state;
    const vg_ui_job *j = vg_ui_job_now(ui);
    return j && j->variants_count > 1;
}

static const vg_binding bindings[] = {
    {{VG_KEY(ENTER)}, DO_COMPARE, "compare", "look at the clips that are ready", vg_ui_has_frames},
    {{VG_CH('c')}, DO_CANCEL, "cancel", "stop the job; its finished steps are kept", job_busy},
    {{VG_CH('r')}, DO_RESUME, "resume", "go on from the last finished step", job_stopped},
    {{VG_KEY(TAB), VG_KEY(DOWN)}, DO_NEXT, "preview", "preview of the next variant", several},
    {{VG_KEY(BACKTAB), VG_KEY(UP)}, DO_PREVIOUS, NULL, "preview of the variant before", several},
    {{VG_CH('n')}, DO_NEW, "new", "a new job from these settings", has_job},
    {{VG_KEY(PAGE_UP)}, DO_LOG_BACK, "log", "the log, further back", has_log},
    {{VG_KEY(PAGE_DOWN)}, DO_LOG_ON, NULL, "the log, further on", has_log},
    {{VG_KEY(END)}, DO_LOG_END, NULL, "the log as it grows", has_log},
    {{VG_CH('l')},
     DO_LEVEL,
     "less",
     "the log: all, without stages, endings, errors alone",
     has_log},
};

/* ---- layout ---- */
static int variant_rows(vg_rect area, int count)
{
    int room = (area.rows - 6) / (count > 0 ? count : 1);
    return room >= 5 ? 5 : room >= 4 ? 4 : 3;
}

/* Under the picture: the gauges, then the log when the left has no room for it, then the steps' times. `right` is what is free there. */
static void layout_right(const vg_ui_job *j, bool gauges, bool log, vg_rect right, vg_layout *out)
{
    int end = right.row + right.rows;
    if (gauges) {
        int rows = vg_run_gauges_rows(j);
        rows = rows < right.rows ? rows : right.rows;
        out->r[R_GAUGES] = (vg_rect){right.row, right.col, rows, right.cols};
        right.row += rows + 1;
    }
    if (log && end - right.row >= 3) {
        out->r[R_LOG] = (vg_rect){right.row, right.col - 2, end - right.row, right.cols + 2};
        return;
    }
    int rows = j ? vg_run_steps_rows(j, right.cols, end - right.row) : 0;
    if (rows > 0)
        out->r[R_STEPS] = (vg_rect){right.row, right.col, rows, right.cols};
}

static void layout(const vg_ui *ui, const void *state, vg_rect area, vg_layout *out)
{
    (void)state;
    const vg_ui_job *j = vg_ui_job_now(ui);
    int count = j && j->variants_count > 0 ? j->variants_count : 1;
    memset(out, 0, sizeof *out);
    out->count = RECTS;
    int left = area.cols >= 72 ? area.cols * 11 / 20 : area.cols;
    int head = area.rows >= 30 ? 4 : 3, each = variant_rows(area, count);
    int body = area.row + head, rows = area.rows - head, bottom = area.row + area.rows;
    vg_rect right = {0}; /* what is free under the picture */
    if (left < area.cols) {
        vg_rect room = {body, area.col + left, rows - 1, area.cols - left};
        vg_rect fit = vg_pictures_fit(ui->pictures, room, j && j->width > 0 ? j->width : 16,
                                      j && j->height > 0 ? j->height : 9);
        out->r[R_PREVIEW] = (vg_rect){body, area.col + left, fit.rows + 1, area.cols - left};
        right = (vg_rect){body + fit.rows + 2, room.col, bottom - body - fit.rows - 2, room.cols};
    }
    /* Gauges are a table under the picture; where that room is needed for the log, or is not there, one more line under memory. */
    bool gauges = j && j->gauges_count > 0;
    int memory = 2, need = count * each;
    bool crowded = rows - need - memory - 1 < 3;
    bool table = gauges && !crowded && right.rows >= 3;
    memory += gauges && !table;
    if (need > rows - memory - 1)
        need = rows - memory - 1;
    out->r[R_HEAD] = (vg_rect){area.row, area.col, head, area.cols};
    out->r[R_VARIANTS] = (vg_rect){body, area.col, need, left - 2};
    int after = body + need;
    out->r[R_MEMORY] = (vg_rect){after, area.col, memory, left - 2};
    after += memory + 1;
    int rest = bottom - after, plot = rest > 14 ? 14 : rest;
    /* Left and right end on the same line. */
    int beside = right.row - 1 - after;
    if (left < area.cols && beside >= 6 && beside <= rest)
        plot = beside;
    if (table && plot > rest - 4) /* the right is taken: the log stays here */
        plot = rest - 4;
    if (plot >= 6) {
        out->r[R_PLOT] = (vg_rect){after, area.col, plot, left - 2};
        after += plot + 1;
    }
    bool log = bottom - after >= 3;
    if (log)
        out->r[R_LOG] = (vg_rect){after, area.col, bottom - after, left - 2};
    if (left < area.cols)
        layout_right(j, table, !log, right, out);
}

/* ---- drawing ---- */
static const vg_ui_variant *shown_variant(const run_state *s, const vg_ui_job *j, int *index)
{
    int i = s->chosen;
    if (i < 0 || i >= j->variants_count)
        i = j->current;
    if (i < 0 || i >= j->variants_count) /* nothing runs: the last that has a picture */
        for (i = j->variants_count - 1; i > 0 && !j->variants[i].preview; i--) {
        }
    if (i < 0 || i >= j->variants_count)
        return NULL;
    *index = i;
    return &j->variants[i];
}

static double progress_of(const vg_ui_variant *v)
{
    if (v->state == VG_UI_JOB_DONE)
        return 1;
    return v->steps > 0 ? (double)v->step / v->steps : NAN;
}

static void stage_text(const vg_ui_variant *v, char *out, size_t size)
{
    if (v->state != VG_UI_JOB_RUNNING)
        snprintf(out, size, "%s", vg_job_state_name(v->state));
    else if (strcmp(v->stage, "denoise") == 0 && v->boundary_step > 0)
        snprintf(out, size, "expert %d %d/%d", v->step < v->boundary_step ? 1 : 2, v->step,
                 v->steps);
    else if (strcmp(v->stage, "denoise") == 0)
        snprintf(out, size, "denoise %d/%d", v->step, v->steps);
    else if (v->parts > 0)
        snprintf(out, size, "%s %d/%d", v->stage, v->part, v->parts);
    else
        snprintf(out, size, "%s", v->stage[0] ? v->stage : "starting");
}

/* The variants share one scale, so that their columns can be compared. */
static double longest_step(const vg_ui_job *j)
{
    double most = 0;
    for (int i = 0; i < j->variants_count; i++)
        for (int k = 0; k < j->variants[i].step && j->variants[i].step_s; k++)
            most = fmax(most, j->variants[i].step_s[k]);
    return most;
}

static void draw_variant(const vg_ui_job *j, int index, bool chosen, vg_grid *g, vg_rect r)
{
    const vg_ui_variant *v = &j->variants[index];
    vg_text_role role = vg_variant_role(index);
    char line[160], rate[32], wall[32], eta[32], size[32];
    /* name ... stage */
    vg_put(g, r.row, r.col, vg_job_state_sign(g, v->state),
           vg_role_style(g, vg_job_state_role(v->state)));
    int x = vg_text(g, r.row, r.col + 2, r.cols - 2, role, v->label);
    if (index == 0 && j->variants_count > 1)
        x += vg_text(g, r.row, r.col + 3 + x, r.cols - 3 - x, VG_R_DIM, "reference") + 1;
    stage_text(v, line, sizeof line);
    vg_text_right(g, r.row, r.col + 4 + x, r.cols - 4 - x,
                  v->state == VG_UI_JOB_RUNNING ? VG_R_TEXT : vg_job_state_role(v->state), line);
    if (chosen && j->variants_count > 1)
        vg_put(g, r.row, r.col - 1, vg_glyph(g, '>', '>', 0x2502), vg_role_style(g, VG_R_ACCENT));
    if (r.rows < 2)
        return;
    double mark = v->boundary_step > 0 && v->steps > 0 && v->boundary_step < v->steps
                      ? (double)v->boundary_step / v->steps
                      : -1;
    vg_bar(g, r.row + 1, r.col + 2, r.cols - 2, progress_of(v), mark, role);
    if (r.rows < 3)
        return;
    vg_format_rate(rate, sizeof rate, v->denoise_s_per_it);
    vg_format_seconds(wall, sizeof wall, v->wall_s);
    vg_format_seconds(eta, sizeof eta, v->eta_s);
    bool running = v->state == VG_UI_JOB_RUNNING;
    x = r.col + 2;
    if (r.cols >=
        56) /* with the loads and the decode a step costs more: that is the wall time's business */
        x += vg_text(g, r.row + 2, x, 8, VG_R_DIM, "denoise") + 1;
    x += vg_text(g, r.row + 2, x, r.col + r.cols - x,
                 isfinite(v->denoise_s_per_it) ? VG_R_TEXT : VG_R_DIM, rate) +
         2;
    x += vg_text(g, r.row + 2, x, 5, VG_R_DIM, "wall ");
    x += vg_text(g, r.row + 2, x, 10, VG_R_TEXT, v->wall_s > 0 ? wall : "--") + 2;
    if (running) {
        x += vg_text(g, r.row + 2, x, 5, VG_R_DIM, "left ");
        x += vg_text(g, r.row + 2, x, 10, VG_R_TEXT, eta) + 2;
    } else if (v->peak_bytes) {
        vg_format_bytes(size, sizeof size, v->peak_bytes);
        x += vg_text(g, r.row + 2, x, 5, VG_R_DIM, "peak ");
        x += vg_text(g, r.row + 2, x, 12, VG_R_TEXT, size) + 2;
    }
    int room = r.col + r.cols - x;
    if (r.rows >= 4) {
        vg_sparkline(g, r.row + 3, r.col + 2, r.cols - 2, v->step_s, v->step, 0.4 * longest_step(j),
                     longest_step(j), role);
        if (room > 12 && v->precision)
            vg_text_right(g, r.row + 2, x, room, VG_R_DIM, v->precision);
    } else if (room > 6) {
        vg_sparkline(g, r.row + 2, r.col + r.cols - room, room, v->step_s, v->step,
                     0.4 * longest_step(j), longest_step(j), role);
    }
}

/* One line: when, whose, what, how long it took. names: columns of the longest variant's name. */
static void draw_log_line(const vg_ui_job *j, const vg_ui_log_line *l, int names, vg_grid *g,
                          vg_rect r)
{
    static const vg_text_role roles[] = {[VG_UI_LOG_STAGE] = VG_R_DIM,
                                         [VG_UI_LOG_NOTE] = VG_R_TEXT,
                                         [VG_UI_LOG_END] = VG_R_GOOD,
                                         [VG_UI_LOG_BAD] = VG_R_BAD};
    /* Narrow: the colour alone says whose line it is, its text often does too. */
    bool narrow = r.cols < 44, own = l->variant >= 0 && l->variant < j->variants_count;
    int x = r.col + 2, end = r.col + r.cols, took_cols = r.cols >= 60 ? 9 : 0;
    char text[32];
    vg_format_seconds(text, sizeof text, l->at);
    vg_text_right(g, r.row, x, 7, VG_R_DIM, text);
    x += 9;
    if (own && !narrow)
        vg_text(g, r.row, x, names, vg_variant_role(l->variant), j->variants[l->variant].name);
    x += narrow ? 0 : names + 2;
    vg_text_role role = narrow && own && l->level == VG_UI_LOG_STAGE ? vg_variant_role(l->variant)
                                                                     : roles[l->level];
    vg_text(g, r.row, x, end - x - (took_cols ? took_cols + 1 : 0), role, l->text);
    if (took_cols && isfinite(l->seconds)) {
        vg_format_seconds(text, sizeof text, l->seconds);
        vg_text_right(g, r.row, end - took_cols, took_cols, VG_R_DIM, text);
    }
}

/* Lines that the level lets through. */
static int log_lines(const run_state *s, const vg_ui_job *j)
{
    int n = 0;
    for (int i = 0; i < j->log_count; i++)
        n += j->log[i].level <= s->level;
    return n;
}

/* What happened, the newest at the bottom; short at first, it does not jump about. */
static void draw_log(const run_state *s, const vg_ui_job *j, vg_grid *g, vg_rect r)
{
    static const char *const levels[] = {[VG_UI_LOG_STAGE] = "",
                                         [VG_UI_LOG_NOTE] = "without stages",
                                         [VG_UI_LOG_END] = "endings",
                                         [VG_UI_LOG_BAD] = "errors"};
    bool titled = r.rows >= 6;
    int rows = r.rows - titled, names = 0, count = log_lines(s, j), back = s->log_back, n = 0;
    if (back > count - rows)
        back = count > rows ? count - rows : 0;
    if (titled && j->log_count > 0) {
        int x = vg_text(g, r.row, r.col + 2, r.cols - 2, VG_R_TITLE, "Log") + 4;
        x += vg_text(g, r.row, r.col + x, r.cols - x, VG_R_DIM, levels[s->level]);
        if (back > 0)
            vg_textf(g, r.row, r.col + x + (*levels[s->level] ? 2 : 0), r.cols - x - 2, VG_R_DIM,
                     "%d newer below", back);
    }
    for (int i = 0; i < j->variants_count; i++)
        names =
            vg_text_width(j->variants[i].name) > names ? vg_text_width(j->variants[i].name) : names;
    int first = count - back > rows ? count - back - rows : 0;
    for (int i = 0; i < j->log_count && n < count - back; i++) {
        if (j->log[i].level > s->level)
            continue;
        if (n >= first)
            draw_log_line(j, &j->log[i], names, g,
                          (vg_rect){r.row + titled + n - first, r.col, 1, r.cols});
        n++;
    }
}

static void draw_preview(const vg_ui *ui, const run_state *s, const vg_ui_job *j, vg_grid *g,
                         vg_rect r)
{
    int index = 0;
    const vg_ui_variant *v = shown_variant(s, j, &index);
    vg_rect room = {r.row, r.col, r.rows - 1, r.cols};
    int w = j->width > 0 ? j->width : 16, h = j->height > 0 ? j->height : 9;
    const uint8_t *frame = NULL;
    int middle = j->frames / 2;
    const char *broken =
        v && v->frames_ready ? ui->host->media.broken(ui->host->media.self, j->id, index) : NULL;
    if (v && v->frames_ready) /* of a finished variant the clip itself is at hand */
        frame = ui->host->media.frame(ui->host->media.self, j->id, index, middle);
    else if (v && v->preview)
        w = v->preview_w, h = v->preview_h;
    vg_rect fit = vg_pictures_fit(ui->pictures, room, w, h);
    fit.row = room.row; /* stays at the top while the shape is the same */
    if (frame) {
        vg_picture_draw(ui->pictures, g, fit, vg_compare_owner(j, index), (uint64_t)middle + 1,
                        frame, j->width, j->height);
    } else if (broken) { /* an old preview would hide it */
        vg_picture_broken(g, fit, broken);
    } else if (v && v->preview) {
        uint64_t owner = vg_compare_owner(j, 64 + index);
        vg_picture_draw(ui->pictures, g, fit, owner, v->preview_serial, v->preview, v->preview_w,
                        v->preview_h);
    } else {
        vg_picture_absent(g, fit,
                          v && v->state == VG_UI_JOB_RUNNING ? " preview comes with step 1 "
                                                             : " no picture yet ");
    }
    if (v)
        vg_textf(g, fit.row + fit.rows, fit.col, fit.cols, VG_R_DIM, "%s %s %s", v->label,
                 vg_dot(g),
                 frame || broken                 ? "from the clip"
                 : v->state == VG_UI_JOB_RUNNING ? "live preview"
                                                 : "last preview");
}

static void draw_head(const vg_ui *ui, const run_state *s, const vg_ui_job *j, vg_grid *g,
                      vg_rect r)
{
    /* At the right the state, and before it what is left of all variants; their rows tell their own. */
    char left[48] = "", eta[32];
    const char *name = vg_job_state_name(j->state);
    int width = (int)strlen(name), col = r.col + r.cols - width, cols = r.cols - width - 4;
    vg_put(g, r.row, col - 2, vg_job_state_sign(g, j->state),
           vg_role_style(g, vg_job_state_role(j->state)));
    vg_text(g, r.row, col, width, vg_job_state_role(j->state), name);
    if (j->variants_count > 1 && isfinite(j->eta_s)) {
        vg_format_seconds(eta, sizeof eta, j->eta_s);
        snprintf(left, sizeof left, "left %s", eta);
        cols -= (int)strlen(left) + 2;
        vg_text(g, r.row, r.col + cols + 2, (int)strlen(left), VG_R_TEXT, left);
    }
    int x = vg_text(g, r.row, r.col, cols, VG_R_TITLE, j->model) + 2;
    x += vg_text(g, r.row, r.col + x, cols - x, VG_R_DIM, j->summary) + 2;
    if (cols - x > 16)
        vg_text(g, r.row, r.col + x, cols - x, VG_R_DIM, j->device ? j->device : "");
    if (j->state == VG_UI_JOB_DONE && s->done_since > 0 && !s->stay) {
        vg_textf(g, r.row + 1, r.col, r.cols, VG_R_GOOD,
                 "All variants are done. Comparing in %.0f s %s Enter now %s any other key stays",
                 fmax(1, ceil(s->done_since + 3 - ui->now)), vg_dot(g), vg_dot(g));
    } else if (j->message && j->message[0]) {
        vg_text(g, r.row + 1, r.col, r.cols, vg_job_state_role(j->state), j->message);
    } else {
        vg_text_block(g, (vg_rect){r.row + 1, r.col, r.rows - 2, r.cols}, VG_R_TEXT, j->prompt);
    }
}

static void draw(const vg_ui *ui, const void *state, vg_grid *g, vg_rect area)
{
    const run_state *s = state;
    const vg_ui_job *j = vg_ui_job_now(ui);
    if (!j) {
        vg_text(g, area.row + area.rows / 2 - 1, area.col + 2, area.cols - 2, VG_R_TITLE,
                "No job yet");
        vg_textf(g, area.row + area.rows / 2, area.col + 2, area.cols - 2, VG_R_DIM,
                 "%c opens the setup; Enter there starts one. %c lists earlier jobs.",
                 VG_SCREEN_KEY(setup), VG_SCREEN_KEY(jobs));
        return;
    }
    vg_layout l;
    layout(ui, state, area, &l);
    draw_head(ui, s, j, g, l.r[R_HEAD]);
    vg_rect r = l.r[R_VARIANTS];
    int each = variant_rows(area, j->variants_count), shown = -1;
    shown_variant(s, j, &shown);
    for (int i = 0; i < j->variants_count; i++) {
        vg_rect one = {r.row + i * each, r.col, each, r.cols};
        if (one.row + each - 1 > r.row + r.rows)
            break;
        draw_variant(j, i, i == shown && s->chosen >= 0, g, one);
    }
    vg_run_draw_memory(j, g, l.r[R_MEMORY]);
    if (l.r[R_GAUGES].rows > 0)
        vg_run_draw_gauges(j, g, l.r[R_GAUGES]);
    if (l.r[R_STEPS].rows > 0)
        vg_run_draw_steps(j, g, l.r[R_STEPS]);
    if (l.r[R_PLOT].rows > 0) {
        vg_series series[4];
        int n = 0, points = 2;
        for (int i = 0; i < j->variants_count && n < 4; i++) {
            series[n++] =
                (vg_series){j->variants[i].step_s, j->variants[i].step, vg_variant_role(i)};
            points = j->variants[i].steps > points ? j->variants[i].steps : points;
        }
        vg_rect p = l.r[R_PLOT];
        vg_text(g, p.row, p.col + 2, p.cols, VG_R_TITLE, "Step time");
        vg_plot_spec spec = {series, n, points, -1, "s", true};
        vg_plot(g, (vg_rect){p.row + 1, p.col, p.rows - 1, p.cols}, &spec);
    }
    if (l.r[R_LOG].rows > 0)
        draw_log(s, j, g, l.r[R_LOG]);
    if (l.r[R_PREVIEW].rows > 0)
        draw_preview(ui, s, j, g, l.r[R_PREVIEW]);
}

/* ---- keys and time ---- */
static bool key(vg_ui *ui, void *state, const vg_key *k)
{
    run_state *s = state;
    (void)ui;
    if (k->code != VG_K_ENTER)
        s->stay = true;
    return false;
}

/* A page of the log, less a line that stays in sight. */
static void scroll_log(vg_ui *ui, run_state *s, const vg_ui_job *j, int pages)
{
    vg_layout l;
    layout(ui, s, vg_ui_area(ui), &l);
    int rows = l.r[R_LOG].rows - (l.r[R_LOG].rows >= 6), most = log_lines(s, j) - rows;
    s->log_back += pages * (rows > 2 ? rows - 1 : 1);
    s->log_back = s->log_back > most ? most : s->log_back;
    s->log_back = s->log_back < 0 ? 0 : s->log_back;
}

static void action(vg_ui *ui, void *state, int action_)
{
    run_state *s = state;
    const vg_ui_job *j = vg_ui_job_now(ui);
    if (!j)
        return;
    switch (action_) {
    case DO_COMPARE:
        vg_ui_open(ui, VG_SCREEN_compare);
        break;
    case DO_CANCEL:
        vg_popup_confirm(ui, ASK_CANCEL, "Cancel the job?",
                         "Finished steps are kept; r resumes it later.");
        break;
    case DO_RESUME:
        vg_ui_job_resume(ui, ui->job);
        break;
    case DO_NEW:
        vg_ui_job_settings(ui, ui->job);
        break;
    case DO_LOG_BACK:
    case DO_LOG_ON:
        scroll_log(ui, s, j, action_ == DO_LOG_BACK ? 1 : -1);
        break;
    case DO_LOG_END:
        s->log_back = 0;
        break;
    case DO_LEVEL:
        s->level = s->level == VG_UI_LOG_BAD ? VG_UI_LOG_STAGE : s->level - 1;
        s->log_back = 0;
        break;
    default: {
        int at = 0, step = action_ == DO_NEXT ? 1 : -1;
        if (shown_variant(s, j, &at))
            s->chosen = (at + step + j->variants_count) % j->variants_count;
        break;
    }
    }
}

static void answer(vg_ui *ui, void *state, int tag, int index, const char *text)
{
    char message[512] = "";
    (void)state, (void)index, (void)text;
    if (tag != ASK_CANCEL || !ui->job[0])
        return;
    if (ui->host->jobs.cancel(ui->host->jobs.self, ui->job, message, sizeof message))
        vg_ui_note(ui, VG_R_DIM, "%s",
                   message[0] ? message : "asked to stop; it stops within a block");
    else
        vg_ui_note(ui, VG_R_BAD, "%s", message);
}

static double tick(vg_ui *ui, void *state)
{
    run_state *s = state;
    const vg_ui_job *j = vg_ui_job_now(ui);
    if (!j)
        return -1;
    if (strcmp(s->seen_job, j->id) != 0) {
        snprintf(s->seen_job, sizeof s->seen_job, "%s", j->id);
        s->seen_state = (int)j->state;
        s->done_since = 0;
        s->chosen = -1;
        s->log_back = 0;
    }
    if ((int)j->state != s->seen_state) {
        if (j->state == VG_UI_JOB_DONE && j->variants_count > 1) {
            s->done_since = ui->now;
            s->stay = false;
        }
        s->seen_state = (int)j->state;
        ui->dirty = true;
    }
    if (s->done_since > 0 && !s->stay) {
        if (ui->popup.kind != VG_POPUP_NONE)
            s->stay = true;
        else if (ui->now - s->done_since >= 3) {
            s->stay = true;
            vg_ui_open(ui, VG_SCREEN_compare);
            return 0;
        }
        ui->dirty = true;
        return 0.25;
    }
    return -1;
}

static void enter(vg_ui *ui, void *state)
{
    (void)ui;
    run_state *s = state;
    s->stay = true; /* leaving by itself is for one who watched the end */
}

const vg_screen vg_screen_run = {
    VG_BINDINGS(bindings),
    .state_size = sizeof(run_state),
    .init = init,
    .enter = enter,
    .layout = layout,
    .draw = draw,
    .key = key,
    .action = action,
    .answer = answer,
    .tick = tick,
};
