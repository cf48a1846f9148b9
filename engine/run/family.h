/* family.h: what one model family (wan, later hunyuanvideo15) tells the run: tables and a few functions. The run owns everything else, that
 * is stages, memory, scheduler and guidance, previews, calibration, state, so that a family knows neither files nor jobs nor budgets, and
 * code outside engine/family/ never asks which family it has. Families are rows of engine/family/families.def. */
#ifndef VG_ENGINE_RUN_FAMILY_H
#define VG_ENGINE_RUN_FAMILY_H

#include "engine/layers/attention.h"
#include "engine/layers/module.h"
#include "engine/layers/weight_table.h"
#include "engine/run/component.h"
#include "engine/run/conditions.h"
#include "engine/run/latents.h"
#include "engine/run/params.h"
#include "engine/run/progress.h"
#include "engine/sampling/preview.h"

typedef struct vg_model vg_model;
typedef struct vg_family vg_family;

#define VG_EXPERTS_MAX 2

/* How a part of a model reports and stops while it runs; any field may be NULL. done counts what the part does one by one: blocks, frames. */
typedef struct vg_hooks {
    const atomic_int *cancel;
    void (*progress)(void *user, int done, int of);
    void (*note)(void *user, const char *text); /* what a person should know: a prompt was cut */
    void *user;
} vg_hooks;

/* A folder of the checkpoint. */
typedef struct vg_component {
    const char *folder; /* "text_encoder" */
    const char *what;   /* for messages: "text encoder" */
    bool weights;       /* it has weight files, which are part of the model's identity */
    bool needed;        /* no complete checkpoint lacks it */
} vg_component;

/* The grid that a clip becomes. */
typedef struct vg_geometry {
    int64_t channels;      /* of the latents */
    int spatial, temporal; /* pixels per latent pixel in each direction, frames per latent frame */
    int patch[3];          /* latent frames, rows and columns of a token */
    int64_t longest;       /* most tokens in one direction */
} vg_geometry;

/* ---- encoders and the decoder: parts that are loaded for their stage only ---- */

/* What both have in common. self: the family's own, made by open. */
typedef struct vg_stage_part {
    const char *name; /* of the stage in plans and limits: "text", "encode", "decode" */
    vg_stage stage;
    const char *component; /* the folder that is loaded */
    /* dir: what vg_module_open takes; generated weights ("dummy:") when nothing else is to be read either. */
    vg_status (*open)(vg_engine *engine, const vg_model *model, const vg_generate_params *params,
                      const char *dir, void **self, vg_err *err);
    void (*close)(void *self);
    size_t (*weight_bytes)(const void *self); /* of views into files, too; NULL: as counted */
    /* Run what a run of these settings takes most memory for, on a backend that only counts. */
    vg_status (*rehearse)(void *self, const vg_model *model, const vg_generate_params *params,
                          vg_err *err);
} vg_stage_part;

typedef struct vg_encoder {
    vg_stage_part part;
    bool (*wanted)(const vg_model *model, const vg_generate_params *params);
    /* Inputs of params to conditions, which are added to *out. */
    vg_status (*run)(void *self, const vg_model *model, const vg_generate_params *params,
                     const vg_hooks *hooks, vg_conditions *out, vg_err *err);
} vg_encoder;

typedef struct vg_decoder {
    vg_stage_part part;
    /* Size of what these latents become; errors say why they cannot be decoded. */
    vg_status (*frames)(const vg_model *model, const vg_generate_params *params,
                        const vg_latents *latents, vg_frames *size, vg_err *err);
    vg_status (*run)(void *self, const vg_model *model, const vg_generate_params *params,
                     const vg_latents *latents, const vg_hooks *hooks, vg_frames *out, vg_err *err);
} vg_decoder;

/* ---- the denoiser ---- */

/* What a loaded expert is given once. */
typedef struct vg_binding {
    const vg_conditions *conditions; /* checked: all that the family's list wants */
    const int64_t *latent;           /* [4] C,T,h,w */
    const vg_generate_params *params;
    const double *timesteps; /* of all steps of the schedule, from the first on */
    int steps;
    bool guided; /* forwards of branch 1 will come, too */
    const atomic_int *cancel;
} vg_binding;

/* What the forwards of one step share. */
typedef struct vg_denoise_step {
    const vg_tensor
        *x; /* latents [C,T,h,w] FP32 on the backend, unchanged until the last forward */
    double timestep, next_timestep; /* next: 0 behind the last step */
    const vg_attention_step
        *attention; /* for the self-attention of each block; until the next step */
    vg_hooks hooks; /* progress: blocks of a forward */
} vg_denoise_step;

/* One expert, loaded on a backend. */
typedef struct vg_denoiser {
    vg_status (*open)(vg_engine *engine, const vg_model *model, int expert, const char *dir,
                      const vg_module_options *options, void **self, vg_err *err);
    void (*close)(void *self);
    /* Compute and keep what no step changes. May come again. */
    vg_status (*bind)(void *self, const vg_binding *binding, vg_err *err);
    vg_status (*begin_step)(void *self, const vg_denoise_step *step, vg_err *err);
    /* v [C,T,h,w] in the compute dtype: the model's output with the condition (branch 0) or without (1). */
    vg_status (*forward)(void *self, int branch, vg_tensor *v, vg_err *err);
    const vg_module *(*module)(const void *self);
    size_t (*host_bytes)(const void *self); /* page-locked, of streamed blocks */
    /* Record the running maximum of |x| of every layer that may become FP8; then read them. */
    vg_status (*calibrate_begin)(void *self, vg_err *err);
    vg_status (*calibrate_each)(const void *self,
                                void (*fn)(void *user, const char *layer, float amax), void *user,
                                vg_err *err);
    int (*blocks)(const vg_model *model, int expert); /* transformer blocks, without loading */
    /* Channels of a head of the blocks' self-attention, which goes through vg_self_attention_run; NULL: it does not, and has no 8 bits. */
    int64_t (*head_dim)(const vg_model *model, int expert);
} vg_denoiser;

