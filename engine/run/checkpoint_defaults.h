/* checkpoint_defaults.h: vgen.json beside model_index.json: what a checkpoint was trained for and how its latents look, in our own words.
 *
 * {"defaults": {"height": 96, "width": 160, "num_frames": 17, "num_inference_steps": 20, "guidance_scale": 4, "guidance_scale_2": 3,
 *               "flow_shift": 5, "boundary_ratio": 0.9},
 *  "latent_rgb_factors": [[r, g, b], ... one per latent channel], "latent_rgb_bias": [r, g, b]}
 * Every key may be left out; an unknown one is an error naming it. */
#ifndef VG_ENGINE_RUN_CHECKPOINT_DEFAULTS_H
#define VG_ENGINE_RUN_CHECKPOINT_DEFAULTS_H

#include "engine/run/run.h"
#include "engine/sampling/preview.h"

typedef struct vg_checkpoint_defaults {
    int height, width, num_frames, steps; /* VG_UNSET_INT: not said */
    double guidance_scale, guidance_scale_2, flow_shift,
        boundary_ratio; /* VG_UNSET_DOUBLE: not said */
    bool has_preview;
    vg_preview preview; /* of normalised latents */
} vg_checkpoint_defaults;

/* Without the file everything is unset. Errors: VG_E_FORMAT naming file and key. */
vg_status vg_checkpoint_defaults_read(const vg_checkpoint *checkpoint, vg_checkpoint_defaults *own,
                                      vg_err *err);
/* Fill unset settings. A guidance_scale that was given rules out ours for the second expert too. */
void vg_checkpoint_defaults_apply(const vg_checkpoint_defaults *own, vg_generate_params *params);
#endif
