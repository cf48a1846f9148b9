/* picture_yuv.c: upsampling and colour conversion of libwebp 1 (upsampling.c, yuv.h), sample for sample. */
#include "app/media/picture_yuv.h"

/* (9 a + 3 b + 3 c + d) / 16 by way of two averages that round by themselves; at the edges what lies outside is repeated. */
static void widen(const vg_picture_yuv *p, int plane, int y, uint8_t *out)
{
    int rows = (p->height + 1) / 2, last = p->width - 1, next = y & 1 ? y / 2 + 1 : y / 2 - 1;
    next = next < 0 ? 0 : next >= rows ? rows - 1 : next;
    const uint8_t *near = p->data[plane] + (ptrdiff_t)(y / 2) * p->stride[plane];
    const uint8_t *far = p->data[plane] + (ptrdiff_t)next * p->stride[plane];
    out[0] = (uint8_t)((3 * near[0] + far[0] + 2) >> 2);
    for (int x = 1; x <= last / 2; x++) {
        int sum = near[x - 1] + near[x] + far[x - 1] + far[x] + 8;
        int left = (sum + 2 * (near[x] + far[x - 1])) >> 3,
            right = (sum + 2 * (near[x - 1] + far[x])) >> 3;
        out[2 * x - 1] = (uint8_t)((left + near[x - 1]) >> 1);
        out[2 * x] = (uint8_t)((right + near[x]) >> 1);
    }
    if (last & 1)
        out[last] = (uint8_t)((3 * near[last / 2] + far[last / 2] + 2) >> 2);
}

static uint8_t clip(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

void vg_picture_yuv_row(const vg_picture_yuv *p, int y, uint8_t *rgb, uint8_t *scratch)
{
    const uint8_t *luma = p->data[0] + (ptrdiff_t)y * p->stride[0];
    uint8_t *us = scratch, *vs = scratch + p->width;
    widen(p, 1, y, us);
    widen(p, 2, y, vs);
    for (int x = 0; x < p->width; x++, rgb += 3) {
        /* BT.601's video range in 14 bits of fraction, of which each product loses 8. */
        int l = 19077 * luma[x] >> 8, u = us[x], v = vs[x];
        rgb[0] = clip((l + (26149 * v >> 8) - 14234) >> 6);
        rgb[1] = clip((l - (6419 * u >> 8) - (13320 * v >> 8) + 8708) >> 6);
        rgb[2] = clip((l + (33050 * u >> 8) - 17685) >> 6);
    }
}
