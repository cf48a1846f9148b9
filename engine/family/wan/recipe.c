/* recipe.c: how public scripts calibrate and export Wan. Source: modelopt-fp8 1.2, 2.2, 3.1. */
#include "engine/family/wan/wan.h"

static void take_int(int *value, int ours)
{
    if (*value == VG_UNSET_INT)
        *value = ours;
}

static void defaults(const vg_model *model, vg_generate_params *p)
{
    bool vace = wan_is_vace(wan_config_of(model));
    take_int(&p->height, vace ? 480 : 704);
    take_int(&p->width, vace ? 832 : 1280);
    take_int(&p->num_frames, vace ? 33 : 49);
    if (p->guidance_scale == VG_UNSET_DOUBLE)
        p->guidance_scale = 5;
}

/* Some are names of another engine's modules; readers know the list as a whole. */
static const char *const ignore[] = {
    "condition_embedder*", "norm_out*",          "output_scale_shift_prepare*", "patch_embedding*",
    "proj_out*",           "scale_shift_table*", "timestep_proj_prepare*",      NULL};

static const char *kept(const vg_model *model)
{
    return wan_is_vace(wan_config_of(model)) ? "vace_blocks.*.proj_out=bf16" : NULL;
}

const vg_export_recipe wan_recipe = {.defaults = defaults, .ignore = ignore, .kept = kept};
