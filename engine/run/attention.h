/* attention.h: 8-bit attention over a whole run: may it be had, which layers keep it, what the tests found. What one layer does with that is
 * engine/layers/attention.h's. */
#ifndef VG_ENGINE_RUN_ATTENTION_H
#define VG_ENGINE_RUN_ATTENTION_H

#include "engine/layers/attention.h"
#include "kernels/base/status.h"

struct vg_denoise_run;
struct vg_denoise_state;
struct vg_generate_params;
struct vg_model;

#define VG_ATTENTION_LAYERS_MAX 4096 /* of all experts: of more, no file is believed */

/* What a run does with it. */
typedef struct vg_attention_run {
    bool eight;                 /* layers may use 8 bits: asked for, and there is a kernel */
    bool tests;                 /* every step tests, whether 8 bits are used or not */
    vg_attention_layer *layers; /* [experts][per_expert]; NULL: nothing to keep */
    int experts, per_expert;
    vg_attention_step step; /* of the present one */
} vg_attention_run;

/* Is the request in order, for this model? For vg_model_defaults. Errors: VG_E_ARG, VG_E_UNSUPPORTED. */
vg_status vg_attention_check_model(const struct vg_model *model,
                                   const struct vg_generate_params *params, vg_err *err);
/* Can the backend do what the settings insist on? Before anything is loaded. VG_E_UNSUPPORTED says why not. */
vg_status vg_attention_check_device(vg_backend *be, const struct vg_model *model,
                                    const struct vg_generate_params *params, vg_err *err);
/* Is what a saved state says of layers what these settings would have written? */
bool vg_attention_state_fits(const struct vg_model *model, const struct vg_generate_params *params,
                             const struct vg_denoise_state *state);

/* At the begin of a run: room for its layers, with what `resume` (or NULL) knows of them; that `auto` takes BF16 is told. Nothing while
 * calibrating. Errors: VG_E_NOMEM, those of vg_attention_check_device. */
vg_status vg_attention_begin(struct vg_denoise_run *r, const struct vg_denoise_state *resume,
                             vg_err *err);
void vg_attention_release(struct vg_denoise_run *r);
/* What layers do in step `step` of the schedule; NULL: all in full. Borrowed until the next call. The expert is loaded. */
const vg_attention_step *vg_attention_for_step(struct vg_denoise_run *r, int step);
/* Events for layers of which there is something new, and a note of what the tests of this step came to. */
void vg_attention_tell(struct vg_denoise_run *r);
#endif
