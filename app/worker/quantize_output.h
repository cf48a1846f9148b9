/* quantize_output.h: the folder that a quantising job writes: made beside its place under a hidden name, and renamed when it is whole. What is
 * there of an earlier run is gone on from. */
#ifndef VG_APP_WORKER_QUANTIZE_OUTPUT_H
#define VG_APP_WORKER_QUANTIZE_OUTPUT_H

#include "kernels/base/json.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define VG_QUANTIZE_REPORT "vgen_calibration.json" /* in the output: how it was made */

/* May a job write there? path: absolute. bytes: that it will take. VG_E_ARG: something is there that is no checkpoint, or one and overwrite was not
 * said; it is the model itself, or in it, or around it; its parent cannot be written; the disk has too little room. */
vg_status vg_quantize_output_check(const char *path, const char *model_dir, bool overwrite,
                                   uint64_t bytes, vg_err *err);
/* Bytes of everything in the model but these folders (NULL-terminated), as it will be copied. */
uint64_t vg_quantize_output_rest(const char *model_dir, const char *const *without);

/* The hidden folder of this job, malloc'd. */
char *vg_quantize_output_hidden(const char *path, const char *job_id);
/* Copy everything of the model but these folders into `hidden`; links are followed, what is there in its whole size is left. progress: of bytes.
 * Errors: VG_E_IO, VG_E_CANCELLED. */
vg_status vg_quantize_output_copy(const char *model_dir, const char *const *without,
                                  const char *hidden, const atomic_int *cancel,
                                  void (*progress)(void *user, uint64_t bytes), void *user,
                                  vg_err *err);
/* Give `hidden` its name; a checkpoint that is there goes when overwrite says so, after the new one has its place. VG_E_ARG, VG_E_IO. */
vg_status vg_quantize_output_name(const char *hidden, const char *path, bool overwrite,
                                  vg_err *err);
/* Was the folder at `path` made by this job? */
bool vg_quantize_output_is_of(const char *path, const char *job_id);
#endif
