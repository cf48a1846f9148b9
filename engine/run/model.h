/* model.h: what engine/run/ knows about an open model; not for the families (engine/run/family.h has what they may ask), nor for app/. */
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

/* vg_model_open with a table of families of one's own: for tests. */
vg_status vg_model_open_with(const vg_family *const *families, int count, const char *dir,
                             vg_load_format format, vg_model **model, vg_err *err);
vg_status vg_model_missing(const vg_model *model, const char *folder,
                           vg_err *err); /* vg_model_need's error */
/* Sizes follow from the decoder's configuration: without it nothing but single parts can be run. */
vg_status vg_model_need_decoder(const vg_model *model, vg_err *err);
/* Which expert a timestep is for. */
int vg_model_expert(const vg_model *model, const vg_generate_params *params, double timestep);
/* What these settings ask of each layer. The caller deinitialises, also after an error. */
vg_status vg_params_policy(const vg_generate_params *params, vg_precision_policy *policy,
                           vg_err *err);
/* Are the settings' rules of precision well-formed, and does each say something about a layer of this model? Errors: VG_E_ARG. */
vg_status vg_model_check_precision(const vg_model *model, const vg_generate_params *params,
                                   vg_err *err);
/* "f32", "transformer bf16, transformer_2 fp8 per-tensor (400 of 406)", "bf16 in both experts": what the files hold; "" when some
 * cannot be opened. */
void vg_model_describe_precision(const vg_model *model, char *text, size_t size);
/* The weights of a component, opened. */
vg_status vg_model_weights(const vg_model *model, const char *component, vg_weights **weights,
                           vg_err *err);
#endif
