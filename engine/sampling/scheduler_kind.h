/* scheduler_kind.h: what a sampler implements; private to engine/scheduler*.c. */
#ifndef VG_ENGINE_SAMPLING_SCHEDULER_KIND_H
#define VG_ENGINE_SAMPLING_SCHEDULER_KIND_H

#include "engine/sampling/scheduler.h"

#define VG_SCHEDULER_TENSORS_MAX 6
#define VG_SCHEDULER_STEPS_MAX   1000
#define VG_TRAIN_TIMESTEPS       1000

typedef struct vg_scheduler_kind {
    const char *name;       /* "unipc" */
    const char *class_name; /* in scheduler_config.json */
    int tensors;            /* F32 tensors of numel elements that a step needs; s->tensors */
    int saved;              /* the first so many of them outlive a step */
    const char *saved_names[VG_SCHEDULER_STATE_MAX];
    bool divides_by_steps; /* two equal sigmas would divide by zero */
    bool rounds_to_bf16;   /* needs s->rounded when the model answers in BF16 */
    /* Check the keys that change the mathematics; set *flow_shift when the config has it. */
    vg_status (*check)(const cJSON *config, const char *name, double *flow_shift, vg_err *err);
    /* Fill sigmas[0..steps] (the last is 0) and timesteps[0..steps). */
    void (*grid)(const vg_scheduler_params *params, float *sigmas, double *timesteps);
    vg_status (*step)(vg_scheduler *s, const vg_guided *v, vg_tensor *x, vg_err *err);
} vg_scheduler_kind;

struct vg_scheduler {
    const vg_scheduler_kind *kind;
    vg_backend *be;
    vg_arena *arena;
    int64_t numel;
    int steps, at, last_order;
    float *sigmas;     /* [steps + 1] */
    double *timesteps; /* [steps] */
    vg_tensor tensors[VG_SCHEDULER_TENSORS_MAX];
    vg_tensor rounded; /* [numel] BF16 */
};

#define VG_SCHEDULER(id, help) extern const vg_scheduler_kind vg_scheduler_kind_##id;
#include "engine/sampling/schedulers.def"
#undef VG_SCHEDULER

/* One key of a scheduler config and what it must be for this implementation to be right. */
typedef struct vg_scheduler_rule {
    const char *key;
    enum { VG_RULE_BOOL, VG_RULE_NUMBER, VG_RULE_TEXT, VG_RULE_UNSET } type;
    double number; /* the accepted value; BOOL: 0 or 1 */
    const char *text;
    bool default_fits; /* the reference's default for a missing key is the accepted value */
} vg_scheduler_rule;
/* VG_E_UNSUPPORTED naming the first key that is something else, VG_E_FORMAT for a wrong JSON type. UNSET: null, false or []. */
vg_status vg_scheduler_check_rules(const cJSON *config, const char *name,
                                   const vg_scheduler_rule *rules, int count, vg_err *err);

/* y = sum coef[i] x[i] over F32 tensors of the state and x; see vg_linear_combination_args. */
vg_status vg_scheduler_combine(vg_scheduler *s, int count, const vg_tensor *const *x,
                               const float *coef, vg_tensor *y, vg_err *err);
/* y = x + coef v; see vg_guidance_step_args. */
vg_status vg_scheduler_add(vg_scheduler *s, const vg_tensor *x, const vg_guided *v, float coef,
                           vg_tensor *y, vg_err *err);
#endif
