/* samples.h: what a calibration for export runs: which prompt with which picture, in which order. Source: modelopt-fp8 3.2. */
#ifndef VG_ENGINE_QUANTIZE_SAMPLES_H
#define VG_ENGINE_QUANTIZE_SAMPLES_H

#include "kernels/base/status.h"

#include <stdbool.h>

#define VG_CALIBRATION_SAMPLES     8 /* where nobody says how many */
#define VG_CALIBRATION_SAMPLES_MAX 1024

typedef struct vg_calibration_sample {
    const char *prompt; /* borrowed */
    int picture;        /* number of the picture, -1 none */
} vg_calibration_sample;

/* Sample i of `size`.
 *   prompts, prompts_count    a person's own, in place of the pools; they are taken in turn
 *   pictures                  how many there are; they are taken in turn
 *   references                the pictures are references: without prompts of one's own, only the last half of the samples (and at most one a
 *                             picture) has them, with prompts about them, so that both kinds of clips are measured */
vg_calibration_sample vg_calibration_sample_of(int i, int size, const char *const *prompts,
                                               int prompts_count, int pictures, bool references);
#endif
