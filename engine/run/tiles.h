/* tiles.h: running an autoencoder in overlapping spatial tiles, as diffusers cuts and blends them. Host FP32, channels last. */
#ifndef VG_ENGINE_RUN_TILES_H
#define VG_ENGINE_RUN_TILES_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct vg_tile {
    int64_t frames, height, width, channels;
    float *v; /* [frames, height, width, channels] */
} vg_tile;

/* Runs one tile: rows [y, y+height), columns [x, x+width) of the input; fills out->v (allocated to the given shape). */
typedef vg_status vg_tile_fn(void *ctx, int64_t y, int64_t x, int64_t height, int64_t width,
                             vg_tile *out, vg_err *err);

typedef struct vg_tiling {
    int64_t height, width;         /* input */
    int64_t tile, stride;          /* input units */
    int64_t out_tile, out_stride;  /* output units */
    int64_t out_height, out_width; /* result is cropped to this */
    int64_t frames, channels;      /* output */
    bool bf16;                     /* round as BF16 tensors would be */
} vg_tiling;

/* Run, blend and assemble all tiles into out [frames, out_height, out_width, channels]. Source: wan 4.6. */
vg_status vg_tiles_run(const vg_tiling *tiling, vg_tile_fn *fn, void *ctx, float *out, vg_err *err);
/* Tiles that vg_tiles_run calls its function for. */
int64_t vg_tiles_count(const vg_tiling *tiling);
#endif
