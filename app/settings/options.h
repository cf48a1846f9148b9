/* options.h: the options table (options.def) as data: what settings there are, and what each of them can be. */
#ifndef VG_APP_SETTINGS_OPTIONS_H
#define VG_APP_SETTINGS_OPTIONS_H

#include "kernels/base/text.h"

typedef enum vg_option_type {
    VG_TYPE_STRING,
    VG_TYPE_TEXT,
    VG_TYPE_INT,
    VG_TYPE_REAL,
    VG_TYPE_BOOL,
    VG_TYPE_ENUM,
    VG_TYPE_LIST,
    VG_TYPE_PATH,
    VG_TYPE_PATHS,
    VG_TYPE_SEED
} vg_option_type;

typedef enum vg_option_id {
#define VG_OPTION(key, type, def, min, max, unit, choices, decides, modes, flags, group, label,    \
                  help)                                                                            \
    VG_OPT_##key,
#include "app/settings/options.def"
    VG_OPT_COUNT
} vg_option_id;

/* Letters of options.def. */
#define VG_OPTION_FORM     'F'
#define VG_OPTION_KEPT     'P'
#define VG_OPTION_HIDDEN   'H'
#define VG_OPTION_QUANTIZE 'Q' /* of vgen quantize alone */
#define VG_OPTION_VARIES   'V'

#define VG_DECIDES_PIXELS     'P'
#define VG_DECIDES_SCALES     'S'
#define VG_DECIDES_CONDITIONS 'C'

typedef struct vg_option {
    const char *key; /* "num_frames" */
    vg_option_type type;
    const char *def;
    double min, max; /* both 0: no range */
    const char *unit, *choices, *decides, *modes, *flags, *group, *label, *help;
} vg_option;

extern const vg_option vg_options[VG_OPT_COUNT];

/* By key or flag spelling ("num_frames", "num-frames"); -1 when there is none. */
int vg_option_find(const char *name);
/* The key that a misspelt one was meant to be, or NULL. */
const char *vg_option_nearest(const char *name);
/* Does its row carry this letter in `flags`? */
bool vg_option_has(const vg_option *option, char flag);
/* Does it decide what: VG_DECIDES_... ? */
bool vg_option_decides(const vg_option *option, char what);
/* Does a run in this mode know the setting? */
bool vg_option_applies(const vg_option *option, const char *mode);
/* The flag without dashes: "num-frames". */
const char *vg_option_flag(const vg_option *option, char *buf, size_t size);
/* What a right value is: "a whole number from 16 to 8192", "one of bf16, fp8". */
const char *vg_option_expects(const vg_option *option, char *buf, size_t size);
/* Split "a|b|c" into `choices`; returns how many. */
int vg_option_choices(const vg_option *option, vg_lines *choices);
/* Which of the choices the word of n bytes is, from 0; -1: none. */
int vg_option_choice(const vg_option *option, const char *word, size_t n);
#endif
