/* tui_setup.c: see tui_setup.h. */
#include "app/tui/tui_setup.h"
#include "app/job/kind.h"

#include <stdlib.h>
#include <string.h>
#include "app/job/job_media.h"
#include "app/settings/paths.h"
#include "app/settings/presets.h"
#include "app/tui/tui_complete.h"
#include "app/tui/tui_say.h"

/* ---- fields ---- */

static const vg_ui_field *fields(void *self, int *count)
{
    return vg_tui_form_fields(&((vg_tui_setup *)self)->form, count);
}

static const char *value(void *self, const char *key)
{
    const vg_tui_setup *s = self;
    int id = vg_option_find(key);
    return id >= 0 && s->form.settings.text[id] ? s->form.settings.text[id] : "";
}

static const char *default_text(void *self, const char *key)
{
    return vg_tui_form_default(&((vg_tui_setup *)self)->form, key);
}

static bool set(void *self, const char *key, const char *text, char *message, size_t size)
{
    vg_tui_setup *s = self;
    vg_err err = {0};
    int id = vg_option_find(key);
    if (id < 0)
        return vg_tui_say(message, size, "there is no such setting");
    if (vg_settings_set(&s->form.settings, (vg_option_id)id, text, &err) != VG_OK) {
        /* The field's name is on the screen already. */
        const char *rest = strstr(err.message, ": ");
        return vg_tui_say(message, size, rest ? rest + 2 : err.message);
    }
    s->form.dirty = true;
    if (message && size)
        message[0] = 0;
    return true;
}

static void complete(void *self, const char *key, const char *text, char *out, size_t out_size,
                     char *message, size_t size)
{
    (void)self; /* all paths of the form are pictures and clips */
    int option = vg_option_find(key);
    const char *last = option >= 0 && vg_options[option].type == VG_TYPE_PATHS
                           ? strrchr(text, VG_PATHS_BETWEEN[0])
                           : NULL;
    size_t before = last ? (size_t)(last + 1 - text) + strspn(last + 1, " ") : 0;
    if (before >= out_size)
        before = 0;
    memcpy(out, text, before); /* one of several goes on behind the others */
    vg_tui_complete(text + before, vg_job_media_kinds(key), out + before, out_size - before,
                    message, size);
}

static bool check(void *self, const char **key, char *message, size_t size)
{
    return vg_tui_form_check(&((vg_tui_setup *)self)->form, key, message, size);
}

static vg_ui_plan plan(void *self)
{
    return vg_tui_form_plan(&((vg_tui_setup *)self)->form);
}

/* ---- presets ---- */

static const char *const *presets(void *self)
{
    vg_tui_setup *s = self;
    vg_preset_entry *entries = NULL;
    int count = 0;
    vg_lines_free(&s->presets);
    vg_presets_list(&entries, &count);
    for (int i = 0; i < count; i++)
        vg_lines_add(&s->presets, vg_text_clean(entries[i].name));
    vg_presets_list_free(entries, count);
    vg_lines_add(&s->presets, NULL);
    s->presets.count--;
    return (const char *const *)s->presets.items;
}

static bool preset_load(void *self, const char *name, char *message, size_t size)
{
    vg_tui_setup *s = self;
    vg_settings loaded = {{0}};
    vg_lines warnings = {0};
    vg_err err = {0};
    bool good = vg_presets_load(name, &loaded, &warnings, &err) == VG_OK;
    if (good) {
        /* A preset without a prompt keeps the one that was written. */
        if (!loaded.text[VG_OPT_prompt])
            loaded.text[VG_OPT_prompt] = vg_xstrdup(s->form.settings.text[VG_OPT_prompt]);
        vg_settings_deinit(&s->form.settings);
        s->form.settings = loaded;
        s->form.dirty = true;
        vg_tui_say(message, size, warnings.count ? warnings.items[0] : "");
    } else {
        vg_settings_deinit(&loaded);
        vg_tui_say(message, size, err.message);
    }
    vg_lines_free(&warnings);
    return good;
}

