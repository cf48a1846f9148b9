/* psnr.c: 10 log10(255^2 / MSE), MSE over all height*width*3 samples, in double precision; +infinity for identical pictures. */
#include "engine/metrics/metrics.h"

#include <math.h>

static vg_status frame(void *state, const vg_metric_setup *setup, const void *values,
                       const void *reference, double *figure, vg_err *err)
{
    const uint8_t *a = values, *b = reference;
    size_t count = (size_t)setup->height * (size_t)setup->width * 3;
    uint64_t sum = 0; /* exact: 255^2 * 2^40 samples fit */
    (void)state, (void)err;
    for (size_t i = 0; i < count; i++) {
        int d = a[i] - b[i];
        sum += (uint64_t)(d * d);
    }
    *figure = sum ? 10.0 * log10(255.0 * 255.0 * (double)count / (double)sum) : INFINITY;
    return VG_OK;
}

extern const vg_metric vg_metric_psnr;
const vg_metric vg_metric_psnr = {
    .name = "psnr",
    .label = "PSNR",
    .unit = "dB",
    .help = "peak signal-to-noise ratio of the pictures",
    .higher_is_better = true,
    .digits = 2,
    .input = VG_METRIC_PICTURES,
    .frame = frame,
};
