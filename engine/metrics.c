/* metrics.c: PSNR, SSIM and relative L2. Definitions:
 *   PSNR       10 log10(255^2 / MSE), MSE over all samples of the three channels of one frame
 *   SSIM       luma y = 0.299 R + 0.587 G + 0.114 B (BT.601), 11x11 Gaussian window of sigma 1.5, C1 = (0.01*255)^2,
 *              C2 = (0.03*255)^2, mean over the windows that lie wholly inside the picture; 1 picture under 11 pixels high or wide is
 *              measured with one window over all of it, unweighted
 *   relative   |a - b|_2 / |b|_2, sums in FP64
 * LPIPS has a row so that reports have a place for it; it needs network weights that the project does not have. */
#include "engine/metrics.h"

#include <math.h>
#include <stdlib.h>

const vg_metric_info *vg_metric_describe(vg_metric metric)
{
    static const vg_metric_info infos[VG_METRIC_COUNT] = {
#define INFO(id, key, label, unit, higher, per_frame, available) {key, label, unit, higher, per_frame, available},
        VG_METRICS(INFO)
#undef INFO
    };
    return (unsigned)metric < VG_METRIC_COUNT ? &infos[metric] : NULL;
}

double vg_metric_psnr(const uint8_t *a, const uint8_t *b, int height, int width)
{
    int64_t count = (int64_t)height * width * 3, sum = 0;
    for (int64_t i = 0; i < count; i++) {
        int d = (int)a[i] - (int)b[i];
        sum += d * d;
    }
    if (sum == 0)
        return INFINITY;
    return 10 * log10(255.0 * 255.0 / ((double)sum / (double)count));
}

#define WINDOW 11

static void fill_window(double w[WINDOW])
{
    double sum = 0;
    for (int i = 0; i < WINDOW; i++) {
        double d = i - WINDOW / 2;
        w[i] = exp(-d * d / (2 * 1.5 * 1.5));
        sum += w[i];
    }
    for (int i = 0; i < WINDOW; i++)
        w[i] /= sum;
}

static double luma(const uint8_t *p)
{
    return 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
}

enum { MEAN_A, MEAN_B, AA, BB, AB, MOMENTS };

static double ssim_of(const double m[MOMENTS])
{
    const double c1 = 0.01 * 255 * 0.01 * 255, c2 = 0.03 * 255 * 0.03 * 255;
    double va = m[AA] - m[MEAN_A] * m[MEAN_A], vb = m[BB] - m[MEAN_B] * m[MEAN_B], cov = m[AB] - m[MEAN_A] * m[MEAN_B];
    return (2 * m[MEAN_A] * m[MEAN_B] + c1) * (2 * cov + c2) / ((m[MEAN_A] * m[MEAN_A] + m[MEAN_B] * m[MEAN_B] + c1) * (va + vb + c2));
}

static void add_moments(double m[MOMENTS], const uint8_t *a, const uint8_t *b, double weight)
{
    double x = luma(a), y = luma(b);
    m[MEAN_A] += weight * x;
    m[MEAN_B] += weight * y;
    m[AA] += weight * x * x;
    m[BB] += weight * y * y;
    m[AB] += weight * x * y;
}

static double ssim_whole(const uint8_t *a, const uint8_t *b, int height, int width)
{
    double m[MOMENTS] = {0};
    int64_t count = (int64_t)height * width;
    for (int64_t i = 0; i < count; i++)
        add_moments(m, a + 3 * i, b + 3 * i, 1.0 / (double)count);
    return ssim_of(m);
}

double vg_metric_ssim(const uint8_t *a, const uint8_t *b, int height, int width)
{
    double w[WINDOW], sum = 0;
    int out_width = width - WINDOW + 1, out_height = height - WINDOW + 1;
    if (height < 1 || width < 1)
        return 1;
    if (out_width < 1 || out_height < 1)
        return ssim_whole(a, b, height, width);
    /* Separable window: moments of each row first, then down the columns. */
    double (*rows)[MOMENTS] = calloc((size_t)height * (size_t)out_width, sizeof *rows);
    if (!rows)
        return NAN;
    fill_window(w);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < out_width; x++)
            for (int k = 0; k < WINDOW; k++) {
                size_t at = ((size_t)y * (size_t)width + (size_t)(x + k)) * 3;
                add_moments(rows[(size_t)y * (size_t)out_width + (size_t)x], a + at, b + at, w[k]);
            }
    for (int y = 0; y < out_height; y++)
        for (int x = 0; x < out_width; x++) {
            double m[MOMENTS] = {0};
            for (int k = 0; k < WINDOW; k++)
                for (int j = 0; j < MOMENTS; j++)
                    m[j] += w[k] * rows[(size_t)(y + k) * (size_t)out_width + (size_t)x][j];
            sum += ssim_of(m);
        }
    free(rows);
    return sum / ((double)out_height * out_width);
}

double vg_metric_rel_l2(const float *a, const float *b, size_t count)
{
    double difference = 0, reference = 0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)a[i] - (double)b[i];
        difference += d * d;
        reference += (double)b[i] * (double)b[i];
    }
    if (difference == 0)
        return 0;
    return sqrt(difference / reference);
}
