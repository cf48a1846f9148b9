/* vace_component.h: what `vgen component` gives the control branch of a transformer: control_hidden_states [B,C,T,h,w] and, or 1 each,
 * control_hidden_states_scale [vace_layers]. Inside of this family only. */
#ifndef VG_ENGINE_FAMILY_WAN_VACE_COMPONENT_H
#define VG_ENGINE_FAMILY_WAN_VACE_COMPONENT_H

#include "engine/family/wan/dit.h"

typedef struct wan_control_inputs {
    float *values; /* NULL: the transformer has no control branch */
    int64_t shape[5];
    double *scales; /* or NULL */
} wan_control_inputs;

/* Read and check them for a batch; nothing for a transformer without a control branch. Errors: those of component_io.h, VG_E_SHAPE. */
vg_status wan_control_inputs_read(const vg_safetensors *in, const char *part,
                                  const wan_dit_config *config, int64_t batch,
                                  wan_control_inputs *inputs, vg_err *err);
/* Free both; all zero is fine. */
void wan_control_inputs_deinit(wan_control_inputs *inputs);
/* Give row `row` of the batch to the transformer; the tensor lives in the arena. */
vg_status wan_control_inputs_set(const wan_control_inputs *inputs, int64_t row, vg_dtype compute,
                                 vg_arena *arena, wan_dit *dit, vg_err *err);
#endif
