/* value_codes.c: E4M3 codes of v, transposed: one scale per channel, tokens in the order that the product on tensor cores meets them. */
#include <math.h>

#include "kernels/base/numeric.h"
#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_value_codes_args *a;
    int64_t n, heads, d, padded;
} job;

/* One head after the other. Scratch: a channel's values. */
static void channels(void *ctx, int64_t begin, int64_t end, int worker)
{
    const job *j = ctx;
    float *x = vg_cpu_scratch(j->be, worker), *scales = j->a->scale->data,
          *means = j->a->mean->data;

    for (int64_t c = begin; c < end; c++) {
        uint8_t *codes = (uint8_t *)j->a->codes->data + c * j->padded;
        double sum = 0.0;
        float mean, most = 0.0f, scale, inverse;

        for (int64_t i = 0; i < j->n; i++) {
            vg_cpu_load(j->a->v, i * j->heads * j->d + c, 1, x + i);
            sum += (double)x[i];
        }
        mean =
            (float)(j->a->center ? sum / (double)j->n : 0.0 * sum); /* NaN where v is not finite */
        for (int64_t i = 0; i < j->n; i++)
            most = fmaxf(most, fabsf(x[i] - mean));
        scale = most > VG_CODES_LEAST ? most / VG_E4M3_MAX : 1.0f;
        inverse = most > VG_CODES_LEAST ? VG_E4M3_MAX / most : 1.0f;
        for (int64_t i = 0; i < j->padded; i++)
            codes[vg_codes_place(i)] = i < j->n ? vg_f32_to_e4m3((x[i] - mean) * inverse) : 0;
        scales[c] = scale;
        means[c] = mean;
    }
}

vg_status vg_cpu_value_codes(vg_backend *be, const vg_value_codes_args *a, vg_err *err)
{
    const int64_t *s = a->v->shape;
    job j = {be, a, s[0], s[1], s[2], a->codes->shape[2]};

    VG_TRY(vg_cpu_scratch_reserve(be, vg_cpu_round((size_t)j.n), err));
    vg_cpu_for(be, j.heads * j.d, 1, channels, &j);
    return VG_OK;
}
