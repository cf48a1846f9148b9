/* model.h: what engine/ and the families know about an open engine and model; not for app/. */
#ifndef VG_ENGINE_RUN_MODEL_H
#define VG_ENGINE_RUN_MODEL_H

#include "engine/run/run.h"
#include "engine/run/family.h"
#include "kernels/base/clock.h"

struct vg_model {
    vg_checkpoint *checkpoint;
    const vg_family *family;
    vg_checkpoint_defaults own; /* vgen.json */
    bool dummy;                 /* weights are generated, not read */
    void *config;               /* the family's */
};

/* Callbacks may be NULL anywhere. */
void vg_emit(const vg_callbacks *cb, const vg_event *event);
void vg_emit_stage(const vg_callbacks *cb, vg_event_kind kind, vg_stage stage, const char *detail,
                   double seconds);
void vg_emit_progress(const vg_callbacks *cb, vg_stage stage, const char *detail, int done, int of);
void vg_emit_note(const vg_callbacks *cb, vg_stage stage, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline vg_dtype vg_compute_dtype(vg_compute compute)
{
    return compute == VG_COMPUTE_BF16 ? VG_BF16 : VG_F32;
}

/* Let the backend take the kernels that the settings ask for, in what the denoiser runs next. VG_E_UNSUPPORTED: the device has no such. */
vg_status vg_denoiser_kernels(vg_backend *be, const vg_generate_params *p, vg_err *err);

/* vg_plan_make for some stages: names, NULL-terminated; NULL: all. What the others need is not looked at. */
vg_status vg_plan_stages(const vg_model *model, const vg_generate_params *params,
                         const char *const *stages, vg_plan *plan, vg_err *err);

/* DIR of a component of the model, malloc'd. */
vg_status vg_model_component_dir(const vg_model *model, const char *component, char **dir,
                                 vg_err *err);
/* What vg_weights_open takes for a component: its folder, or "dummy:" and its folder. malloc'd. */
vg_status vg_model_weights_dir(const vg_model *model, const char *component, char **dir,
                               vg_err *err);
/* That opened. */
vg_status vg_model_weights(const vg_model *model, const char *component, vg_weights **weights,
                           vg_err *err);
#endif
