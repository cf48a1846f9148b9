/* conv3d.c: channels-last convolution by im2col on tiles of output pixels and sgemm; the tile's matrix is all that ever exists of
 * the unfolded input. Temporal taps that meet zero frames in front are left out. 1x1x1 without stride reads F32 x in place.
 * Few channels go to conv3d_direct.c, which does without the unfolding. Source: wan 4.2. */
#include "kernels/cpu/conv3d.h"

#include <string.h>

#define TILE_FLOATS                                                                                \
    (256 * 1024) /* of the unfolded tile: 1 MiB, half of it fits in a core's second cache */
#define TILE_MIN 48
#define TILE_MAX 1024

typedef struct job {
    vg_conv_plan *p;
    int64_t tile, tiles; /* pixels per tile, tiles per output frame */
    int64_t taps;        /* (t,y) taps unfolded at a time */
} job;

/* Row `yi` (virtual, may lie outside), pixels xi .. xi+kw of frame f: kw*C values. */
static void unfold(const vg_conv_plan *p, int64_t f, int64_t yi, int64_t xi, float *to)
{
    int64_t up = p->a->upsample, height = p->in_h * up, width = p->in_w * up;

    if (yi < 0 || yi >= height || xi >= width || xi + p->kw <= 0) {
        memset(to, 0, (size_t)(p->kw * p->c) * sizeof *to);
        return;
    }
    if (up == 1 && xi >= 0 && xi + p->kw <= width) {
        vg_conv_load(p, f, yi, xi, p->kw, to);
        return;
    }
    for (int64_t dx = 0; dx < p->kw; dx++, to += p->c) {
        if (xi + dx < 0 || xi + dx >= width)
            memset(to, 0, (size_t)p->c * sizeof *to);
        else
            vg_conv_load(p, f, yi / up, (xi + dx) / up, 1, to);
    }
}

void vg_conv_store(const vg_conv_plan *p, int64_t t, int64_t first, int64_t n, float *sums,
                   const float *bias, float *residual)
{
    const vg_conv3d_args *a = p->a;
    int64_t area = p->out_h * p->out_w, parts = a->split > 1 ? a->split : 1, part = p->o / parts;
    int64_t rows = parts > 1 ? n : 1, width = parts > 1 ? part : n * p->o;

    for (int64_t i = 0; bias && i < n; i++)
        for (int64_t o = 0; o < p->o; o++)
            sums[i * p->o + o] += bias[o];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < parts; i++) {
            int64_t at = ((t * parts + i) * area + first + r) * part;
            float *row = sums + r * p->o + i * part;
            if (a->residual) {
                const float *add = vg_cpu_view(a->residual, at, width, residual);
                vg_cpu_round_to(a->y->dtype, row, width);
                for (int64_t e = 0; e < width; e++)
                    row[e] += add[e];
            }
            vg_cpu_store(a->y, at, width, row);
        }
}

/* Scratch: the unfolded tile, sums, bias, residual. */
static void tiles(void *ctx, int64_t begin, int64_t end, int worker)
{
    const job *j = ctx;
    const vg_conv_plan *p = j->p;
    const vg_conv3d_args *a = p->a;
    int64_t line = p->kw * p->c;
    float *unfolded = vg_cpu_scratch(p->be, worker);
    float *sums = unfolded + vg_cpu_round((size_t)(j->tile * j->taps * line));
    float *bias_row = sums + vg_cpu_round((size_t)(j->tile * p->o));
    float *residual = bias_row + vg_cpu_round((size_t)p->o);
    const float *bias = a->bias ? vg_cpu_view(a->bias, 0, p->o, bias_row) : NULL;

    for (int64_t tile = begin; tile < end; tile++) {
        int64_t t = tile / j->tiles, first = tile % j->tiles * j->tile, area = p->out_h * p->out_w;
        int64_t n = area - first < j->tile ? area - first : j->tile;
        int64_t tap = vg_conv_first_tap(p, t) * p->kh, all = p->kt * p->kh;
        bool add = false;
        if (tap == all)
            memset(sums, 0, (size_t)(n * p->o) * sizeof *sums);
        for (; tap < all; tap += j->taps) {
            int64_t count = all - tap < j->taps ? all - tap : j->taps;
            for (int64_t i = 0; i < n; i++) {
                int64_t yo = (first + i) / p->out_w, xo = (first + i) % p->out_w;
                for (int64_t u = 0; u < count; u++)
                    unfold(p, t * a->stride[0] + (tap + u) / p->kh,
                           yo * a->stride[1] + (tap + u) % p->kh - a->pad[0],
                           xo * a->stride[2] - a->pad[2], unfolded + (i * count + u) * line);
            }
            vg_cpu_gemm_nt(n, p->o, count * line, unfolded, count * line, p->w + tap * line, p->k,
                           add, sums, p->o);
            add = true;
        }
        vg_conv_store(p, t, first, n, sums, bias, residual);
    }
}

