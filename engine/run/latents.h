/* latents.h: what denoising makes and decoding takes, in host memory. */
#ifndef VG_ENGINE_RUN_LATENTS_H
#define VG_ENGINE_RUN_LATENTS_H

#include "kernels/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* All zero = empty. */
typedef struct vg_latents {
    int64_t shape[4]; /* C,T,h,w */
    float *values;
    int steps_done, steps;
    double denoise_seconds;
    size_t peak_bytes; /* backend memory */
} vg_latents;
/* Free the values; empty afterwards. */
void vg_latents_deinit(vg_latents *l);

/* Are all values [C,T,h,w] finite? VG_E_FORMAT naming `what`. */
vg_status vg_latents_check_finite(const float *values, const int64_t shape[4], const char *what,
                                  vg_err *err);
#endif
