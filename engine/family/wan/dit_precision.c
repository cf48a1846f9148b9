/* dit_precision.c: calibration, and what a forward costs. See dit.h. */
#include "engine/family/wan/dit_impl.h"

vg_status wan_dit_calibrate_begin(wan_dit *d, vg_err *err)
{
    return vg_input_ranges_begin(d->be, &d->weights, &d->ranges, err);
}

vg_status wan_dit_calibrate_each(const wan_dit *d,
                                 void (*fn)(void *user, const char *layer, float amax), void *user,
                                 vg_err *err)
{
    return vg_input_ranges_each(d->ranges, fn, user, err);
}

int64_t wan_dit_tokens(const wan_dit_config *c, const int64_t latent[4])
{
    return (latent[1] / c->patch[0]) * (latent[2] / c->patch[1]) * (latent[3] / c->patch[2]);
}

double wan_dit_flop(const wan_dit_config *c, int64_t video_tokens, int64_t text_tokens)
{
    double n = (double)video_tokens, d = (double)c->dim, f = (double)c->ffn_dim,
           m = (double)text_tokens;
    double block = 8 * n * d * d + 4 * n * n * d + 4 * n * d * d + 4 * n * m * d + 4 * n * d * f;
    double ways = c->vace_count ? 1.0 + (double)c->vace_count : 0; /* into and out of the branch */
    return block * (double)wan_dit_blocks(c) + 2 * n * d * d * ways;
}