/* One runnable part of a model for `vgen component`: named tensors in, named tensors out (host, malloc'd data). */
typedef struct vg_part {
    const char *name; /* "transformer" */
    const char *help; /* inputs -> outputs */
    vg_status (*run)(vg_engine *engine, vg_model *model, const vg_component_params *params,
                     const vg_safetensors *in, vg_safetensors_entry **out, int *out_count,
                     vg_err *err);
} vg_part;

/* How public calibration scripts treat a family, for exports of it (engine/quantize). */
typedef struct vg_export_recipe {
    /* Fill what is unset and vgen.json does not say: size, length and guidance of a calibration. */
    void (*defaults)(const vg_model *model, vg_generate_params *params);
    const char *const *
        ignore; /* patterns of layers that are never quantised, as exports list them; NULL-terminated */
    /* Rules (engine/layers/precision_policy.h) of layers that could be, and are not unless somebody asks; NULL: none of this model. */
    const char *(*kept)(const vg_model *model);
    bool
        all_bf16; /* diffusers keeps none of its modules in FP32: what the weight table computes in FP32 is BF16 in files */
} vg_export_recipe;

struct vg_family {
    const char *name;  /* "wan" */
    const char *title; /* "Wan 2.x text to video" */
    const vg_mode *modes;
    int modes_count;
    bool (*allows)(const vg_model *model, const vg_mode *mode); /* by the configuration */
    /* What the mode's roles do not say of what is given: frame counts, sizes. NULL: nothing more. Pixels are there. */
    vg_status (*check_inputs)(const vg_model *model, const vg_generate_params *params, vg_err *err);
    /* True when this family runs the checkpoint: decided from class names, configs, tensor names. */
    bool (*probe)(const vg_checkpoint *checkpoint);
    /* Read and check every config; *config is the family's own struct, freed by config_free. */
    vg_status (*config_load)(const vg_checkpoint *checkpoint, void **config, vg_err *err);
    void (*config_free)(void *config);

    const vg_component *components;
    int components_count;
    bool (*has)(const vg_model *model, const char *folder); /* is the component there? */
    /* What a component with weights consists of by its config, as far as a generation needs it; the caller deinitialises. */
    vg_status (*weight_table)(const vg_model *model, const char *folder, vg_weight_table *table,
                              vg_err *err);
    /* Of a model that is read from files, what neither configs nor weights tell: tokenizers. NULL: nothing. For vg_model_check. */
    vg_status (*check)(const vg_model *model, vg_err *err);
    const char *const *experts; /* folders of denoisers, by falling timestep */
    int (*experts_count)(const vg_model *model);

    void (*geometry)(const vg_model *model, vg_geometry *geometry);
    /* Fill what is unset; checking is the run's. */
    void (*defaults)(const vg_model *model, vg_generate_params *params);
    void (*latent_shape)(const vg_model *model, const vg_generate_params *params, int64_t shape[4]);
    bool rounds_latents; /* before and between steps they are of the compute dtype, not FP32 */
    bool even_sigmas;    /* vg_scheduler_params.even */
    /* Do these settings want a second forward each step? NULL: when guidance_scale > 1. */
    bool (*guided)(const vg_generate_params *params);
    /* Conditions that denoising with these settings wants; returns their count. */
    int (*conditions)(const vg_model *model, const vg_generate_params *params,
                      vg_condition_spec specs[VG_CONDITIONS_MAX]);
    double (*flop)(const vg_model *model, const vg_generate_params *params); /* of one forward */

    /* What is left to do with finished latents [C,T,h,w] on the host, in place; NULL: nothing. The states that a run can go on from do not have
     * it. */
    void (*finish)(const vg_model *model, const vg_generate_params *params,
                   const vg_conditions *conditions, float *latents);

    const vg_encoder *const *encoders; /* in the order they are run */
    int encoders_count;
    const vg_denoiser *denoiser;
    const vg_decoder *decoder;

    /* A published map of normalised latents to RGB; NULL or false: it is fitted, if there is preview_encode. */
    bool (*preview)(const vg_model *model, vg_preview *preview);
    /* Frames [3,F,H,W] in [-1,1] to normalised latents [C,T,h,w], both on the host, by the VAE at dir in FP32. */
    vg_status (*preview_encode)(vg_engine *engine, const vg_model *model, const char *dir,
                                const float *sample, const int64_t shape[4], float *latents,
                                vg_err *err);
    const vg_part *parts;
    int parts_count;
    const vg_export_recipe
        *recipe; /* NULL: the model's own defaults, and what its weight table says */
};

/* ---- what a family may ask ---- */

const void *vg_model_config(const vg_model *model); /* what its config_load made */
/* DIR of a component of the model, malloc'd. */
vg_status vg_model_component_dir(const vg_model *model, const char *component, char **dir,
                                 vg_err *err);
/* What vg_weights_open takes for a component: its folder, or "dummy:" and its folder. malloc'd. */
vg_status vg_model_weights_dir(const vg_model *model, const char *component, char **dir,
                               vg_err *err);
/* VG_E_MISSING when the checkpoint has none of this component. */
vg_status vg_model_need(const vg_model *model, const char *folder, vg_err *err);
/* Does a step take a second forward, without the condition? */
bool vg_model_guided(const vg_model *model, const vg_generate_params *params);

/* ---- the table of families ---- */

extern const vg_family *const vg_families[];
extern const int vg_families_count;
#endif
