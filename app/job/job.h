/* job.h: a job is a directory. job.json says what to do and never changes; events.jsonl says what happened; variants/<id>/ holds what came
 * out. Whether a worker is on it is known from a lock that the worker holds (`lock`), so nothing has to be cleaned up after a kill.
 *
 *   JOBS/20261123-131500-a-big-red-ball-3f2a/
 *     job.json  events.jsonl  summary.json  files.json  lock  worker.log  conditions.safetensors  calibration.json  init_latents.safetensors  comparison.mp4
 *     inputs/<digest>.png, what it was given (job_media.h)
 *     variants/bf16/{state.safetensors, latents.safetensors, frames.mkv, variant.json, metrics.{json,csv}, clip.mp4, preview.ppm} */
#ifndef VG_APP_JOB_JOB_H
#define VG_APP_JOB_JOB_H

#include "app/job/device.h"
#include "app/job/events.h"
#include "app/settings/variants.h"

#define VG_JOB_FILE            "job.json"
#define VG_JOB_FILE_BYTES_MAX  (4u << 20)
#define VG_JOB_LOCK            "lock"
#define VG_JOB_LOG             "worker.log"
#define VG_JOB_LOG_BYTES_MAX   (64u << 20) /* more of it is not read */
#define VG_JOB_CONDITIONS      "conditions.safetensors"
#define VG_JOB_CALIBRATION     "calibration.json"
#define VG_JOB_INIT_LATENTS    "init_latents.safetensors"
#define VG_JOB_COMPARISON      "comparison.mp4"
#define VG_JOB_FILES           "files.json" /* length and digest of what carries no checksum of its own */
#define VG_JOB_COMPARISON_DIFF "comparison-diff.mp4" /* with the amplified difference */
#define VG_VARIANT_STATE       "state.safetensors"
#define VG_VARIANT_LATENTS     "latents.safetensors"
#define VG_VARIANT_CLIP        "clip.mp4"
#define VG_VARIANT_FILE        "variant.json"
#define VG_VARIANT_PREVIEW     "preview.ppm"

typedef struct vg_job_outputs { /* absolute paths, NULL when not asked for */
    char *output, *save_latents, *save_frames;
} vg_job_outputs;

/* One of the clips that a job makes. */
typedef struct vg_job_variant {
    char *id, *label;           /* see vg_variant; the label says what its layers really run in */
    vg_settings overlay;        /* in what it differs, as the person gave it */
    vg_settings resolved;       /* everything that it runs with; quantization is one scheme */
    char *model_dir, *identity; /* its checkpoint; identity: app/job/weights.h, or NULL */
    vg_job_outputs outputs;
} vg_job_variant;

typedef struct vg_job_kind vg_job_kind; /* kind.h */

typedef struct vg_job {
    const vg_job_kind *kind;
    char *id;  /* the folder's name */
    char *dir; /* absolute */
    double created;
    vg_settings settings; /* as the person gave them, shared by all variants */
    vg_settings
        resolved; /* with every value that the checkpoint of the reference decided filled in */
    char *model_dir, *family, *identity, *code_version, *device; /* of the reference */
    vg_job_variant *variants;                                    /* the first is the reference */
    int variants_count;                                          /* 1 to VG_VARIANTS_MAX */
    char *comparison_output; /* with several variants and --output */
} vg_job;
/* Free everything in *job and zero it; nothing on disk changes. */
void vg_job_deinit(vg_job *job);

/* Find the model, fill in its defaults, check everything that can be checked before a long run (sizes, output folders), and make the folder.
 *   jobs_dir   made when missing
 *   settings   a seed that is "random" is drawn here; the job has the number
 *   variants   NULL or none: one for each scheme of `quantization`
 *   batch      0, or the number of the prompt in a batch: goes into the names of outputs
 * Errors: VG_E_ARG for what the person asked, else what the model said. */
