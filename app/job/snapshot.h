/* snapshot.h: what is known of a job right now. One function folds its events into it (fold.c); a summary that the worker left at the end does
 * the same in one read. The command line, the screens, the tests, and the worker (for what an earlier run did) all read jobs through this. */
#ifndef VG_APP_JOB_SNAPSHOT_H
#define VG_APP_JOB_SNAPSHOT_H

#include "app/job/job.h"
#include "app/job/layer_attention.h"
#include "app/report/energy.h"
#include "app/report/report.h"

typedef enum vg_job_state {
    VG_JOB_QUEUED,
    VG_JOB_RUNNING,
    VG_JOB_DONE,
    VG_JOB_FAILED,
    VG_JOB_CANCELLED,
    VG_JOB_INTERRUPTED,
    VG_JOB_NOT_RUN, /* of a variant: the job is over, and never came to it */
    VG_JOB_STATE_COUNT
} vg_job_state;
const char *vg_job_state_text(vg_job_state state); /* "running" */
bool vg_job_state_is_final(vg_job_state state);    /* no worker is or will be on it */

/* What a list of jobs shows without opening the job. */
typedef struct vg_job_card {
    char *id, *model;   /* cleaned for a terminal */
    char *dir, *prompt; /* as they are */
    char *summary;      /* "96x160x17, 20 steps, seed 42" */
    double created;     /* Unix time, s */
    double fps;
    int frames, width, height;
} vg_job_card;

typedef struct vg_variant_snapshot {
    char *id, *label; /* "fp8-block", "FP8 per-block" */
    vg_job_state state;
    char stage[24];  /* "" before it began */
    char detail[96]; /* what is loaded ... */
    int step, steps;
    int part, parts;
    int expert;        /* of the last step, -1 none yet */
    int boundary_step; /* first step of the second expert, -1 unknown */
    double *step_s; /* seconds of each step [step_s_capacity], NaN unknown; NULL from a summary */
    int step_s_capacity;
    double denoise_s;                /* sum of the steps */
    double s_per_it;                 /* mean of the steps so far, s; NaN none yet */
    double stage_s[VG_STAGE_COUNT];  /* seconds spent, finished stages, all runs */
    double wall_s;                   /* over all runs */
    uint64_t peak_bytes;             /* backend memory, but for calibration */
    uint64_t calibration_peak_bytes; /* of measuring input scales; 0: there was none */
    uint64_t weight_bytes;
    uint64_t planned_bytes; /* as vgen plan has it: of the stage that needs most; 0 unknown */
    vg_gauge_figures
        *gauges; /* of the GPU: means over its denoise steps, peaks over all it did; NULL none */
    vg_energy energy; /* of the GPU, over its denoise steps */
    char peak_stage[24];
    char *precision;               /* "" unknown; owned, never NULL */
    vg_layer_attentions attention; /* of layers that were tested; empty from a summary */
    int preview_w, preview_h;
    uint64_t preview_serial; /* changes with the picture */
    bool frames_ready, clip_ready, metrics_ready;
    double means[VG_METRIC_COUNT]; /* of each metric, NaN not measured */
    vg_report_metrics
        metrics; /* frame by frame; empty from a summary, and where the file is gone */
    /* of the fold */
    bool metrics_unread;
    double anchor_t, wall_base;
    int stage_open[VG_STAGE_COUNT];
} vg_variant_snapshot;

typedef enum vg_log_level { VG_LOG_BAD, VG_LOG_END, VG_LOG_NOTE, VG_LOG_STAGE } vg_log_level;

/* What happened, for reading: stages with how long each took, notes, endings. Steps, memory and progress are left out: gauges show them. */
typedef struct vg_log_line {
    double at;   /* seconds since the job's first event */
    int variant; /* -1: of the job */
    vg_log_level level;
    char *text;     /* cleaned, owned */
    char stage[24]; /* of a line about a stage, else "" */
    double seconds; /* how long it took, NaN unknown or still going */
} vg_log_line;
enum { VG_LOG_LINES_MAX = 4000 }; /* of more, the oldest are dropped */

typedef struct vg_job_log {
    vg_log_line *lines; /* oldest first */
    int count, capacity;
    double began; /* Unix time of the first event */
} vg_job_log;

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

