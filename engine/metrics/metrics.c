/* metrics.c: PSNR, SSIM and relative L2, in double precision.
 *
 * PSNR  10 log10(255^2 / MSE), MSE over all H*W*3 samples; +infinity for identical images.
 * SSIM  Wang, Bovik, Sheikh, Simoncelli 2004, on luma Y = 0.299 R + 0.587 G + 0.114 B (BT.601, not rounded); 11x11 Gaussian
 *       window of sigma 1.5 (sum 1), K1 0.01, K2 0.03, L 255, population covariance; mean over the windows that lie inside
 *       the image. Equal to scikit-image's structural_similarity(gaussian_weights=True, sigma=1.5,
 *       use_sample_covariance=False, data_range=255). NaN when a side is below 11, or memory for 22 rows is lacking. */
#include "engine/metrics/metrics.h"

#include <math.h>
#include <stdlib.h>

static const vg_metric_info infos[VG_METRIC_COUNT] = {
#define VG_METRIC_INFO(id, key, label, unit, higher, per_frame, available)                         \
    {key, label, unit, higher, per_frame, available},
    VG_METRICS(VG_METRIC_INFO)
#undef VG_METRIC_INFO
};

const vg_metric_info *vg_metric_describe(vg_metric metric)
{
    return &infos[metric];
}

double vg_metric_psnr(const uint8_t *a, const uint8_t *b, int height, int width)
{
    size_t count = (size_t)height * (size_t)width * 3;
    uint64_t sum = 0; /* exact: 255^2 * 2^40 samples fit */
    for (size_t i = 0; i < count; i++) {
        int d = a[i] - b[i];
        sum += (uint64_t)(d * d);
    }
    if (sum == 0)
        return INFINITY;
    return 10.0 * log10(255.0 * 255.0 * (double)count / (double)sum);
}

#define WINDOW 11
#define SIGMA  1.5

static void make_window(double window[WINDOW])
{
    double sum = 0;
    for (int i = 0; i < WINDOW; i++) {
        double x = i - WINDOW / 2;
        window[i] = exp(-x * x / (2 * SIGMA * SIGMA));
        sum += window[i];
    }
    for (int i = 0; i < WINDOW; i++)
        window[i] /= sum;
}

static void luma_row(const uint8_t *rgb, int width, double *y)
{
    for (int x = 0; x < width; x++, rgb += 3)
        y[x] = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
}

/* The five moments of a column of WINDOW rows: m[0] E[a], [1] E[b], [2] E[aa], [3] E[bb], [4] E[ab]. */
static void add_moments(const double *a, const double *b, double weight, int width,
                        double *const m[5])
{
    for (int x = 0; x < width; x++) {
        double wa = weight * a[x], wb = weight * b[x];
        m[0][x] += wa;
        m[1][x] += wb;
        m[2][x] += wa * a[x];
        m[3][x] += wb * b[x];
        m[4][x] += wa * b[x];
    }
}

static double ssim_of(const double v[5])
{
    const double c1 = (0.01 * 255) * (0.01 * 255), c2 = (0.03 * 255) * (0.03 * 255);
    double variance_a = v[2] - v[0] * v[0], variance_b = v[3] - v[1] * v[1],
           covariance = v[4] - v[0] * v[1];
    return (2 * v[0] * v[1] + c1) * (2 * covariance + c2) /
           ((v[0] * v[0] + v[1] * v[1] + c1) * (variance_a + variance_b + c2));
}

double vg_metric_ssim(const uint8_t *a, const uint8_t *b, int height, int width)
{
    if (height < WINDOW || width < WINDOW)
        return NAN;
    /* Rings of WINDOW luma rows of each image, and five rows of vertical moments. */
    double *memory = malloc((size_t)width * (2 * WINDOW + 5) * sizeof *memory);
    if (!memory)
        return NAN;
    double *ring_a = memory, *ring_b = memory + (size_t)width * WINDOW, *m[5];
    for (int k = 0; k < 5; k++)
        m[k] = memory + (size_t)width * (2 * WINDOW + k);
    double window[WINDOW], total = 0;
    make_window(window);
    for (int y = 0; y < height; y++) {
        size_t at = (size_t)(y % WINDOW) * width;
        luma_row(a + (size_t)y * width * 3, width, ring_a + at);
        luma_row(b + (size_t)y * width * 3, width, ring_b + at);
        if (y < WINDOW - 1)
            continue;
        for (int x = 0; x < 5 * width; x++)
            m[0][x] = 0;
        for (int i = 0; i < WINDOW; i++) {
            at = (size_t)((y + 1 + i) % WINDOW) * width; /* the oldest row first */
            add_moments(ring_a + at, ring_b + at, window[i], width, m);
        }
        double row = 0;
        for (int x = 0; x + WINDOW <= width; x++) {
            double v[5] = {0};
            for (int k = 0; k < 5; k++)
                for (int i = 0; i < WINDOW; i++)
                    v[k] += window[i] * m[k][x + i];
            row += ssim_of(v);
        }
        total += row;
    }
    free(memory);
    return total / ((double)(height - WINDOW + 1) * (width - WINDOW + 1));
}

double vg_metric_rel_l2(const float *a, const float *b, size_t count)
{
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)a[i] - (double)b[i];
        difference += d * d;
        norm += (double)b[i] * (double)b[i];
    }
    if (difference == 0)
        return 0;
    return sqrt(difference / norm);
}
