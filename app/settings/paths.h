/* paths.h: where things live: the XDG folders of a person, and the presets that came with the program. All results are malloc'd and absolute. */
#ifndef VG_APP_SETTINGS_PATHS_H
#define VG_APP_SETTINGS_PATHS_H

#include "kernels/base/text.h"
#include "kernels/base/fileio.h"

/* Is there a home, or what stands for it? A folder that others can write, as /tmp, never does. To be asked before any of the others. VG_E_IO. */
vg_status vg_paths_check(vg_err *err);
char *vg_paths_state(void);  /* $XDG_STATE_HOME/vgen, ~/.local/state/vgen */
char *vg_paths_cache(void);  /* $XDG_CACHE_HOME/vgen */
char *vg_paths_config(void); /* $XDG_CONFIG_HOME/vgen */
/* The jobs folder: `given` made absolute, else state/jobs. Not created. */
char *vg_paths_jobs(const char *given);
char *vg_paths_user_presets(void); /* config/presets */
/* Where presets are looked for, in order: VGEN_PRESETS_DIR, the person's own, beside the program (../share/vgen/presets), the source tree,
 * the installed place. Only folders that exist, each once. */
void vg_paths_presets(vg_lines *dirs);
/* Absolute form of a path that need not exist; "~/" is not expanded (the shell does that). */
char *vg_paths_absolute(const char *path);
#endif
