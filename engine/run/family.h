/* family.h: one model family (wan, later wan_vace, hunyuanvideo15) as a const struct. Code outside engine/family/ never asks which family it
 * has. Families are rows of engine/family/families.def. */
#ifndef VG_ENGINE_RUN_FAMILY_H
#define VG_ENGINE_RUN_FAMILY_H

#include "engine/run/run.h"
#include "engine/layers/linear.h"
#include "engine/run/checkpoint_defaults.h"

/* One runnable part of a model for `vgen component`: named tensors in, named tensors out (host, malloc'd data). */
typedef struct vg_part {
    const char *name; /* "transformer" */
    const char *help; /* inputs -> outputs */
    vg_status (*run)(vg_engine *engine, vg_model *model, const vg_component_params *params,
                     const vg_safetensors *in, vg_safetensors_entry **out, int *out_count,
                     vg_err *err);
} vg_part;

typedef struct vg_calibration vg_calibration; /* engine/layers/calibrate.h */

struct vg_family {
    const char *name;  /* "wan" */
    const char *title; /* "Wan 2.x text to video" */
    const char *modes; /* comma list: "t2v" */
    /* True when this family runs the checkpoint: decided from class names, configs, tensor names. */
    bool (*probe)(const vg_checkpoint *checkpoint);
    /* Read and check every config; *config is the family's own struct, freed by config_free. */
    vg_status (*config_load)(const vg_checkpoint *checkpoint, const vg_checkpoint_defaults *own,
                             void **config, vg_err *err);
    void (*config_free)(void *config);
    /* What is missing on disk (one line, malloc'd) or NULL; census of precision into `precision`. */
    vg_status (*inspect)(const vg_checkpoint *checkpoint, char **missing, char *precision,
                         size_t precision_size, vg_err *err);
    /* Defaults that follow from the checkpoint: boundary_ratio, flow_shift, grid, size steps. */
    vg_status (*defaults)(const vg_model *model, vg_generate_params *params, vg_err *err);
    /* stages: names, NULL-terminated, of those to plan; NULL: all. */
    vg_status (*plan)(const vg_model *model, const vg_generate_params *params,
                      const char *const *stages, vg_plan *plan, vg_err *err);
    vg_status (*encode)(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                        const vg_callbacks *cb, vg_conditioning *out, vg_err *err);
    /* NULL: this family takes no image. The result is what vg_generate_params.condition wants. */
    vg_status (*encode_image)(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                              const vg_frames *image, const vg_callbacks *cb, vg_latents *out,
                              vg_err *err);
    vg_status (*denoise)(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                         const vg_conditioning *text, const vg_denoise_state *resume,
                         const vg_callbacks *cb, vg_latents *out, vg_err *err);
    vg_status (*decode)(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                        const vg_latents *latents, const vg_callbacks *cb, vg_frames *out,
                        vg_err *err);
    /* Which layers would run in which precision; reads headers only. */
    vg_status (*precision)(const vg_model *model, const vg_generate_params *params,
                           vg_precision_report *report, vg_err *err);
    /* Would scheme fp8 make weights FP8 at load (VG_PRECISION of the checkpoint itself is high)? */
    vg_status (*needs_input_scales)(const vg_model *model, bool *needed, vg_err *err);
    /* Run about `steps` steps spread over the settings' own schedule and hand every quantisable layer's running max |x| to the
     * calibration; every expert that the schedule uses is visited. */
    vg_status (*calibrate)(vg_engine *engine, vg_model *model, const vg_generate_params *params,
                           const vg_conditioning *text, int steps, const vg_callbacks *cb,
                           vg_calibration *calibration, vg_err *err);
    /* What one of `components` consists of by its config, as far as a generation needs it; the caller deinitialises. */
    vg_status (*weight_table)(const vg_model *model, const char *component, vg_weight_table *table,
                              vg_err *err);
    const char *const *
        components; /* folders whose weights a generation uses, NULL-terminated; absent ones are skipped */
    const vg_part *parts;
    int parts_count;
};

extern const vg_family *const vg_families[];
extern const int vg_families_count;
#endif
