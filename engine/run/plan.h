/* plan.h: what a run will need, before anything is allocated. */
#ifndef VG_ENGINE_RUN_PLAN_H
#define VG_ENGINE_RUN_PLAN_H

#include "engine/run/params.h"

typedef struct vg_model vg_model;

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
/* Bytes of the stage: weights, activations and workspace. */
static inline size_t vg_plan_total(const vg_plan_stage *stage)
{
    return stage->weights + stage->activations + stage->workspace;
}
#endif
