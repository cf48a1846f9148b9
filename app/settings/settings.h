/* settings.h: the options table (options.def) as data, and one set of values. A value is kept as checked, canonical text; NULL is
 * "unset", which means the default of the row, and where that is "" the checkpoint's own value. */
#ifndef VG_APP_SETTINGS_SETTINGS_H
#define VG_APP_SETTINGS_SETTINGS_H

#include "kernels/base/text.h"
#include "engine/run/run.h"
#include "kernels/base/json.h"

typedef enum vg_option_type {
    VG_TYPE_STRING,
    VG_TYPE_TEXT,
    VG_TYPE_INT,
    VG_TYPE_REAL,
    VG_TYPE_BOOL,
    VG_TYPE_ENUM,
    VG_TYPE_LIST,
    VG_TYPE_PATH,
    VG_TYPE_SEED
} vg_option_type;

typedef enum vg_option_id {
#define VG_OPTION(key, type, def, min, max, unit, choices, flags, group, label, help) VG_OPT_##key,
#include "app/settings/options.def"
    VG_OPT_COUNT
} vg_option_id;

typedef struct vg_option {
    const char *key; /* "num_frames" */
    vg_option_type type;
    const char *def;
    double min, max; /* both 0: no range */
    const char *unit, *choices, *flags, *group, *label, *help;
} vg_option;

extern const vg_option vg_options[VG_OPT_COUNT];

/* By key or flag spelling ("num_frames", "num-frames"); -1 when there is none. */
int vg_option_find(const char *name);
bool vg_option_has(const vg_option *option, char flag);
/* The flag without dashes: "num-frames". */
const char *vg_option_flag(const vg_option *option, char *buf, size_t size);
/* What a right value is: "a whole number from 16 to 8192", "one of bf16, fp8". */
const char *vg_option_expects(const vg_option *option, char *buf, size_t size);
/* Split "a|b|c"; the list is a static-lifetime copy for this option, NULL-terminated; NULL when there are no choices. */
int vg_option_choices(const vg_option *option, vg_lines *choices);

typedef struct vg_settings {
    char *text[VG_OPT_COUNT]; /* NULL = unset */
} vg_settings;                /* all zero = nothing set */

void vg_settings_deinit(vg_settings *s);
void vg_settings_copy(vg_settings *to, const vg_settings *from);  /* to: deinitialised or zero */
void vg_settings_merge(vg_settings *to, const vg_settings *from); /* what `from` sets wins */
void vg_settings_unset(vg_settings *s, vg_option_id id);

/* Check and set. "" unsets all but texts, where it is the empty text. VG_E_ARG: one line naming key, value and what is right. */
vg_status vg_settings_set(vg_settings *s, vg_option_id id, const char *text, vg_err *err);
bool vg_settings_is_set(const vg_settings *s, vg_option_id id);
bool vg_settings_has_prompt(const vg_settings *s); /* there is one, and not of blanks only */
const char *vg_settings_get(const vg_settings *s,
                            vg_option_id id); /* value, else default, else ""; borrowed */
int vg_settings_int(const vg_settings *s, vg_option_id id);     /* VG_UNSET_INT when unset */
double vg_settings_real(const vg_settings *s, vg_option_id id); /* VG_UNSET_DOUBLE when unset */
bool vg_settings_bool(const vg_settings *s, vg_option_id id);
uint64_t vg_settings_seed(const vg_settings *s);
/* The schemes of `quantization` in order; returns the count (1 to VG_SCHEME_COUNT). */
int vg_settings_schemes(const vg_settings *s, vg_scheme schemes[VG_SCHEME_COUNT]);

/* {"height": 96, ...} of what is set. Caller deletes. */
cJSON *vg_settings_to_json(const vg_settings *s);
/* Take in every known key of an object. Unknown keys become warnings with the nearest match; keys that begin with '_' are comments; null leaves
 * the value alone. A wrong type or value is VG_E_FORMAT naming `name` (the file), the key and what would be right; s is then unchanged. */
vg_status vg_settings_from_json(vg_settings *s, const cJSON *object, const char *name,
                                vg_lines *warnings, vg_err *err);

vg_load_format vg_settings_load_format(const vg_settings *s);
/* Fill the engine's parameters for one scheme. Strings are borrowed from s. */
void vg_settings_params(const vg_settings *s, vg_scheme scheme, vg_generate_params *params);
/* The values that vg_model_defaults found, back into settings (sizes, steps, guidance, ..., all set). */
vg_status vg_settings_take_resolved(vg_settings *s, const vg_generate_params *params, vg_err *err);

/* "96x160x17, 20 steps, seed 42" into buf. Unset values are left out. */
const char *vg_settings_summary(const vg_settings *s, char *buf, size_t size);
#endif
