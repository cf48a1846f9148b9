/* tui_setup.h: the setup form with what is around it: presets, a job's settings as the form's, and starting a job from it. */
#ifndef VG_APP_TUI_TUI_SETUP_H
#define VG_APP_TUI_TUI_SETUP_H

#include "app/tui/tui_form.h"
#include "app/tui/tui_store.h"

typedef struct vg_tui_setup {
    vg_tui_form form;
    vg_tui_store *store; /* borrowed */
    vg_lines presets;    /* names, NULL-terminated */
} vg_tui_setup;

/* form: copied. store: borrowed, must outlive it. */
void vg_tui_setup_init(vg_tui_setup *setup, const vg_settings *form, vg_tui_store *store);
/* Free the form and the names of presets. */
void vg_tui_setup_deinit(vg_tui_setup *setup);
/* Fill the calls that the screens make; valid as long as setup, which must not move. */
void vg_tui_setup_host(vg_tui_setup *setup, vg_ui_form_host *host);
/* The form as it was when a job was last started; false when there is none. */
bool vg_tui_setup_last(vg_settings *form);
#endif
