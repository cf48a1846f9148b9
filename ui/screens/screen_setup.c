/* screen_setup.c: the setup screen's keys. Typing on a field edits it at once and each keystroke that makes a valid value is taken, so
 * the memory forecast follows; what is not valid is said right there and nothing is lost. */
#include "ui/screens/screen_setup.h"

#include "ui/term/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DO_START = 1,
    DO_EDIT,
    DO_UP,
    DO_DOWN,
    DO_LEFT,
    DO_RIGHT,
    DO_TOGGLE,
    DO_NEXT,
    DO_PREVIOUS,
    DO_LOAD,
    DO_SAVE,
    DO_ADVANCED,
    DO_TO_START,
    DO_UNSET,
    DO_COMPLETE
};
enum { ASK_CHOICE = 1, ASK_MODEL, ASK_LOAD, ASK_SAVE, ASK_REPLACE };

static const vg_ui_field *field_at(const vg_ui *ui, int index)
{
    int count = 0;
    const vg_ui_field *fields = ui->host->form.fields(ui->host->form.self, &count);
    return index >= 0 && index < count ? &fields[index] : NULL;
}

static bool typed_kind(const vg_ui_field *f)
{
    return f && (f->kind == VG_UI_TEXT || f->kind == VG_UI_LINE || f->kind == VG_UI_MODEL ||
                 f->kind == VG_UI_PATH || f->kind == VG_UI_INT || f->kind == VG_UI_REAL);
}

static bool on_start(const vg_ui *ui, const void *state)
{
    (void)ui;
    return ((const vg_setup *)state)->focus < 0;
}
static bool on_typed(const vg_ui *ui, const void *state)
{
    const vg_setup *s = state;
    return !s->editing && typed_kind(field_at(ui, s->focus));
}
static bool on_choice(const vg_ui *ui, const void *state)
{
    const vg_ui_field *f = field_at(ui, ((const vg_setup *)state)->focus);
    return f && !typed_kind(f);
}
static bool on_choices(const vg_ui *ui, const void *state)
{
    const vg_ui_field *f = field_at(ui, ((const vg_setup *)state)->focus);
    return f && f->kind == VG_UI_CHOICES;
}
static bool on_field(const vg_ui *ui, const void *state)
{
    (void)ui;
    const vg_setup *s = state;
    return s->focus >= 0 && !s->editing;
}
static bool on_typed_path(const vg_ui *ui, const void *state)
{
    const vg_setup *s = state;
    const vg_ui_field *f = field_at(ui, s->focus);
    return s->editing && f && f->kind == VG_UI_PATH;
}
static bool not_editing(const vg_ui *ui, const void *state)
{
    (void)ui;
    return !((const vg_setup *)state)->editing;
}

static const vg_binding bindings[] = {
    {{VG_KEY(F5), VG_CTRL('r')}, DO_START, NULL, "start the job, from anywhere in the form", NULL},
    {{VG_KEY(ENTER), VG_CH('s')},
     DO_START,
     "start",
     "on the Start button: start the job",
     on_start},
    {{VG_KEY(ENTER)}, DO_EDIT, "edit", "edit the field; just typing does it too", on_typed},
    {{VG_KEY(ENTER)}, DO_EDIT, "choose", "a list of what the field can be", on_choice},
    {{VG_CH(' ')}, DO_TOGGLE, "toggle", "switch it on or off", on_choices},
    {{VG_CH(' ')}, DO_RIGHT, NULL, "the next choice", on_choice},
    {{VG_KEY(DOWN), VG_CH('j')}, DO_DOWN, "move", "the field below", not_editing},
    {{VG_KEY(UP), VG_CH('k')}, DO_UP, NULL, "the field above", not_editing},
    {{VG_KEY(LEFT)}, DO_LEFT, NULL, "previous choice, or the column to the left", not_editing},
    {{VG_KEY(RIGHT)}, DO_RIGHT, NULL, "next choice, or the column to the right", not_editing},
    {{VG_KEY(TAB)},
     DO_COMPLETE,
     "complete",
     "while typing a file's name: go on with it",
     on_typed_path},
    {{VG_KEY(TAB)}, DO_NEXT, NULL, "the next field", not_editing},
    {{VG_KEY(BACKTAB)}, DO_PREVIOUS, NULL, "the field before", not_editing},
    {{VG_CTRL('o'), VG_KEY(F3), VG_CH('p')},
     DO_LOAD,
     "presets",
     "fill the form from a preset",
     not_editing},
    {{VG_CTRL('s'), VG_KEY(F4)}, DO_SAVE, "save", "keep these settings as a preset", not_editing},
    {{VG_KEY(F6), VG_CH('a')},
     DO_ADVANCED,
     "all",
     "show all settings, or the usual ones",
     not_editing},
    {{VG_KEY(DELETE)},
     DO_UNSET,
     NULL,
     "unset the field: the checkpoint's own value is used",
     on_field},
    {{VG_KEY(ESC)},
     DO_TO_START,
     NULL,
     "to the Start button; while typing: keep the old value",
     on_field},
};

