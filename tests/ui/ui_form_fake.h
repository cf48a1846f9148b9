/* ui_form_fake.h: a setup form for the tests of the screens: the fields are the rows of app/settings/options.def, what the checkpoint would choose
 * and the memory forecast are made up, so that no golden hangs on a model. */
#ifndef VG_TESTS_UI_UI_FORM_FAKE_H
#define VG_TESTS_UI_UI_FORM_FAKE_H

#include "app/settings/choices.h"
#include "engine/run/limits.h"
#include "ui/host/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fake_form {
    vg_ui_field fields[64];
    char choice_text[64][128];
    const char *choices[64][8];
    double min[64], max[64];
    char *values[64];
    char defaults[64][96];
    int fields_count;
    vg_ui_plan_row plan_rows[5];
    bool small_memory, more_stages;
    bool pictures; /* the model takes some */
    void *owner;   /* of the form: who starts jobs from it */
} fake_form;

static inline const vg_ui_field *fake_fields(void *self, int *count)
{
    fake_form *f = self;
    *count = f->fields_count;
    return f->fields;
}

static inline int fake_find(fake_form *f, const char *key)
{
    for (int i = 0; i < f->fields_count; i++)
        if (strcmp(f->fields[i].key, key) == 0)
            return i;
    return -1;
}

static inline const char *fake_value(void *self, const char *key)
{
    fake_form *f = self;
    int i = fake_find(f, key);
    return i < 0 || !f->values[i] ? "" : f->values[i];
}

static inline const char *fake_default(void *self, const char *key)
{
    fake_form *f = self;
    int i = fake_find(f, key);
    return i < 0 ? "" : f->defaults[i];
}

static inline bool fake_set(void *self, const char *key, const char *text, char *message,
                            size_t size)
{
    fake_form *f = self;
    int i = fake_find(f, key);
    if (i < 0)
        return false;
    if ((f->fields[i].kind == VG_UI_INT || f->fields[i].kind == VG_UI_REAL) && text[0]) {
        char *end;
        double v = strtod(text, &end);
        if (*end || end == text) {
            snprintf(message, size, "\"%.20s\" is not a number", text);
            return false;
        }
        if (f->max[i] > f->min[i] && (v < f->min[i] || v > f->max[i])) {
            snprintf(message, size, "%.20s is outside %g to %g", text, f->min[i], f->max[i]);
            return false;
        }
    }
    free(f->values[i]);
    f->values[i] = strdup(text);
    return true;
}

/* Three files: pictures/{first,last}.png and pictures/more/. */
static inline void fake_complete(void *self, const char *key, const char *text, char *out,
                                 size_t out_size, char *message, size_t size)
{
    static const char *const files[] = {"pictures/first.png", "pictures/last.png",
                                        "pictures/more/"};
    const char *found = NULL;
    int count = 0;
    (void)self, (void)key;
    for (int i = 0; i < 3; i++)
        if (strncmp(files[i], text, strlen(text)) == 0) {
            found = files[i];
            count++;
        }
    snprintf(out, out_size, "%s", count == 1 ? found : count > 1 ? "pictures/" : text);
    snprintf(message, size, "%s",
             count == 0                            ? "no file begins like this"
             : count > 1 && strcmp(out, text) == 0 ? "first.png  last.png  more/"
                                                   : "");
}

static inline bool fake_check(void *self, const char **key, char *message, size_t size)
{
    fake_form *f = self;
    if (!fake_value(self, "prompt")[0]) {
        *key = "prompt";
        snprintf(message, size, "Prompt: say what the clip shows");
        return false;
    }
    (void)f;
    return true;
}

static inline vg_ui_plan fake_plan(void *self)
{
    fake_form *f = self;
    double h = atof(fake_value(self, "height")), w = atof(fake_value(self, "width"));
    double scale = (h > 0 ? h : 96) * (w > 0 ? w : 160) / (96.0 * 160.0);
    static const char *const stages[] = {"text encoder", "high-noise expert", "low-noise expert",
                                         "decode"};
    static const char *const more_stages[] = {"text", "calibrate", "transformer", "transformer_2",
                                              "decode"};
    static const double mib[] = {64, 140, 140, 412}, more_mib[] = {6, 78.3, 14.3, 14.3, 412};
    int count = f->more_stages ? 5 : 4;
    for (int i = 0; i < count; i++)
        f->plan_rows[i] = (vg_ui_plan_row){
            f->more_stages ? more_stages[i] : stages[i],
            (uint64_t)((f->more_stages ? more_mib[i] : mib[i]) * (i ? scale : 1) * 1024) << 10,
            i == count - 1};
    return (vg_ui_plan){f->plan_rows, count, f->small_memory ? 300ull << 20 : 8ull << 30,
                        "300 tokens, 0.004 TFLOP a step"};
}

