/* screen_jobs.c: all jobs, newest first. */
#include "ui/screens/screen_compare.h"
#include "ui/term/text.h"
#include "ui/widgets/widgets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DO_OPEN = 1,
    DO_UP,
    DO_DOWN,
    DO_PAGE_UP,
    DO_PAGE_DOWN,
    DO_HOME,
    DO_END,
    DO_CANCEL,
    DO_RESUME,
    DO_DELETE,
    DO_NEW,
    DO_FILTER,
    DO_CLEAR
};
enum { ASK_CANCEL = 1, ASK_DELETE };
enum { R_FILTER, R_HEAD, R_LIST, R_DETAIL, RECTS };

typedef struct jobs_state {
    char selected[256]; /* id, so that the choice stays when jobs come and go */
    vg_editor filter;
    bool filtering;
    double aged; /* when the ages were last drawn anew */
    /* The jobs that the filter lets through, as places in the host's list; looked for once after a change (follow). */
    int *shown;
    int shown_count, shown_capacity;
    uint64_t serial;  /* of the host's list */
    char *found_with; /* the filter's text */
} jobs_state;

static vg_ui_job_list all(const vg_ui *ui)
{
    return ui->host->jobs.list(ui->host->jobs.self);
}

static bool matches(const char *filter, const vg_ui_job *j)
{
    return !filter[0] || strcasestr(j->id, filter) || strcasestr(j->prompt, filter) ||
           strcasestr(j->model, filter) || strcasestr(vg_job_state_name(j->state), filter);
}

static const char *filter_text(const jobs_state *s)
{
    return s->filter.text ? s->filter.text : "";
}

static void follow(const vg_ui *ui, jobs_state *s)
{
    const vg_ui_job_list list = all(ui);
    const char *filter = filter_text(s);
    if (s->found_with && s->serial == list.serial && !strcmp(s->found_with, filter))
        return;
    if (list.count > s->shown_capacity) {
        int *grown = realloc(s->shown, (size_t)list.count * 2 * sizeof *grown);
        if (!grown)
            return;
        s->shown = grown;
        s->shown_capacity = list.count * 2;
    }
    s->shown_count = 0;
    for (int i = 0; i < list.count; i++)
        if (matches(filter, list.jobs[i]))
            s->shown[s->shown_count++] = i;
    s->serial = list.serial;
    free(s->found_with);
    s->found_with = strdup(filter);
}

static const vg_ui_job *shown_job(const vg_ui *ui, const jobs_state *s, int rank)
{
    const vg_ui_job_list list = all(ui);
    /* The list may have become shorter since it was last followed. */
    return rank >= 0 && rank < s->shown_count && s->shown[rank] < list.count
               ? list.jobs[s->shown[rank]]
               : NULL;
}

/* The selected job: the remembered one, else the first shown. *rank is its place among those shown. */
static const vg_ui_job *selected_job(const vg_ui *ui, const jobs_state *s, int *rank)
{
    for (*rank = 0; *rank < s->shown_count; (*rank)++) {
        const vg_ui_job *j = shown_job(ui, s, *rank);
        if (j && !strcmp(j->id, s->selected))
            return j;
    }
    *rank = 0;
    return shown_job(ui, s, 0);
}

static const vg_ui_job *selection(const vg_ui *ui, const void *state)
{
    int rank;
    return selected_job(ui, state, &rank);
}

static bool has(const vg_ui *ui, const void *state)
{
    return selection(ui, state) != NULL;
}
static bool busy(const vg_ui *ui, const void *state)
{
    const vg_ui_job *j = selection(ui, state);
    return j && (j->state == VG_UI_JOB_RUNNING || j->state == VG_UI_JOB_QUEUED);
}
static bool stopped(const vg_ui *ui, const void *state)
{
    const vg_ui_job *j = selection(ui, state);
    return j && !busy(ui, state) && j->state != VG_UI_JOB_DONE && j->state != VG_UI_JOB_DAMAGED;
}
static bool whole(const vg_ui *ui, const void *state)
{
    const vg_ui_job *j = selection(ui, state);
    return j && j->state != VG_UI_JOB_DAMAGED;
}
static bool at_rest(const vg_ui *ui, const void *state)
{
    return has(ui, state) && !busy(ui, state);
}
static bool filtered(const vg_ui *ui, const void *state)
{
    (void)ui;
    return filter_text(state)[0] != 0;
}

