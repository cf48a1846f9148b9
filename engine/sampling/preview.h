/* preview.h: a small picture from latents by a linear map per latent pixel, and the least-squares estimate of such a map. */
#ifndef VG_ENGINE_SAMPLING_PREVIEW_H
#define VG_ENGINE_SAMPLING_PREVIEW_H

#include "kernels/base/status.h"
#include <stdint.h>

#define VG_PREVIEW_CHANNELS_MAX 64

/* rgb[j] = bias[j] + sum_i factor[i][j] * latent[i], in [-1, 1]. */
typedef struct vg_preview {
    int channels;
    float factor[VG_PREVIEW_CHANNELS_MAX][3];
    float bias[3];
} vg_preview;

/* latents: [channels, T, h, w] FP32; frame: which of T. rgb: [h, w, 3]. */
void vg_preview_render(const vg_preview *preview, const float *latents, const int64_t shape[4],
                       int64_t frame, uint8_t *rgb);

/* Least squares over `count` samples with a little ridge: latents [count, channels], rgb [count, 3]. Errors: VG_E_ARG (too few). */
vg_status vg_preview_fit(vg_preview *preview, int channels, const float *latents, const float *rgb,
                         int64_t count, vg_err *err);
#endif
