/* progress.h: the stages of a run, and what it tells while it goes on. */
#ifndef VG_ENGINE_RUN_PROGRESS_H
#define VG_ENGINE_RUN_PROGRESS_H

#include <stdint.h>

#include "engine/layers/attention.h"

typedef enum vg_stage {
    VG_STAGE_LOAD,
    VG_STAGE_TEXT,
    VG_STAGE_ENCODE,
    VG_STAGE_CALIBRATE,
    VG_STAGE_DENOISE,
    VG_STAGE_DECODE,
    VG_STAGE_COUNT
} vg_stage;
const char *
vg_stage_name(vg_stage stage); /* "load", "text", "encode", "calibrate", "denoise", "decode" */

typedef enum vg_event_kind {
    VG_EVENT_BEGIN,     /* of denoising as a whole; step: finished ones that it goes on from */
    VG_EVENT_PRECISION, /* detail: what the layers are about to run in */
    VG_EVENT_STAGE_BEGIN,
    VG_EVENT_STAGE_END,
    VG_EVENT_STEP,
    VG_EVENT_PROGRESS,
    VG_EVENT_PREVIEW,
    VG_EVENT_ATTENTION, /* detail: a transformer; step: a block of it; attention: what tests of it found */
    VG_EVENT_NOTE
} vg_event_kind;

typedef struct vg_event {
    vg_event_kind kind;
    vg_stage stage;
    const char *detail; /* what is loaded, noted; "" if none */
    vg_stage load_for;  /* STAGE_BEGIN, STAGE_END of VG_STAGE_LOAD: the stage that wants it */
    int step, steps; /* STEP: finished steps of all; PROGRESS: parts done of all (blocks, frames) */
    double seconds;  /* STEP, STAGE_END: duration of this step or stage, s */
    double timestep, sigma; /* STEP */
    int expert;             /* STEP, ATTENTION: 0 = transformer, 1 = transformer_2 */
    const uint8_t
        *preview; /* PREVIEW: RGB [preview_height, preview_width, 3] of the middle latent frame */
    int preview_width, preview_height;
    const vg_attention_layer *attention; /* ATTENTION */
} vg_event;
#endif
