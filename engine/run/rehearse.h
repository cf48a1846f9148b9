/* rehearse.h: parts of a run on a backend that only counts, and plans made of them. */
#ifndef VG_ENGINE_RUN_REHEARSE_H
#define VG_ENGINE_RUN_REHEARSE_H

#include "engine/run/model.h"

/* vg_plan_make for some stages: names, NULL-terminated; NULL: all. What the others need is not looked at. */
vg_status vg_plan_stages(const vg_model *model, const vg_generate_params *params,
                         const char *const *stages, vg_plan *plan, vg_err *err);

/* Load an expert with `streamed` of its blocks on the host, and run all kinds of steps of a denoise (with params->calibrating: of a
 * calibration). Fills what it took, but for the stage's name. */
vg_status vg_rehearse_expert(const vg_model *model, const vg_generate_params *params, int expert,
                             int streamed, vg_plan_stage *stage, vg_err *err);
/* The same for an encoder or the decoder. */
vg_status vg_rehearse_part(const vg_model *model, const vg_generate_params *params,
                           const vg_stage_part *part, vg_plan_stage *stage, vg_err *err);
#endif
