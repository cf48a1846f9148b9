/* settings_params.c: settings as the engine's parameters, to and fro. See settings.h. */
#include "app/settings/settings.h"

#include <stdio.h>
#include <stdlib.h>

vg_load_format vg_settings_load_format(const vg_settings *s)
{
    return (vg_load_format)vg_settings_choice(s, VG_OPT_load_format);
}

vg_attention_request vg_settings_attention(const vg_settings *s)
{
    return (vg_attention_request){
        .mode = (vg_attend)vg_settings_choice(s, VG_OPT_attention),
        .recipe = (vg_attend_recipe)vg_settings_choice(s, VG_OPT_attention_recipe),
        .first_blocks = vg_settings_int(s, VG_OPT_attention_first_blocks),
        .last_blocks = vg_settings_int(s, VG_OPT_attention_last_blocks),
        .first_steps = vg_settings_int(s, VG_OPT_attention_first_steps),
        .last_steps = vg_settings_int(s, VG_OPT_attention_last_steps),
        .limit = vg_settings_real(s, VG_OPT_attention_limit),
        .self_test = vg_settings_bool(s, VG_OPT_attention_self_test)};
}

void vg_settings_params(const vg_settings *s, vg_generate_params *p)
{
    vg_scheme schemes[VG_SCHEME_COUNT];
    const char *text;
    vg_generate_params_init(p);
    p->inputs.prompt = vg_settings_get(s, VG_OPT_prompt);
    p->inputs.negative_prompt = vg_settings_get(s, VG_OPT_negative_prompt);
    text = vg_settings_get(s, VG_OPT_mode);
    p->mode = *text ? text : NULL;
    p->seed = vg_settings_seed(s);
    p->height = vg_settings_int(s, VG_OPT_height);
    p->width = vg_settings_int(s, VG_OPT_width);
    p->num_frames = vg_settings_int(s, VG_OPT_num_frames);
    p->steps = vg_settings_int(s, VG_OPT_num_inference_steps);
    p->guidance_scale = vg_settings_real(s, VG_OPT_guidance_scale);
    p->guidance_scale_2 = vg_settings_real(s, VG_OPT_guidance_scale_2);
    p->boundary_ratio = vg_settings_real(s, VG_OPT_boundary_ratio);
    p->flow_shift = vg_settings_real(s, VG_OPT_flow_shift);
    p->conditioning_scale = vg_settings_real(s, VG_OPT_conditioning_scale);
    text = vg_settings_get(s, VG_OPT_scheduler);
    p->scheduler = *text ? text : NULL;
    p->flow_grid = vg_settings_choice(s, VG_OPT_flow_grid); /* -1 is VG_UNSET_INT */
    p->scheme = vg_settings_schemes(s, schemes) ? schemes[0] : VG_SCHEME_BF16;
    p->precision = vg_settings_get(s, VG_OPT_precision);
    p->ignore_layers = vg_settings_get(s, VG_OPT_ignore_layers);
    p->fp8_act = (vg_fp8_act)vg_settings_choice(s, VG_OPT_fp8_act);
    p->fp8_exact = vg_settings_choice(s, VG_OPT_fp8_sums) != 0;
    p->compute = (vg_compute)vg_settings_choice(s, VG_OPT_compute);
    p->vae_compute = (vg_compute)vg_settings_choice(s, VG_OPT_vae_compute);
    p->attention_kernel = (vg_attention_kernel)vg_settings_choice(s, VG_OPT_attention_kernel);
    p->attention = vg_settings_attention(s);
    p->vae_tiling = vg_settings_bool(s, VG_OPT_vae_use_tiling);
    p->max_steps_run = vg_settings_int(s, VG_OPT_max_steps_run);
    int device = vg_settings_choice(s, VG_OPT_device);
    p->device = device < 0 ? VG_DEVICE_CPU : (vg_device_kind)device;
    double limit = vg_settings_real(s, VG_OPT_vram_limit);
    p->memory_limit = limit > 0 ? (size_t)(limit * 1073741824.0) : 0;
}

static vg_status take_int(vg_settings *s, vg_option_id id, int value, vg_err *err)
{
    char text[32];
    snprintf(text, sizeof text, "%d", value);
    return value == VG_UNSET_INT ? VG_OK : vg_settings_set(s, id, text, err);
}

static vg_status take_real(vg_settings *s, vg_option_id id, double value, vg_err *err)
{
    if (value == VG_UNSET_DOUBLE)
        return VG_OK;
    char *text = vg_text_real(value);
    vg_status status = vg_settings_set(s, id, text, err);
    free(text);
    return status;
}

vg_status vg_settings_take_resolved(vg_settings *s, const vg_generate_params *p, vg_err *err)
{
    VG_TRY(take_int(s, VG_OPT_height, p->height, err));
    VG_TRY(take_int(s, VG_OPT_width, p->width, err));
    VG_TRY(take_int(s, VG_OPT_num_frames, p->num_frames, err));
    VG_TRY(take_int(s, VG_OPT_num_inference_steps, p->steps, err));
    VG_TRY(take_real(s, VG_OPT_guidance_scale, p->guidance_scale, err));
    VG_TRY(take_real(s, VG_OPT_guidance_scale_2, p->guidance_scale_2, err));
    VG_TRY(take_real(s, VG_OPT_boundary_ratio, p->boundary_ratio, err));
    VG_TRY(take_real(s, VG_OPT_flow_shift, p->flow_shift, err));
    if (p->mode)
        VG_TRY(vg_settings_set(s, VG_OPT_mode, p->mode, err));
    if (p->scheduler)
        VG_TRY(vg_settings_set(s, VG_OPT_scheduler, p->scheduler, err));
    if (p->flow_grid != VG_UNSET_INT)
        VG_TRY(vg_settings_set(s, VG_OPT_flow_grid, vg_flow_grid_name((vg_flow_grid)p->flow_grid),
                               err));
    return VG_OK;
}
