/* setup_draw.c: the setup screen's picture: form, memory forecast, start button. */
#include "ui/screens/screen_setup.h"
#include "ui/term/text.h"
#include "ui/widgets/widgets.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDE = 150 }; /* from here on the forecast stands beside the form */

static int columns_of(vg_rect area)
{
    return area.cols >= 74 ? 2 : 1;
}

static int text_rows_of(const vg_ui *ui)
{
    int rows = vg_ui_area(ui).rows;
    return rows >= 40 ? 4 : rows >= 24 ? 3 : 2;
}

void vg_setup_layout(const vg_ui *ui, const void *state, vg_rect area, vg_layout *out)
{
    const vg_setup *s = state;
    memset(out, 0, sizeof *out);
    out->count = VG_SETUP_RECTS;
    int last = area.row + area.rows - 1;
    vg_rect form = {area.row, area.col, area.rows - 3, area.cols};
    if (area.cols >= WIDE) {
        int side = area.cols * 2 / 5 > 72 ? 72 : area.cols * 2 / 5;
        form = (vg_rect){area.row, area.col, area.rows - 2, area.cols - side - 6};
        out->r[VG_SETUP_PLAN] = (vg_rect){area.row, area.col + area.cols - side, area.rows, side};
    } else {
        int plan = area.rows >= 30 ? 8 : 2;
        form.rows = area.rows - plan - 1 - (area.rows >= 26);
        out->r[VG_SETUP_PLAN] =
            (vg_rect){area.row + area.rows - plan - 1, area.col, plan, area.cols};
    }
    /* With room to spare the button stands right under the form, where the eye is. */
    int count = 0;
    vg_form placed;
    const vg_ui_field *fields = ui->host->form.fields(ui->host->form.self, &count);
    vg_form_place(fields, count, s->advanced, form, columns_of(form), text_rows_of(ui), &placed);
    int row = area.cols >= WIDE && placed.rows + 2 < form.rows ? form.row + placed.rows + 1 : last;
    if (row != last)
        form.rows = placed.rows;
    out->r[VG_SETUP_FORM] = form;
    out->r[VG_SETUP_START] = (vg_rect){row, area.col, 1, form.cols};
    if (last - row >= 6)
        out->r[VG_SETUP_RECENT] = (vg_rect){row + 3, area.col, last - row - 3, form.cols};
}

void vg_setup_form(const vg_ui *ui, const vg_setup *s, vg_rect area, vg_form *form, int *scroll)
{
    int count = 0;
    const vg_ui_field *fields = ui->host->form.fields(ui->host->form.self, &count);
    vg_form_place(fields, count, s->advanced, area, columns_of(area), text_rows_of(ui), form);
    const vg_form_item *item = vg_form_item_of(form, s->focus);
    *scroll = 0;
    if (form->rows > area.rows && item) {
        int bottom = item->value.row + item->value.rows - area.row;
        if (bottom + 1 > area.rows)
            *scroll = bottom + 1 - area.rows > form->rows - area.rows ? form->rows - area.rows
                                                                      : bottom + 1 - area.rows;
    }
}

vg_rect vg_setup_edit_rect(const vg_setup *s, const vg_ui_field *f, vg_rect value, vg_rect area)
{
    if (f->kind != VG_UI_TEXT)
        return value;
    int lines = vg_editor_lines(&s->editor, value.cols), most = area.row + area.rows - value.row;
    most = most > 12 ? 12 : most;
    int rows = lines > value.rows ? lines : value.rows;
    value.rows = rows > most ? most : rows;
    return value;
}

bool vg_setup_has(const char *value, const char *choice)
{
    size_t n = strlen(choice);
    for (const char *s = value; *s;) {
        const char *end = strchr(s, ',');
        size_t length = end ? (size_t)(end - s) : strlen(s);
        while (length > 0 && *s == ' ')
            s++, length--;
        if (length == n && memcmp(s, choice, n) == 0)
            return true;
        s = end ? end + 1 : s + length;
    }
    return false;
}

static void draw_choices(const vg_setup *s, vg_grid *g, const vg_ui_field *f, vg_rect r,
                         const char *value, bool focus)
{
    int series = 0, row;
    for (int i = 0; f->choices && f->choices[i]; i++) {
        bool on = vg_setup_has(value, f->choices[i]);
        vg_text_role role = on ? vg_variant_role(series++) : VG_R_DIM;
        int col = r.col + vg_form_choice_at(f, i, r.cols, &row),
            width = vg_text_width(f->choices[i]) + 2;
        if (row >= r.rows || col + width > r.col + r.cols)
            break;
        row += r.row;
        vg_put(g, row, col, on ? vg_glyph(g, 'x', 0x25a0, 0x25a0) : vg_glyph(g, '-', '-', 0x25a1),
               vg_role_style(g, role));
        vg_text(g, row, col + 2, width - 2, on ? VG_R_TEXT : VG_R_DIM, f->choices[i]);
        for (int k = 2; focus && i == s->option && k < width; k++)
            if (row < g->rows && col + k < g->cols)
                g->cells[row * g->cols + col + k].attrs |= VG_UNDERLINE;
    }
}

