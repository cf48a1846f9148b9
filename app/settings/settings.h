/* settings.h: one set of values for the options table (options.h). A value is kept as checked, canonical text; NULL is
 * "unset", which means the default of the row, and where that is "" the checkpoint's own value. */
#ifndef VG_APP_SETTINGS_SETTINGS_H
#define VG_APP_SETTINGS_SETTINGS_H

#include "app/settings/options.h"
#include "engine/run/run.h"
#include "kernels/base/json.h"

#define VG_SEED_RANDOM   "random" /* as a value of `seed` */
#define VG_PATHS_BETWEEN "|"      /* of a PATHS: rare in names, and plain to read in a form */

typedef struct vg_settings {
    char *text[VG_OPT_COUNT]; /* NULL = unset */
} vg_settings;                /* all zero = nothing set */

/* Free all texts; everything is unset afterwards. */
void vg_settings_deinit(vg_settings *s);
void vg_settings_copy(vg_settings *to, const vg_settings *from);  /* to: deinitialised or zero */
void vg_settings_merge(vg_settings *to, const vg_settings *from); /* what `from` sets wins */
/* One setting, also that it is unset. */
void vg_settings_copy_one(vg_settings *to, const vg_settings *from, vg_option_id id);
/* A setting without a value again. */
void vg_settings_unset(vg_settings *s, vg_option_id id);

/* Check and set. "" unsets all but texts, where it is the empty text. VG_E_ARG: one line naming key, value and what is right. */
vg_status vg_settings_set(vg_settings *s, vg_option_id id, const char *text, vg_err *err);
/* Was a value given? The empty text counts as one. */
bool vg_settings_is_set(const vg_settings *s, vg_option_id id);
/* Add one more to a PATHS, behind those that it has. VG_E_ARG: as _set. */
vg_status vg_settings_add_path(vg_settings *s, vg_option_id id, const char *path, vg_err *err);
/* The paths of a PATH or PATHS; returns how many. The caller frees the lines. */
int vg_settings_paths(const vg_settings *s, vg_option_id id, vg_lines *paths);
/* Make the paths of a PATH or PATHS absolute. */
vg_status vg_settings_whole_paths(vg_settings *s, vg_option_id id, vg_err *err);
/* Set a PATH or PATHS to these. */
vg_status vg_settings_set_paths(vg_settings *s, vg_option_id id, const vg_lines *paths,
                                vg_err *err);
bool vg_settings_has_prompt(const vg_settings *s); /* there is one, and not of blanks only */
const char *vg_settings_get(const vg_settings *s,
                            vg_option_id id); /* value, else default, else ""; borrowed */
int vg_settings_int(const vg_settings *s, vg_option_id id);     /* VG_UNSET_INT when unset */
double vg_settings_real(const vg_settings *s, vg_option_id id); /* VG_UNSET_DOUBLE when unset */
/* False when unset and without a default. */
bool vg_settings_bool(const vg_settings *s, vg_option_id id);
/* Of an ENUM: the position of its word among the choices, which is the value of the enum it stands for; -1 when unset. */
int vg_settings_choice(const vg_settings *s, vg_option_id id);
uint64_t vg_settings_seed(const vg_settings *s); /* 0 while it is still to be drawn */
/* A seed that is "random" becomes a number of 32 bits; any other stays. VG_E_IO: the system has no randomness. */
vg_status vg_settings_draw_seed(vg_settings *s, vg_err *err);
/* What a variant of these settings and this scheme is called by both: "FP8 per-tensor + attn8". malloc'd. */
char *vg_settings_scheme_label(const vg_settings *s, vg_scheme scheme);
/* The same for folders and files: "fp8-attn8". malloc'd. */
char *vg_settings_scheme_id(const vg_settings *s, vg_scheme scheme);
/* The schemes of `quantization` in order; returns the count (1 to VG_SCHEME_COUNT). */
int vg_settings_schemes(const vg_settings *s, vg_scheme schemes[VG_SCHEME_COUNT]);

/* {"height": 96, ...} of what is set. Caller deletes. */
cJSON *vg_settings_to_json(const vg_settings *s);
/* Take in every known key of an object. Unknown keys become warnings with the nearest match; keys that begin with '_' are comments; null leaves
 * the value alone. A wrong type or value is VG_E_FORMAT naming `name` (the file), the key and what would be right; s is then unchanged. */
vg_status vg_settings_from_json(vg_settings *s, const cJSON *object, const char *name,
                                vg_lines *warnings, vg_err *err);

/* The load format that the settings ask for, or the option's default. */
vg_load_format vg_settings_load_format(const vg_settings *s);
/* How self-attention is asked for. */
vg_attention_request vg_settings_attention(const vg_settings *s);
/* Fill the engine's parameters, for the first of several schemes. Strings are borrowed from s. */
void vg_settings_params(const vg_settings *s, vg_generate_params *params);
/* The values that vg_model_defaults found, back into settings (sizes, steps, guidance, ..., all set). */
vg_status vg_settings_take_resolved(vg_settings *s, const vg_generate_params *params, vg_err *err);

/* "96x160x17, 20 steps, seed 42" into buf. Unset values are left out. */
const char *vg_settings_summary(const vg_settings *s, char *buf, size_t size);
#endif
