/* model.h: what engine/run/ and the families know about an open model; not for app/. */
#ifndef VG_ENGINE_RUN_MODEL_H
#define VG_ENGINE_RUN_MODEL_H

#include "engine/run/checkpoint_defaults.h"
#include "engine/run/family.h"
#include "engine/run/run.h"
#include "kernels/base/clock.h"

#define VG_MODES_MAX 12

struct vg_model {
    vg_checkpoint *checkpoint;
    const vg_family *family;
    vg_checkpoint_defaults own;         /* vgen.json */
    bool dummy;                         /* weights are generated, not read */
    const vg_mode *modes[VG_MODES_MAX]; /* that its configuration allows */
    int modes_count;
    char modes_text[128];
    void *config;                  /* the family's */
    vg_scheduler_params scheduler; /* scheduler/scheduler_config.json */
    char scheduler_kind[32];
    /* Latents to RGB. frame: -1 it fits all; else the latent frame (0, or 1 for later ones) it was fitted to. */
    vg_preview preview;
    bool preview_known;
    int preview_frame;
};

static inline vg_dtype vg_compute_dtype(vg_compute compute)
{
    return compute == VG_COMPUTE_BF16 ? VG_BF16 : VG_F32;
}

/* DIR of a component of the model, malloc'd. */
vg_status vg_model_component_dir(const vg_model *model, const char *component, char **dir,
                                 vg_err *err);
/* What vg_weights_open takes for a component: its folder, or "dummy:" and its folder. malloc'd. */
vg_status vg_model_weights_dir(const vg_model *model, const char *component, char **dir,
                               vg_err *err);
/* VG_E_MISSING when the checkpoint has none of this component. */
vg_status vg_model_need(const vg_model *model, const char *folder, vg_err *err);
vg_status vg_model_missing(const vg_model *model, const char *folder, vg_err *err); /* that error */
/* Sizes follow from the decoder's configuration: without it nothing but single parts can be run. */
vg_status vg_model_need_decoder(const vg_model *model, vg_err *err);
/* Which expert a timestep is for. */
int vg_model_expert(const vg_model *model, const vg_generate_params *params, double timestep);
/* Does a step take a second forward, without the condition? */
bool vg_model_guided(const vg_model *model, const vg_generate_params *params);
/* What these settings ask of each layer. The caller deinitialises, also after an error. */
vg_status vg_params_policy(const vg_generate_params *params, vg_precision_policy *policy,
                           vg_err *err);
/* Are the settings' rules of precision well-formed, and does each say something about a layer of this model? Errors: VG_E_ARG. */
vg_status vg_model_check_precision(const vg_model *model, const vg_generate_params *params,
                                   vg_err *err);
/* "f32", "transformer bf16, transformer_2 fp8 per-tensor (400 of 406)", "bf16 in both experts": what the files hold; "" when some
 * cannot be opened. */
void vg_model_describe_precision(const vg_model *model, char *text, size_t size);
/* That opened. */
vg_status vg_model_weights(const vg_model *model, const char *component, vg_weights **weights,
                           vg_err *err);
#endif