static void draw_value(const vg_ui *ui, const vg_setup *s, vg_grid *g, const vg_ui_field *f,
                       vg_rect r, bool focus)
{
    const char *value = ui->host->form.value(ui->host->form.self, f->key),
               *fallback = ui->host->form.default_text(ui->host->form.self, f->key);
    bool unset = !value || !value[0];
    if (f->kind == VG_UI_CHOICES) {
        draw_choices(s, g, f, r, unset ? (fallback ? fallback : "") : value, focus);
        return;
    }
    if (f->kind == VG_UI_TEXT) {
        vg_fill(g, (vg_rect){r.row, r.col - 1, r.rows, r.cols + 1}, VG_R_FIELD);
        if (unset)
            vg_text(g, r.row, r.col, r.cols, VG_R_DIM,
                    fallback && fallback[0] ? fallback : "(none)");
        else
            vg_text_block(g, r, VG_R_TEXT, value);
        return;
    }
    const char *shown = unset ? (fallback ? fallback : "") : value;
    /* A file is told by the end of its path. */
    bool cut = f->kind == VG_UI_PATH && !unset && vg_text_width(shown) > r.cols - 2;
    if (cut) {
        vg_put(g, r.row, r.col, vg_glyph(g, '~', '~', 0x2026), vg_role_style(g, VG_R_DIM));
        while (*shown && vg_text_width(shown) > r.cols - 3)
            shown += vg_utf8_after(shown, strlen(shown), 0);
        vg_text(g, r.row, r.col + 1, r.cols - 3, VG_R_TEXT, shown);
        return;
    }
    if (f->kind == VG_UI_BOOL)
        shown = strcmp(shown, "true") == 0 ? "on" : strcmp(shown, "false") == 0 ? "off" : shown;
    int col = r.col;
    bool arrows = focus && (f->kind == VG_UI_CHOICE || f->kind == VG_UI_BOOL);
    if (arrows)
        vg_put(g, r.row, col - 2, vg_glyph(g, '<', '<', 0x2039), vg_role_style(g, VG_R_ACCENT));
    col +=
        vg_text(g, r.row, col, r.cols - 2, unset ? VG_R_DIM : VG_R_TEXT, shown[0] ? shown : "--");
    if (arrows)
        vg_put(g, r.row, col + 1, vg_glyph(g, '>', '>', 0x203a), vg_role_style(g, VG_R_ACCENT));
    if (!unset && f->unit && f->unit[0])
        vg_text(g, r.row, col + 1, r.col + r.cols - col - 1, VG_R_DIM, f->unit);
}

static void draw_heading(vg_grid *g, const vg_form_item *item)
{
    char name[64];
    snprintf(name, sizeof name, "%s", item->group);
    name[0] = (char)toupper((unsigned char)name[0]);
    vg_text(g, item->label.row, item->label.col, item->label.cols, VG_R_TITLE, name);
}

static void draw_form(const vg_ui *ui, const vg_setup *s, vg_grid *g, vg_rect area)
{
    vg_form form;
    int scroll, count = 0;
    const vg_ui_field *fields = ui->host->form.fields(ui->host->form.self, &count);
    vg_setup_form(ui, s, area, &form, &scroll);
    vg_rect focus_value = {0, 0, 0, 0};
    for (int i = 0; i < form.count; i++) {
        vg_form_item item = form.items[i];
        item.label.row -= scroll;
        item.value.row -= scroll;
        if (item.label.row < area.row || item.label.row >= area.row + area.rows)
            continue;
        if (item.field < 0) {
            draw_heading(g, &item);
            continue;
        }
        const vg_ui_field *f = &fields[item.field];
        bool focus = item.field == s->focus, bad = s->bad == item.field;
        if (item.value.row + item.value.rows > area.row + area.rows)
            item.value.rows = area.row + area.rows - item.value.row;
        vg_text(g, item.label.row, item.label.col, item.label.cols - 1,
                bad     ? VG_R_BAD
                : focus ? VG_R_ACCENT
                        : VG_R_DIM,
                f->label);
        if (bad)
            vg_put(g, item.value.row, item.value.col - 1, '!', vg_role_style(g, VG_R_BAD));
        if (focus)
            focus_value = item.value;
        if (focus && s->editing)
            continue;
        draw_value(ui, s, g, f, item.value, focus);
        if (focus)
            vg_paint(g,
                     (vg_rect){item.label.row, item.label.col - 1, item.value.rows,
                               item.label.cols + item.value.cols + 1},
                     VG_R_SELECT);
    }
    if (form.rows > area.rows)
        vg_list_bar(g, area.row, area.col + area.cols - 1, area.rows, scroll, form.rows);
    if (s->focus >= 0 && s->focus < count && focus_value.rows > 0 && s->editing) {
        vg_rect r = vg_setup_edit_rect(s, &fields[s->focus], focus_value, area);
        vg_editor_draw(&s->editor, g, r, VG_R_EDIT, true);
    }
}

