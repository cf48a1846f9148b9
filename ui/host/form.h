/* form.h: the setup form as the screens see it: settings as fields with values, presets, the memory forecast, and the way to start. */
#ifndef VG_UI_HOST_FORM_H
#define VG_UI_HOST_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum vg_ui_kind {
    VG_UI_TEXT,
    VG_UI_LINE,
    VG_UI_MODEL, /* a line, with the models of models.h to choose from */
    VG_UI_PATH,  /* a line that names a file; complete() goes on with it */
    VG_UI_INT,
    VG_UI_REAL,
    VG_UI_BOOL,
    VG_UI_CHOICE,
    VG_UI_CHOICES /* several at once, a comma list */
} vg_ui_kind;

typedef struct vg_ui_field {
    const char *key, *label, *help, *group;
    const char *unit; /* behind a value; "" where the label says it */
    vg_ui_kind kind;
    const char *const *choices; /* of CHOICE and CHOICES, NULL-terminated; else NULL */
    bool advanced;              /* shown when the person asks for all settings */
} vg_ui_field;

typedef struct vg_ui_plan_row {
    const char *stage;
    uint64_t bytes;
    bool peak;
} vg_ui_plan_row;
typedef struct vg_ui_plan {
    const vg_ui_plan_row *rows;
    int count;
    uint64_t available; /* bytes free where it would run, 0 unknown */
    const char *note;   /* "300 tokens, 0.004 TFLOP a step" or what is wrong */
} vg_ui_plan;

typedef struct vg_ui_form_host {
    void *self;
    /* Those that have a place on the form, in its order; what the model cannot take has none. */
    const vg_ui_field *(*fields)(void *self, int *count);
    /* Current text of a field ("" = unset; then default_text says what will be used, e.g. "5 (checkpoint)"). Borrowed until set. */
    const char *(*value)(void *self, const char *key);
    const char *(*default_text)(void *self, const char *key);
    /* Try to set; false leaves the old value and puts one clear line in message. */
    bool (*set)(void *self, const char *key, const char *text, char *message, size_t message_size);
    /* Go on with a path that is being typed: *out gets the longest beginning that all files have which fit it; message the names
     * that there are, when there are several, or that there is none. */
    void (*complete)(void *self, const char *key, const char *text, char *out, size_t out_size,
                     char *message, size_t message_size);
    /* Check the whole form; false names the field that is wrong (NULL: none in particular). */
    bool (*check)(void *self, const char **key, char *message, size_t message_size);
    vg_ui_plan (*plan)(void *self);
    /* Presets by name, NULL-terminated list, borrowed until the next call. */
    const char *const *(*presets)(void *self);
    bool (*preset_load)(void *self, const char *name, char *message,
                        size_t message_size); /* message may carry warnings on success */
    bool (*preset_save)(void *self, const char *name, char *message, size_t message_size);
    /* Fill the form with a job's settings. */
    bool (*take_job)(void *self, const char *id, char *message, size_t message_size);
    /* Start the form's job in a process of its own; id of the new job in `id`. False: as check. */
    bool (*start)(void *self, char *id, size_t id_size, const char **key, char *message,
                  size_t message_size);
} vg_ui_form_host;
#endif
