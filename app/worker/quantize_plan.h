/* quantize_plan.h: what a job that quantises will do, from its settings and its model: samples, passes, rules, and whether it can. */
#ifndef VG_APP_WORKER_QUANTIZE_PLAN_H
#define VG_APP_WORKER_QUANTIZE_PLAN_H

#include "app/media/picture.h"
#include "app/settings/settings.h"
#include "engine/quantize/quantize.h"
#include "engine/quantize/samples.h"

typedef struct vg_quantize_plan {
    const vg_settings *settings; /* borrowed */
    const vg_model *model;       /* borrowed */
    vg_lines prompts;            /* a person's own; none: the pools */
    vg_lines pictures;           /* paths, by name */
    vg_role role;                /* of a picture */
    int samples;
    int height, width, num_frames; /* of all samples */
    vg_quantize_pass passes[VG_QUANTIZE_PASSES_MAX];
    int passes_count;
    int steps; /* of all passes and samples */
} vg_quantize_plan;

/* settings and model stay alive as long as the plan; the caller deinitialises, also after an error.
 * Errors: VG_E_ARG for what a person asked wrongly, else what the model said. */
vg_status vg_quantize_plan_make(const vg_settings *settings, const vg_model *model,
                                vg_quantize_plan *plan, vg_err *err);
void vg_quantize_plan_deinit(vg_quantize_plan *plan);

/* What sample i is made of, and its settings with every default filled in, but for pixels.
 *   media  room for its picture; params point there, and into settings and plan */
vg_status vg_quantize_sample(const vg_quantize_plan *plan, int i, vg_generate_params *params,
                             vg_media *media, vg_err *err);
/* Its picture; -1 none. */
int vg_quantize_sample_picture(const vg_quantize_plan *plan, int i);
/* The first sample of the same prompt and picture: they share what encoding makes. */
int vg_quantize_sample_like(const vg_quantize_plan *plan, int i);
#endif