static const vg_binding bindings[] = {
    {{VG_KEY(ENTER)},
     DO_OPEN,
     "open",
     "open it: a running job in Run, a finished one in Compare",
     whole},
    {{VG_KEY(DOWN), VG_CH('j')}, DO_DOWN, NULL, "the job below", NULL},
    {{VG_KEY(UP), VG_CH('k')}, DO_UP, NULL, "the job above", NULL},
    {{VG_KEY(PAGE_DOWN)}, DO_PAGE_DOWN, NULL, "ten further", NULL},
    {{VG_KEY(PAGE_UP)}, DO_PAGE_UP, NULL, "ten back", NULL},
    {{VG_KEY(HOME)}, DO_HOME, NULL, "the newest", NULL},
    {{VG_KEY(END)}, DO_END, NULL, "the oldest", NULL},
    {{VG_CH('c'), VG_KEY(F9)}, DO_CANCEL, "cancel", "stop it; its finished steps are kept", busy},
    {{VG_CH('r')}, DO_RESUME, "resume", "go on from the last finished step", stopped},
    {{VG_CH('n')}, DO_NEW, "new from", "fill the form with its settings", whole},
    {{VG_CH('x'), VG_KEY(DELETE)},
     DO_DELETE,
     "delete",
     "delete it with all its files, after a question",
     at_rest},
    {{VG_CH('/')},
     DO_FILTER,
     "filter",
     "show only jobs whose prompt, model, name or state has this",
     NULL},
    {{VG_KEY(ESC)}, DO_CLEAR, "show all", "show all again", filtered},
};

static void deinit(vg_ui *ui, void *state)
{
    (void)ui;
    jobs_state *s = state;
    vg_editor_deinit(&s->filter);
    free(s->shown);
    free(s->found_with);
}

static void enter(vg_ui *ui, void *state)
{
    jobs_state *s = state;
    if (ui->job[0])
        snprintf(s->selected, sizeof s->selected, "%s", ui->job);
    follow(ui, s);
}

static void layout(const vg_ui *ui, const void *state, vg_rect area, vg_layout *out)
{
    const jobs_state *s = state;
    memset(out, 0, sizeof *out);
    out->count = RECTS;
    int row = area.row;
    if (s->filtering || filtered(ui, s)) {
        out->r[R_FILTER] = (vg_rect){row, area.col, 1, area.cols};
        row++;
    }
    bool side = area.cols >= 150; /* the chosen job beside the list, else under it */
    int detail = side              ? 0
                 : area.rows >= 30 ? 8
                 : area.rows >= 18 ? 4
                                   : 0,
        cols = side ? area.cols * 11 / 20 : area.cols;
    out->r[R_HEAD] = (vg_rect){row, area.col, 1, cols};
    out->r[R_LIST] = (vg_rect){row + 1, area.col, area.row + area.rows - row - 1 - detail, cols};
    if (detail)
        out->r[R_DETAIL] =
            (vg_rect){area.row + area.rows - detail + 1, area.col, detail - 1, area.cols};
    else if (side)
        out->r[R_DETAIL] =
            (vg_rect){area.row, area.col + cols + 5, area.rows, area.cols - cols - 5};
}

/* ---- drawing ---- */
static double progress_of(const vg_ui_job *j)
{
    double done = 0;
    if (j->variants_count <= 0)
        return NAN;
    for (int i = 0; i < j->variants_count; i++) {
        const vg_ui_variant *v = &j->variants[i];
        if (v->state == VG_UI_JOB_DONE)
            done += 1;
        else if (v->steps > 0)
            done += (double)v->step / v->steps;
    }
    return done / j->variants_count;
}

enum { C_STATE = 0, C_AGE = 15, C_MODEL = 23 };

