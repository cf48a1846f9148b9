/* weights.h: which weights a job was made with, component by component: "text_encoder:0123456789abcdef,transformer:...,vae:...". A component
 * that was replaced matters to the stages that still read it, and to no other: finished latents are decoded by a repaired VAE. */
#ifndef VG_APP_JOB_WEIGHTS_H
#define VG_APP_JOB_WEIGHTS_H

#include "engine/run/run.h"

/* The text for a model as its files are now, malloc'd. */
vg_status vg_job_weights(const vg_model *model, char **weights, vg_err *err);

/* Does a stage with these settings read the weights that `weights` names? VG_E_ARG names the first component that is another now.
 * Components that `weights` does not name are not compared. */
vg_status vg_job_weights_check(const char *weights, const vg_model *model,
                               const vg_generate_params *params, vg_stage stage, vg_err *err);

/* The identities that a stage reads, as one: for names of files that only that stage decides. hex: 16 characters, of `weights`, as recorded. */
void vg_job_weights_stage(const char *weights, const vg_model *model,
                          const vg_generate_params *params, vg_stage stage, char hex[17]);
#endif
