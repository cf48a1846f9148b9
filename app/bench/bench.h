/* bench.h: vgen bench: how fast a job runs here, beside what the device could do at most. The run is in this process and keeps nothing. */
#ifndef VG_APP_BENCH_BENCH_H
#define VG_APP_BENCH_BENCH_H

#include <stdatomic.h>
#include "app/bench/bench_watch.h"
#include "app/job/layer_attention.h"
#include "app/settings/variants.h"
#include "engine/run/limits.h"
#include "kernels/backend/profile.h"

typedef enum vg_bench_stage {
    VG_BENCH_LOAD,
    VG_BENCH_TEXT,
    VG_BENCH_ENCODE,
    VG_BENCH_CALIBRATE,
    VG_BENCH_DENOISE,
    VG_BENCH_DECODE,
    VG_BENCH_STAGE_COUNT
} vg_bench_stage;
/* "load", "text", ... as the reports print it; stage below VG_BENCH_STAGE_COUNT. Static. */
const char *vg_bench_stage_name(vg_bench_stage stage);

#define VG_BENCH_STEPS_MAX VG_STEPS_MAX

/* ---- cases (bench.def) ---- */

typedef struct vg_bench_case {
    const char *name, *model, *mode;
    int height, width, num_frames, steps;
    double guidance_scale, guidance_scale_2, flow_shift;
    const char *help;
} vg_bench_case;

extern const vg_bench_case vg_bench_cases[];
extern const int vg_bench_cases_count;

/* VG_E_ARG names the nearest case and lists all. */
vg_status vg_bench_case_find(const char *name, const vg_bench_case **found, vg_err *err);
/* Set what the case decides where `s` does not set it already. */
vg_status vg_bench_case_settings(const vg_bench_case *c, vg_settings *s, vg_err *err);

/* ---- a run ---- */

typedef struct vg_bench_plan {
    const char *name; /* the case's, or "custom" */
    vg_settings settings;
    int steps_run, warm_up;
    bool profile;      /* time every operation */
    bool denoise_only; /* random text and image; no text encoder, no encode, no decode */
    const atomic_int *cancel;
} vg_bench_plan;

/* What one variant took. All zero is empty; seconds unless the name says otherwise. */
typedef struct vg_bench_result {
    char id[VG_VARIANT_ID_BYTES_MAX + 1], label[VG_VARIANT_LABEL_BYTES_MAX + 1];
    vg_scheme scheme;
    vg_attention_request attention;
    vg_layer_attentions attentions; /* what its tests found */
    vg_device_info device;
    char model[160]; /* as the settings name it */
    int64_t tokens;
    int forwards; /* a step */
    int height, width, num_frames;
    double guidance_scale;
    double step_s[VG_BENCH_STEPS_MAX]; /* of measured steps */
    int steps, warm_up;
    vg_bench_range per_it;
    double wall_s[VG_BENCH_STAGE_COUNT],
        total_s; /* a stage without the loading inside of it; warm-up counts */
    size_t peak_bytes[VG_BENCH_STAGE_COUNT];
    size_t planned_bytes; /* what vgen plan says of the largest stage */
    int streamed_blocks;  /* of the transformer, kept on the host because of the memory limit */
    vg_bench_stage peak_stage; /* calibration, which a model needs once, does not count */
    double flop_per_it;
    double floor_s_per_it; /* 0: unknown device */
    char scales[64];       /* where the FP8 activation scales came from; "" for schemes without */
    vg_precision_report precision;
    vg_bench_clocks clocks;
    vg_profile_entry
        *ops; /* section is a vg_bench_stage; denoise: of the measured steps alone. malloc'd */
    int ops_count;
    bool timed; /* the entries have times */
} vg_bench_result;
/* Free the entries of operations and zero *r; again is a no-op. */
void vg_bench_result_deinit(vg_bench_result *r);

/* Measure one variant of the plan's settings, with the model that it names. Progress goes to stderr, a line a stage and step. Errors: what the engine says. */
vg_status vg_bench_run(vg_engine *engine, vg_model *model, const vg_bench_plan *plan,
                       const vg_variant *variant, vg_bench_result *r, vg_err *err);

/* bench_report.c: the table for people, and the same as JSON: an object for one variant, {"case", "results": [...]} for several. */
void vg_bench_print(FILE *out, const vg_bench_plan *plan, const vg_bench_result *results,
                    int count);
/* Caller deletes. */
cJSON *vg_bench_json(const vg_bench_plan *plan, const vg_bench_result *results, int count);

/* A number with four digits or so that count; "-" for one that is not known. Returns buf. */
const char *vg_bench_number(char *buf, size_t size, bool known, double value);

/* ---- single operations (the cases of kernels/op/) ---- */

typedef struct vg_bench_ops_options {
    double scale; /* of the rows, tokens or pixels of each case; 0: 1 on a GPU, small on the CPU */
    double row_s; /* seconds of measuring per row */
    const char *filter; /* only rows whose operation or shape has this text, or NULL */
    const atomic_int *cancel;
} vg_bench_ops_options;

typedef struct vg_bench_op_row {
    vg_op op;
    const char *use; /* where the cases have it */
    vg_op_cost cost;
    double seconds;   /* a call */
    double library_s; /* the library's product alone; 0: there is none */
    double floor_s;   /* 0: unknown device */
    bool memory_bound;
    bool unsupported; /* by this backend; nothing was measured */
} vg_bench_op_row;

/* Every case of every operation. *rows is malloc'd. done is called after each, or NULL. */
vg_status vg_bench_ops_run(vg_backend *be, const vg_bench_ops_options *options,
                           vg_bench_op_row **rows, int *count,
                           void (*done)(const vg_bench_op_row *row), vg_err *err);
/* The heading of the table whose rows vg_bench_ops_print prints. */
void vg_bench_ops_print_head(FILE *out);
/* One row; "not on this backend" where nothing was measured. */
void vg_bench_ops_print(FILE *out, const vg_bench_op_row *row);
/* {"device": ..., "ops": [...]}: all rows, with what they were measured on. Caller deletes. */
cJSON *vg_bench_ops_json(vg_backend *be, const vg_bench_op_row *rows, int count);
#endif
