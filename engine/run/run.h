/* run.h: libvgen. Open an engine (a backend), open a model (a checkpoint folder), then encode, denoise, decode.
 *
 *   vg_engine_open(VG_DEVICE_CPU, 0, 0, &engine, &err);
 *   vg_model_open(dir, VG_LOAD_FILES, &model, &err);
 *   vg_generate_params_init(&p); p.inputs.prompt = "..."; vg_model_defaults(model, &p, &err);
 *   vg_encode(engine, model, &p, &cb, &text, &err);
 *   vg_denoise(engine, model, &p, &text, NULL, &cb, &latents, &err);
 *   vg_decode(engine, model, &p, &latents, &cb, &frames, &err);
 *
 * One engine per thread; callbacks run on the calling thread and may not block. No global state. */
#ifndef VG_ENGINE_RUN_RUN_H
#define VG_ENGINE_RUN_RUN_H

#include <stdatomic.h>
#include "engine/checkpoint/engine.h"
#include "engine/layers/precision_report.h"
#include "engine/run/component.h"
#include "engine/run/conditions.h"
#include "engine/run/inputs.h"
#include "engine/run/latents.h"
#include "engine/run/params.h"
#include "engine/run/plan.h"
#include "engine/run/progress.h"
#include "engine/run/state.h"

typedef struct vg_model vg_model;

/* Open and check a diffusers folder; two families claiming it, or none, is an error naming them. */
vg_status vg_model_open(const char *dir, vg_load_format format, vg_model **model, vg_err *err);
/* NULL is a no-op. */
void vg_model_close(vg_model *model);
const char *vg_model_family_name(const vg_model *model); /* "wan" */
const char *vg_model_modes(const vg_model *model);       /* comma list: "i2v, flf2v" */
/* Hex identity of one component, "vae", 16 characters: its weights (vg_weights_identity) and its configuration (vg_config_identity): another file,
 * another identity. A tokenizer is configuration alone. */
vg_status vg_model_identity(const vg_model *model, const char *folder, char identity[17],
                            vg_err *err);
#define VG_COMPONENTS_MAX 16
/* The components that a stage of a run with these settings reads (encoders with tokenizers and processors of pictures), as far as the checkpoint has them; VG_STAGE_LOAD: all that any
 * stage reads. params: for the stages that encode. Returns their count. */
int vg_model_components(const vg_model *model, const vg_generate_params *params, vg_stage stage,
                        const char *folders[VG_COMPONENTS_MAX]);
/* Is everything there that a generation reads? Components, weights (in the shapes that the configs ask for, of dtypes that can be loaded, with
 * the scales that FP8 layers need), tokenizers. Reads headers, scales and tokenizers, no weights; of a model with generated weights, configs
 * alone. What can be told in advance is told here, before a job is made; a listing asks the same. Errors: of the first thing wrong;
 * the message has one clause per component, naming tensor or file. */
vg_status vg_model_check(const vg_model *model, vg_err *err);
/* The weights of one component, "vae". */
vg_status vg_model_check_component(const vg_model *model, const char *component, vg_err *err);

/* Replace unset values by the checkpoint's (vgen.json first, engine/run/checkpoint_defaults.h) and check ranges (engine/run/limits.h): num_frames is moved to 4k+1 and sizes must fit the
 * model (VG_E_ARG says the nearest right value). */
vg_status vg_model_defaults(const vg_model *model, vg_generate_params *params, vg_err *err);

/* The same for the calibration of an export: what is unset is as public scripts have it (10 steps, the family's recipe), where vgen.json does not say
 * for what sizes the checkpoint was made. */
vg_status vg_model_calibration_defaults(const vg_model *model, vg_generate_params *params,
                                        vg_err *err);

typedef struct vg_callbacks {
    void *user;
    void (*event)(void *user, const vg_event *event); /* or NULL */
    vg_status (*save)(void *user, const vg_denoise_state *state,
                      vg_err *err); /* after each step, or NULL */
    const atomic_int
        *cancel; /* non-zero = stop at the next block boundary with VG_E_CANCELLED; or NULL */
} vg_callbacks;

/* Is everything there that the mode needs? To refuse a job before anything is loaded. params: by vg_model_defaults. Errors as vg_mode_check. */
vg_status vg_model_check_inputs(const vg_model *model, const vg_generate_params *params,
                                vg_err *err);
/* The row of params->mode; params: by vg_model_defaults. */
const vg_mode *vg_model_mode(const vg_model *model, const vg_generate_params *params);
/* Inputs to conditions. Errors: those of vg_model_check_inputs first. */
vg_status vg_encode(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                    const vg_callbacks *cb, vg_conditions *out, vg_err *err);
/* Are these what denoising with these settings wants? Errors as vg_conditions_check. */
vg_status vg_model_check_conditions(const vg_model *model, const vg_generate_params *params,
                                    const vg_conditions *conditions, vg_err *err);
/* Noise in place of what encoding would give, for measuring speed without it. */
vg_status vg_model_fill_conditions(const vg_model *model, const vg_generate_params *params,
                                   vg_conditions *out, vg_err *err);
/* resume: NULL starts from noise. VG_E_CANCELLED leaves *out with the state so far when at least one step is done. */
vg_status vg_denoise(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                     const vg_conditions *conditions, const vg_denoise_state *resume,
                     const vg_callbacks *cb, vg_latents *out, vg_err *err);
/* Latents to frames, which the caller frees with vg_frames_deinit; *out is untouched on failure. Errors: VG_E_NOMEM, VG_E_CANCELLED, and what the
 * plan and the decoder say. */
vg_status vg_decode(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                    const vg_latents *latents, const vg_callbacks *cb, vg_frames *out, vg_err *err);

/* Does vg_denoise with these settings need params->input_scales? True where layers are made FP8 at load with static inputs; false for a
 * checkpoint that is FP8 already and brings its own. */
vg_status vg_model_needs_input_scales(const vg_model *model, const vg_generate_params *params,
                                      bool *needed, vg_err *err);
/* Short calibration for static per-tensor activation scales: runs about `steps` of the settings' own denoise steps in the compute dtype
 * (spread over the schedule, at least the first and last of every expert it uses) and records amax of every quantisable linear's input;
 * the scales are those of the experts that the schedule reaches. */
vg_status vg_calibrate(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                       const vg_conditions *conditions, int steps, const vg_callbacks *cb,
                       vg_input_scales **scales, vg_err *err);
/* What calibration depends on, for people who find its file (vg_input_scales_write). Caller deletes; NULL: out of memory. */
cJSON *vg_calibration_settings(const vg_generate_params *params, int steps);

/* Which layers run in which precision: one line per group, for logs and the "FP8 is really on" report. */
vg_status vg_model_precision(const vg_model *model, const vg_generate_params *params,
                             vg_precision_report *report, vg_err *err);
#endif
