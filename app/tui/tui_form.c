/* tui_form.c: see tui_form.h. */
#include "app/tui/tui_form.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "app/job/device.h"
#include "app/job/job_media.h"
#include "app/settings/paths.h"
#include "engine/run/hub.h"

static vg_ui_kind kind_of(const vg_option *o)
{
    switch (o->type) {
    case VG_TYPE_TEXT:
        return VG_UI_TEXT;
    case VG_TYPE_INT:
    case VG_TYPE_SEED:
        return VG_UI_INT;
    case VG_TYPE_REAL:
        return VG_UI_REAL;
    case VG_TYPE_BOOL:
        return VG_UI_BOOL;
    case VG_TYPE_ENUM:
        return VG_UI_CHOICE;
    case VG_TYPE_LIST:
        return VG_UI_CHOICES;
    case VG_TYPE_PATH:
    case VG_TYPE_PATHS:
        return VG_UI_PATH;
    default:
        return VG_UI_LINE;
    }
}

/* A NULL after the last, not counted. */
static void terminate(vg_lines *lines)
{
    vg_lines_add(lines, NULL);
    lines->count--;
}

void vg_tui_form_init(vg_tui_form *form, const vg_settings *settings)
{
    *form = (vg_tui_form){.dirty = true};
    vg_settings_copy(&form->settings, settings);
}

void vg_tui_form_deinit(vg_tui_form *form)
{
    for (int i = 0; i < VG_OPT_COUNT; i++)
        vg_lines_free(&form->choices[i]);
    vg_settings_deinit(&form->settings);
    vg_settings_deinit(&form->resolved);
    vg_model_close(form->model);
    vg_lines_free(&form->modes);
    free(form->model_name);
}

void vg_tui_form_set_device(vg_tui_form *form, bool is_cuda, uint64_t limit, const char *reason)
{
    snprintf(form->cpu_reason, sizeof form->cpu_reason, "%s", reason);
    form->default_is_cuda = is_cuda;
    form->gpu_limit = limit;
    form->dirty = true;
}

/* "Frames 17 frames" says it twice; "1/s" is what nobody calls it. */
static const char *unit_of(const vg_option *o)
{
    if (!strcmp(o->unit, "1/s"))
        return "fps";
    return strcasestr(o->label, o->unit) ? "" : o->unit;
}

/* "i2v, flf2v" as a list. */
static void take_modes(vg_tui_form *form)
{
    vg_lines_free(&form->modes);
    for (const char *at = form->model ? vg_model_modes(form->model) : ""; *at;) {
        size_t n = strcspn(at, ",");
        vg_lines_add(&form->modes, vg_xstrf("%.*s", (int)n, at));
        at += n + strspn(at + n, ", ");
    }
    terminate(&form->modes);
}

static void open_model(vg_tui_form *form)
{
    const char *name = vg_settings_get(&form->settings, VG_OPT_model);
    if (form->model_name && !strcmp(name, form->model_name))
        return;
    vg_lines dirs = {0};
    char *dir = NULL;
    free(form->model_name);
    form->model_name = vg_xstrdup(name);
    vg_model_close(form->model);
    form->model = NULL;
    form->model_err = (vg_err){0};
    vg_paths_presets(&dirs);
    if (vg_model_find(name, (const char *const *)dirs.items, dirs.count, &dir, &form->model_err) ==
        VG_OK)
        (void)vg_model_open(dir, vg_settings_load_format(&form->settings), &form->model,
                            &form->model_err);
    if (form->model && vg_model_check(form->model, &form->model_err) != VG_OK) {
        vg_model_close(form->model);
        form->model = NULL;
    }
    free(dir);
    vg_lines_free(&dirs);
    take_modes(form);
}

static vg_ui_field field_of(vg_tui_form *form, int id)
{
    const vg_option *o = &vg_options[id];
    const vg_lines *choices = id == VG_OPT_mode && form->model ? &form->modes : &form->choices[id];
    return (vg_ui_field){
        .key = o->key,
        .label = o->label,
        .unit = unit_of(o),
        .help = o->help,
        .group = o->group,
        .kind = id == VG_OPT_model ? VG_UI_MODEL : kind_of(o),
        .choices = choices->count ? (const char *const *)choices->items : NULL,
        .advanced = vg_option_has(o, VG_OPTION_HIDDEN),
    };
}

static bool is_shown(const vg_tui_form *form, int id)
{
    const vg_option *o = &vg_options[id];
    if (!vg_option_has(o, VG_OPTION_FORM))
        return false;
    bool fits = !*o->modes || form->settings.text[id];
    for (int i = 0; i < form->modes.count && !fits; i++)
        fits = vg_option_applies(o, form->modes.items[i]);
    return fits;
}