typedef struct vg_snapshot {
    const vg_job *job; /* borrowed; NULL: from a summary alone */
    vg_job_card card;
    vg_job_state state;
    char *message; /* why it failed, what it waits for; cleaned; owned, never NULL */
    pid_t pid;     /* of the worker, 0 */
    int current;   /* variant that runs, -1 */
    char *device;  /* "cpu: CPU, 2 threads"; owned, never NULL */
    uint64_t memory_now, memory_peak,
        memory_total; /* bytes, 0 unknown: of the process, or of the GPU */
    bool memory_is_device;
    vg_gpu_sample gpu;               /* the last reading of its gauges */
    vg_gauge_figures *gauges;        /* over all readings; NULL none; owned */
    vg_gauge_history *gauge_history; /* NULL while there was none; owned */
    bool comparison_ready;
    bool finished; /* a run has ended with everything written, this one or an earlier one */
    int runs;      /* how often a worker began */
    double ended;  /* Unix time of the last ending, 0 */
    bool stopped;  /* ended because max_steps_run said so */
    vg_variant_snapshot *variants; /* [variants_count], the first is the reference */
    int variants_count;
    vg_job_log log;           /* empty from a summary */
    int64_t events_unknown;   /* of kinds that this version does not know */
    int64_t events_malformed; /* lines that were no events */
    uint64_t serial;          /* changes with anything above */
    size_t log_bytes;         /* size of worker.log when the snapshot began */
    /* of the fold */
    vg_event_reader reader;
    vg_last last;
    double last_t;
} vg_snapshot;

/* Nothing is read before the first refresh. job: stays alive as long as the snapshot. */
void vg_snapshot_init(vg_snapshot *snapshot, const vg_job *job);
/* Free what was read; the job stays the caller's. */
void vg_snapshot_deinit(vg_snapshot *snapshot);
/* Take in what is new; true when something changed. `tell` (or NULL) sees every new line after the snapshot did. Not for one that is of a
 * summary alone. */
bool vg_snapshot_refresh(vg_snapshot *snapshot, vg_event_take tell, void *user);
/* Forget all that a list of jobs does not show, the job among it. Only of one whose state is final; it is not refreshed any more. */
void vg_snapshot_slim(vg_snapshot *snapshot);
/* A worker that was asked for ended: if it never took its lock, nobody waits for it any longer. */
void vg_snapshot_worker_ended(vg_snapshot *snapshot);
/* Of one that is of a summary alone, or was made slim: the journal went on since. */
bool vg_snapshot_is_stale(const vg_snapshot *snapshot);
void vg_snapshot_say(vg_snapshot *snapshot, const char *message); /* sets message, cleaned */

/* ---- summary.json (summary.c) ---- */
#define VG_JOB_SUMMARY "summary.json"
/* Written when a job ends: what a list of jobs needs, and how long the journal was. */
vg_status vg_snapshot_summarise(const vg_snapshot *snapshot, vg_err *err);
/* What a list of jobs needs of the one in `dir`: by its summary alone, where that is whole and the journal did not go on since (*job stays zero
 * then), else by opening *job and folding its journal. Errors: those of vg_job_open. Both are the caller's to deinit, the snapshot first. */
vg_status vg_snapshot_glance(const char *dir, vg_job *job, vg_snapshot *snapshot, vg_err *err);

/* ---- figures ---- */
double vg_variant_wall_s(const vg_variant_snapshot *v);            /* counts on while it runs */
double vg_variant_eta_s(const vg_snapshot *snapshot, int variant); /* to its end; NaN unknown */
double vg_job_eta_s(const vg_snapshot *snapshot); /* to the end of all variants; NaN unknown */
/* What is taken where the job computes: the GPU's memory when its gauges tell or the backend counts it, else the process's. Bytes. */
typedef struct vg_job_memory {
    bool is_device;
    uint64_t now, peak; /* ours, 0 unknown */
    uint64_t others;    /* of other processes on the GPU, 0 none or unknown */
    uint64_t planned;   /* of the variant that runs, 0 unknown */
    uint64_t total;     /* 0 unknown */
} vg_job_memory;
/* As far as was read at the last refresh; pure. */
vg_job_memory vg_snapshot_memory(const vg_snapshot *snapshot);

/* ---- for reading (snapshot_report.c); both need the job ---- */
/* The table's rows for vg_report_*, variants_count of them, malloc'd; strings and metrics are borrowed from the snapshot, clip paths are malloc'd
 * into `paths`. */
vg_report_row *vg_snapshot_rows(const vg_snapshot *snapshot, vg_lines *paths);
/* Of a job that makes clips: vg_job_kind.report and .print. */
void vg_snapshot_report_clips(const vg_snapshot *snapshot, cJSON *json);
void vg_snapshot_print_clips(const vg_snapshot *snapshot, FILE *out, bool markdown);
/* {"job": ..., "state": ..., "variants": [...]}: the result object of --json. Caller deletes. */
cJSON *vg_snapshot_json(const vg_snapshot *snapshot);
#endif
