/* sequence.h: a generation, from its inputs to its frames, as one sequence of stages. Each is run only if its result is not there yet:
 *
 *   latents, else  conditions, else encode
 *                  input scales, where layers want them, else calibrate
 *                  denoise, going on from the state of the last finished step
 *   frames, else   decode
 *
 * What is there, and where it goes when it was made, is a store's affair: a job's folder (app/worker), or memory (store_memory.h). The same
 * settings give the same bytes, whichever pieces were there. */
#ifndef VG_ENGINE_RUN_SEQUENCE_H
#define VG_ENGINE_RUN_SEQUENCE_H

#include "engine/run/run.h"

/* Pieces of one generation, by name. Any function may be NULL: such pieces are never there, and are not kept.
 * load: true when the piece is there and whole; the caller owns it then. That it fits the settings is checked by the sequence; what is not
 *   whole, or does not fit, is made again.
 * save: what it is given is borrowed. Its errors end the sequence. */
typedef struct vg_store {
    void *user;
    /* Pixels of the inputs into *params, only where they are about to be encoded; NULL: they are there. close comes after every open. */
    vg_status (*open_inputs)(void *user, vg_generate_params *params, vg_err *err);
    void (*close_inputs)(void *user);
    /* A stage is about to read weights: may it? NULL: any. An error ends the sequence. */
    vg_status (*check_weights)(void *user, const vg_generate_params *params, vg_stage stage,
                               vg_err *err);
    bool (*load_conditions)(void *user, vg_conditions *conditions);
    vg_status (*save_conditions)(void *user, const vg_conditions *conditions, vg_err *err);
    bool (*load_scales)(void *user, vg_input_scales **scales);
    vg_status (*save_scales)(void *user, const vg_input_scales *scales, vg_err *err);
    bool (*load_state)(void *user, vg_denoise_state *state);
    vg_status (*save_state)(void *user, const vg_denoise_state *state,
                            vg_err *err); /* after each step */
    bool (*load_latents)(void *user, vg_latents *latents);
    vg_status (*save_latents)(void *user, const vg_latents *latents, vg_err *err);
    bool (*have_frames)(void *user);
    vg_status (*save_frames)(void *user, const vg_frames *frames, vg_err *err);
} vg_store;

typedef struct vg_sequence {
    vg_engine *engine;
    vg_model *model;
    const vg_generate_params *params; /* by vg_model_defaults */
    const vg_store *store;            /* NULL: nothing is there, nothing is kept */
    const vg_callbacks
        *callbacks;        /* event, cancel; NULL: none. save is not called: that is the store's */
    int calibration_steps; /* about as many, see vg_calibrate */
    /* Most pixels a side and frames to calibrate at, with noise where conditions are of another size; 0: the settings' own. For measuring speed,
     * which does not depend on the scales. */
    int calibration_side, calibration_frames;
    bool latents_only; /* no frames will be asked for: memory for the decoder is not looked at */
} vg_sequence;

/* The latents of these settings. *found: they were there, and nothing was run; else VG_EVENT_BEGIN told the first step, and VG_EVENT_PRECISION
 * what the layers run in. max_steps_run may leave them unfinished (out->steps_done < out->steps); those are not saved.
 * Errors: those of the stages and of the store; VG_E_NOMEM before anything is run when a later stage would not fit. */
vg_status vg_sequence_latents(const vg_sequence *sequence, vg_latents *out, bool *found,
                              vg_err *err);
/* Decode finished latents, and save the frames. again: also when there are some. */
vg_status vg_sequence_frames(const vg_sequence *sequence, const vg_latents *latents, bool again,
                             vg_err *err);
/* Both; unfinished latents have no frames. */
vg_status vg_sequence_run(const vg_sequence *sequence, vg_latents *out, vg_err *err);
#endif
