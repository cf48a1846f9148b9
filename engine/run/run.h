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
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/engine.h"
#include "engine/layers/linear.h"
#include "engine/run/conditions.h"
#include "engine/run/inputs.h"
#include "engine/layers/precision_report.h"
#include "engine/sampling/scheduler.h"
#include "kernels/backend/backend.h"

typedef struct vg_model vg_model;
typedef struct vg_family vg_family;

typedef enum vg_compute {
#define VG_COMPUTE(id, name) VG_COMPUTE_##id,
#include "engine/run/computes.def"
#undef VG_COMPUTE
    VG_COMPUTE_COUNT
} vg_compute;
const char *vg_compute_name(vg_compute compute); /* "f32", "bf16" */

/* Where weights come from: the checkpoint's files, or deterministic random numbers in the shapes of its configs (engine/checkpoint/dummy.h), for
 * measuring speed and memory without files. */
typedef enum vg_load_format {
#define VG_LOAD(id, name) VG_LOAD_##id,
#include "engine/run/load_formats.def"
#undef VG_LOAD
    VG_LOAD_FORMAT_COUNT
} vg_load_format;

/* Open and check a diffusers folder; two families claiming it, or none, is an error naming them. */
vg_status vg_model_open(const char *dir, vg_load_format format, vg_model **model, vg_err *err);
void vg_model_close(vg_model *model);
const char *vg_model_family_name(const vg_model *model); /* "wan" */
const char *vg_model_modes(const vg_model *model);       /* comma list: "i2v, flf2v" */
/* Hex identity over all weight files that a generation uses (vg_weights_identity), 16 characters. */
vg_status vg_model_identity(const vg_model *model, char identity[17], vg_err *err);
/* Is everything there that a generation reads? Components, weights (in the shapes that the configs ask for, of dtypes that can be loaded, with
 * the scales that FP8 layers need), tokenizers. Reads headers, scales and tokenizers, no weights; of a model with generated weights, configs
 * alone. What can be told in advance is told here, before a job is made; a listing asks the same. Errors: of the first thing wrong;
 * the message has one clause per component, naming tensor or file. */
vg_status vg_model_check(const vg_model *model, vg_err *err);
/* The weights of one component, "vae". */
vg_status vg_model_check_component(const vg_model *model, const char *component, vg_err *err);

#define VG_UNSET_INT    (-1)
#define VG_UNSET_DOUBLE (-1.0)

/* Settings of one generation. *_init fills every field with "unset" or the global default; vg_model_defaults replaces
 * unset ones by the checkpoint's; strings are borrowed. */
typedef struct vg_generate_params {
    vg_inputs inputs;
    const char *
        mode; /* NULL = by the inputs; vg_model_defaults makes it the name of a mode of the model */
    uint64_t seed;
    int height, width, num_frames; /* pixels, frames */
    int steps;
    double guidance_scale,
        guidance_scale_2;  /* second: low-noise expert; unset = same as the first */
    double boundary_ratio; /* 0..1; unset = checkpoint's */
    double flow_shift;
    const char *scheduler; /* NULL = checkpoint's; "unipc", "euler" */
    int flow_grid;         /* vg_flow_grid or VG_UNSET_INT = the present one */
    vg_scheme scheme;
    const char
        *precision; /* rules on top of it (engine/layers/precision_policy.h); NULL or "": none */
    vg_fp8_act fp8_act; /* FP8 per tensor made at load: static needs input_scales */
    bool fp8_exact;     /* FP8 products with one scale a tensor: see vg_backend.fp8_exact */
    vg_attention_kernel attention_kernel; /* of the denoiser, see vg_backend.attention */
    const vg_input_scales *input_scales;  /* of vg_calibrate, or NULL */
    vg_compute compute, vae_compute;
    bool vae_tiling;
    int max_text_tokens;   /* 512 */
    int max_steps_run;     /* stop after this many steps (state is saved), VG_UNSET_INT = all */
    vg_device_kind device; /* plans only: where it will run; running goes by the engine */
    bool calibrating;      /* plans only: of vg_calibrate */
    size_t
        memory_limit; /* most bytes of device memory; 0 = what is free when a stage begins, less 1 GiB. On the CPU, a limit makes
                                  * it behave like a device: weights are copied, and blocks that do not fit are streamed */
    const float *init_latents; /* [C,T,h,w] host, instead of noise from the seed; NULL = seed */
    const int64_t *init_latents_shape; /* 4 numbers, checked */
} vg_generate_params;

void vg_generate_params_init(vg_generate_params *params);
/* Replace unset values by the checkpoint's (vgen.json first, engine/run/checkpoint_defaults.h) and check ranges (engine/run/limits.h): num_frames is moved to 4k+1 and sizes must fit the
 * model (VG_E_ARG says the nearest right value). */
vg_status vg_model_defaults(const vg_model *model, vg_generate_params *params, vg_err *err);

/* ---- progress ---- */
typedef enum vg_stage {
    VG_STAGE_LOAD,
    VG_STAGE_TEXT,
    VG_STAGE_ENCODE,
    VG_STAGE_CALIBRATE,
    VG_STAGE_DENOISE,
    VG_STAGE_DECODE,
    VG_STAGE_COUNT
} vg_stage;
const char *
vg_stage_name(vg_stage stage); /* "load", "text", "encode", "calibrate", "denoise", "decode" */

