/* host_values.h: weights on the host as FP32. Making weights E4M3 and back is the backend's: vg_quantize_weight, vg_dequantize_weight. */
#ifndef VG_ENGINE_CHECKPOINT_HOST_VALUES_H
#define VG_ENGINE_CHECKPOINT_HOST_VALUES_H

#include "kernels/op/ops.h"

/* out[i] = (float)t[begin + i], i < count; t is host memory (any alignment), F32, BF16, F16 or E4M3. */
vg_status vg_host_to_f32(const vg_tensor *t, int64_t begin, int64_t count, float *out, vg_err *err);
#endif
