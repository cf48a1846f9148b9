/* tui_models.h: the checkpoints of this machine, for the list of the model field. */
#ifndef VG_APP_TUI_TUI_MODELS_H
#define VG_APP_TUI_TUI_MODELS_H

#include "kernels/base/text.h"
#include "ui/host/models.h"

typedef struct vg_tui_models {
    vg_lines names, what;
    vg_ui_model *list;
    int count;
} vg_tui_models; /* all zero: none */

/* Free the list; all zero afterwards. */
void vg_tui_models_deinit(vg_tui_models *models);
/* Fill the calls that the screens make; valid as long as models, which must not move. */
void vg_tui_models_host(vg_tui_models *models, vg_ui_models_host *host);
#endif
