/* stage.h: loading a part for its stage, and telling so. */
#ifndef VG_ENGINE_RUN_STAGE_H
#define VG_ENGINE_RUN_STAGE_H

#include "engine/run/model.h"

/* Open the part with the model's weights; events tell begin and end of loading. */
vg_status vg_part_open(vg_engine *engine, const vg_model *model, const vg_generate_params *params,
                       const vg_stage_part *part, const vg_callbacks *cb, void **self, vg_err *err);

/* Hooks that hand a part's progress on as events; valid as long as *progress, which the call fills. */
typedef struct vg_part_progress {
    const vg_callbacks *cb;
    vg_stage stage;
} vg_part_progress;
/* progress: filled, must outlive the hooks. cb: may be NULL. */
vg_hooks vg_part_hooks(vg_part_progress *progress, const vg_callbacks *cb, vg_stage stage);
#endif
