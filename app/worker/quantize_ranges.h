/* quantize_ranges.h: what the inputs of a denoiser's layers reached while it was calibrated, by layer and step, and its file. */
#ifndef VG_APP_WORKER_QUANTIZE_RANGES_H
#define VG_APP_WORKER_QUANTIZE_RANGES_H

#include "engine/quantize/quantize.h"

typedef struct vg_range_layer {
    char *layer;
    float amax;       /* over all samples and steps */
    int sample, step; /* where it was reached first, from 0 */
    float *
        steps; /* [vg_ranges.steps] largest of all samples; -1: the expert does not run that step */
} vg_range_layer;

typedef struct vg_range_expert {
    char *name;  /* "transformer" */
    int samples; /* measured to their end */
    vg_range_layer *layers;
    int count, next; /* next: where the following layer of the table will be */
} vg_range_expert;

typedef struct vg_ranges {
    int steps; /* of a sample's schedule */
    vg_range_expert experts[VG_QUANTIZE_EXPERTS_MAX];
    int count;
} vg_ranges;

/* Nothing measured yet. */
void vg_ranges_init(vg_ranges *ranges, const char *const *experts, int count, int steps);
/* Free all; zero afterwards. */
void vg_ranges_deinit(vg_ranges *ranges);
/* One layer's largest |x| in a step. */
void vg_ranges_add(vg_ranges *ranges, int expert, int sample, int step, const char *layer,
                   float amax);
/* {layer: {"amax", "sample", "step", "by_step"}}; caller deletes. sample and step count from 1 there. */
cJSON *vg_range_expert_json(const vg_range_expert *expert, int steps);
/* made_with: the mark that reading compares. Errors: those of vg_json_save. */
vg_status vg_ranges_write(const vg_ranges *ranges, const char *path, const char *made_with,
                          vg_err *err);
/* Into ranges that were initialised for the same experts and steps. False: there is no such file, it is damaged, or of another mark; then
 * nothing is measured yet. */
bool vg_ranges_read(vg_ranges *ranges, const char *path, const char *made_with);
/* The input scales of all that was measured. */
vg_status vg_ranges_scales(const vg_ranges *ranges, vg_input_scales **scales, vg_err *err);
#endif
