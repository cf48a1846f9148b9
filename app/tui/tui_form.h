/* tui_form.h: the setup form: settings as fields, what the checkpoint would choose, whether it all fits together, and the memory forecast. */
#ifndef VG_APP_TUI_TUI_FORM_H
#define VG_APP_TUI_TUI_FORM_H

#include "app/settings/variants.h"
#include "ui/host/form.h"

typedef struct vg_tui_form {
    vg_settings settings;
    vg_ui_field fields[VG_OPT_COUNT]; /* those that are shown */
    vg_lines choices[VG_OPT_COUNT];   /* NULL-terminated */
    bool choices_ready;
    /* the model that the form names, open while the name stays */
    char *model_name;
    vg_model *model;
    vg_lines modes; /* of the model; NULL-terminated */
    vg_err model_err;
    bool default_is_cuda; /* where a job runs that names no device */
    uint64_t gpu_limit;   /* bytes that it may take on the GPU, 0 unknown */
    /* recomputed when `dirty` */
    bool dirty;
    vg_settings resolved;
    vg_err resolve_err; /* code VG_OK when the form is right */
    vg_ui_plan_row rows[VG_PLAN_STAGES_MAX];
    char row_names[VG_PLAN_STAGES_MAX][32];
    int rows_count;
    char plan_note[VG_ERR_MESSAGE_MAX];
    char cpu_reason[256]; /* why it is not a GPU, "" otherwise */
    uint64_t available;
    char default_text[VG_OPT_COUNT][160];
} vg_tui_form;

/* settings: copied. The model is opened when the form is first asked for something. */
void vg_tui_form_init(vg_tui_form *form, const vg_settings *settings);
/* Free everything and close the model. */
void vg_tui_form_deinit(vg_tui_form *form);
/* What is known of the device by now (tui_device.h). */
/* reason: why it is not a GPU, "" otherwise. */
void vg_tui_form_set_device(vg_tui_form *form, bool is_cuda, uint64_t limit, const char *reason);
/* Borrowed until the next call. A setting of modes that the model has not is there only while it has a value. */
const vg_ui_field *vg_tui_form_fields(vg_tui_form *form, int *count);
/* What an unset field of this key comes to: the option's default, else what the checkpoint decides; "" unknown. Borrowed until the next call. */
const char *vg_tui_form_default(vg_tui_form *form, const char *key);
/* The field that a message of the engine speaks of: the first that it names, else the model. */
const char *vg_tui_form_field_of(const char *message);
/* Can a job start with it? If not: *key is the field to go to, `message` why, cleaned for the screen. */
bool vg_tui_form_check(vg_tui_form *form, const char **key, char *message, size_t size);
/* Memory of each stage; rows and note are borrowed until the form changes. */
vg_ui_plan vg_tui_form_plan(vg_tui_form *form);
#endif
