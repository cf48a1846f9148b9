/* params.c: the settings of a generation: what is unset comes from the checkpoint, and everything is checked. */
#include "engine/run/denoise.h"
#include "engine/run/limits.h"

#include <string.h>

const char *vg_compute_name(vg_compute compute)
{
    static const char *const names[VG_COMPUTE_COUNT] = {
#define VG_COMPUTE(id, name) name,
#include "engine/run/computes.def"
#undef VG_COMPUTE
    };
    return (unsigned)compute < VG_COMPUTE_COUNT ? names[compute] : "?";
}

void vg_generate_params_init(vg_generate_params *params)
{
    *params = (vg_generate_params){.seed = 42,
                                   .height = VG_UNSET_INT,
                                   .width = VG_UNSET_INT,
                                   .num_frames = VG_UNSET_INT,
                                   .steps = VG_UNSET_INT,
                                   .guidance_scale = VG_UNSET_DOUBLE,
                                   .guidance_scale_2 = VG_UNSET_DOUBLE,
                                   .boundary_ratio = VG_UNSET_DOUBLE,
                                   .flow_shift = VG_UNSET_DOUBLE,
                                   .conditioning_scale = 1,
                                   .flow_grid = VG_UNSET_INT,
                                   .scheme = VG_SCHEME_BF16,
                                   .fp8_act = VG_FP8_ACT_STATIC,
                                   .attention = {.limit = VG_ATTENTION_LIMIT},
                                   .compute = VG_COMPUTE_BF16,
                                   .vae_compute = VG_COMPUTE_F32,
                                   .max_text_tokens = 512,
                                   .max_steps_run = VG_UNSET_INT};
}

static vg_status check_enums(const vg_generate_params *p, vg_err *err)
{
    if ((unsigned)p->scheme >= VG_SCHEME_COUNT || (unsigned)p->fp8_act >= VG_FP8_ACT_COUNT ||
        (unsigned)p->compute >= VG_COMPUTE_COUNT || (unsigned)p->vae_compute >= VG_COMPUTE_COUNT ||
        (unsigned)p->attention_kernel >= VG_ATTENTION_KERNEL_COUNT)
        return VG_FAIL(err, VG_E_ARG,
                       "scheme, fp8_act, compute, vae_compute or attention_kernel is out of range");
    return VG_OK;
}

static vg_status check_size(const char *name, int value, int multiple, vg_err *err)
{
    int nearest = value < multiple ? multiple : (value + multiple / 2) / multiple * multiple;
    if (value < 1 || value > VG_SIDE_MAX || value % multiple != 0)
        return VG_FAIL(err, VG_E_ARG, "%s is %d; it must be a multiple of %d, for example %d", name,
                       value, multiple,
                       nearest > VG_SIDE_MAX ? VG_SIDE_MAX / multiple * multiple : nearest);
    return VG_OK;
}

static vg_status check_length(const vg_geometry *g, const int64_t latent[4], vg_err *err)
{
    for (int i = 0; i < 3; i++)
        if (latent[i + 1] / g->patch[i] > g->longest)
            return VG_FAIL(
                err, VG_E_ARG,
                "this size is %lld patches long in one direction; the model goes to %lld",
                (long long)(latent[i + 1] / g->patch[i]), (long long)g->longest);
    return VG_OK;
}

static vg_status check_init(const vg_generate_params *p, const int64_t latent[4], vg_err *err)
{
    if (!p->init_latents)
        return VG_OK;
    if (!p->init_latents_shape || memcmp(p->init_latents_shape, latent, 4 * sizeof *latent) != 0)
        return VG_FAIL(
            err, VG_E_SHAPE, "the initial latents must be [%lld, %lld, %lld, %lld] for this size",
            (long long)latent[0], (long long)latent[1], (long long)latent[2], (long long)latent[3]);
    return vg_latents_check_finite(p->init_latents, latent, "the initial latents", err);
}

