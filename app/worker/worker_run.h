/* worker_run.h: what the files of the worker share. Not for others. */
#ifndef VG_APP_WORKER_WORKER_RUN_H
#define VG_APP_WORKER_WORKER_RUN_H

#include <pthread.h>
#include <stdatomic.h>
#include "app/job/job_media.h"
#include "app/media/frames.h"
#include "app/job/snapshot.h"
#include "app/worker/worker.h"
#include "engine/run/sequence.h"

#define VG_WORKER_CALIBRATION_STEPS 4 /* about as many; see vg_calibrate */

#define VG_DECODED_WITH "decoded_with" /* metadata key of frames: vg_job_weights_of_decoder */
#define VG_MADE_WITH    "made_with" /* metadata key of files in the job's folder: vg_job_fingerprint */

/* The thread that watches memory and gauges. What follows the lock is under it. */
typedef struct vg_worker_watch {
    bool on;
    pthread_t thread;
    char pci[32], uuid[40]; /* of the GPU whose gauges are read, "" none */
    pthread_mutex_t lock;
    pthread_cond_t call; /* to the thread, and back */
    bool stop, must_read;
    unsigned asked, answered; /* marks */
} vg_worker_watch;

typedef struct vg_worker {
    vg_job job;
    /* Fingerprints of each variant: of its files, and of those that it may share with others. */
    char made_with[VG_VARIANTS_MAX][17], made_with_conditions[VG_VARIANTS_MAX][17],
        made_with_scales[VG_VARIANTS_MAX][17];
    vg_snapshot snapshot; /* what earlier runs did, and our own events */
    vg_event_writer events;
    vg_engine *engine;
    vg_model *models[VG_VARIANTS_MAX]; /* of each variant; those of one folder are one */
    vg_model *model;                   /* of the variant that runs */
    vg_callbacks callbacks;
    int max_steps;
    bool stopped; /* a variant was left unfinished because of max_steps */
    cJSON *files; /* files.json, while the variants run */
    float *init_latents;
    int64_t init_shape[4];
    /* decoders as they are now; "" one that cannot be read */
    char decoded_with[VG_VARIANTS_MAX][17];
    bool decoder_replaced[VG_VARIANTS_MAX]; /* not the one that the job was made with */
    bool pictures_again; /* of some variant: what was made of the old ones is old */
    /* the variant that runs */
    int variant;
    const vg_generate_params *params; /* its own, while it runs */
    vg_job_media roles;               /* what it was given, without pixels */
    vg_job_media media;               /* the same with pixels, while they are encoded */
    bool frames_made;                 /* now, not by an earlier run */
    vg_stage stage;
    vg_stage outer[4]; /* stages that it is part of: a load within the denoising */
    int depth;
    size_t peak_bytes;
    vg_stage peak_stage;
    bool calibrating;
    int calibration_at, calibration_steps; /* steps done, of */
    size_t calibration_peak_bytes;         /* apart: a model needs its input scales once */
    size_t planned_bytes;                  /* of the stage that will set the peak; 0 unknown */
    char planned_stage[32];
    int64_t last_progress_ms;
    /* what is watched */
    atomic_ullong device_now, device_peak; /* bytes of a backend that is not host memory */
    vg_worker_watch watch;
} vg_worker;

extern atomic_int vg_worker_cancel_flag; /* set by signals; lives as long as the process */

