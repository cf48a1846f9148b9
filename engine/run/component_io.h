/* component_io.h: named tensors in and out of a part of a model for `vgen component`. Every input is checked, with one clear line about what
 * is wrong: VG_E_MISSING, VG_E_SHAPE (other dimensions, empty), VG_E_DTYPE; each begins with the part's name. */
#ifndef VG_ENGINE_RUN_COMPONENT_IO_H
#define VG_ENGINE_RUN_COMPONENT_IO_H

#include "engine/run/component.h"

/* Input `name` of `ndim` dimensions as FP32, malloc'd. shape: its dimensions. */
vg_status vg_input_f32(const vg_safetensors *in, const char *part, const char *name, int ndim,
                       int64_t *shape, float **values, vg_err *err);
/* Numbers of any integer or float dtype, as double, malloc'd. */
vg_status vg_input_numbers(const vg_safetensors *in, const char *part, const char *name, int ndim,
                           int64_t *shape, double **values, vg_err *err);
/* A timestep per row; a scalar or a single one serves the whole batch. */
vg_status vg_input_timestep(const vg_safetensors *in, const char *part, int64_t batch,
                            int64_t shape[1], double **values, vg_err *err);

/* The one output of a part: FP32, *values for the caller to fill. name must outlive it. */
vg_status vg_output_f32(const char *name, int ndim, const int64_t *shape,
                        vg_safetensors_entry **out, int *out_count, float **values, vg_err *err);
/* Give up an output after a failure; returns status. */
vg_status vg_output_finish(vg_status status, vg_safetensors_entry **out, int *out_count);
#endif
