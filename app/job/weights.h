/* weights.h: which files of a model, weights and configuration, a job was made with, component by component: "text_encoder:0123456789abcdef,transformer:...,vae:...". A component
 * that was replaced matters to the stages that still read it, and to no other: finished latents are decoded by a repaired VAE. */
#ifndef VG_APP_JOB_WEIGHTS_H
#define VG_APP_JOB_WEIGHTS_H

#include "engine/run/run.h"

/* The text for a model as its files are now, malloc'd. */
vg_status vg_job_weights(const vg_model *model, char **weights, vg_err *err);

/* Does this stage read the weights that `weights` names (NULL: none)? VG_E_ARG names the first component that is another now; what
 * `weights` does not name is not compared. */
vg_status vg_job_weights_check(const char *weights, const vg_model *model,
                               const vg_generate_params *params, vg_stage stage, vg_err *err);

/* What `weights` says of the components that all stages before decoding read, as one: for files that they decide. hex: 16 characters. */
void vg_job_weights_of_latents(const char *weights, const vg_model *model,
                               const vg_generate_params *params, char hex[17]);

/* The decoder as its files are now. */
vg_status vg_job_weights_of_decoder(const vg_model *model, char hex[17], vg_err *err);
#endif
