/* preview.c: see preview.h. */
#include "engine/sampling/preview.h"

#include <math.h>
#include <stddef.h>

void vg_preview_render(const vg_preview *p, const float *latents, const int64_t shape[4],
                       int64_t frame, uint8_t *rgb)
{
    int64_t t = shape[1], plane = shape[2] * shape[3];
    int channels = shape[0] < p->channels ? (int)shape[0] : p->channels;
    for (int64_t i = 0; i < plane; i++)
        for (int j = 0; j < 3; j++) {
            float v = p->bias[j];
            for (int c = 0; c < channels; c++)
                v += p->factor[c][j] * latents[((int64_t)c * t + frame) * plane + i];
            v = (v * 0.5f + 0.5f) * 255.0f;
            rgb[i * 3 + j] = v >= 255 ? 255 : v > 0 ? (uint8_t)lroundf(v) : 0; /* NaN gives 0 */
        }
}

#define N_MAX (VG_PREVIEW_CHANNELS_MAX + 1)

vg_status vg_preview_fit(vg_preview *p, int channels, const float *latents, const float *rgb,
                         int64_t count, vg_err *err)
{
    static const double ridge = 1e-3;
    int n = channels + 1;
    double a[N_MAX][N_MAX + 3] = {{0}};
    if (channels < 1 || channels > VG_PREVIEW_CHANNELS_MAX || count < n)
        return VG_FAIL(err, VG_E_ARG, "%lld samples cannot fix %d coefficients", (long long)count,
                       n);
    for (int64_t s = 0; s < count; s++) {
        double row[N_MAX];
        for (int i = 0; i < channels; i++)
            row[i] = latents[s * channels + i];
        row[channels] = 1;
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++)
                a[i][j] += row[i] * row[j];
            for (int j = 0; j < 3; j++)
                a[i][n + j] += row[i] * rgb[s * 3 + j];
        }
    }
    for (int i = 0; i < channels; i++)
        a[i][i] += ridge * (double)count;
    for (int i = 0; i < n; i++) { /* Gauss-Jordan with partial pivoting */
        int best = i;
        for (int r = i + 1; r < n; r++)
            if (fabs(a[r][i]) > fabs(a[best][i]))
                best = r;
        if (!(fabs(a[best][i]) > 1e-12))
            return VG_FAIL(err, VG_E_ARG, "the preview samples do not determine a colour map");
        for (int j = 0; j < n + 3; j++) {
            double swap = a[i][j];
            a[i][j] = a[best][j];
            a[best][j] = swap;
        }
        for (int r = 0; r < n; r++) {
            double f = r == i ? 0 : a[r][i] / a[i][i];
            for (int j = i; f != 0 && j < n + 3; j++)
                a[r][j] -= f * a[i][j];
        }
    }
    p->channels = channels;
    for (int j = 0; j < 3; j++) {
        for (int i = 0; i < channels; i++)
            p->factor[i][j] = (float)(a[i][n + j] / a[i][i]);
        p->bias[j] = (float)(a[channels][n + j] / a[channels][channels]);
    }
    return VG_OK;
}
