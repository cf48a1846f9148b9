/* metrics.h: how far a variant is from the reference: per frame and mean. Definitions and constants are stated in metrics.c. */
#ifndef VG_ENGINE_METRICS_METRICS_H
#define VG_ENGINE_METRICS_METRICS_H

#include "kernels/base/tensor.h"

typedef struct vg_metric_info {
    const char *key;   /* "psnr" */
    const char *label; /* "PSNR" */
    const char *unit;  /* "dB" or "" */
    bool higher_is_better;
    bool per_frame; /* else one value per clip (e.g. latent_rel_l2) */
    bool available; /* false: row is shown as "n/a" (LPIPS until its weights exist) */
} vg_metric_info;

#define VG_METRICS(X)                                                                              \
    X(PSNR, "psnr", "PSNR", "dB", true, true, true)                                                \
    X(SSIM, "ssim", "SSIM", "", true, true, true)                                                  \
    X(LPIPS, "lpips", "LPIPS", "", false, true, false)                                             \
    X(LATENT_REL_L2, "latent_rel_l2", "latent rel. L2", "", false, false, true)

typedef enum vg_metric {
#define VG_METRIC_ENUM(id, key, label, unit, higher, per_frame, available) VG_METRIC_##id,
    VG_METRICS(VG_METRIC_ENUM)
#undef VG_METRIC_ENUM
        VG_METRIC_COUNT
} vg_metric;

const vg_metric_info *vg_metric_describe(vg_metric metric);

/* PSNR of two U8 [H,W,3] images, peak 255, mean over all samples; identical images give +infinity. */
double vg_metric_psnr(const uint8_t *a, const uint8_t *b, int height, int width);
/* SSIM (Wang et al. 2004): luma BT.601, 11x11 Gaussian window sigma 1.5, K1 0.01, K2 0.03, L 255, valid windows only. */
double vg_metric_ssim(const uint8_t *a, const uint8_t *b, int height, int width);
/* |a - b|_2 / |b|_2 with b the reference; 0/0 = 0. */
double vg_metric_rel_l2(const float *a, const float *b, size_t count);
#endif