vg_status vg_job_create(const char *jobs_dir, const vg_job_kind *kind, const vg_settings *settings,
                        const vg_variants *variants, int batch, vg_job *job, vg_err *err);
/* May a file be written to `path`, which needs this ending? VG_E_ARG; key: what asks for it, for the message. */
vg_status vg_job_check_output(const char *key, const char *path, const char *ending, vg_err *err);
/* The same for all files that the job writes outside of its folder, as they are now. */
vg_status vg_job_check_outputs(const vg_job *job, vg_err *err);
/* Can a job write a file of this name? It fits the file system, and it is UTF-8, as all text of job.json. VG_E_ARG. */
vg_status vg_job_check_name(const char *key, const char *path, vg_err *err);
/* Can this job's clips be written (vg_clip_probe)? VG_E_UNSUPPORTED, VG_E_ARG or VG_E_NOMEM with one line. */
vg_status vg_job_probe_clips(const vg_job *job, vg_err *err);
/* Read DIR/job.json. Nothing in it is trusted. */
vg_status vg_job_open(const char *dir, vg_job *job, vg_err *err);
vg_status vg_job_parse(const char *text, size_t size, const char *name, vg_job *job,
                       vg_err *err); /* job.json's text; for _open and fuzzing */

/* A folder's name, a beginning or an end of it that only one job has, "last", or a path. *dir is malloc'd. */
vg_status vg_job_find(const char *jobs_dir, const char *name, char **dir, vg_err *err);
/* The same, also where job.json is gone or cannot be read: for removing. */
vg_status vg_job_find_any(const char *jobs_dir, const char *name, char **dir, vg_err *err);
/* Folders of all jobs, newest first. */
void vg_job_list(const char *jobs_dir, vg_lines *dirs);

/* What a job is called, from its folder: the folder's name; where that has something that cannot be shown, with a few digits behind it that tell
 * it from others that would look the same. malloc'd. */
char *vg_job_id_of(const char *dir);
/* May this process write into the folder? It is this user's, and holds files and folders only: nothing that leads elsewhere or waits.
 * VG_E_IO, VG_E_FORMAT, VG_E_MISSING. */
vg_status vg_job_check_folder(const char *dir, vg_err *err);
/* Remove a job, whatever its job.json says, and the link by which it was named. VG_E_BUSY: a worker is on it. Killed in between, the rest goes
 * with vg_job_sweep. */
vg_status vg_job_remove(const char *dir, vg_err *err);
/* Remove what kills left half made and half removed. */
void vg_job_sweep(const char *jobs_dir);

char *vg_job_path(const vg_job *job, const char *file);                              /* malloc'd */
char *vg_job_variant_path(const vg_job *job, int variant, const char *file_or_null); /* malloc'd */
/* Whether a worker is on it, and its process id (0 unknown). */
bool vg_job_running(const char *dir, pid_t *pid);

/* The precision of a variant, from its resolved settings. */
vg_scheme vg_job_variant_scheme(const vg_job *job, int variant);
/* The first variant whose weights are the same and whose settings that decide what (VG_DECIDES_...) are: what it makes serves them all. */
int vg_job_owner(const vg_job *job, int variant, char what);
/* The owner's file of that kind: the reference's lies in the job's folder, others in the variant's. malloc'd. */
char *vg_job_shared_path(const vg_job *job, int variant, char what, const char *file);

/* The settings of a variant that decide the pixels, as one JSON line (no paths, no dates): for clip metadata. malloc'd. */
char *vg_job_recipe(const vg_job *job, int variant);
/* 16 hex digits over the recipe and the given initial latents: two jobs with the same one make the same files. */
void vg_job_fingerprint(const vg_job *job, int variant, char hex[17]);
/* The same for a file that the variant shares with its owner: without the scheme. */
void vg_job_fingerprint_shared(const vg_job *job, int variant, char what, char hex[17]);
#endif