static void init(vg_ui *ui, void *state)
{
    (void)ui;
    vg_setup *s = state;
    s->focus = s->bad = -1;
}

static void deinit(vg_ui *ui, void *state)
{
    (void)ui;
    vg_setup *s = state;
    vg_editor_deinit(&s->editor);
    free(s->before);
    free(s->saving);
    s->before = s->saving = NULL;
}

/* ---- editing ---- */
static void begin_edit(vg_ui *ui, vg_setup *s, bool replace)
{
    const vg_ui_field *f = field_at(ui, s->focus);
    const char *value = ui->host->form.value(ui->host->form.self, f->key);
    free(s->before);
    s->before = strdup(value ? value : "");
    char *copy = strdup(replace || !value ? "" : value);
    if (copy)
        vg_editor_set(&s->editor, copy, f->kind == VG_UI_TEXT);
    free(copy);
    s->editing = true;
}

/* Take what is typed if it is a value; else say why. While s->bad is set the field stays open: nothing typed is lost. */
static void try_value(vg_ui *ui, vg_setup *s)
{
    const vg_ui_field *f = field_at(ui, s->focus);
    s->error[0] = 0;
    if (ui->host->form.set(ui->host->form.self, f->key, s->editor.text ? s->editor.text : "",
                           s->error, sizeof s->error)) {
        s->error[0] = 0;
        if (s->bad == s->focus)
            s->bad = -1;
    } else {
        s->bad = s->focus;
    }
}

static void end_edit(vg_setup *s)
{
    s->editing = false;
}

static void cancel_edit(vg_ui *ui, vg_setup *s)
{
    const vg_ui_field *f = field_at(ui, s->focus);
    char ignored[256];
    if (s->before)
        ui->host->form.set(ui->host->form.self, f->key, s->before, ignored, sizeof ignored);
    s->editing = false;
    s->error[0] = 0;
    if (s->bad == s->focus)
        s->bad = -1;
}

static int edit_cols(const vg_ui *ui, const vg_setup *s, vg_rect *out)
{
    vg_layout l;
    vg_form form;
    int scroll;
    vg_setup_layout(ui, s, vg_ui_area(ui), &l);
    vg_setup_form(ui, s, l.r[VG_SETUP_FORM], &form, &scroll);
    const vg_form_item *item = vg_form_item_of(&form, s->focus);
    if (!item)
        return 40;
    vg_rect r = item->value;
    r.row -= scroll;
    if (out)
        *out = vg_setup_edit_rect(s, field_at(ui, s->focus), r, l.r[VG_SETUP_FORM]);
    return r.cols;
}

static bool digit_like(const vg_key *key)
{
    return (key->cp >= '0' && key->cp <= '9') || key->cp == '.' || key->cp == '-';
}

/* Another model, of a preset or a job, may have fewer fields. */
static void keep_focus(const vg_ui *ui, vg_setup *s)
{
    if (s->focus >= 0 && !field_at(ui, s->focus)) {
        s->focus = s->bad = -1;
        s->editing = false;
    }
}