/* worker_events.c */
/* Fill w->callbacks: what the engine tells becomes events, previews and kept states. */
void vg_worker_callbacks(vg_worker *w);
void vg_worker_tell(vg_worker *w, vg_job_event event);    /* of a variant: of the one that runs */
void vg_worker_say(vg_worker *w, vg_job_event_type type); /* the same without fields */
/* A note as of printf, cut at 511 bytes. */
void vg_worker_note(vg_worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* worker_watch.c: memory and gauges, as events, until the end. Where no thread can be made there are none. */
void vg_worker_watch_begin(vg_worker *w, const vg_device_info *device);
/* What was read so far becomes an event now, before the next one that is told: readings belong to the stage and the variant they were taken
 * in. must_read: at least one reading, so that a stage shorter than the interval has one. Waits for the thread, a quarter of a second at most. */
void vg_worker_watch_mark(vg_worker *w, bool must_read);
/* Ends the thread and waits for it; again is a no-op. */
void vg_worker_watch_end(vg_worker *w);

/* worker_variant.c: everything for one variant, or nothing when it is done. */
vg_status vg_worker_variant(vg_worker *w, int variant, vg_err *err);
/* It begins behind `step` finished steps: told, and the report of an earlier run is no longer there. */
void vg_worker_begins(vg_worker *w, int step);
/* worker_store.c: the job's folder as the store of the variant that runs. */
vg_store vg_worker_store(vg_worker *w);
/* worker_outputs.c: frames, clip, metrics, the files that a person asked for. */
vg_status vg_worker_keep_frames(vg_worker *w, const vg_frames *frames, vg_err *err);
/* From the kept frames: clip.mp4; metrics against the first variant. */
vg_status vg_worker_keep_clip(vg_worker *w, vg_err *err);
/* The variant that runs against the first, frame by frame, and its latents where the shapes are the same: metrics.json, .csv, and an event. */
vg_status vg_worker_measure(vg_worker *w, vg_err *err);
/* The files that the job's variant was asked for (latents, frames, clip); only_missing: those that are there stay as they are. */
vg_status vg_worker_write_outputs(vg_worker *w, int variant, bool only_missing, vg_err *err);
/* The clip of all variants, in the job and where --output said. Nothing with one variant, or in a build without clips. */
vg_status vg_worker_write_comparison(vg_worker *w, vg_err *err);
/* made_with: NULL for a file outside of the job. */
vg_status vg_worker_write_latents(const char *path, const vg_latents *latents,
                                  const char *made_with, vg_err *err);
/* F32 [C,T,h,w] under key `latents`; *values is malloc'd. VG_E_FORMAT also for a file that is damaged. */
vg_status vg_worker_read_latents(const char *path, vg_latents *latents, vg_err *err);

/* worker_seal.c */
/* Put a digest of all its values into a JSON object, in place of one that is there. */
void vg_worker_seal(cJSON *root);
/* The object in the file, for the caller to delete; NULL: there is none, or it is not as it was sealed. */
cJSON *vg_worker_open_sealed(const char *path);
/* The list of pieces, files.json; one that is damaged knows none. */
void vg_worker_files_open(vg_worker *w);
void vg_worker_files_close(vg_worker *w);
typedef enum vg_piece {
    VG_PIECE_MISSING,
    VG_PIECE_UNKNOWN, /* there, and nothing was noted of it: of an older version, or a kill came before */
    VG_PIECE_DAMAGED, /* not the bytes that were written */
    VG_PIECE_WHOLE
} vg_piece;
/* A file in the job's folder, against what was noted of it. Reads all of it. */
vg_piece vg_worker_look(const vg_worker *w, const char *path);
/* It is right as it is now (or is not there), noted in files.json at once. Errors: VG_E_IO, VG_E_NOMEM. */
vg_status vg_worker_note_piece(vg_worker *w, const char *path, vg_err *err);

/* worker_files.c: what is there already. VG_E_FORMAT names the first file that was made with other settings. */
vg_status vg_worker_check_files(vg_worker *w, vg_err *err);
/* Frames that another decoder made than the one there is now are no longer found, so that all clips of a job come from the same; a replaced
 * decoder is told. */
void vg_worker_check_decoders(vg_worker *w);
/* vg_worker_note_piece of the frames that lie in `dir`. */
vg_status vg_worker_note_frames(vg_worker *w, const char *dir, vg_err *err);
/* A safetensors file that is there, is what was written, and was made with this. */
bool vg_worker_tensors_good(const char *path, const char *made_with);
/* Each is true when the piece of the variant that runs is there, whole, and of these settings (resolved). */
/* All of them, undamaged, and of the decoder there is now. */
bool vg_worker_find_frames(vg_worker *w, const vg_generate_params *params, const char *dir);
/* True as well in a build without clips, where there is none to find. */
bool vg_worker_find_clip(const vg_worker *w);
/* Figures and table. True as well for the reference, which has none. */
bool vg_worker_find_metrics(vg_worker *w, const vg_generate_params *params, const char *dir);
/* Whole, and by its mark. */
bool vg_worker_find_report(vg_worker *w, const char *path);
/* Input scales: sealed with a key (what decided them) and a checksum. _good: whole and of this job. _copy: whole and of this key, else
 * VG_E_FORMAT; made_with NULL for the cache. */
bool vg_worker_scales_good(const char *path, const char *made_with);
/* The file `from`, read and checked, written to `to`; other errors: VG_E_IO. */
vg_status vg_worker_scales_copy(const char *from, const char *to, const char *key,
                                const char *made_with, vg_err *err);
/* Put key, checksum and made_with into a file that vg_input_scales_write made. Errors: those of vg_json_load and vg_json_save. */
vg_status vg_worker_scales_seal(const char *path, const char *key, const char *made_with,
                                vg_err *err);
/* Remove temporary files whose writers are dead, beside the outputs too. Call with the job's lock held. */
void vg_worker_sweep(const vg_job *job);
#endif
