/* vace.h: VACE's way from media to the control of its transformer. Inside of this family only. Source: wan 3. */
#ifndef VG_ENGINE_FAMILY_WAN_VACE_H
#define VG_ENGINE_FAMILY_WAN_VACE_H

#include "engine/family/wan/wan.h"

/* Host FP32 values [C,T,h,w] as a tensor of the compute dtype in the arena. Errors: VG_E_NOMEM, VG_E_DEVICE. */
vg_status wan_control_upload(vg_arena *arena, vg_dtype compute, const float *values,
                             const int64_t shape[4], vg_tensor *control, vg_err *err);
#endif