/* A stage's first word and its figure: "78.3 MiB", or brief: "78" of a unit that is said once. */
static int stage_text(const vg_ui_plan_row *p, double scale, char *name, char *size, size_t room)
{
    snprintf(name, room, "%.*s", (int)strcspn(p->stage, " "), p->stage);
    if (scale > 0)
        snprintf(size, room, "%.*f", (double)p->bytes / scale < 9.95, (double)p->bytes / scale);
    else
        vg_format_bytes(size, room, p->bytes);
    return vg_text_width(name) + 1 + (int)strlen(size);
}

/* One row: every stage; in brief where the figures with their units do not all fit. */
static void draw_stages(vg_grid *g, vg_rect r, const vg_ui_plan *plan, uint64_t peak)
{
    char name[32], size[32];
    double scale = 0;
    int col = 0, width = 0;
    for (int i = 0; i < plan->count; i++)
        width += stage_text(&plan->rows[i], 0, name, size, sizeof name) + (i ? 2 : 0);
    const char *unit = width > r.cols ? vg_bytes_unit(peak, &scale) : NULL;
    for (int i = 0; i < plan->count; i++) {
        const vg_ui_plan_row *p = &plan->rows[i];
        width = stage_text(p, scale, name, size, sizeof name);
        if (col + width > r.cols)
            return;
        vg_text(g, r.row, r.col + col, width, VG_R_DIM, name);
        vg_text_right(g, r.row, r.col + col, width, p->peak ? VG_R_TEXT : VG_R_DIM, size);
        col += width + 2;
    }
    if (unit)
        vg_text(g, r.row, r.col + col - 1, r.cols - col + 1, VG_R_DIM, unit);
}

static void draw_plan_line(vg_grid *g, vg_rect r, const vg_ui_plan *plan)
{
    /* Two rows: the peak on a gauge, and each stage's figure. */
    uint64_t peak = 0;
    const char *stage = "";
    for (int i = 0; i < plan->count; i++)
        if (plan->rows[i].peak || plan->rows[i].bytes > peak)
            peak = plan->rows[i].bytes, stage = plan->rows[i].stage;
    char size[32], room[32];
    vg_format_bytes(size, sizeof size, peak);
    vg_format_bytes(room, sizeof room, plan->available);
    vg_text(g, r.row, r.col, 8, VG_R_DIM, "Memory");
    bool over = plan->available && peak > plan->available;
    const vg_level level = {.now = (double)peak, .total = (double)plan->available};
    /* The gauge leaves the words their room; where even its least is too much for them, they are fewer. */
    enum { GAUGE_LEAST = 8 };
    int room_cols = r.cols - 9, wide = r.cols / 3;
    char text[160];
    for (int brief = 0; brief < 2; brief++) {
        snprintf(text, sizeof text, "%s%s of %s%s%s", over ? "will not fit: " : "", size,
                 plan->available ? room : "N/A", brief ? ", " : " free, peak in ", stage);
        if (vg_text_width(text) + GAUGE_LEAST <= room_cols)
            break;
    }
    if (wide > room_cols - vg_text_width(text))
        wide = room_cols - vg_text_width(text);
    wide = wide < GAUGE_LEAST ? GAUGE_LEAST : wide;
    vg_gauge(g, r.row, r.col + 8, wide, &level, over ? VG_R_BAD : VG_R_ACCENT);
    vg_text(g, r.row, r.col + 9 + wide, room_cols - wide, over ? VG_R_BAD : VG_R_TEXT, text);
    draw_stages(g, (vg_rect){r.row + 1, r.col, 1, r.cols}, plan, peak);
}

