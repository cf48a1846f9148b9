/* component.h: single parts of a model, for `vgen component`: named tensors in, named tensors out. */
#ifndef VG_ENGINE_RUN_COMPONENT_H
#define VG_ENGINE_RUN_COMPONENT_H

#include "engine/checkpoint/engine.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/run/params.h"

typedef struct vg_model vg_model;

typedef struct vg_component_params {
    vg_scheme scheme;
    bool scheme_given;               /* else the checkpoint's own precision */
    const char *precision;           /* rules on top of it, or NULL */
    vg_compute compute, vae_compute; /* the second: vae-decode, vae-encode */
    bool vae_tiling;
    const atomic_int *cancel;
} vg_component_params;
/* VG_E_ARG listing the parts when the model's family has none of this name. */
vg_status vg_component_check(const vg_model *model, const char *part, vg_err *err);
/* Entries' data and the array are malloc'd; free with vg_entries_free. Errors: those of vg_component_check and of the part. */
vg_status vg_component_run(vg_engine *engine, vg_model *model, const char *part,
                           const vg_component_params *params, const vg_safetensors *in,
                           vg_safetensors_entry **out, int *out_count, vg_err *err);
/* The data of all entries, and the array. NULL is a no-op. */
void vg_entries_free(vg_safetensors_entry *entries, int count);
/* Newline-separated "name: help" of all parts of the model (malloc'd), for --help and errors. */
char *vg_component_list(const vg_model *model);
#endif