const vg_ui_field *vg_tui_form_fields(vg_tui_form *form, int *count)
{
    open_model(form);
    for (int i = 0; i < VG_OPT_COUNT && !form->choices_ready; i++) {
        vg_option_choices(&vg_options[i], &form->choices[i]);
        terminate(&form->choices[i]);
    }
    form->choices_ready = true;
    *count = 0;
    for (int i = 0; i < VG_OPT_COUNT; i++)
        if (is_shown(form, i))
            form->fields[(*count)++] = field_of(form, i);
    return form->fields;
}

/* The row of a stage; a new one comes right after `before`, the stage in front of it in its own plan. -1: no room. */
static int row_of(vg_tui_form *form, const char *stage, int before)
{
    for (int i = 0; i < form->rows_count; i++) {
        if (!strcmp(form->rows[i].stage, stage))
            return i;
    }
    if (form->rows_count == VG_PLAN_STAGES_MAX)
        return -1;
    int at = before + 1, behind = form->rows_count - at;
    memmove(&form->rows[at + 1], &form->rows[at], (size_t)behind * sizeof form->rows[0]);
    memmove(&form->row_names[at + 1], &form->row_names[at],
            (size_t)behind * sizeof form->row_names[0]);
    form->rows[at] = (vg_ui_plan_row){0};
    snprintf(form->row_names[at], sizeof form->row_names[at], "%s", stage);
    form->rows_count++;
    for (int i = at; i < form->rows_count; i++)
        form->rows[i].stage = form->row_names[i];
    return at;
}

/* The highest of all schemes, stage by stage; not every scheme has every stage. */
static void take_plan(vg_tui_form *form, const vg_plan *plan)
{
    size_t peak = 0;
    for (int i = 0, row = -1; i < plan->count; i++) {
        uint64_t bytes = vg_plan_total(&plan->stages[i]);
        int at = row_of(form, plan->stages[i].name, row);
        row = at < 0 ? row : at;
        if (at >= 0 && bytes > form->rows[at].bytes)
            form->rows[at].bytes = bytes;
    }
    for (int i = 0; i < form->rows_count; i++)
        peak = form->rows[i].bytes > peak ? (size_t)form->rows[i].bytes : peak;
    for (int i = 0; i < form->rows_count; i++)
        form->rows[i].peak = form->rows[i].bytes == peak;
    char *note = form->plan_note;
    vg_text_work(plan->tokens, plan->tflop_per_step, note, sizeof form->plan_note);
    size_t n = strlen(note);
    if (*form->cpu_reason && !*vg_settings_get(&form->settings, VG_OPT_device))
        snprintf(note + n, sizeof form->plan_note - n, "; on the CPU: %s", form->cpu_reason);
}

/* Where it would run, and what it may take there: as the budget of the engine will have it. */
static void place(vg_tui_form *form, vg_generate_params *params)
{
    const char *device = vg_settings_get(&form->settings, VG_OPT_device);
    int ordinal;
    params->device = form->default_is_cuda ? VG_DEVICE_CUDA : VG_DEVICE_CPU;
    (void)vg_device_parse(device, &params->device, &ordinal); /* "" leaves it */
    bool gpu = params->device == VG_DEVICE_CUDA;
    if (!params->memory_limit && gpu)
        params->memory_limit = form->gpu_limit;
    form->available = params->memory_limit ? params->memory_limit : gpu ? 0 : vg_memory_available();
}

static vg_status plan_variant(vg_tui_form *form, const vg_variant *variant)
{
    vg_settings s = {{0}};
    vg_generate_params params;
    vg_plan plan;
    vg_err *err = &form->resolve_err;
    vg_status status;
    vg_job_media media; /* no pixels: files are read when the job is made */
    vg_variant_settings(&form->settings, variant, &s);
    vg_job_media_roles(&s, &media);
    vg_settings_params(&s, &params);
    vg_job_media_give(&media, &params);
    place(form, &params);
    VG_TRY_GOTO(status, vg_model_defaults(form->model, &params, err), done);
    VG_TRY_GOTO(status, vg_settings_take_resolved(&form->resolved, &params, err), done);
    VG_TRY_GOTO(status, vg_plan_make(form->model, &params, &plan, err), done);
    take_plan(form, &plan);
done:
    vg_settings_deinit(&s);
    return status;
}