static void convert_w(void *ctx, int64_t begin, int64_t end, int worker)
{
    job *j = ctx;

    (void)worker;
    vg_cpu_load(j->p->a->w, begin, end - begin, vg_cpu(j->p->be)->shared + begin);
}

static vg_status conv_unfolded(vg_conv_plan *p, vg_err *err)
{
    job j = {.p = p};
    int64_t line = p->kw * p->c, area = p->out_h * p->out_w;

    j.taps = 2048 / line < 1 ? 1 : 2048 / line;
    if (j.taps > p->kt * p->kh)
        j.taps = p->kt * p->kh;
    j.tile = TILE_FLOATS / (j.taps * line);
    j.tile = j.tile < TILE_MIN ? TILE_MIN : j.tile > TILE_MAX ? TILE_MAX : j.tile;
    while (j.tile > TILE_MIN && p->out_t * ((area + j.tile - 1) / j.tile) < 16)
        j.tile = j.tile / 2 > TILE_MIN ? j.tile / 2 : TILE_MIN;
    if (j.tile > area)
        j.tile = area;
    j.tiles = (area + j.tile - 1) / j.tile;
    VG_TRY(vg_cpu_scratch_reserve(p->be,
                                  vg_cpu_round((size_t)(j.tile * j.taps * line)) +
                                      2 * vg_cpu_round((size_t)(j.tile * p->o)) +
                                      vg_cpu_round((size_t)p->o),
                                  err));
    p->w = p->a->w->data;
    if (p->a->w->dtype != VG_F32) {
        VG_TRY(vg_cpu_shared_reserve(p->be, (size_t)(p->o * p->k), err));
        vg_cpu_for(p->be, p->o * p->k, 65536, convert_w, &j);
        p->w = vg_cpu(p->be)->shared;
    }
    vg_cpu_for(p->be, p->out_t * j.tiles, 1, tiles, &j);
    return VG_OK;
}

/* 1x1x1, stride 1, nothing around: pixels are rows of a linear layer. */
static vg_status conv_pointwise(vg_backend *be, const vg_conv3d_args *a, vg_err *err)
{
    int64_t pixels = vg_tensor_numel(a->x) / a->x->shape[3];
    vg_tensor x = vg_tensor_reshape(a->x, 2, pixels, a->x->shape[3]);
    vg_tensor w = vg_tensor_reshape(a->w, 2, a->w->shape[0], a->x->shape[3]);
    vg_tensor y = vg_tensor_reshape(a->y, 2, pixels, a->w->shape[0]);
    vg_linear_args linear = {.x = &x, .w = &w, .bias = a->bias, .y = &y};

    return vg_cpu_linear(be, &linear, err);
}

vg_status vg_cpu_conv3d(vg_backend *be, const vg_conv3d_args *a, vg_err *err)
{
    const int64_t *x = a->x->shape, *w = a->w->shape, *y = a->y->shape;
    vg_conv_plan p = {.be = be, .a = a, .c = x[3], .o = w[0], .kt = w[1], .kh = w[2], .kw = w[3]};

    p.k = p.kt * p.kh * p.kw * p.c;
    p.in_h = x[1], p.in_w = x[2];
    p.out_t = y[0] / (a->split > 1 ? a->split : 1), p.out_h = y[1], p.out_w = y[2];
    p.front = a->pad_front;
    p.history = a->history ? a->history->shape[0] : 0;
    if (p.k == p.c && p.front + p.history == 0 && !a->more && !a->residual && a->split <= 1 &&
        vg_tensor_numel(a->y) / p.o == vg_tensor_numel(a->x) / p.c && a->upsample == 1 &&
        a->stride[0] * a->stride[1] * a->stride[2] == 1)
        return conv_pointwise(be, a, err);
    if (vg_conv_direct_fits(&p))
        return vg_conv_direct(&p, err);
    return conv_unfolded(&p, err);
}
