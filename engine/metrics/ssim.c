/* ssim.c: Wang, Bovik, Sheikh, Simoncelli 2004, on luma Y = 0.299 R + 0.587 G + 0.114 B (BT.601, not rounded); 11x11 Gaussian window of sigma
 * 1.5 (sum 1), K1 0.01, K2 0.03, L 255, population covariance; mean over the windows that lie inside the picture, in double precision. Equal to
 * scikit-image's structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255). NaN when a side is
 * below 11. */
#include "engine/metrics/metrics.h"

#include <math.h>
#include <stdlib.h>

#define WINDOW 11
#define SIGMA  1.5

typedef struct ssim_state {
    double window[WINDOW];
    double *m[5];            /* vertical moments of the row that is worked on [width] */
    double *ring_a, *ring_b; /* WINDOW luma rows of each picture */
    double memory[];
} ssim_state;

static void make_window(double window[WINDOW])
{
    double sum = 0;
    for (int i = 0; i < WINDOW; i++) {
        int x = i - WINDOW / 2;
        window[i] = exp(-(double)(x * x) / (2 * SIGMA * SIGMA));
        sum += window[i];
    }
    for (int i = 0; i < WINDOW; i++)
        window[i] /= sum;
}

static vg_status open(const vg_metric_setup *setup, void **state, vg_err *err)
{
    if (setup->height < WINDOW || setup->width < WINDOW)
        return VG_OK;
    size_t width = (size_t)setup->width, count = width * (2 * WINDOW + 5);
    ssim_state *s = malloc(sizeof *s + count * sizeof *s->memory);
    if (!s)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the SSIM of pictures %d wide",
                       setup->width);
    make_window(s->window);
    s->ring_a = s->memory;
    s->ring_b = s->memory + width * WINDOW;
    for (size_t k = 0; k < 5; k++)
        s->m[k] = s->memory + width * (2 * WINDOW + k);
    *state = s;
    return VG_OK;
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

/* The sum over the windows whose vertical moments are in s->m. */
static double window_row(const ssim_state *s, int width)
{
    double row = 0;
    for (int x = 0; x + WINDOW <= width; x++) {
        double v[5] = {0};
        for (int k = 0; k < 5; k++)
            for (int i = 0; i < WINDOW; i++)
                v[k] += s->window[i] * s->m[k][x + i];
        row += ssim_of(v);
    }
    return row;
}

static vg_status frame(void *state, const vg_metric_setup *setup, const void *values,
                       const void *reference, double *figure, vg_err *err)
{
    ssim_state *s = state;
    const uint8_t *a = values, *b = reference;
    int height = setup->height, width = setup->width;
    double total = 0;
    (void)err;
    *figure = NAN;
    if (!s)
        return VG_OK;
    for (int y = 0; y < height; y++) {
        size_t at = (size_t)(y % WINDOW) * width;
        luma_row(a + (size_t)y * width * 3, width, s->ring_a + at);
        luma_row(b + (size_t)y * width * 3, width, s->ring_b + at);
        if (y < WINDOW - 1)
            continue;
        for (int x = 0; x < 5 * width; x++)
            s->m[0][x] = 0;
        for (int i = 0; i < WINDOW; i++) {
            at = (size_t)((y + 1 + i) % WINDOW) * width; /* the oldest row first */
            add_moments(s->ring_a + at, s->ring_b + at, s->window[i], width, s->m);
        }
        total += window_row(s, width);
    }
    *figure = total / ((double)(height - WINDOW + 1) * (width - WINDOW + 1));
    return VG_OK;
}

extern const vg_metric vg_metric_ssim;
const vg_metric vg_metric_ssim = {
    .name = "ssim",
    .label = "SSIM",
    .unit = "",
    .help = "structural similarity of the pictures",
    .higher_is_better = true,
    .digits = 4,
    .input = VG_METRIC_PICTURES,
    .open = open,
    .frame = frame,
    .close = free,
};
