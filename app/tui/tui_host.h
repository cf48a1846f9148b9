/* tui_host.h: ui/host.h over job directories. Owns inotify, the loader and export threads, and the processes it starts. */
#ifndef VG_APP_TUI_TUI_HOST_H
#define VG_APP_TUI_TUI_HOST_H

#include "app/settings/settings.h"
#include "ui/host.h"

typedef struct vg_tui_host vg_tui_host;

/* jobs_dir: NULL for the usual one. form: copied. The folder of jobs is made when missing. */
vg_status vg_tui_host_open(const char *jobs_dir, const vg_settings *form, vg_tui_host **host,
                           vg_err *err);
void vg_tui_host_close(vg_tui_host *host);
const vg_ui_host *vg_tui_host_table(vg_tui_host *host);

/* The form as it was when a job was last started; false when there is none. */
bool vg_tui_host_last_form(vg_settings *form);
#endif