static bool key(vg_ui *ui, void *state, const vg_key *key_)
{
    vg_setup *s = state;
    keep_focus(ui, s);
    const vg_ui_field *f = field_at(ui, s->focus);
    bool plain = key_->code == VG_K_CHAR && key_->mods == 0;
    if (!s->editing) {
        if (!typed_kind(f))
            return false;
        bool number = f->kind == VG_UI_INT || f->kind == VG_UI_REAL;
        bool starts = key_->code == VG_K_PASTE || key_->code == VG_K_BACKSPACE ||
                      (plain && (!number || digit_like(key_)));
        if (!starts)
            return false;
        /* A number is typed anew; a text goes on where it ended. */
        begin_edit(ui, s, number && key_->code != VG_K_BACKSPACE);
    }
    int done = vg_editor_key(&s->editor, key_, edit_cols(ui, s, NULL));
    if (done == VG_EDITOR_CHANGED)
        try_value(ui, s);
    if (done != VG_EDITOR_IGNORED)
        return true;
    if (key_->code == VG_K_TAB && f->kind == VG_UI_PATH)
        return false; /* and complete it */
    switch (key_->code) {
    case VG_K_ENTER:
        if (s->bad < 0)
            end_edit(s);
        return true;
    case VG_K_ESC:
        cancel_edit(ui, s);
        return true;
    case VG_K_TAB:
    case VG_K_BACKTAB:
    case VG_K_UP:
    case VG_K_DOWN:
        if (s->bad >= 0)
            return true;
        end_edit(s);
        return false; /* and move */
    default:
        /* Common keys keep working while typing: F1, F10, Alt-digits, Ctrl-C ... */
        return plain;
    }
}

/* ---- moving and choosing ---- */
static void focus_field(vg_ui *ui, vg_setup *s, int field)
{
    if (s->editing && s->bad >= 0) {
        vg_ui_note(ui, VG_R_WARN, "%s keeps its value: %s", field_at(ui, s->focus)->label,
                   s->error);
        cancel_edit(ui, s);
    }
    end_edit(s);
    s->focus = field;
    s->option = 0;
}

static void move(vg_ui *ui, vg_setup *s, int step, bool beside)
{
    vg_layout l;
    vg_form form;
    int scroll;
    vg_setup_layout(ui, s, vg_ui_area(ui), &l);
    vg_setup_form(ui, s, l.r[VG_SETUP_FORM], &form, &scroll);
    int to = beside ? vg_form_beside(&form, s->focus, step) : vg_form_next(&form, s->focus, step);
    if (beside && to < 0)
        return;
    focus_field(ui, s, to);
}

static void set_value(vg_ui *ui, vg_setup *s, const vg_ui_field *f, const char *text)
{
    if (!f)
        return;
    char message[256] = "";
    if (!ui->host->form.set(ui->host->form.self, f->key, text, message, sizeof message))
        vg_ui_note(ui, VG_R_BAD, "%s: %s", f->label, message);
    else if (s->bad == s->focus)
        s->bad = -1;
}

static int choice_index(const vg_ui *ui, const vg_ui_field *f)
{
    const char *value = ui->host->form.value(ui->host->form.self, f->key);
    for (int i = 0; value && f->choices && f->choices[i]; i++)
        if (strcmp(f->choices[i], value) == 0)
            return i;
    return -1;
}

static void toggle_choice(vg_ui *ui, vg_setup *s, const vg_ui_field *f, int index)
{
    const char *value = ui->host->form.value(ui->host->form.self, f->key);
    if (!value || !value[0])
        value = ui->host->form.default_text(ui->host->form.self, f->key);
    char list[512] = "";
    for (int i = 0; f->choices && f->choices[i]; i++) {
        bool on = vg_setup_has(value ? value : "", f->choices[i]);
        if ((i == index) != on) {
            size_t n = strlen(list);
            snprintf(list + n, sizeof list - n, "%s%s", n ? "," : "", f->choices[i]);
        }
    }
    if (!list[0])
        vg_ui_note(ui, VG_R_WARN, "%s: at least one stays on", f->label);
    else
        set_value(ui, s, f, list);
}

