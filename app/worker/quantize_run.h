/* quantize_run.h: what the files of a quantising job share: kind_quantize.c (encoding, passes, telling), quantize_create.c, quantize_export.c. */
#ifndef VG_APP_WORKER_QUANTIZE_RUN_H
#define VG_APP_WORKER_QUANTIZE_RUN_H

#include "app/worker/quantize_plan.h"
#include "app/worker/quantize_ranges.h"
#include "app/worker/worker_run.h"

#define VG_QUANTIZE_EXPORT_FILE                                                                    \
    "export.json" /* in the job's folder: what was written, for reading */

/* One run of the worker. */
typedef struct vg_quantize_run {
    vg_worker *w;
    vg_model *model;
    vg_quantize_plan plan;
    vg_ranges ranges;
    char made_with[17];
    vg_callbacks callbacks;
    const vg_quantize_pass *pass;
    vg_input_scales *scales; /* of the first expert, while it runs quantised */
    vg_media media;
    int steps_done;
    double begin, encode_s, passes_s, export_s;
    /* the export */
    const char *output;
    char *hidden;
    uint64_t rest_bytes, bytes_before, bytes_all;
    int64_t told_ms;
} vg_quantize_run;

/* quantize_create.c: vg_job_kind.create. */
vg_status vg_quantize_create(vg_job *job, const vg_job_media *media, int batch, vg_err *err);
/* quantize_export.c: the output folder, from ranges that are measured to its name, and VG_QUANTIZE_EXPORT_FILE. What is there of an earlier run is
 * gone on from. */
vg_status vg_quantize_export_all(vg_quantize_run *r, vg_err *err);
#endif