static inline const char *const *fake_presets(void *self)
{
    static const char *const names[] = {
        "demo", "demo-3-schemes", "wan2.2-t2v-a14b-480p", "wan2.2-t2v-a14b-720p", "wan2.1-t2v-1.3b",
        NULL};
    (void)self;
    return names;
}

static inline bool fake_preset_load(void *self, const char *name, char *message, size_t size)
{
    fake_set(self, "prompt", "a big red ball moving right on a teal background", message, size);
    fake_set(self, "quantization", strstr(name, "3") ? "bf16,fp8,fp8-block" : "bf16,fp8", message,
             size);
    message[0] = 0;
    if (strstr(name, "720p"))
        snprintf(message, size, "unknown key \"sampel_steps\": did you mean sample_steps?");
    return true;
}

static inline bool fake_preset_save(void *self, const char *name, char *message, size_t size)
{
    (void)self;
    snprintf(message, size, "saved /home/person/.config/vgen/presets/%.40s.json", name);
    return true;
}

static inline vg_ui_kind fake_kind_of(const char *type)
{
    return strcmp(type, "TEXT") == 0   ? VG_UI_TEXT
           : strcmp(type, "INT") == 0  ? VG_UI_INT
           : strcmp(type, "REAL") == 0 ? VG_UI_REAL
           : strcmp(type, "BOOL") == 0 ? VG_UI_BOOL
           : strcmp(type, "ENUM") == 0 ? VG_UI_CHOICE
           : strcmp(type, "LIST") == 0 ? VG_UI_CHOICES
           : strcmp(type, "PATH") == 0 ? VG_UI_PATH
                                       : VG_UI_LINE;
}

static inline void fake_field(fake_form *f, const char *key, const char *type, const char *standard,
                              double min, double max, const char *unit, const char *choices,
                              const char *modes, const char *flags, const char *group,
                              const char *label, const char *help)
{
    if (!strchr(flags, 'F') || (modes[0] && !f->pictures))
        return;
    int i = f->fields_count++, n = 0;
    snprintf(f->choice_text[i], sizeof f->choice_text[i], "%s", choices);
    for (char *c = strtok(f->choice_text[i], "|"); c && n < 7; c = strtok(NULL, "|"))
        f->choices[i][n++] = c;
    f->fields[i] =
        (vg_ui_field){.key = key,
                      .label = label,
                      .unit = strcasestr(label, unit) ? "" : unit,
                      .help = help,
                      .group = group,
                      .kind = strcmp(key, "model") == 0 ? VG_UI_MODEL : fake_kind_of(type),
                      .choices = n ? f->choices[i] : NULL,
                      .advanced = strchr(flags, 'H') != NULL};
    f->min[i] = min, f->max[i] = max;
    f->values[i] = strdup(standard);
    const char *own = strcmp(key, "height") == 0                ? "96 (checkpoint)"
                      : strcmp(key, "width") == 0               ? "160 (checkpoint)"
                      : strcmp(key, "num_frames") == 0          ? "17 (checkpoint)"
                      : strcmp(key, "num_inference_steps") == 0 ? "20 (checkpoint)"
                      : standard[0]                             ? standard
                                                                : "(checkpoint)";
    snprintf(f->defaults[i], sizeof f->defaults[i], "%s", own);
}

/* The form of a model that takes pictures, or none. */
static inline void fake_fill_form(fake_form *f, bool pictures)
{
    char ignored[64];
    for (int i = 0; i < f->fields_count; i++)
        free(f->values[i]);
    f->fields_count = 0;
    f->pictures = pictures;
#define VG_OPTION(key, type, standard, min, max, unit, choices, decides, modes, flags, group,      \
                  label, help)                                                                     \
    fake_field(f, #key, #type, standard, min, max, unit, VG_CHOICES(choices), modes, flags, group, \
               label, help);
#include "app/settings/options.def"
    fake_preset_load(f, "demo", ignored, sizeof ignored);
}

static inline const vg_ui_model *fake_models(void *self, int *count)
{
    static const vg_ui_model models[] = {
        {"demo", "wan  t2v  19.6 MiB  bf16", true},
        {"Wan-AI/Wan2.2-T2V-A14B-Diffusers", "wan  t2v  118 GiB  bf16", true},
        {"Wan-AI/Wan2.1-T2V-14B-Diffusers", "transformer: 2 of 12 files are missing", false}};
    (void)self;
    *count = 3;
    return models;
}

static inline void fake_form_init(fake_form *f, void *owner)
{
    *f = (fake_form){.owner = owner};
    fake_fill_form(f, false);
}

static inline void fake_form_deinit(fake_form *f)
{
    for (int i = 0; i < f->fields_count; i++)
        free(f->values[i]);
}
#endif