static void step_choice(vg_ui *ui, vg_setup *s, int step)
{
    const vg_ui_field *f = field_at(ui, s->focus);
    int count = 0;
    while (f && f->choices && f->choices[count])
        count++;
    if (f && f->kind == VG_UI_BOOL) {
        const char *value = ui->host->form.value(ui->host->form.self, f->key);
        if (!value || !value[0])
            value = ui->host->form.default_text(ui->host->form.self, f->key);
        set_value(ui, s, f, value && strncmp(value, "true", 4) == 0 ? "false" : "true");
    } else if (f && f->kind == VG_UI_CHOICES && count > 0) {
        s->option = (s->option + step + count) % count;
    } else if (f && f->kind == VG_UI_CHOICE && count > 0) {
        int at = choice_index(ui, f);
        set_value(ui, s, f,
                  f->choices[at < 0 ? (step > 0 ? 0 : count - 1) : (at + step + count) % count]);
    } else {
        move(ui, s, step, true);
    }
}

/* A list of the models that are there; without one, the field is typed. */
static void choose_model(vg_ui *ui, const vg_ui_field *f)
{
    int count = 0, selected = 0, names = 0;
    const vg_ui_model *models = ui->host->models.list(ui->host->models.self, &count);
    const char *value = ui->host->form.value(ui->host->form.self, f->key);
    char **lines = calloc((size_t)count + 1, sizeof *lines);
    for (int i = 0; i < count; i++)
        names = vg_text_width(models[i].name) > names ? vg_text_width(models[i].name) : names;
    for (int i = 0; lines && i < count; i++) {
        size_t room = strlen(models[i].name) + (size_t)names + strlen(models[i].what) + 8;
        lines[i] = malloc(room);
        if (!lines[i])
            break;
        snprintf(lines[i], room, "%s%*s  %s%s", models[i].name,
                 names - vg_text_width(models[i].name), "", models[i].usable ? "" : "! ",
                 models[i].what);
        if (value && !strcmp(models[i].name, value))
            selected = i;
    }
    if (lines)
        vg_popup_list(ui, ASK_MODEL, f->label, (const char *const *)lines, selected, true);
    for (int i = 0; lines && i < count; i++)
        free(lines[i]);
    free(lines);
}

static void edit(vg_ui *ui, vg_setup *s)
{
    const vg_ui_field *f = field_at(ui, s->focus);
    if (!f)
        return;
    if (f->kind == VG_UI_BOOL) {
        step_choice(ui, s, 1);
    } else if (f->kind == VG_UI_CHOICES) {
        toggle_choice(ui, s, f, s->option);
    } else if (f->kind == VG_UI_CHOICE) {
        if (f->choices)
            vg_popup_list(ui, ASK_CHOICE, f->label, f->choices, choice_index(ui, f), false);
    } else if (f->kind == VG_UI_MODEL) {
        choose_model(ui, f);
    } else {
        begin_edit(ui, s, false);
    }
}

/* One press goes on as far as the name is clear; where nothing is open the next field is meant. */
static void complete(vg_ui *ui, vg_setup *s)
{
    const vg_ui_field *f = field_at(ui, s->focus);
    char longer[4096] = "", message[256] = "";
    const char *typed = s->editor.text ? s->editor.text : "";
    ui->host->form.complete(ui->host->form.self, f->key, typed, longer, sizeof longer, message,
                            sizeof message);
    bool same = strcmp(longer, typed) == 0;
    if (!same) {
        vg_editor_set(&s->editor, longer, false);
        try_value(ui, s);
    }
    if (message[0])
        vg_ui_note(ui, VG_R_DIM, "%s", message);
    else if (same)
        move(ui, s, 1, false);
}

/* ---- start, presets ---- */
/* Say why not, at the field that is wrong. */
static void refuse(vg_ui *ui, vg_setup *s, const char *key, const char *message)
{
    int count = 0;
    const vg_ui_field *fields = ui->host->form.fields(ui->host->form.self, &count);
    for (int i = 0; key && i < count; i++)
        if (strcmp(fields[i].key, key) == 0) {
            s->focus = i;
            s->advanced = s->advanced || fields[i].advanced;
        }
    vg_ui_note(ui, VG_R_BAD, "%s", message);
}

