/* shell.c: the frame around a screen: tabs above, messages and keys below; who gets a key; what the terminal is too small for. */
#include "ui/term/text.h"
#include "ui/screens/ui.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_ROWS_MAX = 6 };

static const vg_screen *const screens[VG_SCREEN_COUNT] = {
#define VG_SCREEN(name, title, about, back) &vg_screen_##name,
#include "ui/screens/screens.def"
#undef VG_SCREEN
};

static const struct {
    const char *name, *title;
    int back;
} tabs[VG_SCREEN_COUNT] = {
#define VG_SCREEN(name, title, about, back) {#name, title, VG_SCREEN_##back},
#include "ui/screens/screens.def"
#undef VG_SCREEN
};

static int known(int id)
{
    return id >= 0 && id < VG_SCREEN_COUNT ? id : 0;
}

const vg_screen *vg_screen_get(int id)
{
    return screens[known(id)];
}

const char *vg_screen_name(int id)
{
    return tabs[known(id)].name;
}

const char *vg_screen_title(int id)
{
    return tabs[known(id)].title;
}

/* ---- common bindings ---- */
enum { DO_HELP = 1, DO_QUIT, DO_BACK, DO_REDRAW, DO_SUSPEND, DO_TAB }; /* DO_TAB + n */

static const vg_binding common[] = {
#define VG_SCREEN(name, title, about, back)                                                        \
    {{VG_CH('1' + VG_SCREEN_##name)}, DO_TAB + VG_SCREEN_##name, NULL, title ": " about, NULL},
#include "ui/screens/screens.def"
#undef VG_SCREEN
    {{VG_CH('?'), VG_KEY(F1), VG_CH('h')}, DO_HELP, "help", "this page; again: back", NULL},
    {{VG_KEY(ESC)}, DO_BACK, NULL, "back, or out of what is being typed or asked", NULL},
    {{VG_CTRL('l')}, DO_REDRAW, NULL, "draw the screen again", NULL},
    {{VG_CTRL('z')}, DO_SUSPEND, NULL, "back to the shell for a while; fg returns", NULL},
    {{VG_CH('q'), VG_KEY(F10), VG_CTRL('c')},
     DO_QUIT,
     "quit",
     "leave; a job that runs goes on",
     NULL},
};

const vg_binding *vg_common_bindings(int *count)
{
    *count = (int)(sizeof common / sizeof common[0]);
    return common;
}

void vg_chord_name(const vg_chord *chord, char *out, size_t size)
{
    static const char *const names[] = {
        [VG_K_ENTER] = "Enter",  [VG_K_TAB] = "Tab",        [VG_K_BACKTAB] = "S-Tab",
        [VG_K_ESC] = "Esc",      [VG_K_BACKSPACE] = "Bksp", [VG_K_DELETE] = "Del",
        [VG_K_UP] = "Up",        [VG_K_DOWN] = "Down",      [VG_K_LEFT] = "Left",
        [VG_K_RIGHT] = "Right",  [VG_K_HOME] = "Home",      [VG_K_END] = "End",
        [VG_K_PAGE_UP] = "PgUp", [VG_K_PAGE_DOWN] = "PgDn", [VG_K_INSERT] = "Ins",
    };
    if (chord->code == VG_K_CHAR) {
        const char *prefix = chord->mods & VG_MOD_CTRL  ? "^"
                             : chord->mods & VG_MOD_ALT ? "Alt-"
                                                        : "";
        char c = (char)(chord->mods & VG_MOD_CTRL && chord->cp >= 'a' ? chord->cp - 32 : chord->cp);
        if (chord->cp == ' ')
            snprintf(out, size, "%sSpace", prefix);
        else
            snprintf(out, size, "%s%c", prefix, c);
    } else if (chord->code >= VG_K_F1 && chord->code <= VG_K_F12) {
        snprintf(out, size, "F%d", chord->code - VG_K_F1 + 1);
    } else {
        snprintf(out, size, "%s",
                 chord->code < sizeof names / sizeof names[0] && names[chord->code]
                     ? names[chord->code]
                     : "");
    }
}

/* ---- jobs ---- */
const char *vg_job_state_name(vg_ui_job_state state)
{
    static const char *const names[] = {"queued",    "running",     "done",    "failed",
                                        "cancelled", "interrupted", "not run", "damaged"};
    return state < VG_UI_JOB_STATE_COUNT ? names[state] : "unknown";
}

vg_text_role vg_job_state_role(vg_ui_job_state state)
{
    static const vg_text_role roles[] = {VG_R_DIM,  VG_R_ACCENT, VG_R_GOOD, VG_R_BAD,
                                         VG_R_WARN, VG_R_WARN,   VG_R_DIM,  VG_R_BAD};
    return state < VG_UI_JOB_STATE_COUNT ? roles[state] : VG_R_DIM;
}

uint32_t vg_job_state_sign(const vg_grid *g, vg_ui_job_state state)
{
    static const uint32_t full[] = {0x25cb, 0x25b6, 0x2713, 0x2717, 0x25a0, 0x25a1, 0xb7, '!'};
    static const char plain[] = "o>+x#-.!";
    if (state >= VG_UI_JOB_STATE_COUNT)
        return '?';
    return vg_glyph(g, (uint32_t)plain[state], (uint32_t)plain[state], full[state]);
}

const vg_ui_job *vg_ui_job_now(const vg_ui *ui)
{
    return ui->job[0] ? ui->host->jobs.get(ui->host->jobs.self, ui->job) : NULL;
}

bool vg_ui_has_frames(const vg_ui *ui, const void *state)
{
    (void)state;
    const vg_ui_job *j = vg_ui_job_now(ui);
    for (int i = 0; j && i < j->variants_count; i++)
        if (j->variants[i].frames_ready)
            return true;
    return false;
}

void vg_ui_show_job(vg_ui *ui, const char *id)
{
    if (strcmp(ui->job, id) == 0)
        return;
    snprintf(ui->job, sizeof ui->job, "%s", id);
    ui->job_state = -1;
    ui->dirty = true;
}

void vg_ui_note(vg_ui *ui, vg_text_role role, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(ui->note, sizeof ui->note, format, args);
    va_end(args);
    ui->note_role = role;
    ui->note_since = ui->now;
    ui->note_until = ui->now + (role == VG_R_BAD || role == VG_R_WARN ? 12 : 6);
    ui->dirty = true;
}

bool vg_ui_job_resume(vg_ui *ui, const char *id)
{
    char message[512] = "";
    bool good = ui->host->jobs.resume(ui->host->jobs.self, id, message, sizeof message);
    vg_ui_note(ui, good ? VG_R_GOOD : VG_R_BAD, "%s",
               good && !message[0] ? "the job goes on" : message);
    return good;
}

void vg_ui_job_settings(vg_ui *ui, const char *id)
{
    char message[512] = "";
    if (!ui->host->form.take_job(ui->host->form.self, id, message, sizeof message)) {
        vg_ui_note(ui, VG_R_BAD, "%s", message);
        return;
    }
    vg_ui_open(ui, VG_SCREEN_setup);
    vg_ui_note(ui, VG_R_GOOD, "the form now has its settings: %s", id);
}

/* ---- life ---- */
void vg_ui_open(vg_ui *ui, int screen)
{
    if (tabs[screen].back == VG_SCREEN_BEFORE && ui->screen != screen)
        ui->before = ui->screen;
    ui->screen = screen;
    ui->dirty = true;
    const vg_screen *s = vg_screen_get(screen);
    if (s->enter)
        s->enter(ui, ui->states[screen]);
}

bool vg_ui_init(vg_ui *ui, const vg_ui_host *host, const vg_ui_options *options)
{
    ui->host = host;
    ui->options = *options;
    ui->job_state = -1;
    ui->dirty = true;
    bool pictures = !options->pictures || strcmp(options->pictures, "none") != 0;
    ui->pictures = vg_pictures_new(ui->term.depth, ui->term.glyphs, ui->term.cell_aspect, pictures);
    if (!ui->pictures)
        return false;
    for (int i = 0; i < VG_SCREEN_COUNT; i++) {
        ui->states[i] = calloc(1, screens[i]->state_size + 1);
        if (!ui->states[i])
            return false;
        if (screens[i]->init)
            screens[i]->init(ui, ui->states[i]);
    }
    vg_ui_resized(ui);
    /* What to open: the job asked for, else one that is at work, else one that waits, else the form. */
    int first = VG_SCREEN_setup;
    host->refresh(host->self);
    const vg_ui_job_list list = host->jobs.list(host->jobs.self);
    const vg_ui_job *open = NULL;
    if (options->job && options->job[0]) {
        open = host->jobs.get(host->jobs.self, options->job);
        if (!open)
            vg_ui_note(ui, VG_R_BAD, "there is no job %s", options->job);
    }
    for (int i = 0; i < list.count && !(options->job && options->job[0]); i++) {
        vg_ui_job_state state = list.jobs[i]->state;
        if (state == VG_UI_JOB_RUNNING || (state == VG_UI_JOB_QUEUED && !open))
            open = list.jobs[i];
    }
    if (open) {
        vg_ui_show_job(ui, open->id);
        first = open->state == VG_UI_JOB_DONE ? VG_SCREEN_compare : VG_SCREEN_run;
    } else if (list.count > 0) {
        vg_ui_show_job(ui, list.jobs[0]->id);
    }
    vg_ui_open(ui, first);
    if (options->pictures &&
        (strcmp(options->pictures, "sixel") == 0 || strcmp(options->pictures, "kitty") == 0))
        vg_ui_note(ui, VG_R_WARN, "%s pictures are not drawn yet: symbols are used",
                   options->pictures);
    return true;
}

void vg_ui_deinit(vg_ui *ui)
{
    vg_popup_close(ui);
    for (int i = 0; i < VG_SCREEN_COUNT; i++) {
        if (ui->states[i] && screens[i]->deinit)
            screens[i]->deinit(ui, ui->states[i]);
        free(ui->states[i]);
        ui->states[i] = NULL;
    }
    vg_pictures_free(ui->pictures);
    ui->pictures = NULL;
    vg_grid_free(&ui->grid);
}

void vg_ui_resized(vg_ui *ui)
{
    vg_grid_resize(&ui->grid, ui->term.rows, ui->term.cols);
    ui->grid.theme = ui->term.theme;
    ui->grid.glyphs = ui->term.glyphs;
    vg_pictures_set_aspect(ui->pictures, ui->term.cell_aspect);
    ui->dirty = true;
}

static bool too_small(const vg_ui *ui)
{
    return ui->grid.cols < VG_MIN_COLS || ui->grid.rows < VG_MIN_ROWS;
}

vg_rect vg_ui_area(const vg_ui *ui)
{
    int margin = ui->grid.cols >= 100 ? 2 : 1;
    int top = ui->grid.rows >= 28 ? 2 : 1;
    return (vg_rect){top, margin, ui->grid.rows - top - 2, ui->grid.cols - 2 * margin};
}

/* ---- keys ---- */
static bool chord_is(const vg_chord *chord, const vg_key *key)
{
    unsigned mods = key->mods & (VG_MOD_ALT | VG_MOD_CTRL);
    return chord->code != VG_K_NONE && chord->code == key->code &&
           (chord->code != VG_K_CHAR || chord->cp == key->cp) && chord->mods == mods;
}

static const vg_binding *find_binding(const vg_ui *ui, const void *state, const vg_binding *rows,
                                      int count, const vg_key *key)
{
    for (int i = 0; i < count; i++)
        for (int k = 0; k < 4; k++)
            if (chord_is(&rows[i].keys[k], key) && (!rows[i].when || rows[i].when(ui, state)))
                return &rows[i];
    return NULL;
}

static void quit(vg_ui *ui)
{
    const vg_ui_job_list list = ui->host->jobs.list(ui->host->jobs.self);
    const vg_ui_job *first = NULL;
    int busy = 0;
    for (int i = 0; i < list.count; i++) {
        const vg_ui_job *j = list.jobs[i];
        if (j->state == VG_UI_JOB_RUNNING || j->state == VG_UI_JOB_QUEUED) {
            busy++;
            first = first ? first : j;
        }
    }
    if (busy == 1)
        snprintf(ui->farewell, sizeof ui->farewell,
                 "The job goes on: %s. Start vgen-tui again to see it.", first->id);
    else if (busy > 1)
        snprintf(ui->farewell, sizeof ui->farewell,
                 "%d jobs go on. Start vgen-tui again to see them.", busy);
    ui->quit = true;
}

static void back(vg_ui *ui)
{
    int to = tabs[ui->screen].back == VG_SCREEN_BEFORE ? ui->before : tabs[ui->screen].back;
    if (to != ui->screen)
        vg_ui_open(ui, to);
}

static void common_action(vg_ui *ui, int action)
{
    switch (action) {
    case DO_HELP:
        if (ui->screen == VG_SCREEN_help)
            back(ui);
        else
            vg_ui_open(ui, VG_SCREEN_help);
        break;
    case DO_QUIT:
        quit(ui);
        break;
    case DO_BACK:
        back(ui);
        break;
    case DO_REDRAW:
        ui->redraw_all = true;
        break;
    case DO_SUSPEND:
        ui->suspend = true;
        break;
    default:
        vg_ui_open(ui, action - DO_TAB);
        break;
    }
}

/* Columns of tab i in the first row; its width with padding in *cols. */
static int tab_col(const vg_ui *ui, int tab, int *cols)
{
    int col = vg_ui_area(ui).col + 6;
    for (int i = 0;; i++) {
        *cols = (int)strlen(tabs[i].title) + 4;
        if (i == tab)
            return col;
        col += *cols;
    }
}

static void mouse(vg_ui *ui, const vg_key *key)
{
    if (key->row == 0 && key->code == VG_K_CLICK) {
        for (int i = 0; i < VG_SCREEN_COUNT; i++) {
            int cols, col = tab_col(ui, i, &cols);
            if (key->col >= col && key->col < col + cols && !(key->mods & VG_MOD_DRAG))
                vg_ui_open(ui, i);
        }
        return;
    }
    const vg_screen *s = screens[ui->screen];
    vg_rect area = vg_ui_area(ui);
    if (s->mouse && vg_inside(area, key->row, key->col))
        s->mouse(ui, ui->states[ui->screen], area, key);
}

void vg_ui_key(vg_ui *ui, const vg_key *key)
{
    if (key->code == VG_K_REPORT) {
        if (key->report == VG_REPORT_CELL_SIZE) {
            double aspect = (double)key->a / key->b;
            if (aspect > 1 && aspect < 4 && fabs(aspect - ui->term.cell_aspect) > 0.01) {
                ui->term.cell_aspect = aspect;
                vg_pictures_set_aspect(ui->pictures, aspect);
                ui->dirty = true;
            }
        } else {
            bool light = 299 * key->a + 587 * key->b + 114 * key->c > 128000;
            if (light != ui->term.light) {
                vg_term_set_light(&ui->term, light);
                ui->dirty = true;
            }
        }
        return;
    }
    ui->last_key = ui->now;
    ui->dirty = true;
    if (ui->note[0] && ui->now - ui->note_since > 1.5) /* read, surely */
        ui->note[0] = 0;
    const vg_screen *s = screens[ui->screen];
    void *state = ui->states[ui->screen];
    int count;
    const vg_binding *common_rows = vg_common_bindings(&count), *b = NULL;
    if (too_small(ui)) { /* nothing is shown that a key could be meant for, but leaving works */
        b = find_binding(ui, state, common_rows, count, key);
        if (b && (b->action == DO_QUIT || b->action == DO_REDRAW || b->action == DO_SUSPEND))
            common_action(ui, b->action);
        return;
    }
    if (key->code == VG_K_CHAR && key->mods == VG_MOD_CTRL && (key->cp == 'l' || key->cp == 'z')) {
        common_action(ui, key->cp == 'l' ? DO_REDRAW : DO_SUSPEND);
        return;
    }
    if (ui->popup.kind != VG_POPUP_NONE) {
        vg_popup_key(ui, key);
        return;
    }
    if (key->code == VG_K_CLICK || key->code == VG_K_WHEEL) {
        mouse(ui, key);
        return;
    }
    if (key->code == VG_K_CHAR && key->mods == VG_MOD_ALT && key->cp >= '1' &&
        key->cp < '1' + VG_SCREEN_COUNT) {
        vg_ui_open(ui, (int)(key->cp - '1'));
        return;
    }
    if (s->key && s->key(ui, state, key))
        return;
    b = find_binding(ui, state, s->bindings, s->bindings_count, key);
    if (b) {
        s->action(ui, state, b->action);
        return;
    }
    b = find_binding(ui, state, common_rows, count, key);
    if (b)
        common_action(ui, b->action);
}

/* ---- time ---- */
double vg_ui_tick(vg_ui *ui)
{
    double next = -1;
    if (ui->note[0]) {
        if (ui->now >= ui->note_until) {
            ui->note[0] = 0;
            ui->dirty = true;
        } else {
            next = ui->note_until - ui->now;
        }
    }
    const vg_ui_job *job = vg_ui_job_now(ui);
    if (job && (int)job->state != ui->job_state) {
        bool news = ui->job_state >= 0 && ui->screen != VG_SCREEN_run;
        ui->job_state = (int)job->state;
        ui->dirty = true;
        if (news && job->state == VG_UI_JOB_DONE)
            vg_ui_note(ui, VG_R_GOOD, "done, %c compares its clips: %s", VG_SCREEN_KEY(compare),
                       job->id);
        else if (news && job->state == VG_UI_JOB_FAILED)
            vg_ui_note(ui, VG_R_BAD, "failed: %s (%s)", job->message, job->id);
    }
    const vg_screen *s = screens[ui->screen];
    double wish = s->tick && !too_small(ui) ? s->tick(ui, ui->states[ui->screen]) : -1;
    if (wish >= 0 && (next < 0 || wish < next))
        next = wish;
    return next;
}

/* ---- drawing ---- */
static void draw_tabs(const vg_ui *ui, vg_grid *g)
{
    vg_rect area = vg_ui_area(ui);
    vg_text(g, 0, area.col, 5, VG_R_TITLE, "vgen");
    int end = 0;
    for (int i = 0; i < VG_SCREEN_COUNT; i++) {
        int cols, col = tab_col(ui, i, &cols);
        bool open = i == ui->screen;
        if (open)
            vg_fill(g, (vg_rect){0, col, 1, cols}, VG_R_TAB);
        vg_textf(g, 0, col + 1, 1, open ? VG_R_TAB : VG_R_DIM, "%d", i + 1);
        vg_text(g, 0, col + 3, cols - 3, open ? VG_R_TAB : VG_R_TEXT, tabs[i].title);
        end = col + cols;
    }
    const vg_ui_job *job = vg_ui_job_now(ui);
    int room = area.col + area.cols - end - 2;
    if (job && room > 12) {
        char line[256];
        const vg_ui_variant *v = job->current >= 0 && job->current < job->variants_count
                                     ? &job->variants[job->current]
                                     : NULL;
        const char *name = strrchr(job->model, '/');
        name = name ? name + 1 : job->model;
        if (job->state == VG_UI_JOB_RUNNING && v && v->steps > 0 && room > 30)
            snprintf(line, sizeof line, "%s %s %d/%d", name, v->name, v->step, v->steps);
        else
            snprintf(line, sizeof line, "%s %s", name, vg_job_state_name(job->state));
        if (vg_text_width(line) > room - 2)
            snprintf(line, sizeof line, "%s", vg_job_state_name(job->state));
        int width = vg_text_width(line), col = area.col + area.cols - width;
        vg_put(g, 0, col - 2, vg_job_state_sign(g, job->state),
               vg_role_style(g, vg_job_state_role(job->state)));
        vg_text(g, 0, col, width, VG_R_DIM, line);
    }
}

/* One "key label" pair; returns its columns, 0 when it does not fit. */
static int draw_key(vg_grid *g, int row, int col, int limit, const vg_binding *b)
{
    char key[32];
    vg_chord_name(&b->keys[0], key, sizeof key);
    int width = (int)strlen(key) + 1 + (int)strlen(b->label);
    if (col + width > limit)
        return 0;
    vg_text(g, row, col, width, VG_R_KEY, key);
    vg_text(g, row, col + (int)strlen(key) + 1, width, VG_R_DIM, b->label);
    return width + 2;
}

static void draw_footer(const vg_ui *ui, vg_grid *g)
{
    const vg_screen *s = screens[ui->screen];
    vg_rect area = vg_ui_area(ui);
    int row = g->rows - 1, limit = area.col + area.cols - 16, col = area.col;
    for (int i = 0; i < s->bindings_count; i++) {
        const vg_binding *b = &s->bindings[i];
        if (!b->label || (b->when && !b->when(ui, ui->states[ui->screen])))
            continue;
        int used = draw_key(g, row, col, limit, b);
        if (used == 0)
            break;
        col += used;
    }
    col = area.col + area.cols - 14;
    for (int i = 0; i < (int)(sizeof common / sizeof common[0]); i++)
        if (common[i].label)
            col += draw_key(g, row, col, area.col + area.cols, &common[i]);
}

static void draw_card(const vg_ui *ui, vg_grid *g)
{
    char line[160];
    snprintf(line, sizeof line,
             "vgen needs %d x %d cells; this window is %d x %d. Enlarge it, or q quits.",
             VG_MIN_COLS, VG_MIN_ROWS, ui->grid.cols, ui->grid.rows);
    int width = g->cols > 50 ? 48 : g->cols > 4 ? g->cols - 2 : g->cols;
    int rows = (vg_text_width(line) + width - 1) / (width > 0 ? width : 1) + 1;
    int top = (g->rows - rows) / 2;
    vg_text_block(g, (vg_rect){top > 0 ? top : 0, (g->cols - width) / 2, g->rows, width}, VG_R_TEXT,
                  line);
}

/* What went wrong is told in full, over more rows where one is not enough; the rest is shortened. */
static void draw_message(vg_grid *g, vg_rect area, vg_text_role role, const char *text)
{
    int rows = role == VG_R_BAD || role == VG_R_WARN ? vg_text_rows(text, area.cols) : 1;
    rows = rows > MESSAGE_ROWS_MAX ? MESSAGE_ROWS_MAX : rows;
    if (rows <= 1) {
        vg_text_path(g, g->rows - 2, area.col, area.cols, role, text);
        return;
    }
    vg_rect r = {g->rows - 1 - rows, area.col, rows, area.cols};
    vg_fill(g, (vg_rect){r.row, 0, rows, g->cols}, VG_R_TEXT);
    vg_text_block(g, r, role, text);
}

void vg_ui_draw(vg_ui *ui)
{
    vg_grid *g = &ui->grid;
    vg_grid_clear(g);
    ui->dirty = false;
    if (too_small(ui)) {
        draw_card(ui, g);
        return;
    }
    const vg_screen *s = screens[ui->screen];
    draw_tabs(ui, g);
    s->draw(ui, ui->states[ui->screen], g, vg_ui_area(ui));
    vg_rect area = vg_ui_area(ui);
    char hint[512] = "";
    vg_text_role role = VG_R_DIM;
    if (ui->note[0])
        draw_message(g, area, ui->note_role, ui->note);
    else if (s->hint && s->hint(ui, ui->states[ui->screen], &role, hint, sizeof hint))
        draw_message(g, area, role, hint);
    draw_footer(ui, g);
    vg_popup_draw(ui, g);
}

void vg_ui_show(vg_ui *ui)
{
    vg_ui_draw(ui);
    vg_term_flush(&ui->term, &ui->grid);
}
