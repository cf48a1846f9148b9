/* tiles.c: diffusers' tiling: overlapping tiles, each run on its own, blended linearly first with the tile above, then with the one
 * on the left (both already blended), cropped to the stride. Source: wan 4.6. */
#include "engine/run/tiles.h"

#include "kernels/base/numeric.h"

#include <stdlib.h>
#include <string.h>

static float mix(float a, float b, int64_t k, int64_t extent, bool bf16)
{
    double t = (double)k / (double)extent;
    float wa = (float)(1 - t), wb = (float)t, pa = a * wa, pb = b * wb;
    return bf16 ? vg_round_bf16(vg_round_bf16(pa) + vg_round_bf16(pb)) : pa + pb;
}

static int64_t at(const vg_tile *t, int64_t f, int64_t y, int64_t x)
{
    return ((f * t->height + y) * t->width + x) * t->channels;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void blend_down(const vg_tile *above, vg_tile *t, int64_t extent, bool bf16)
{
    extent = least(extent, least(above->height, t->height));
    for (int64_t f = 0; f < t->frames; f++)
        for (int64_t k = 0; k < extent; k++) {
            const float *a = above->v + at(above, f, above->height - extent + k, 0);
            float *b = t->v + at(t, f, k, 0);
            for (int64_t i = 0; i < t->width * t->channels; i++)
                b[i] = mix(a[i], b[i], k, extent, bf16);
        }
}

static void blend_right(const vg_tile *left, vg_tile *t, int64_t extent, bool bf16)
{
    extent = least(extent, least(left->width, t->width));
    for (int64_t f = 0; f < t->frames; f++)
        for (int64_t y = 0; y < t->height; y++)
            for (int64_t k = 0; k < extent; k++) {
                const float *a = left->v + at(left, f, y, left->width - extent + k);
                float *b = t->v + at(t, f, y, k);
                for (int64_t i = 0; i < t->channels; i++)
                    b[i] = mix(a[i], b[i], k, extent, bf16);
            }
}

static void paste(const vg_tiling *g, const vg_tile *t, int64_t y0, int64_t x0, float *out)
{
    int64_t height = least(least(t->height, g->out_stride), g->out_height - y0);
    int64_t width = least(least(t->width, g->out_stride), g->out_width - x0);
    for (int64_t f = 0; f < t->frames; f++)
        for (int64_t y = 0; y < height && width > 0; y++)
            memcpy(out + ((f * g->out_height + y0 + y) * g->out_width + x0) * g->channels,
                   t->v + at(t, f, y, 0), (size_t)(width * g->channels) * sizeof *out);
}

static int64_t steps(int64_t size, int64_t stride)
{
    return (size + stride - 1) / stride;
}

int64_t vg_tiles_count(const vg_tiling *g)
{
    return steps(g->height, g->stride) * steps(g->width, g->stride);
}

static vg_status run_tile(const vg_tiling *g, vg_tile_fn *fn, void *ctx, int64_t y, int64_t x,
                          vg_tile *t, vg_err *err)
{
    int64_t height = least(g->tile, g->height - y), width = least(g->tile, g->width - x);
    *t = (vg_tile){.frames = g->frames,
                   .height = height * g->out_tile / g->tile,
                   .width = width * g->out_tile / g->tile,
                   .channels = g->channels};
    t->v = malloc((size_t)(t->frames * t->height * t->width * t->channels + 1) * sizeof *t->v);
    if (!t->v)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a VAE tile of %lldx%lld",
                       (long long)t->width, (long long)t->height);
    return fn(ctx, y, x, height, width, t, err);
}

vg_status vg_tiles_run(const vg_tiling *g, vg_tile_fn *fn, void *ctx, float *out, vg_err *err)
{
    int64_t rows = steps(g->height, g->stride), columns = steps(g->width, g->stride),
            overlap = g->out_tile - g->out_stride;
    vg_status status = VG_OK;
    vg_tile *tiles = calloc((size_t)(2 * columns), sizeof *tiles), *above = tiles,
            *row = tiles + columns;
    if (!tiles)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %lld VAE tiles", (long long)columns);
    for (int64_t i = 0; i < rows && status == VG_OK; i++) {
        for (int64_t j = 0; j < columns && status == VG_OK; j++) {
            free(row[j].v);
            row[j].v = NULL;
            status = run_tile(g, fn, ctx, i * g->stride, j * g->stride, &row[j], err);
            if (status != VG_OK)
                break;
            if (i > 0)
                blend_down(&above[j], &row[j], overlap, g->bf16);
            if (j > 0)
                blend_right(&row[j - 1], &row[j], overlap, g->bf16);
            paste(g, &row[j], i * g->out_stride, j * g->out_stride, out);
        }
        vg_tile *swap = above;
        above = row;
        row = swap;
    }
    for (int64_t j = 0; j < 2 * columns; j++)
        free(tiles[j].v);
    free(tiles);
    return status;
}
