/* dit_precision.c: calibration, and what a forward costs. See dit.h. */
#include "engine/family/hunyuanvideo15/dit_impl.h"

vg_status hv_dit_calibrate_begin(hv_dit *d, vg_err *err)
{
    return vg_input_ranges_begin(d->be, &d->weights, &d->ranges, err);
}

vg_status hv_dit_calibrate_each(const hv_dit *d,
                                void (*fn)(void *user, const char *layer, float amax), void *user,
                                vg_err *err)
{
    return vg_input_ranges_each(d->ranges, fn, user, err);
}

double hv_dit_flop(const hv_dit_config *c, int64_t video_tokens, int64_t text_tokens)
{
    double n = (double)(video_tokens + text_tokens), d = (double)c->dim, f = (double)c->ffn_dim;
    double block = 2 * n * (4 * d * d + 2 * d * f) + 4 * n * n * d;
    return block * (double)c->layers;
}