static int model_cols(vg_rect r)
{
    return r.cols >= 100 ? 22 : 14;
}

static void draw_row(const vg_ui *ui, const vg_ui_job *j, bool here, vg_grid *g, vg_rect r)
{
    char age[32];
    int models = model_cols(r), bar = 12;
    vg_format_age(age, sizeof age, ui->unix_now - j->created);
    int progress_col = C_MODEL + models + 1, prompt_col = progress_col + bar + 2;
    vg_put(g, r.row, r.col + C_STATE, vg_job_state_sign(g, j->state),
           vg_role_style(g, vg_job_state_role(j->state)));
    vg_text(g, r.row, r.col + C_STATE + 2, 12, vg_job_state_role(j->state),
            vg_job_state_name(j->state));
    vg_text_right(g, r.row, r.col + C_AGE, 6, VG_R_DIM, age);
    vg_text(g, r.row, r.col + C_MODEL, models, VG_R_TEXT, j->model);
    vg_bar(g, r.row, r.col + progress_col, bar, progress_of(j), -1,
           j->state == VG_UI_JOB_RUNNING ? VG_R_ACCENT : VG_R_DIM);
    vg_text(g, r.row, r.col + prompt_col, r.cols - prompt_col, VG_R_TEXT, j->prompt);
    if (here)
        vg_paint(g, (vg_rect){r.row, r.col - 1, 1, r.cols + 1}, VG_R_SELECT);
}

static void draw_detail(const vg_ui_job *j, vg_grid *g, vg_rect r)
{
    char line[600];
    vg_hline(g, r.row, r.col, r.cols, VG_R_FAINT);
    /* The beginning of its name is enough to know it by. */
    int x =
        vg_text(g, r.row + 1, r.col, r.cols - vg_text_width(j->summary) - 2, VG_R_TITLE, j->id) + 2;
    vg_text(g, r.row + 1, r.col + x, r.cols - x, VG_R_DIM, j->summary);
    int row = r.row + 2;
    if (j->message && j->message[0])
        vg_text(g, row++, r.col, r.cols, vg_job_state_role(j->state), j->message);
    for (int i = 0; i < j->variants_count && row < r.row + r.rows; i++) {
        const vg_ui_variant *v = &j->variants[i];
        char rate[32], wall[32];
        vg_format_rate(rate, sizeof rate, v->denoise_s_per_it);
        vg_format_seconds(wall, sizeof wall, v->wall_s);
        if (r.rows < 6) { /* one line for all */
            x = 0;
            for (int k = 0; k < j->variants_count; k++) {
                vg_format_rate(rate, sizeof rate, j->variants[k].denoise_s_per_it);
                x += vg_text(g, row, r.col + x, r.cols - x, vg_variant_role(k),
                             j->variants[k].label) +
                     1;
                x += vg_text(g, row, r.col + x, r.cols - x, VG_R_DIM, rate) + 3;
            }
            break;
        }
        snprintf(line, sizeof line, "%-12s %-14s wall %-10s %s", vg_job_state_name(v->state), rate,
                 wall, v->precision ? v->precision : "");
        vg_text(g, row, r.col, 20, vg_variant_role(i), v->label);
        vg_text(g, row++, r.col + 21, r.cols - 21, VG_R_TEXT, line);
    }
}