static void draw_plan_table(vg_grid *g, vg_rect r, const vg_ui_plan *plan)
{
    vg_text(g, r.row, r.col, r.cols, VG_R_TITLE, "Memory forecast");
    char size[32];
    int names = 8, bar;
    for (int i = 0; i < plan->count; i++)
        if (vg_text_width(plan->rows[i].stage) + 2 > names)
            names = vg_text_width(plan->rows[i].stage) + 2;
    names = names > 24 ? 24 : names;
    bar = r.cols - names - 18;
    uint64_t scale = plan->available;
    for (int i = 0; i < plan->count; i++)
        scale = plan->rows[i].bytes > scale ? plan->rows[i].bytes : scale;
    int row = r.row + 1;
    for (int i = 0; i < plan->count && row < r.row + r.rows - 1; i++, row++) {
        const vg_ui_plan_row *p = &plan->rows[i];
        bool over = plan->available && p->bytes > plan->available;
        vg_text(g, row, r.col, names - 1, p->peak ? VG_R_TEXT : VG_R_DIM, p->stage);
        const vg_level level = {.now = (double)p->bytes, .total = (double)scale};
        vg_gauge(g, row, r.col + names, bar, &level,
                 over      ? VG_R_BAD
                 : p->peak ? VG_R_ACCENT
                           : VG_R_DIM);
        vg_format_bytes(size, sizeof size, p->bytes);
        vg_text_right(g, row, r.col + names + bar + 1, 10, over ? VG_R_BAD : VG_R_TEXT, size);
        if (p->peak)
            vg_text(g, row, r.col + names + bar + 12, 6, over ? VG_R_BAD : VG_R_ACCENT,
                    over ? "over!" : "peak");
    }
    vg_format_bytes(size, sizeof size, plan->available);
    vg_text(g, row, r.col, names - 1, VG_R_DIM, "free");
    vg_text_right(g, row, r.col + names + bar + 1, 10, VG_R_DIM, plan->available ? size : "N/A");
}

/* "bf16 0.142  fp8 0.171 s/it": what each variant of a job took. Returns the columns used. */
static int draw_rates(vg_grid *g, int row, int col, int cols, const vg_ui_job *j)
{
    int x = 0;
    for (int v = 0; v < j->variants_count; v++) {
        char text[32];
        double own = j->variants[v].denoise_s_per_it;
        snprintf(text, sizeof text, isfinite(own) ? "%.3g" : "--", own);
        int width = vg_text_width(j->variants[v].name) + 1 + (int)strlen(text);
        if (x + width > cols)
            break;
        x += vg_text(g, row, col + x, cols - x, vg_variant_role(v), j->variants[v].name) + 1;
        x += vg_text(g, row, col + x, cols - x, VG_R_DIM, text) + 2;
    }
    return x;
}

/* What was made before, under the form of a large window. */
static void draw_recent(const vg_ui *ui, vg_grid *g, vg_rect r)
{
    enum { AGE = 13, PROMPT = 21, RATES = 42 };
    const vg_ui_job_list list = ui->host->jobs.list(ui->host->jobs.self);
    int count = list.count, row = r.row;
    if (r.rows < 4)
        return;
    int x = vg_text(g, row, r.col, r.cols, VG_R_TITLE, "Recent jobs");
    if (count)
        vg_textf(g, row, r.col + x + 2, r.cols - x - 2, VG_R_DIM, "%c opens them",
                 VG_SCREEN_KEY(jobs));
    else
        vg_text(g, row, r.col + x + 2, r.cols - x - 2, VG_R_DIM,
                "none yet: what you start is listed here");
    int rates = r.cols >= 100 ? RATES : 0;
    if (rates && count)
        vg_text(g, row, r.col + r.cols - rates, rates, VG_R_DIM, "denoise s/it");
    row++;
    for (int i = 0; i < count && row < r.row + r.rows; i++, row++) {
        char age[32];
        const vg_ui_job *j = list.jobs[i];
        vg_format_age(age, sizeof age, ui->unix_now - j->created);
        vg_put(g, row, r.col, vg_job_state_sign(g, j->state),
               vg_role_style(g, vg_job_state_role(j->state)));
        vg_text(g, row, r.col + 2, AGE - 2, VG_R_DIM, vg_job_state_name(j->state));
        vg_text_right(g, row, r.col + AGE, 6, VG_R_DIM, age);
        vg_text(g, row, r.col + PROMPT, r.cols - PROMPT - rates - 2, VG_R_TEXT, j->prompt);
        if (rates)
            draw_rates(g, row, r.col + r.cols - rates, rates, j);
    }
}

