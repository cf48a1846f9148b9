/* scheduler.h: flow-matching samplers. A scheduler is a const table of functions over a small state; latents stay FP32.
 * Kinds are rows of engine/sampling/schedulers.def. */
#ifndef VG_ENGINE_SAMPLING_SCHEDULER_H
#define VG_ENGINE_SAMPLING_SCHEDULER_H

#include "kernels/base/json.h"
#include "kernels/backend/arena.h"

/* Which flow grid UniPC uses: diffusers changed it in 0.37 (wan 8.1, 8.2). */
typedef enum vg_flow_grid {
#define VG_FLOW_GRID(id, name) VG_FLOW_GRID_##id,
#include "engine/sampling/flow_grids.def"
#undef VG_FLOW_GRID
    VG_FLOW_GRID_COUNT
} vg_flow_grid;
const char *vg_flow_grid_name(vg_flow_grid grid); /* "0.37" */

typedef struct vg_scheduler_params {
    const char *kind;  /* "unipc" or "euler" (a row of schedulers.def) */
    int steps;         /* 1..1000 */
    double flow_shift; /* > 0 */
    vg_flow_grid grid; /* UniPC only */
    bool
        even; /* Euler only: the grid is the shifted 1, 1 - 1/n, ..., 1/n of pipelines that bring their own, not the scheduler's */
} vg_scheduler_params;

/* Fill params->kind, flow_shift from scheduler/scheduler_config.json, and the present flow grid. _class_name decides the kind; settings that change the
 * mathematics and are absent here (thresholding, other solver types, ...) are VG_E_UNSUPPORTED naming the key. */
vg_status vg_scheduler_params_from_config(const cJSON *config, const char *name,
                                          vg_scheduler_params *params, vg_err *err);

typedef struct vg_scheduler vg_scheduler;

/* The state's tensors (history) are host-side names over arena memory of the backend. numel: elements of the latents. */
vg_status vg_scheduler_new(const vg_scheduler_params *params, vg_backend *be, int64_t numel,
                           vg_scheduler **s, vg_err *err);
/* NULL is a no-op. */
void vg_scheduler_free(vg_scheduler *s);

/* Denoise steps in all. */
int vg_scheduler_steps(const vg_scheduler *s);
double vg_scheduler_timestep(const vg_scheduler *s,
                             int step); /* what the model is given: integer for UniPC */
double vg_scheduler_sigma(const vg_scheduler *s, int step); /* step = steps gives the last, 0 */
int vg_scheduler_at(const vg_scheduler *s);                 /* next step to run */

/* One step: v [any shape] = model output at timestep(at), with its guidance; x [same numel] F32, replaced. v is not kept. */
vg_status vg_scheduler_step(vg_scheduler *s, const vg_guided *v, vg_tensor *x, vg_err *err);

#define VG_SCHEDULER_STATE_MAX 8
/* Named state tensors (host copies for saving, host tensors for restoring) plus the integers that go with them. */
typedef struct vg_scheduler_state {
    int at;         /* next step */
    int last_order; /* UniPC p_last */
    int count;
    struct {
        char name[16];
        float *values;
    } tensors[VG_SCHEDULER_STATE_MAX]; /* numel each, malloc'd by save */
} vg_scheduler_state;
/* What a step leaves for the next, copied to host memory; the caller's, _state_deinit frees. Errors: VG_E_NOMEM, VG_E_DEVICE. */
vg_status vg_scheduler_save(vg_scheduler *s, vg_scheduler_state *state, vg_err *err);
/* Go on from there. Errors: VG_E_FORMAT when the state is of another sampler or shape. */
vg_status vg_scheduler_restore(vg_scheduler *s, const vg_scheduler_state *state, vg_err *err);
/* All zero is empty. */
void vg_scheduler_state_deinit(vg_scheduler_state *state);
const char *const *vg_scheduler_kinds(int *count); /* names, for settings */
#endif
