/* snapshot.h: what is known of a job right now, folded from its events, its lock and its files. The command line, the screens and the worker
 * itself (for what an earlier run already did) all read jobs through this. */
#ifndef VG_APP_JOB_SNAPSHOT_H
#define VG_APP_JOB_SNAPSHOT_H

#include "app/report/gauges.h"
#include "app/job/job.h"
#include "app/report/report.h"

typedef enum vg_job_state {
    VG_JOB_QUEUED,
    VG_JOB_RUNNING,
    VG_JOB_DONE,
    VG_JOB_FAILED,
    VG_JOB_CANCELLED,
    VG_JOB_INTERRUPTED,
    VG_JOB_STATE_COUNT
} vg_job_state;
const char *vg_job_view_state_name(vg_job_state state); /* "running" */

typedef struct vg_variant_view {
    vg_job_state state;
    char stage[24];  /* "" before it began */
    char detail[96]; /* what is loaded ... */
    int step, steps;
    int part, parts;
    int expert;        /* of the last step, -1 none yet */
    int boundary_step; /* first step of the second expert, -1 unknown */
    double *step_s;    /* seconds of each step [step], NaN unknown */
    int step_s_capacity;
    double stage_s[VG_STAGE_COUNT];  /* seconds spent, finished stages, all runs */
    double wall_s;                   /* over all runs */
    double denoise_s;                /* sum of the steps */
    uint64_t peak_bytes;             /* backend memory, but for calibration */
    uint64_t calibration_peak_bytes; /* of measuring input scales; 0: there was none */
    uint64_t weight_bytes;
    uint64_t planned_bytes;  /* as vgen plan has it: of the stage that needs most; 0 unknown */
    vg_gauge_figures gauges; /* of the GPU: means over its denoise steps, peaks over all it did */
    char peak_stage[24];
    char precision[96];
    char note[256]; /* last note */
    int preview_w, preview_h;
    uint64_t preview_serial;
    bool frames_ready, clip_ready, metrics_ready;
    vg_report_metrics metrics;
    /* internal */
    double anchor_t, wall_base;
    int stage_open[VG_STAGE_COUNT];
} vg_variant_view;

typedef enum vg_last {
    VG_LAST_NONE,
    VG_LAST_ASKED,
    VG_LAST_QUEUED,
    VG_LAST_STARTED,
    VG_LAST_DONE,
    VG_LAST_FAILED,
    VG_LAST_CANCELLED,
    VG_LAST_STOPPED
} vg_last;

typedef struct vg_job_view {
    const vg_job *job; /* borrowed */
    vg_job_state state;
    char message[VG_ERR_MESSAGE_MAX]; /* why it failed, what it waits for; cleaned; "" */
    pid_t pid;                        /* of the worker, 0 */
    int current;                      /* variant that runs, -1 */
    char device[160];                 /* "cpu: CPU, 2 threads" */
    uint64_t memory_now, memory_peak,
        memory_total; /* bytes, 0 unknown: of the process, or of the GPU */
    bool memory_is_device;
    vg_gpu_sample gpu;               /* the last reading of its gauges */
    vg_gauge_figures gauges;         /* over all readings */
    vg_gauge_history *gauge_history; /* NULL while there was none; owned */
    bool comparison_ready;
    bool finished; /* a run has ended with everything written, this one or an earlier one */
    int runs;      /* how often a worker began */
    double ended;  /* Unix time of the last ending, 0 */
    bool stopped;  /* ended because max_steps_run said so */
    vg_variant_view variants[VG_SCHEME_COUNT];
    uint64_t serial;  /* changes with anything above */
    size_t log_bytes; /* size of worker.log when the view began */
    /* internal */
    vg_event_reader reader;
    vg_last last;
    double last_t;
} vg_job_view;

void vg_job_view_init(vg_job_view *view, const vg_job *job);
void vg_job_view_deinit(vg_job_view *view);
/* Take in what is new; true when something changed. `tell` (or NULL) sees every new event first. */
bool vg_job_view_refresh(vg_job_view *view,
                         void (*tell)(void *user, const cJSON *event, const char *line),
                         void *user);

bool vg_job_state_is_final(vg_job_state state);       /* no worker is or will be on it */
double vg_variant_s_per_it(const vg_variant_view *v); /* mean over the steps so far; NaN none yet */
double vg_variant_wall_s(const vg_variant_view *v);   /* counts on while it runs */
/* What is taken where the job computes: the GPU's memory when its gauges tell or the backend counts it, else the process's. Bytes. */
typedef struct vg_job_memory {
    bool is_device;
    uint64_t now, peak; /* ours, 0 unknown */
    uint64_t others;    /* of other processes on the GPU, 0 none or unknown */
    uint64_t planned;   /* of the variant that runs, 0 unknown */
    uint64_t total;     /* 0 unknown */
} vg_job_memory;
vg_job_memory vg_job_view_memory(const vg_job_view *view);
double vg_variant_eta_s(const vg_job_view *view,
                        int variant); /* to the end of this variant; NaN unknown */

/* The table's rows for vg_report_*; strings and metrics are borrowed from view and job, clip paths are malloc'd into `paths`. */
int vg_job_view_rows(const vg_job_view *view, vg_report_row rows[VG_SCHEME_COUNT], vg_lines *paths);
/* {"job": ..., "state": ..., "variants": [...]}: the result object of --json. Caller deletes. */
cJSON *vg_job_view_json(const vg_job_view *view);
#endif