static void draw_presets(const vg_ui *ui, vg_grid *g, vg_rect r)
{
    const char *const *names = ui->host->form.presets(ui->host->form.self);
    if (!names || !names[0] || r.rows < 3)
        return;
    int x = vg_text(g, r.row, r.col, r.cols, VG_R_TITLE, "Presets");
    vg_text(g, r.row, r.col + x + 2, r.cols - x - 2, VG_R_DIM, "^O loads one");
    int count = 0;
    while (names[count])
        count++;
    int shown = count < r.rows ? count : r.rows - 2;
    for (int i = 0; i < shown; i++)
        vg_text(g, r.row + 1 + i, r.col, r.cols, VG_R_TEXT, names[i]);
    if (shown < count)
        vg_textf(g, r.row + 1 + shown, r.col, r.cols, VG_R_DIM, "and %d more", count - shown);
}

static void draw_side(const vg_ui *ui, const vg_setup *s, vg_grid *g, vg_rect r,
                      const vg_ui_plan *plan)
{
    vg_rect table = {r.row, r.col, plan->count + 2, r.cols};
    draw_plan_table(g, table, plan);
    /* Each block has its fixed place, so that moving through the form moves nothing here. */
    int row = r.row + table.rows + 1, bottom = r.row + r.rows, count = 0;
    const vg_ui_field *fields = ui->host->form.fields(ui->host->form.self, &count);
    if (s->focus >= 0 && s->focus < count && row + 4 < bottom) {
        const vg_ui_field *f = &fields[s->focus];
        vg_text(g, row, r.col, r.cols, VG_R_TITLE, f->label);
        int used = vg_text_block(g, (vg_rect){row + 1, r.col, 3, r.cols}, VG_R_TEXT,
                                 f->help ? f->help : "");
        const char *fallback = ui->host->form.default_text(ui->host->form.self, f->key);
        if (fallback && fallback[0])
            vg_textf(g, row + 1 + used, r.col, r.cols, VG_R_DIM, "unset: %s", fallback);
    } else if (row + 4 < bottom) {
        vg_text(g, row, r.col, r.cols, VG_R_TITLE, "Ready");
        vg_text_block(
            g, (vg_rect){row + 1, r.col, 3, r.cols}, VG_R_TEXT,
            "Enter or F5 starts this job in a process of its own; it goes on when this screen is closed.");
    }
    row += 6;
    draw_presets(ui, g, (vg_rect){row, r.col, bottom - row, r.cols});
}

static void draw_start(const vg_ui *ui, const vg_setup *s, vg_grid *g, vg_rect r,
                       const vg_ui_plan *plan)
{
    bool focus = s->focus < 0;
    const char *text =
        g->glyphs == VG_GLYPHS_FULL ? "  \xe2\x96\xb6 Start  F5  " : "  > Start  F5  ";
    int width = vg_text_width(text);
    if (focus) {
        vg_fill(g, (vg_rect){r.row, r.col, 1, width}, VG_R_BUTTON);
        vg_text(g, r.row, r.col, width, VG_R_BUTTON, text);
    } else {
        vg_text(g, r.row, r.col, width, VG_R_ACCENT, text);
    }
    const char *key = NULL;
    char message[256] = "";
    if (!ui->host->form.check(ui->host->form.self, &key, message, sizeof message))
        vg_text(g, r.row, r.col + width + 2, r.cols - width - 2, VG_R_BAD, message);
    else
        vg_text(g, r.row, r.col + width + 2, r.cols - width - 2, VG_R_DIM,
                plan->note ? plan->note : "");
}

void vg_setup_draw(const vg_ui *ui, const void *state, vg_grid *g, vg_rect area)
{
    const vg_setup *s = state;
    vg_layout l;
    vg_setup_layout(ui, s, area, &l);
    vg_ui_plan plan = ui->host->form.plan(ui->host->form.self);
    vg_rect r = l.r[VG_SETUP_PLAN];
    if (area.cols >= WIDE) {
        vg_vline(g, r.row, r.col - 3, r.rows, VG_R_FAINT);
        draw_side(ui, s, g, r, &plan);
    } else if (r.rows > 2) {
        draw_plan_table(g, r, &plan);
    } else if (plan.count > 0) {
        draw_plan_line(g, r, &plan);
    }
    draw_start(ui, s, g, l.r[VG_SETUP_START], &plan);
    vg_rect recent = l.r[VG_SETUP_RECENT];
    if (recent.rows > 0)
        draw_recent(ui, g, recent);
    draw_form(ui, s, g, l.r[VG_SETUP_FORM]);
}
