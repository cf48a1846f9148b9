/* export_impl.h: the arithmetic of an export, apart from its files. See export.h. */
#ifndef VG_ENGINE_QUANTIZE_EXPORT_IMPL_H
#define VG_ENGINE_QUANTIZE_EXPORT_IMPL_H

#include <stdint.h>
#include "engine/layers/linear.h"
#include "kernels/base/threads.h"

/* Scales and codes of w [n,k].
 *   w       with compat, rounded to BF16 in place
 *   scales  one, or vg_quant_groups(n) x vg_quant_groups(k); of amax 0: 1
 *   codes   [n,k] E4M3
 * False: w holds NaN or infinity. */
bool vg_export_quantise(vg_threads *pool, float *w, int64_t n, int64_t k, vg_precision precision,
                        bool compat, float *scales, uint8_t *codes);
#endif
