/* sparkline.c: one row of little columns. */
#include "ui/widgets/widgets.h"

#include <math.h>

bool vg_series_range(const vg_series *series, int count, double *lo, double *hi)
{
    bool any = false;
    for (int s = 0; s < count; s++)
        for (int i = 0; i < series[s].count; i++) {
            double v = series[s].samples[i];
            if (!isfinite(v))
                continue;
            *lo = any ? fmin(*lo, v) : v;
            *hi = any ? fmax(*hi, v) : v;
            any = true;
        }
    return any;
}

void vg_sparkline(vg_grid *g, int row, int col, int cols, const double *samples, int count,
                  double lo, double hi, vg_text_role role)
{
    if (cols < 1 || count < 1 || !samples)
        return;
    int from = count > cols ? count - cols : 0;
    if (lo >= hi) {
        vg_series one = {samples + from, count - from, role};
        if (!vg_series_range(&one, 1, &lo, &hi))
            return;
        /* A steady run must look steady: noise of a few percent is not blown up to the full height. */
        lo = fmin(lo, hi * 0.7);
        if (lo >= hi)
            lo = hi - 1;
    }
    static const char ascii[] = "_.-=+*#%";
    for (int i = from; i < count; i++) {
        double v = samples[i];
        if (isnan(v))
            continue;
        double t = v >= hi ? 1 : v <= lo ? 0 : (v - lo) / (hi - lo);
        int level = (int)(t * 7.999);
        uint32_t cp = vg_glyph(g, (uint32_t)(unsigned char)ascii[level],
                               level > 3 ? 0x2588 : 0x2584, 0x2581 + (uint32_t)level);
        vg_put(g, row, col + i - from, cp, vg_role_style(g, role));
    }
}
