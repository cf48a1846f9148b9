/* choices.h: what a setting of a few words can be, from the .def of the enum it stands for: "bf16|fp8|fp8-block". The position of a word is the
 * value of the enum, so a word is never compared anywhere. */
#ifndef VG_APP_SETTINGS_CHOICES_H
#define VG_APP_SETTINGS_CHOICES_H

/* Each begins with a '|' that is no part of it; VG_CHOICES leaves it out. */
extern const char vg_choices_none[];
extern const char vg_choices_attention[];        /* vg_attend */
extern const char vg_choices_attention_kernel[]; /* vg_attention_kernel */
extern const char vg_choices_attention_recipe[]; /* vg_attend_recipe */
extern const char vg_choices_compute[];          /* vg_compute */
extern const char vg_choices_device[];           /* vg_device_kind */
extern const char vg_choices_flow_grid[];        /* vg_flow_grid */
extern const char vg_choices_fp8_act[];          /* vg_fp8_act */
extern const char vg_choices_fp8_sums[];         /* vg_generate_params.fp8_exact: false, true */
extern const char vg_choices_load_format[];      /* vg_load_format */
extern const char vg_choices_mode[];             /* modes of the families */
extern const char vg_choices_scheduler[];        /* rows of schedulers.def */
extern const char vg_choices_scheme[];           /* vg_scheme */

#define VG_CHOICES(name) (vg_choices_##name + 1)
#endif
