/* host.h: all that the screens know of the world: settings as fields, jobs as snapshots, frames as pixels. The app implements it over job
 * directories; tests implement it over a tape. Every call returns at once (no call waits for the engine); text is UTF-8 and already
 * free of control characters. Pointers inside snapshots stay valid until the next refresh. */
#ifndef VG_UI_HOST_H
#define VG_UI_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- settings (rows of the options table that have a place on the form) ---- */
typedef enum vg_ui_kind {
    VG_UI_TEXT,
    VG_UI_LINE,
    VG_UI_INT,
    VG_UI_REAL,
    VG_UI_BOOL,
    VG_UI_CHOICE,
    VG_UI_CHOICES
} vg_ui_kind;

typedef struct vg_ui_field {
    const char *key, *label, *unit, *help, *group;
    vg_ui_kind kind;
    const char *const *
        choices; /* CHOICE, CHOICES (several), also suggestions for LINE (e.g. models); NULL-terminated or NULL */
    bool advanced; /* shown when the person asks for all settings */
} vg_ui_field;

/* ---- jobs ---- */
typedef enum vg_ui_job_state {
    VG_UI_JOB_QUEUED,
    VG_UI_JOB_RUNNING,
    VG_UI_JOB_DONE,
    VG_UI_JOB_FAILED,
    VG_UI_JOB_CANCELLED,
    VG_UI_JOB_INTERRUPTED,
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

typedef enum vg_ui_log_kind {
    VG_UI_LOG_STAGE,
    VG_UI_LOG_NOTE,
    VG_UI_LOG_END,
    VG_UI_LOG_BAD
} vg_ui_log_kind;

/* What happened, for reading: stages, notes, endings. */
typedef struct vg_ui_log_line {
    double at;   /* seconds since the job was made */
    int variant; /* -1: the job itself */
    vg_ui_log_kind kind;
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

typedef struct vg_ui_plan_row {
    const char *stage;
    uint64_t bytes;
    bool peak;
} vg_ui_plan_row;
typedef struct vg_ui_plan {
    const vg_ui_plan_row *rows;
    int count;
    uint64_t available; /* bytes free where it would run */
    const char *note;   /* "300 tokens, 0.004 TFLOP a step" or what is wrong */
} vg_ui_plan;

typedef struct vg_ui_host vg_ui_host;
struct vg_ui_host {
    void *self;
    /* Readable when something changed (inotify, child exit, a frame that was loaded); -1 when only polling works. The screens call refresh,
     * which must make it unreadable again, and draw anew whatever refresh returns. They also refresh every two seconds (four times a second
     * when this is -1). */
    int (*wake_fd)(void *self);
    /* Take in what changed since the last call; true when a snapshot is different. Cheap when nothing happened. */
    bool (*refresh)(void *self);

    const vg_ui_field *(*fields)(void *self, int *count);
    /* Current text of a field ("" = unset; then default_text says what will be used, e.g. "5 (checkpoint)"). Borrowed until set. */
    const char *(*value)(void *self, const char *key);
    const char *(*default_text)(void *self, const char *key);
    /* Try to set; false leaves the old value and puts one clear line in message. */
    bool (*set)(void *self, const char *key, const char *text, char *message, size_t message_size);
    /* Check the whole form; false names the field that is wrong. */
    bool (*check)(void *self, const char **key, char *message, size_t message_size);
    vg_ui_plan (*plan)(void *self);

    /* Presets by name, NULL-terminated list, borrowed until the next call. */
    const char *const *(*presets)(void *self);
    bool (*preset_load)(void *self, const char *name, char *message,
                        size_t message_size); /* message may carry warnings on success */
    bool (*preset_save)(void *self, const char *name, char *message, size_t message_size);

    const vg_ui_job *(*jobs)(void *self, int *count);    /* newest first */
    const vg_ui_job *(*job)(void *self, const char *id); /* full detail, NULL gone */
    /* Start the form's job in a process of its own; id of the new job in `id`. */
    bool (*start)(void *self, char *id, size_t id_size, char *message, size_t message_size);
    bool (*cancel)(void *self, const char *id, char *message, size_t message_size);
    bool (*resume)(void *self, const char *id, char *message, size_t message_size);
    bool (*remove)(void *self, const char *id, char *message, size_t message_size);
    /* Fill the form with a job's settings. */
    bool (*load_settings)(void *self, const char *id, char *message, size_t message_size);

    /* RGB frame [height, width, 3] of a finished variant, or NULL while it is loading (ask again after refresh) or broken. Borrowed
     * until the next call for the same variant. */
    const uint8_t *(*frame)(void *self, const char *id, int variant, int index);
    /* Why the frames of a variant cannot be had, in one line; NULL while nothing is known to be wrong. Borrowed until the next refresh. */
    const char *(*frames_broken)(void *self, const char *id, int variant);

    /* Write the comparison clip (diff_gain > 0 adds the amplified difference pane) in the background. */
    bool (*export_start)(void *self, const char *id, double diff_gain, char *message,
                         size_t message_size);
    /* 0 running, 1 done (path in message), -1 failed (why in message), 2 nothing started. */
    int (*export_poll)(void *self, char *message, size_t message_size);
};

typedef struct vg_ui_options {
    const char *job; /* open this job instead of deciding, or NULL */
    bool mouse;
    const char *pictures; /* "auto", "symbols", "sixel", "kitty", "none" */
    const char *colors;   /* "auto", "truecolor", "256", "16", "mono" */
    bool ascii;           /* no UTF-8 glyphs */
} vg_ui_options;

/* Run the screens until the person quits. Restores the terminal on every way out. Returns the exit status: 0; 1 when the terminal cannot
 * be used (the reason is in message); 128 + the signal that ended it (SIGHUP also for a terminal that went away). stderr is held back
 * while the screens are on and printed afterwards. Signal handlers are the screens' own for that time; a process that host->start makes
 * gets the default ones by exec. The locale's LC_CTYPE is set from the environment when it still is "C". */
int vg_ui_run(const vg_ui_host *host, const vg_ui_options *options, char *message,
              size_t message_size);

/* Every key of every screen, from the tables they are dispatched by; each line begins with `indent`. */
void vg_ui_print_keys(FILE *out, const char *indent);

#endif
