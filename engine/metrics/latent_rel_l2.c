/* latent_rel_l2.c: |a - b|_2 / |b|_2 of the final latents, b the reference's, in double precision; 0/0 = 0. */
#include "engine/metrics/metrics.h"

#include <math.h>

static vg_status frame(void *state, const vg_metric_setup *setup, const void *values,
                       const void *reference, double *figure, vg_err *err)
{
    const float *a = values, *b = reference;
    double difference = 0, norm = 0;
    (void)state, (void)err;
    for (size_t i = 0; i < setup->values; i++) {
        double d = (double)a[i] - (double)b[i];
        difference += d * d;
        norm += (double)b[i] * (double)b[i];
    }
    *figure = difference == 0 ? 0 : sqrt(difference / norm);
    return VG_OK;
}

extern const vg_metric vg_metric_latent_rel_l2;
const vg_metric vg_metric_latent_rel_l2 = {
    .name = "latent_rel_l2",
    .label = "latent rel. L2",
    .unit = "",
    .help = "relative distance of the final latents",
    .higher_is_better = false,
    .digits = 4,
    .input = VG_METRIC_LATENTS,
    .frame = frame,
};
