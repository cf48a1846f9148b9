/* latents.c: see latents.h. */
#include "engine/run/latents.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void vg_latents_deinit(vg_latents *l)
{
    free(l->values);
    memset(l, 0, sizeof *l);
}

vg_status vg_latents_check_finite(const float *values, const int64_t shape[4], const char *what,
                                  vg_err *err)
{
    int64_t count = shape[0] * shape[1] * shape[2] * shape[3], bad = 0, first = -1;
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(values[i])) {
            first = first < 0 ? i : first;
            bad++;
        }
    if (bad)
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s are not finite: %lld of %lld values are NaN or infinite, the first is number %lld",
            what, (long long)bad, (long long)count, (long long)first);
    return VG_OK;
}
