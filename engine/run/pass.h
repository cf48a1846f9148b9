/* pass.h: one expert over many samples, loaded once: the passes of a calibration for export (vgen quantize).
 *
 *   measure   the expert runs as the files have it, and the maximum |x| of every layer's input is handed out step by step
 *   else      it runs as the samples' settings say (made FP8, say), and what it leaves behind is kept: the state from which the next expert goes on
 *
 * Every step is that of a generation with the sample's settings, so the expert sees what it would see there. With two experts: the first is
 * measured, with a boundary that may give it more steps than it has in production; then it runs quantised with the production boundary, and the
 * second is measured on what it left. Source: modelopt-fp8 3.3. */
#ifndef VG_ENGINE_RUN_PASS_H
#define VG_ENGINE_RUN_PASS_H

#include "engine/run/run.h"

/* What a sample runs with. All samples of a pass are of one size. */
typedef struct vg_pass_sample {
    vg_generate_params params; /* by vg_model_defaults; texts borrowed */
    vg_conditions conditions;
    vg_denoise_state state; /* latents NULL: from the noise of its seed */
} vg_pass_sample;
/* Conditions and state. */
void vg_pass_sample_deinit(vg_pass_sample *sample);

typedef struct vg_pass {
    int expert;
    bool measure;
    int first, count; /* samples [first, count) */
    void *user;
    /* Fill what sample i runs with; it is deinitialised by the pass. */
    vg_status (*load)(void *user, int i, vg_pass_sample *sample, vg_err *err);
    /* measure: of one step (from 0, of the whole schedule) of sample i; values below 0 do not come. What a layer sees of the conditions alone
     * belongs to the sample's first step. */
    vg_status (*range)(void *user, int i, int step, const char *layer, float amax, vg_err *err);
    /* The sample's steps of this expert are over. state: behind them, borrowed. */
    vg_status (*done)(void *user, int i, const vg_denoise_state *state, vg_err *err);
} vg_pass;

/* How many steps of these settings the expert has. params: by vg_model_defaults. Errors: those of vg_scheduler_new. */
vg_status vg_pass_steps(const vg_model *model, const vg_generate_params *params, int expert,
                        int *steps, vg_err *err);
/* Events: VG_STAGE_CALIBRATE with its loads, a VG_EVENT_STEP each. Errors: VG_E_CANCELLED, VG_E_NOMEM before anything is run, VG_E_FORMAT (NaN in a
 * layer's input), those of the functions. Tests: test_quantize. */
vg_status vg_pass_run(vg_engine *engine, vg_model *model, const vg_pass *pass,
                      const vg_callbacks *cb, vg_err *err);
#endif