static void resolve(vg_tui_form *form)
{
    vg_variants variants = {0};
    if (!form->dirty)
        return;
    form->dirty = false;
    form->rows_count = 0;
    form->plan_note[0] = 0;
    form->available = vg_memory_available();
    form->resolve_err = (vg_err){0};
    vg_settings_deinit(&form->resolved);
    open_model(form);
    if (!form->model) {
        form->resolve_err = form->model_err;
        snprintf(form->plan_note, sizeof form->plan_note, "%s", form->model_err.message);
        return;
    }
    vg_settings_copy(&form->resolved, &form->settings);
    if (vg_variants_make(&form->settings, NULL, 0, &variants, &form->resolve_err) != VG_OK)
        return;
    for (int i = 0; i < variants.count; i++) {
        if (plan_variant(form, &variants.items[i]) != VG_OK) {
            snprintf(form->plan_note, sizeof form->plan_note, "%s", form->resolve_err.message);
            break;
        }
    }
    vg_variants_deinit(&variants);
}

static const char *decided_by(int id)
{
    return id == VG_OPT_mode ? "as given" : "checkpoint";
}

const char *vg_tui_form_default(vg_tui_form *form, const char *key)
{
    int id = vg_option_find(key);
    if (id < 0)
        return "";
    char *text = form->default_text[id];
    size_t size = sizeof form->default_text[id];
    resolve(form);
    /* What the checkpoint says is asked with the field unset. */
    vg_settings without = {{0}};
    text[0] = 0;
    if (*vg_options[id].def) {
        snprintf(text, size, "%s", vg_options[id].def);
    } else if (form->model && !form->settings.text[id]) {
        if (form->resolved.text[id] && *form->resolved.text[id])
            snprintf(text, size, "%s (%s)", form->resolved.text[id], decided_by(id));
    } else if (form->model) {
        vg_generate_params params;
        vg_settings_copy(&without, &form->settings);
        vg_settings_unset(&without, (vg_option_id)id);
        vg_job_media media;
        vg_settings_params(&without, &params);
        vg_job_media_roles(&without, &media);
        vg_job_media_give(&media, &params);
        if (vg_model_defaults(form->model, &params, NULL) == VG_OK &&
            vg_settings_take_resolved(&without, &params, NULL) == VG_OK && without.text[id] &&
            *without.text[id])
            snprintf(text, size, "%s (%s)", without.text[id], decided_by(id));
    }
    vg_settings_deinit(&without);
    return text;
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* Where `message` names the setting, as key or as --flag, and not as a part of another word; NULL: nowhere. */
static const char *named_in(const char *message, const vg_option *o, bool as_flag)
{
    char buf[64];
    const char *name = as_flag ? vg_option_flag(o, buf, sizeof buf) : o->key;
    size_t length = strlen(name);
    for (const char *at = message; (at = strstr(at, name)); at++) {
        bool dashes = at > message + 1 && at[-1] == '-' && at[-2] == '-';
        bool begins = as_flag ? dashes : at == message || !in_word(at[-1]);
        if (begins && !in_word(at[length]))
            return at;
    }
    return NULL;
}

const char *vg_tui_form_field_of(const char *message)
{
    const char *best = vg_options[VG_OPT_model].key, *at = NULL;
    /* "mode i2v needs a picture: give --image": what to give is where to go, unless the line begins with its subject. */
    bool subject = message[0] != '-' && message[strcspn(message, ": ")] == ':';
    for (int as_flag = !subject; as_flag >= 0 && !at; as_flag--) {
        for (int i = 0; i < VG_OPT_COUNT; i++) {
            const char *found = named_in(message, &vg_options[i], as_flag);
            if (found && vg_option_has(&vg_options[i], VG_OPTION_FORM) && i != VG_OPT_model &&
                (!at || found < at)) {
                at = found;
                best = vg_options[i].key;
            }
        }
    }
    return best;
}

bool vg_tui_form_check(vg_tui_form *form, const char **key, char *message, size_t size)
{
    message[0] = 0;
    resolve(form);
    if (!vg_settings_has_prompt(&form->settings)) {
        *key = vg_options[VG_OPT_prompt].key;
        snprintf(message, size, "write what the clip shall show");
        return false;
    }
    if (form->resolve_err.code != VG_OK) {
        *key = vg_tui_form_field_of(form->resolve_err.message);
        vg_text_clean_to(message, size, form->resolve_err.message);
        return false;
    }
    return true;
}

vg_ui_plan vg_tui_form_plan(vg_tui_form *form)
{
    resolve(form);
    return (vg_ui_plan){.rows = form->rows,
                        .count = form->rows_count,
                        .available = form->available,
                        .note = form->plan_note};
}