static void start(vg_ui *ui, vg_setup *s)
{
    char message[512] = "", id[sizeof ui->job] = "";
    const char *wrong = NULL;
    if (s->bad >= 0) {
        vg_ui_note(ui, VG_R_BAD, "%s: %s", field_at(ui, s->bad)->label, s->error);
        return;
    }
    end_edit(s);
    if (!ui->host->form.check(ui->host->form.self, &wrong, message, sizeof message)) {
        refuse(ui, s, wrong, message);
        return;
    }
    /* The host opens the checkpoint for that, which may take a while on a cold disk: say so first. */
    vg_ui_note(ui, VG_R_DIM, "starting ...");
    vg_ui_show(ui);
    if (!ui->host->form.start(ui->host->form.self, id, sizeof id, &wrong, message,
                              sizeof message)) {
        refuse(ui, s, wrong, message);
        return;
    }
    vg_ui_show_job(ui, id);
    vg_ui_open(ui, VG_SCREEN_run);
    vg_ui_note(ui, VG_R_GOOD, "started in a process of its own: q leaves it running");
}

static void action(vg_ui *ui, void *state, int action_)
{
    vg_setup *s = state;
    const char *const *presets;
    static const char *const none[] = {NULL};
    switch (action_) {
    case DO_START:
        start(ui, s);
        break;
    case DO_EDIT:
        edit(ui, s);
        break;
    case DO_TOGGLE:
        toggle_choice(ui, s, field_at(ui, s->focus), s->option);
        break;
    case DO_UP:
    case DO_PREVIOUS:
        move(ui, s, -1, false);
        break;
    case DO_DOWN:
    case DO_NEXT:
        move(ui, s, 1, false);
        break;
    case DO_LEFT:
        step_choice(ui, s, -1);
        break;
    case DO_RIGHT:
        step_choice(ui, s, 1);
        break;
    case DO_LOAD:
        presets = ui->host->form.presets(ui->host->form.self);
        vg_popup_list(ui, ASK_LOAD, "Load a preset", presets ? presets : none, 0, true);
        break;
    case DO_SAVE:
        vg_popup_prompt(ui, ASK_SAVE, "Save as a preset", "Name", "");
        break;
    case DO_ADVANCED:
        s->advanced = !s->advanced;
        if (!s->advanced && s->focus >= 0 && field_at(ui, s->focus)->advanced)
            s->focus = -1;
        vg_ui_note(ui, VG_R_DIM, s->advanced ? "all settings" : "the usual settings");
        break;
    case DO_COMPLETE:
        complete(ui, s);
        break;
    case DO_UNSET:
        set_value(ui, s, field_at(ui, s->focus), "");
        break;
    default:
        focus_field(ui, s, -1);
        break;
    }
}

static void save_preset(vg_ui *ui, const char *name)
{
    char message[512] = "";
    bool ok = ui->host->form.preset_save(ui->host->form.self, name, message, sizeof message);
    vg_ui_note(ui, ok ? VG_R_GOOD : VG_R_BAD, "%s",
               message[0] ? message
               : ok       ? "saved"
                          : "could not be saved");
}

/* A preset that is there is replaced after a question. */
static void ask_save(vg_ui *ui, vg_setup *s, const char *name)
{
    const char *const *names = ui->host->form.presets(ui->host->form.self);
    bool known = false;
    char line[200];
    for (int i = 0; names && names[i] && !known; i++)
        known = strcmp(names[i], name) == 0;
    free(s->saving);
    s->saving = known ? strdup(name) : NULL;
    if (!s->saving) {
        save_preset(ui, name);
        return;
    }
    snprintf(line, sizeof line, "There is a preset %.100s already; yours would take its place.",
             name);
    vg_popup_confirm(ui, ASK_REPLACE, "Replace the preset?", line);
}

