/* jobs.h: jobs as the screens see them: a list of all, one in full detail, and what can be done with it. */
#ifndef VG_UI_HOST_JOBS_H
#define VG_UI_HOST_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum vg_ui_job_state {
    VG_UI_JOB_QUEUED,
    VG_UI_JOB_RUNNING,
    VG_UI_JOB_DONE,
    VG_UI_JOB_FAILED,
    VG_UI_JOB_CANCELLED,
    VG_UI_JOB_INTERRUPTED,
    VG_UI_JOB_NOT_RUN, /* of a variant: the job is over, and never came to it */
    VG_UI_JOB_DAMAGED, /* its folder cannot be read; message says why */
    VG_UI_JOB_STATE_COUNT
} vg_ui_job_state;

typedef struct vg_ui_metric {
    const char *label, *unit;
    bool higher_is_better;
    double mean;          /* NaN unknown, INFINITY identical */
    const double *frames; /* per frame, or NULL */
    int frames_count;
} vg_ui_metric;

typedef struct vg_ui_variant {
    const char *name;  /* "fp8-block" */
    const char *label; /* "FP8 per-block" */
    vg_ui_job_state state;
    const char *stage; /* "text", "denoise", "decode", ...; "" before it began */
    int step, steps;   /* denoise steps done, of */
    int part,
        parts; /* progress inside the stage when it is not denoise (frames decoded ...), 0 of 0 unknown */
    int boundary_step;       /* first step of the second expert, -1 unknown or none */
    double denoise_s_per_it; /* mean over the steps so far, s; NaN none yet */
    double wall_s;           /* seconds from start to now or to the end */
    double eta_s;            /* to the end of this variant, NaN unknown */
    const double *step_s;    /* seconds of each step so far [step] */
    const uint8_t *preview;  /* RGB [preview_h, preview_w, 3] or NULL */
    int preview_w, preview_h;
    uint64_t preview_serial;     /* changes with the picture */
    uint64_t peak_bytes;         /* 0 unknown */
    const char *precision;       /* e.g. "60 FP8 per-tensor (static), 5 BF16"; "" unknown */
    const char *clip;            /* absolute path of its mp4, "" while there is none */
    const vg_ui_metric *metrics; /* against the reference; NULL for the reference itself */
    int metrics_count;
    bool frames_ready;
} vg_ui_variant;

/* From what always matters to what is only sometimes wanted. */
typedef enum vg_ui_log_level {
    VG_UI_LOG_BAD,
    VG_UI_LOG_END,
    VG_UI_LOG_NOTE,
    VG_UI_LOG_STAGE,
    VG_UI_LOG_LEVEL_COUNT
} vg_ui_log_level;

/* What happened, for reading: stages, notes, endings. */
typedef struct vg_ui_log_line {
    double at;   /* seconds since the job was made */
    int variant; /* -1: the job itself */
    vg_ui_log_level level;
    const char *text;
    double seconds; /* how long it took, NaN unknown or still going */
} vg_ui_log_line;

/* One thing that is measured while a job runs, e.g. the GPU's power. */
typedef struct vg_ui_gauge {
    const char *label, *unit; /* "power", "W" */
    double now, mean,
        peak; /* NaN unknown; now: NaN too when nothing runs. mean and peak: over the whole job */
    double limit;          /* what it may reach, NaN unknown or none */
    double low, high;      /* the scale of its drawing; high NaN: up to its peak */
    const double *history; /* the last readings, one a second, oldest first; NaN: a gap */
    int history_count;
} vg_ui_gauge;

typedef struct vg_ui_job {
    const char *id, *dir, *model, *prompt, *summary; /* summary: "96x160x17, 20 steps, seed 42" */
    vg_ui_job_state state;
    const char *message; /* why it failed, what it waits for; "" */
    double created;      /* Unix time, s */
    double fps;
    int frames, width, height;
    vg_ui_variant *variants;
    int variants_count;
    int current;                                    /* variant that runs, -1 */
    double eta_s;                                   /* to the end of the job, s; NaN unknown */
    const char *device;                             /* "cpu", "cuda: NVIDIA H100" */
    const char *memory_label;                       /* "RSS" or "VRAM" */
    uint64_t memory_now, memory_peak, memory_total; /* bytes, 0 unknown; now and peak are ours */
    uint64_t memory_others;    /* bytes of others on the same GPU, 0 none or unknown */
    uint64_t memory_planned;   /* bytes that were forecast for the variant at work, 0 unknown */
    const vg_ui_gauge *gauges; /* most important first; none without a GPU */
    int gauges_count;
    const vg_ui_log_line *log; /* oldest first */
    int log_count;
    const char *comparison; /* absolute path of the exported comparison clip, "" */
} vg_ui_job;

typedef struct vg_ui_job_list {
    const vg_ui_job *const
        *jobs; /* newest first; without log, gauges, steps and pictures, for which get is asked */
    int count;
    int unread;      /* jobs that are there but not yet read; more come with the next refresh */
    uint64_t serial; /* changes with the list or anything in it */
} vg_ui_job_list;

typedef struct vg_ui_jobs_host {
    void *self;
    vg_ui_job_list (*list)(void *self); /* borrowed until the next refresh */
    const vg_ui_job *(*get)(void *self,
                            const char *id); /* in full detail, NULL gone; until the next refresh */
    bool (*cancel)(void *self, const char *id, char *message, size_t message_size);
    bool (*resume)(void *self, const char *id, char *message, size_t message_size);
    bool (*remove)(void *self, const char *id, char *message, size_t message_size);
} vg_ui_jobs_host;
#endif
