/* variant_text.h: a variant as a person writes it: "label: key=value,key='a, b'". */
#ifndef VG_APP_SETTINGS_VARIANT_TEXT_H
#define VG_APP_SETTINGS_VARIANT_TEXT_H

#include "app/settings/variants.h"

/* Split and check. Without a label, *label is its scheme's when that is all it sets, else its settings. *label is malloc'd, also on failure.
 * VG_E_ARG names the key and the nearest that is right. */
vg_status vg_variant_text_parse(const char *text, char **label, vg_settings *overlay, vg_err *err);
/* Plain UTF-8 of 1 to `most` bytes? VG_E_ARG. */
vg_status vg_variant_label_check(const char *label, size_t most, vg_err *err);
#endif
