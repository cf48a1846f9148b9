/* vace.h: VACE's way from media to the control of its transformer. Inside of this family only. Source: wan 3. */
#ifndef VG_ENGINE_FAMILY_WAN_VACE_H
#define VG_ENGINE_FAMILY_WAN_VACE_H

#include "engine/family/wan/dit.h"

/* Host FP32 values [C,T,h,w] as a tensor of the compute dtype in the arena. Errors: VG_E_NOMEM, VG_E_DEVICE. */
vg_status wan_control_upload(vg_arena *arena, vg_dtype compute, const float *values,
                             const int64_t shape[4], vg_tensor *control, vg_err *err);
/* Give the transformer what its control branch sees, at the scale of the binding's params. control: where it is kept in the arena; filled
 * the first time only. Errors: those of _upload. */
vg_status wan_control_bind(const vg_binding *binding, vg_dtype compute, vg_arena *arena,
                           vg_tensor *control, wan_dit *dit, vg_err *err);
#endif