static vg_status check_grid(const vg_model *model, vg_generate_params *p, vg_err *err)
{
    vg_geometry g;
    int64_t latent[4];
    model->family->geometry(model, &g);
    if (g.temporal > 1 && p->num_frames % g.temporal != 1)
        p->num_frames = p->num_frames / g.temporal * g.temporal + 1;
    VG_TRY(check_size("height", p->height, g.spatial * g.patch[1], err));
    VG_TRY(check_size("width", p->width, g.spatial * g.patch[2], err));
    if (model->family->experts_count(model) == 2 && p->boundary_ratio == VG_UNSET_DOUBLE)
        return VG_FAIL(
            err, VG_E_ARG,
            "model_index.json has a transformer_2 but no boundary_ratio; say "
            "--boundary-ratio (the published Wan2.2-A14B: 0.875 text to video, 0.9 image to "
            "video)");
    if (p->flow_grid < 0 || p->flow_grid >= VG_FLOW_GRID_COUNT)
        return VG_FAIL(err, VG_E_ARG, "flow_grid is %d, which is not known", p->flow_grid);
    model->family->latent_shape(model, p, latent);
    VG_TRY(check_length(&g, latent, err));
    return check_init(p, latent, err);
}

static vg_status choose_mode(const vg_model *model, vg_generate_params *p, vg_err *err)
{
    const vg_mode *mode;
    VG_TRY(vg_mode_choose(model->modes, model->modes_count, p->mode, &p->inputs, &mode, err));
    p->mode = mode->name;
    return VG_OK;
}

static vg_status check_frames(const vg_model *model, const vg_generate_params *p, vg_err *err)
{
    const vg_mode *mode = vg_model_mode(model, p);
    if (p->num_frames < mode->frames_min)
        return VG_FAIL(err, VG_E_ARG, "num_frames is %d; mode %s begins at %d", p->num_frames,
                       mode->name, mode->frames_min);
    return VG_OK;
}

vg_status vg_model_check_inputs(const vg_model *model, const vg_generate_params *p, vg_err *err)
{
    const vg_mode *mode = vg_model_mode(model, p);
    if (!mode)
        return VG_FAIL(err, VG_E_ARG, "this model has no mode %.32s; it has: %s",
                       p->mode ? p->mode : "(none)", model->modes_text);
    VG_TRY(vg_mode_check(mode, &p->inputs, err));
    return model->family->check_inputs ? model->family->check_inputs(model, p, err) : VG_OK;
}

vg_status vg_model_defaults(const vg_model *model, vg_generate_params *params, vg_err *err)
{
    vg_generate_params p = *params;
    vg_checkpoint_defaults_apply(&model->own, &p);
    VG_TRY(vg_limits_check(&p, err));
    VG_TRY(check_enums(&p, err));
    VG_TRY(vg_model_need_decoder(model, err));
    VG_TRY(choose_mode(model, &p, err));
    model->family->defaults(model, &p);
    if (p.guidance_scale_2 == VG_UNSET_DOUBLE)
        p.guidance_scale_2 = p.guidance_scale;
    if (p.flow_shift == VG_UNSET_DOUBLE)
        p.flow_shift = model->scheduler.flow_shift;
    if (p.flow_grid == VG_UNSET_INT)
        p.flow_grid = (int)model->scheduler.grid;
    if (!p.scheduler)
        p.scheduler = model->scheduler.kind;
    VG_TRY(check_grid(model, &p, err));
    VG_TRY(vg_model_check_precision(model, &p, err));
    VG_TRY(vg_attention_check_model(model, &p, err));
    VG_TRY(check_frames(model, &p, err));
    VG_TRY(vg_limits_check(&p, err)); /* of what the checkpoint's configs filled in */
    *params = p;
    return VG_OK;
}

#define CALIBRATION_STEPS 10

vg_status vg_model_calibration_defaults(const vg_model *model, vg_generate_params *params,
                                        vg_err *err)
{
    vg_generate_params p = *params;
    if (p.steps == VG_UNSET_INT)
        p.steps = CALIBRATION_STEPS;
    vg_checkpoint_defaults_apply(&model->own, &p);
    if (model->family->recipe)
        model->family->recipe->defaults(model, &p);
    VG_TRY(vg_model_defaults(model, &p, err));
    *params = p;
    return VG_OK;
}
