/* denoise.h: the inside of a denoising run, shared by its files: denoise.c (the loop over the schedule), experts.c (which transformer is
 * loaded, and loading the next), calibrate.c (the same loop for input scales), rehearse.c (the same on a backend that only counts). */
#ifndef VG_ENGINE_RUN_DENOISE_H
#define VG_ENGINE_RUN_DENOISE_H

#include "engine/checkpoint/prefetch.h"
#include "engine/layers/calibrate.h"
#include "engine/run/attention.h"
#include "engine/run/model.h"
#include "engine/run/pass.h"

typedef struct vg_denoise_run {
    vg_engine *engine;
    const vg_model *model;
    const vg_family *family;
    const vg_generate_params *p;
    const vg_conditions *conditions;
    const vg_callbacks *cb;
    vg_stage stage;
    vg_calibration *calibration; /* NULL in a normal run */
    int calibration_steps;
    const vg_pass *pass; /* of many samples (pass.h); NULL: one run */
    vg_backend *be;
    vg_arena *arena;
    vg_scheduler *scheduler;
    bool guided, preview;
    int64_t shape[4];       /* of the latents: C,T,h,w */
    vg_tensor x;            /* the latents, FP32 */
    vg_tensor cond, uncond; /* the model's output with and without the condition */
    vg_tensor clean;        /* the latents without their noise */
    float *latents;         /* host copy of the last finished step */
    float *preview_latents; /* and of clean */
    uint8_t *picture;
    vg_attention_run attention; /* attention.c */
    double seconds_done, progress_at;
    int forwards_done; /* of this step */
    /* experts.c */
    void *denoiser;               /* the loaded expert, NULL = none */
    int expert;                   /* its number, -1 = none */
    int failed;                   /* the expert whose loading was begun last */
    int streamed[VG_EXPERTS_MAX]; /* blocks of each that stay on the host */
    vg_prefetch *prefetch;        /* of the next expert's files */
} vg_denoise_run;

/* denoise.c. Everything is zero but the first fields, up to stage, be and shape. release gives back what begin and the loop took. */
void vg_denoise_run_init(vg_denoise_run *r, vg_engine *engine, const vg_model *model,
                         const vg_generate_params *params, const vg_conditions *conditions);
/* Memory, the scheduler, and the first x on the backend: noise of the seed, latents that were given, or resume (NULL: none). */
vg_status vg_denoise_run_begin(vg_denoise_run *r, const vg_denoise_state *resume, vg_err *err);
/* Gives back what begin took, also after one that failed; another may follow. The expert stays. */
void vg_denoise_run_end(vg_denoise_run *r);
/* The same, and the expert. */
void vg_denoise_run_release(vg_denoise_run *r);
/* The model's output at step `step` of the schedule, into cond and, guided, uncond. */
vg_status vg_denoise_predict(vg_denoise_run *r, int step, vg_err *err);
/* What the model said last, with the guidance of its expert. */
vg_guided vg_denoise_answer(const vg_denoise_run *r);
/* *y = x + coef v, v being the answer. */
vg_status vg_denoise_follow(vg_denoise_run *r, double coef, vg_tensor *y, vg_err *err);
/* x to the host, refused when something made it NaN: the steps after it would only spread it. */
vg_status vg_denoise_download(vg_denoise_run *r, int step, vg_err *err);
/* x one step on by the scheduler, as the family keeps it between steps, and to the host. */
vg_status vg_denoise_advance(vg_denoise_run *r, vg_err *err);
/* VG_E_CANCELLED once the caller asks for it. step: the one that would begin, from 0 (counted from 1 in the message). */
vg_status vg_denoise_check_cancel(const vg_denoise_run *r, int step, vg_err *err);
/* One run from begin to release, within its memory. out: NULL when calibrating. */
vg_status vg_denoise_run_all(vg_denoise_run *r, vg_model *model, const vg_denoise_state *resume,
                             vg_latents *out, vg_err *err);

/* experts.c. Open an expert; make it ready for this run; both, with events, unless it is loaded already; hand what it measured to the
 * calibration, and close it. */
vg_status vg_expert_open(vg_denoise_run *r, int expert, vg_err *err);
/* Hands it conditions, shape and cancel; while calibrating, begins to measure. */
vg_status vg_expert_bind(vg_denoise_run *r, vg_err *err);
/* Closes the expert before it, with _finish; loads nothing when this one is loaded. */
vg_status vg_expert_load(vg_denoise_run *r, int expert, vg_err *err);
/* The expert is closed whatever the result. */
vg_status vg_expert_finish(vg_denoise_run *r, vg_err *err);
/* Close the expert and stop reading ahead for the next; again is a no-op. */
void vg_expert_release(vg_denoise_run *r);

/* calibrate.c */
/* Run r->calibration_steps steps of the schedule, measuring; x follows a straight line from one to the next. Cancel is seen before each. */
vg_status vg_calibrate_loop(vg_denoise_run *r, vg_err *err);

/* pass.c. Every sample of r->pass, from its beginning to its end. */
vg_status vg_pass_loop(vg_denoise_run *r, vg_err *err);

/* preview_map.c. Make sure that the model has a latent-to-RGB map for latent frame 0 or the later ones. Failing is no reason to stop: there
 * is just no preview. */
bool vg_preview_prepare(vg_engine *engine, vg_model *model, int frame);

#endif
