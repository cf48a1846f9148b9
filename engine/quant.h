/* quant.h: host-side conversion of weights: to FP32, to E4M3 with per-tensor or 128x128 block scales, and back. Source:
 * modelopt-fp8 3.4, 3.6. Activations are quantised by the backend (vg_quantize), not here. */
#ifndef VG_ENGINE_QUANT_H
#define VG_ENGINE_QUANT_H

#include "kernels/ops.h"
#include "kernels/threads.h"

/* out[i] = (float)t[begin + i], i < count; t is host memory (any alignment), F32, BF16, F16 or E4M3. */
vg_status vg_host_to_f32(const vg_tensor *t, int64_t begin, int64_t count, float *out, vg_err *err);

/* w [n,k] host, F32/BF16/F16 in the file's own precision. q [n,k] E4M3; scales F32: [1], or with block
 * [ceil(n/128), ceil(k/128)]. scale = amax / 448 (amax 0 -> 1), q = saturate(round(w / scale)), all in FP32.
 * Errors: VG_E_FORMAT for NaN or infinity in w. */
vg_status vg_quantise_weight(vg_threads *pool, const vg_tensor *w, bool block, uint8_t *q, float *scales, vg_err *err);

/* out = q * scale in F32, rounded to out's dtype (F32 or BF16, host, same shape). scale: [1], [n] or [ceil(n/128), ceil(k/128)] F32. */
vg_status vg_dequantise_weight(vg_threads *pool, const vg_tensor *q, const vg_tensor *scale, vg_tensor *out, vg_err *err);
#endif
