/* params.h: the settings of one generation. Their ranges: engine/run/limits.h. */
#ifndef VG_ENGINE_RUN_PARAMS_H
#define VG_ENGINE_RUN_PARAMS_H

#include "engine/layers/attention.h"
#include "engine/layers/calibrate.h"
#include "engine/layers/linear.h"
#include "engine/run/inputs.h"
#include "kernels/backend/backend.h"

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
    double conditioning_scale; /* of a control branch's hints; 1 = as trained */
    const char *scheduler;     /* NULL = checkpoint's; "unipc", "euler" */
    int flow_grid;             /* vg_flow_grid or VG_UNSET_INT = the present one */
    vg_scheme scheme;
    const char
        *precision; /* rules on top of it (engine/layers/precision_policy.h); NULL or "": none */
    const char *
        ignore_layers; /* names, comma list: these and what is below them stay, or become, BF16; behind `precision` */
    vg_fp8_act fp8_act; /* FP8 per tensor made at load: static needs input_scales */
    bool fp8_exact;     /* FP8 products with one scale a tensor: see vg_backend.fp8_exact */
    vg_attention_kernel attention_kernel; /* of the denoiser, see vg_backend.attention */
    vg_attention_request attention;       /* of the denoiser: 8-bit codes, or in full */
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

/* Sizes, steps, guidance and shift unset (the model's own hold), seed 42, BF16 with the VAE in FP32; texts and pointers NULL. */
void vg_generate_params_init(vg_generate_params *params);
/* BF16 or F32. */
static inline vg_dtype vg_compute_dtype(vg_compute compute)
{
    return compute == VG_COMPUTE_BF16 ? VG_BF16 : VG_F32;
}
#endif
