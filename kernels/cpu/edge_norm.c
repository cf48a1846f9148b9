/* edge_norm.c: lines of pixels, normalised as channel_norm does (or as they are), then copied outwards. Source: hunyuanvideo15 3.1. */
#include <string.h>

#include "kernels/cpu/cpu.h"

typedef struct job {
    vg_backend *be;
    const vg_edge_norm_args *a;
} job;

/* Scratch: a line of y, then gamma. */
static void lines(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;
    const vg_edge_norm_args *a = j->a;
    const int64_t *x = a->x->shape, *y = a->y->shape;
    int64_t c = x[3], e = a->edge, width = y[2] * c;
    float *line = vg_cpu_scratch(j->be, worker), *inner = line + e * c;
    const float *gamma =
        a->gamma ? vg_cpu_view(a->gamma, 0, c, line + vg_cpu_round((size_t)width)) : NULL;

    for (int64_t i = begin; i < end; i++) {
        int64_t t = i / y[1], row = i % y[1] - e;
        row = row < 0 ? 0 : row >= x[1] ? x[1] - 1 : row;
        vg_cpu_load(a->x, (t * x[1] + row) * x[2] * c, x[2] * c, inner);
        if (gamma)
            vg_cpu_norm_pixels(a->y->dtype, gamma, a->silu, inner, x[2], c);
        for (int64_t k = 0; k < e; k++) {
            memcpy(line + k * c, inner, (size_t)c * sizeof *line);
            memcpy(inner + (x[2] + k) * c, inner + (x[2] - 1) * c, (size_t)c * sizeof *line);
        }
        vg_cpu_store(a->y, i * width, width, line);
    }
}

vg_status vg_cpu_edge_norm(vg_backend *be, const vg_edge_norm_args *a, vg_err *err)
{
    job j = {be, a};
    int64_t width = a->y->shape[2] * a->y->shape[3];

    VG_TRY(vg_cpu_scratch_reserve(be, vg_cpu_round((size_t)width) + (size_t)a->y->shape[3], err));
    vg_cpu_for(be, a->y->shape[0] * a->y->shape[1], vg_cpu_grain(width), lines, &j);
    return VG_OK;
}
