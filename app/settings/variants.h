/* variants.h: what a job compares. A variant is a label and the settings in which it differs from the others: another scheme, another seed,
 * another kernel, another model folder. All else they share. The first one is the reference. */
#ifndef VG_APP_SETTINGS_VARIANTS_H
#define VG_APP_SETTINGS_VARIANTS_H

#include "app/settings/settings.h"

#define VG_VARIANTS_MAX            16
#define VG_VARIANT_ID_BYTES_MAX    40
#define VG_VARIANT_LABEL_BYTES_MAX 64

typedef struct vg_variant {
    char *id;    /* "other-seed": of its folder, events and files; a-z 0-9 . _ - */
    char *label; /* "other seed": for people; UTF-8 without controls */
    bool named;  /* by a person, not by its scheme */
    vg_settings
        overlay; /* of rows that may differ; `quantization` is always there, and one scheme */
} vg_variant;

typedef struct vg_variants { /* all zero = none */
    vg_variant *items;
    int count;
} vg_variants;
/* Free all items; none are left afterwards. */
void vg_variants_deinit(vg_variants *v);
void vg_variants_copy(vg_variants *to, const vg_variants *from); /* to: zero */

/* What `shared` and the texts of --variant ask for: one variant for each scheme of `quantization`, then one for each text, on the first scheme
 * unless it names another. A text that changes nothing of a variant that is there names that one, so that the reference can be named too.
 *   texts  "label: key=value,key=value"; the label may be left out; a value with commas stands in quotes
 * Errors: VG_E_ARG in one line naming variant, key, and the nearest that is right. */
vg_status vg_variants_make(const vg_settings *shared, const char *const *texts, int texts_count,
                           vg_variants *variants, vg_err *err);

/* Every setting of a variant, as a run takes them. out: deinitialised or zero. */
void vg_variant_settings(const vg_settings *shared, const vg_variant *variant, vg_settings *out);
/* The one scheme of its overlay. */
vg_scheme vg_variant_scheme(const vg_variant *variant);
void vg_variant_rename(vg_variant *variant, const char *label); /* the id stays */

/* As vg_settings_to_json, with the scheme as one word instead of a list. Caller deletes. */
cJSON *vg_variant_overlay_json(const vg_settings *overlay);
/* {"id", "label", "settings"} of one. Caller deletes. */
cJSON *vg_variant_to_json(const vg_variant *variant);
/* Append what such an object says; {"quantization": "fp8"} alone is a scheme, as the first version of job.json has it. VG_E_FORMAT names `name`,
 * the file; an id that is there already, or one more than VG_VARIANTS_MAX, too. */
vg_status vg_variants_add_json(vg_variants *variants, const cJSON *object, const char *name,
                               vg_err *err);
#endif
