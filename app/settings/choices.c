/* choices.c: see choices.h. */
#include "app/settings/choices.h"

const char vg_choices_none[] = "|";

const char vg_choices_attention[] =
#define VG_ATTEND(id, name, label, of_id, help) "|" name
#include "engine/layers/attention_modes.def"
#undef VG_ATTEND
    ;

const char vg_choices_attention_kernel[] =
#define VG_ATTENTION_KERNEL(id, name, help) "|" name
#include "kernels/backend/attention_kernels.def"
#undef VG_ATTENTION_KERNEL
    ;

const char vg_choices_attention_recipe[] =
#define VG_ATTEND_RECIPE(id, name, k_mean, rotation, v_mean) "|" name
#include "engine/layers/attention_recipes.def"
#undef VG_ATTEND_RECIPE
    ;

const char vg_choices_compute[] =
#define VG_COMPUTE(id, name) "|" name
#include "engine/run/computes.def"
#undef VG_COMPUTE
    ;

const char vg_choices_device[] =
#define VG_DEVICE_KIND(id, name) "|" name
#include "kernels/backend/device_kinds.def"
#undef VG_DEVICE_KIND
    ;

const char vg_choices_flow_grid[] =
#define VG_FLOW_GRID(id, name) "|" name
#include "engine/sampling/flow_grids.def"
#undef VG_FLOW_GRID
    ;

const char vg_choices_fp8_act[] =
#define VG_FP8_ACT(id, name) "|" name
#include "engine/layers/fp8_acts.def"
#undef VG_FP8_ACT
    ;

const char vg_choices_fp8_sums[] = "|fast|exact";

const char vg_choices_load_format[] =
#define VG_LOAD(id, name) "|" name
#include "engine/run/load_formats.def"
#undef VG_LOAD
    ;

const char vg_choices_mode[] =
#define VG_MODE(name) "|" name
#include "engine/family/modes.def"
#undef VG_MODE
    ;

const char vg_choices_scheduler[] =
#define VG_SCHEDULER(id, help) "|" #id
#include "engine/sampling/schedulers.def"
#undef VG_SCHEDULER
    ;

const char vg_choices_scheme[] =
#define VG_SCHEME(id, name, label, granularity, help) "|" name
#include "engine/layers/schemes.def"
#undef VG_SCHEME
    ;