/* The chosen job at length: what it is, how far each variant came, its last picture, where it lies. */
static void draw_side(const vg_ui *ui, const vg_ui_job *listed, vg_grid *g, vg_rect r)
{
    char text[64];
    const vg_ui_job *j = ui->host->jobs.get(ui->host->jobs.self, listed->id);
    if (!j)
        return;
    vg_vline(g, r.row, r.col - 3, r.rows, VG_R_FAINT);
    int row = r.row, bottom = r.row + r.rows;
    vg_text(g, row++, r.col, r.cols, VG_R_TITLE, j->id);
    int x = vg_text(g, row, r.col, r.cols, VG_R_DIM, j->summary) + 2;
    vg_text(g, row++, r.col + x, r.cols - x, VG_R_DIM, j->device ? j->device : "");
    row += vg_text_block(g, (vg_rect){row + 1, r.col, 4, r.cols}, VG_R_TEXT, j->prompt) + 2;
    if (j->message && j->message[0])
        row += vg_text_block(g, (vg_rect){row, r.col, 3, r.cols}, vg_job_state_role(j->state),
                             j->message) +
               1;
    for (int i = 0; i < j->variants_count && row + 3 < bottom; i++) {
        const vg_ui_variant *v = &j->variants[i];
        vg_put(g, row, r.col, vg_job_state_sign(g, v->state),
               vg_role_style(g, vg_job_state_role(v->state)));
        vg_text(g, row, r.col + 2, 20, vg_variant_role(i), v->label);
        vg_format_rate(text, sizeof text, v->denoise_s_per_it);
        vg_text_right(g, row, r.col + 22, 12, VG_R_TEXT, text);
        vg_format_seconds(text, sizeof text, v->wall_s > 0 ? v->wall_s : NAN);
        vg_text_right(g, row, r.col + 35, 10, VG_R_TEXT, text);
        if (v->state != VG_UI_JOB_DONE && v->steps > 0)
            vg_textf(g, row, r.col + 47, r.cols - 47, VG_R_DIM, "step %d/%d", v->step, v->steps);
        else if (v->metrics && v->metrics_count > 0) {
            vg_format_metric(text, sizeof text, v->metrics[0].mean);
            vg_textf(g, row, r.col + 47, r.cols - 47, VG_R_DIM, "%s %s %s", v->metrics[0].label,
                     text, v->metrics[0].unit);
        }
        row++;
    }
    const vg_ui_variant *with = NULL;
    int index = 0;
    for (int i = 0; i < j->variants_count; i++)
        if (j->variants[i].preview)
            with = &j->variants[i], index = i;
    row++;
    if (with && bottom - row > 8) {
        vg_rect fit = vg_pictures_fit(ui->pictures, (vg_rect){row, r.col, bottom - row - 2, r.cols},
                                      with->preview_w, with->preview_h);
        fit.row = row;
        fit.col = r.col;
        vg_picture_draw(ui->pictures, g, fit, vg_compare_owner(j, 64 + index), with->preview_serial,
                        with->preview, with->preview_w, with->preview_h);
        row += fit.rows + 1;
    }
    if (row < bottom)
        vg_text_path(g, row, r.col, r.cols, VG_R_DIM,
                     j->comparison && j->comparison[0] ? j->comparison : j->dir);
}