typedef enum vg_event_kind {
    VG_EVENT_BEGIN,     /* of denoising as a whole; step: finished ones that it goes on from */
    VG_EVENT_PRECISION, /* detail: what the layers are about to run in */
    VG_EVENT_STAGE_BEGIN,
    VG_EVENT_STAGE_END,
    VG_EVENT_STEP,
    VG_EVENT_PROGRESS,
    VG_EVENT_PREVIEW,
    VG_EVENT_NOTE
} vg_event_kind;

typedef struct vg_event {
    vg_event_kind kind;
    vg_stage stage;
    const char *detail; /* what is loaded, noted; "" if none */
    vg_stage load_for;  /* STAGE_BEGIN, STAGE_END of VG_STAGE_LOAD: the stage that wants it */
    int step, steps; /* STEP: finished steps of all; PROGRESS: parts done of all (blocks, frames) */
    double seconds;  /* STEP, STAGE_END: duration of this step or stage, s */
    double timestep, sigma; /* STEP */
    int expert;             /* STEP: 0 = transformer, 1 = transformer_2 */
    const uint8_t
        *preview; /* PREVIEW: RGB [preview_height, preview_width, 3] of the middle latent frame */
    int preview_width, preview_height;
} vg_event;

/* State after a finished step: enough to go on with the same result, bit for bit. Host memory. */
typedef struct vg_denoise_state {
    int64_t shape[4]; /* C,T,h,w */
    float *latents;   /* F32 */
    vg_scheduler_state scheduler;
    double seconds_done; /* denoise seconds so far */
} vg_denoise_state;
void vg_denoise_state_deinit(vg_denoise_state *state);
vg_status vg_denoise_state_write(const char *path, const vg_denoise_state *state,
                                 const char *const *metadata, vg_err *err);
vg_status vg_denoise_state_read(const char *path, vg_denoise_state *state, vg_err *err);

typedef struct vg_callbacks {
    void *user;
    void (*event)(void *user, const vg_event *event); /* or NULL */
    vg_status (*save)(void *user, const vg_denoise_state *state,
                      vg_err *err); /* after each step, or NULL */
    const atomic_int
        *cancel; /* non-zero = stop at the next block boundary with VG_E_CANCELLED; or NULL */
} vg_callbacks;

/* ---- results (host memory, malloc'd; _deinit frees; all zero = empty) ---- */
typedef struct vg_latents {
    int64_t shape[4]; /* C,T,h,w */
    float *values;
    int steps_done, steps;
    double denoise_seconds;
    size_t peak_bytes; /* backend memory */
} vg_latents;
void vg_latents_deinit(vg_latents *l);

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

/* ---- memory plan ---- */
#define VG_PLAN_STAGES_MAX 8
typedef struct vg_plan_stage {
    char name[32]; /* "text", "transformer", "transformer_2", "decode" */
    size_t weights, activations,
        workspace; /* bytes of the device; workspace: of libraries, operations, and loading */
    int blocks,
        streamed; /* transformer blocks, and how many of them are kept on the host because of the limit */
    size_t host; /* bytes of page-locked host memory for those */
} vg_plan_stage;
typedef struct vg_plan {
    vg_plan_stage stages[VG_PLAN_STAGES_MAX];
    int count;
    int peak;              /* index of the stage that sets the peak */
    int64_t tokens;        /* video tokens of one forward */
    int64_t latent[4];     /* C,T,h,w */
    double tflop_per_step; /* both CFG forwards */
} vg_plan;
/* With params->memory_limit, experts are planned to fit it as far as streaming can; a stage that still does not is in the plan as it is.
 * Without, nothing is streamed. */
vg_status vg_plan_make(const vg_model *model, const vg_generate_params *params, vg_plan *plan,
                       vg_err *err);
static inline size_t vg_plan_total(const vg_plan_stage *stage)
{
    return stage->weights + stage->activations + stage->workspace;
}

/* ---- single parts, for `vgen component` ---- */
typedef struct vg_component_params {
    vg_scheme scheme;
    bool scheme_given;               /* else the checkpoint's own precision */
    const char *precision;           /* rules on top of it, or NULL */
    vg_compute compute, vae_compute; /* the second: vae-decode, vae-encode */
    bool vae_tiling;
    const atomic_int *cancel;
} vg_component_params;
/* VG_E_ARG listing the parts when the model's family has none of this name. */
vg_status vg_component_check(const vg_model *model, const char *part, vg_err *err);
/* Entries' data and the array are malloc'd; free with vg_entries_free. Errors: those of vg_component_check and of the part. */
vg_status vg_component_run(vg_engine *engine, vg_model *model, const char *part,
                           const vg_component_params *params, const vg_safetensors *in,
                           vg_safetensors_entry **out, int *out_count, vg_err *err);
void vg_entries_free(vg_safetensors_entry *entries, int count);
/* Newline-separated "name: help" of all parts of the model (malloc'd), for --help and errors. */
char *vg_component_list(const vg_model *model);
#endif