static void answer(vg_ui *ui, void *state, int tag, int index, const char *text)
{
    vg_setup *s = state;
    char message[512] = "";
    const vg_ui_field *f = field_at(ui, s->focus);
    if (tag == ASK_CHOICE && f) {
        set_value(ui, s, f, text);
    } else if (tag == ASK_MODEL && f) {
        int count = 0;
        const vg_ui_model *models = ui->host->models.list(ui->host->models.self, &count);
        if (index >= 0 && index < count)
            set_value(ui, s, f, models[index].name);
    } else if (tag == ASK_LOAD) {
        bool ok = ui->host->form.preset_load(ui->host->form.self, text, message, sizeof message);
        s->bad = -1;
        if (!ok)
            vg_ui_note(ui, VG_R_BAD, "%s", message);
        else if (message[0])
            vg_ui_note(ui, VG_R_WARN, "%s: %s", text, message);
        else
            vg_ui_note(ui, VG_R_GOOD, "preset %s loaded", text);
    } else if (tag == ASK_SAVE && text[0]) {
        ask_save(ui, s, text);
    } else if (tag == ASK_REPLACE && s->saving) {
        save_preset(ui, s->saving);
    }
}

static bool mouse(vg_ui *ui, void *state, vg_rect area, const vg_key *key_)
{
    vg_setup *s = state;
    keep_focus(ui, s);
    vg_layout l;
    vg_form form;
    int scroll;
    vg_setup_layout(ui, s, area, &l);
    vg_setup_form(ui, s, l.r[VG_SETUP_FORM], &form, &scroll);
    if (key_->code == VG_K_WHEEL) {
        move(ui, s, key_->step, false);
        return true;
    }
    if (s->editing) {
        vg_rect r;
        edit_cols(ui, s, &r);
        if (vg_inside(r, key_->row, key_->col)) {
            vg_editor_click(&s->editor, r, key_->row, key_->col);
            return true;
        }
    }
    if (key_->mods & VG_MOD_DRAG)
        return false;
    if (vg_inside(l.r[VG_SETUP_START], key_->row, key_->col)) {
        if (key_->col < l.r[VG_SETUP_START].col + 15)
            start(ui, s);
        return true;
    }
    for (int i = 0; i < form.count; i++) {
        vg_form_item item = form.items[i];
        vg_rect r = {item.label.row - scroll, item.label.col, item.value.rows ? item.value.rows : 1,
                     item.label.cols + item.value.cols};
        if (item.field < 0 || !vg_inside(r, key_->row, key_->col) ||
            !vg_inside(l.r[VG_SETUP_FORM], key_->row, key_->col))
            continue;
        bool again = s->focus == item.field;
        const vg_ui_field *f = field_at(ui, item.field);
        focus_field(ui, s, item.field);
        if (f->kind == VG_UI_CHOICES) { /* the box under the pointer */
            for (int k = 0; f->choices && f->choices[k]; k++) {
                int row, col = item.value.col + vg_form_choice_at(f, k, item.value.cols, &row);
                if (key_->row == item.value.row - scroll + row && key_->col >= col &&
                    key_->col < col + vg_text_width(f->choices[k]) + 2) {
                    s->option = k;
                    toggle_choice(ui, s, f, k);
                }
            }
        } else if (again) {
            edit(ui, s);
        }
        return true;
    }
    return false;
}

static bool hint(const vg_ui *ui, const void *state, vg_text_role *role, char *out, size_t size)
{
    const vg_setup *s = state;
    const vg_ui_field *f = field_at(ui, s->focus);
    if (s->editing && s->bad == s->focus && s->error[0]) {
        *role = VG_R_BAD;
        snprintf(out, size, "%s", s->error);
        return true;
    }
    if (!f) {
        snprintf(out, size,
                 "Enter starts this job. Arrows move into the form; typing changes a field.");
        return true;
    }
    if (s->editing && f->kind == VG_UI_TEXT)
        snprintf(out, size, "Enter done   Alt-Enter new line   Esc as it was");
    else if (s->editing && f->kind == VG_UI_PATH)
        snprintf(out, size, "Tab completes   Enter done   Esc as it was   %s",
                 f->help ? f->help : "");
    else if (s->editing)
        snprintf(out, size, "Enter done   Esc as it was   %s", f->help ? f->help : "");
    else
        snprintf(out, size, "%s", f->help ? f->help : "");
    return true;
}

const vg_screen vg_screen_setup = {
    VG_BINDINGS(bindings),
    .state_size = sizeof(vg_setup),
    .init = init,
    .deinit = deinit,
    .layout = vg_setup_layout,
    .draw = vg_setup_draw,
    .hint = hint,
    .key = key,
    .action = action,
    .mouse = mouse,
    .answer = answer,
};