static void draw(const vg_ui *ui, const void *state, vg_grid *g, vg_rect area)
{
    const jobs_state *s = state;
    vg_layout l;
    layout(ui, state, area, &l);
    const vg_ui_job_list list = all(ui);
    int rank = 0, shown = s->shown_count;
    const vg_ui_job *chosen = selected_job(ui, s, &rank);
    if (l.r[R_FILTER].rows) {
        vg_text(g, l.r[R_FILTER].row, area.col, 7, VG_R_DIM, "Filter");
        vg_rect r = {l.r[R_FILTER].row, area.col + 7, 1, 32};
        if (s->filter.text)
            vg_editor_draw(&s->filter, g, r, s->filtering ? VG_R_EDIT : VG_R_TEXT, s->filtering);
        vg_textf(g, r.row, area.col + 41, area.cols - 41, VG_R_DIM, "%d of %d", shown, list.count);
    }
    vg_rect r = l.r[R_LIST];
    if (list.count == 0) {
        vg_text(g, area.row + area.rows / 2 - 1, area.col + 2, area.cols - 2, VG_R_TITLE,
                "No jobs yet");
        vg_textf(g, area.row + area.rows / 2, area.col + 2, area.cols - 2, VG_R_DIM,
                 list.unread ? "reading ..." : "%c opens the setup; Enter there starts the first.",
                 VG_SCREEN_KEY(setup));
        return;
    }
    vg_rect h = l.r[R_HEAD];
    vg_text(g, h.row, h.col + C_STATE + 2, 10, VG_R_DIM, "state");
    vg_text_right(g, h.row, h.col + C_AGE, 6, VG_R_DIM, "age");
    vg_text(g, h.row, h.col + C_MODEL, 10, VG_R_DIM, "model");
    int progress_col = C_MODEL + model_cols(r) + 1;
    vg_text(g, h.row, h.col + progress_col, 10, VG_R_DIM, "progress");
    vg_text(g, h.row, h.col + progress_col + 14, 10, VG_R_DIM, "prompt");
    int top = vg_list_top(rank - r.rows / 2, rank, r.rows, shown);
    for (int n = top; n < top + r.rows && n < shown; n++) {
        const vg_ui_job *j = shown_job(ui, s, n);
        if (j)
            draw_row(ui, j, j == chosen, g, (vg_rect){r.row + n - top, r.col, 1, r.cols - 1});
    }
    vg_list_bar(g, r.row, r.col + r.cols - 1, r.rows, top, shown);
    if (list.unread) {
        char more[32];
        snprintf(more, sizeof more, "reading %d more", list.unread);
        vg_text_right(g, h.row, h.col, h.cols - 1, VG_R_DIM, more);
    }
    if (chosen && l.r[R_DETAIL].col > area.col)
        draw_side(ui, chosen, g, l.r[R_DETAIL]);
    else if (l.r[R_DETAIL].rows && chosen)
        draw_detail(chosen, g, l.r[R_DETAIL]);
}

/* ---- keys ---- */
static void choose(vg_ui *ui, jobs_state *s, long rank)
{
    rank = rank >= s->shown_count ? s->shown_count - 1 : rank;
    const vg_ui_job *j = shown_job(ui, s, rank < 0 ? 0 : (int)rank);
    if (j)
        snprintf(s->selected, sizeof s->selected, "%s", j->id);
}

static void move(vg_ui *ui, jobs_state *s, int by)
{
    int rank;
    selected_job(ui, s, &rank);
    choose(ui, s, (long)rank + by);
}

/* Choose the job below, or above the last: the chosen one is about to go. */
static void beside(vg_ui *ui, jobs_state *s)
{
    int rank;
    selected_job(ui, s, &rank);
    move(ui, s, rank + 1 < s->shown_count ? 1 : -1);
}

static bool key(vg_ui *ui, void *state, const vg_key *k)
{
    jobs_state *s = state;
    follow(ui, s);
    if (!s->filtering)
        return false;
    if (k->code == VG_K_ENTER || k->code == VG_K_DOWN || k->code == VG_K_UP ||
        k->code == VG_K_TAB) {
        s->filtering = false;
        return k->code == VG_K_ENTER || k->code == VG_K_TAB;
    }
    if (k->code == VG_K_ESC) {
        vg_editor_set(&s->filter, "", false);
        s->filtering = false;
        follow(ui, s);
        return true;
    }
    bool used = vg_editor_key(&s->filter, k, 32) != VG_EDITOR_IGNORED;
    follow(ui, s);
    return used || (k->code == VG_K_CHAR && k->mods == 0);
}

static void open_job(vg_ui *ui, const vg_ui_job *j)
{
    bool frames = false;
    for (int i = 0; i < j->variants_count; i++)
        frames = frames || j->variants[i].frames_ready;
    int to = j->state == VG_UI_JOB_DONE && frames ? VG_SCREEN_compare : VG_SCREEN_run;
    vg_ui_show_job(ui, j->id);
    vg_ui_open(ui, to);
}