static bool preset_save(void *self, const char *name, char *message, size_t size)
{
    vg_tui_setup *s = self;
    vg_err err = {0};
    char *path = NULL;
    if (vg_presets_save(name, &s->form.settings, NULL, &path, &err) != VG_OK)
        return vg_tui_say(message, size, err.message);
    if (size)
        vg_text_clean_to(message, size, "saved: ");
    size_t n = size ? strlen(message) : 0;
    vg_tui_say(message + n, size - n, path);
    free(path);
    return true;
}

/* ---- jobs ---- */

static char *last_form_path(void)
{
    char *state = vg_paths_state(), *path = vg_xstrf("%s/last-form.json", state);
    free(state);
    return path;
}

bool vg_tui_setup_last(vg_settings *form)
{
    char *path = last_form_path(), *text = NULL;
    size_t size = 0;
    bool good = vg_file_exists(path) && vg_file_read(path, 1u << 20, &text, &size, NULL) == VG_OK &&
                vg_presets_parse(text, size, path, form, NULL, NULL) == VG_OK;
    free(text);
    free(path);
    return good;
}

static void save_last_form(const vg_settings *form)
{
    char *state = vg_paths_state(), *path = last_form_path();
    cJSON *root = vg_settings_to_json(form);
    if (vg_file_make_private_dirs(state, NULL) == VG_OK)
        (void)vg_json_save(path, root, NULL);
    cJSON_Delete(root);
    free(state);
    free(path);
}

static bool start(void *self, char *id, size_t id_size, const char **key, char *message,
                  size_t size)
{
    vg_tui_setup *s = self;
    vg_err err = {0};
    vg_job job = {0};
    *key = NULL;
    if (!vg_tui_form_check(&s->form, key, message, size))
        return false;
    if (vg_job_create(s->store->dir, &vg_job_kind_generate, &s->form.settings, NULL, 0, &job,
                      &err) != VG_OK) {
        *key = vg_tui_form_field_of(err.message);
        return vg_tui_say(message, size, err.message);
    }
    save_last_form(&s->form.settings);
    snprintf(id, id_size, "%s", job.id);
    bool good = vg_tui_store_start(
        s->store, job.dir, vg_settings_int(&s->form.settings, VG_OPT_max_steps_run), message, size);
    vg_job_deinit(&job);
    vg_tui_store_refresh(s->store);
    return good;
}

static bool take_job(void *self, const char *id, char *message, size_t size)
{
    vg_tui_setup *s = self;
    vg_tui_job *job = vg_tui_store_find(s->store, id);
    if (!job)
        return vg_tui_say(message, size, "this job is gone");
    vg_settings_deinit(&s->form.settings);
    vg_settings_copy(&s->form.settings, &job->job.settings);
    vg_job_media_mend(job->job.dir, &job->job.resolved, &s->form.settings);
    /* The form does not show what was written elsewhere, or where that job stopped: another job must not write over its files. */
    static const vg_option_id own[] = {VG_OPT_output, VG_OPT_save_latents, VG_OPT_save_frames,
                                       VG_OPT_max_steps_run};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        vg_settings_unset(&s->form.settings, own[i]);
    s->form.dirty = true;
    return true;
}

/* ---- beginning and end ---- */

void vg_tui_setup_init(vg_tui_setup *s, const vg_settings *form, vg_tui_store *store)
{
    *s = (vg_tui_setup){.store = store};
    vg_tui_form_init(&s->form, form);
}

void vg_tui_setup_deinit(vg_tui_setup *s)
{
    vg_lines_free(&s->presets);
    vg_tui_form_deinit(&s->form);
}

void vg_tui_setup_host(vg_tui_setup *setup, vg_ui_form_host *host)
{
    *host = (vg_ui_form_host){
        .self = setup,
        .fields = fields,
        .value = value,
        .default_text = default_text,
        .set = set,
        .complete = complete,
        .check = check,
        .plan = plan,
        .presets = presets,
        .preset_load = preset_load,
        .preset_save = preset_save,
        .take_job = take_job,
        .start = start,
    };
}
