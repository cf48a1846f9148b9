/* recipe.c: how public scripts calibrate and export HunyuanVideo-1.5. Source: modelopt-fp8 1.2, 3.1. */
#include "engine/family/hunyuanvideo15/hv15.h"

static void take_int(int *value, int ours)
{
    if (*value == VG_UNSET_INT)
        *value = ours;
}

static void defaults(const vg_model *model, vg_generate_params *p)
{
    (void)model;
    take_int(&p->height, 480);
    take_int(&p->width, 832);
    take_int(&p->num_frames, 33);
    if (p->guidance_scale == VG_UNSET_DOUBLE)
        p->guidance_scale = 6;
}

static const char *const ignore[] = {"context_embedder*",
                                     "context_embedder_2*",
                                     "cond_type_embed*",
                                     "image_embedder*",
                                     "norm1.linear*",
                                     "norm1_context.linear*",
                                     "norm2*",
                                     "norm2_context*",
                                     "norm_out*",
                                     "proj_out*",
                                     "time_embed*",
                                     "token_refiner*",
                                     "x_embedder*",
                                     NULL};

const vg_export_recipe hv_recipe = {.defaults = defaults, .ignore = ignore, .all_bf16 = true};