static void action(vg_ui *ui, void *state, int action_)
{
    jobs_state *s = state;
    const vg_ui_job *j = selection(ui, s);
    switch (action_) {
    case DO_UP:
        move(ui, s, -1);
        return;
    case DO_DOWN:
        move(ui, s, 1);
        return;
    case DO_PAGE_UP:
        move(ui, s, -10);
        return;
    case DO_PAGE_DOWN:
        move(ui, s, 10);
        return;
    case DO_HOME:
        move(ui, s, -1000000);
        return;
    case DO_END:
        move(ui, s, 1000000);
        return;
    case DO_FILTER:
        if (!s->filter.text)
            vg_editor_set(&s->filter, "", false);
        s->filtering = true;
        return;
    case DO_CLEAR:
        vg_editor_set(&s->filter, "", false);
        follow(ui, s);
        return;
    default:
        break;
    }
    if (!j)
        return;
    snprintf(s->selected, sizeof s->selected, "%s", j->id);
    char line[200];
    switch (action_) {
    case DO_OPEN:
        open_job(ui, j);
        break;
    case DO_CANCEL:
        snprintf(line, sizeof line, "%.80s stops; finished steps are kept.", j->id);
        vg_popup_confirm(ui, ASK_CANCEL, "Cancel the job?", line);
        break;
    case DO_DELETE:
        snprintf(line, sizeof line, "%.80s with its clips and frames is deleted.", j->id);
        vg_popup_confirm(ui, ASK_DELETE, "Delete the job?", line);
        break;
    case DO_RESUME:
        if (vg_ui_job_resume(ui, s->selected)) {
            vg_ui_show_job(ui, s->selected);
            vg_ui_open(ui, VG_SCREEN_run);
        }
        break;
    case DO_NEW:
        vg_ui_job_settings(ui, s->selected);
        break;
    default:
        break;
    }
}

static void answer(vg_ui *ui, void *state, int tag, int index, const char *text)
{
    jobs_state *s = state;
    char message[512] = "", id[sizeof s->selected];
    bool ok;
    (void)index, (void)text;
    if (!s->selected[0])
        return;
    snprintf(id, sizeof id, "%s", s->selected);
    if (tag == ASK_CANCEL) {
        ok = ui->host->jobs.cancel(ui->host->jobs.self, id, message, sizeof message);
    } else {
        beside(ui, s);
        ok = ui->host->jobs.remove(ui->host->jobs.self, id, message, sizeof message);
        if (!ok)
            snprintf(s->selected, sizeof s->selected, "%s", id);
    }
    if (message[0] || !ok)
        vg_ui_note(ui, ok ? VG_R_DIM : VG_R_BAD, "%s", message[0] ? message : "that did not work");
    else
        vg_ui_note(ui, VG_R_DIM, "%s %s", id,
                   tag == ASK_CANCEL ? "was asked to stop" : "is deleted");
    ui->host->refresh(ui->host->self);
    follow(ui, s);
}

static bool mouse(vg_ui *ui, void *state, vg_rect area, const vg_key *k)
{
    jobs_state *s = state;
    if (k->code == VG_K_WHEEL) {
        move(ui, s, k->step);
        return true;
    }
    vg_layout l;
    layout(ui, s, area, &l);
    vg_rect r = l.r[R_LIST];
    if (!vg_inside(r, k->row, k->col) || (k->mods & VG_MOD_DRAG))
        return false;
    int rank;
    follow(ui, s);
    const vg_ui_job *was = selected_job(ui, s, &rank);
    int want = vg_list_top(rank - r.rows / 2, rank, r.rows, s->shown_count) + k->row - r.row;
    const vg_ui_job *j = shown_job(ui, s, want);
    if (!j)
        return false;
    choose(ui, s, want);
    if (j == was && j->state != VG_UI_JOB_DAMAGED)
        open_job(ui, j);
    return true;
}

/* Ages move on by themselves; an unchanged one costs no byte. */
static double tick(vg_ui *ui, void *state)
{
    jobs_state *s = state;
    follow(ui, s);
    if (ui->now - s->aged >= 20) {
        s->aged = ui->now;
        ui->dirty = true;
    }
    return s->aged + 20 - ui->now;
}

const vg_screen vg_screen_jobs = {
    VG_BINDINGS(bindings),
    .state_size = sizeof(jobs_state),
    .deinit = deinit,
    .enter = enter,
    .layout = layout,
    .draw = draw,
    .key = key,
    .action = action,
    .mouse = mouse,
    .answer = answer,
    .tick = tick,
};
