/* clip_pixels.c: a picture to the pixels that CLIP sees. See clip.h. */
#include "engine/vision/clip.h"
#include "engine/vision/resize.h"

#include <stdlib.h>

/* The longer side, when the shorter one becomes `edge`: cut off, as Python's int() does. */
static int64_t longer(int64_t edge, int64_t side, int64_t shorter)
{
    return edge * side / shorter;
}

vg_status vg_clip_pixels(const vg_clip_processor *p, const uint8_t *rgb, int height, int width,
                         float *pixels, vg_err *err)
{
    if (height < 1 || width < 1)
        return VG_FAIL(err, VG_E_ARG, "a picture of %dx%d has nothing to see", width, height);
    int64_t shorter = height < width ? height : width,
            new_height = longer(p->edge, height, shorter),
            new_width = longer(p->edge, width, shorter);
    if (new_height > VG_RESIZE_SIDE_MAX || new_width > VG_RESIZE_SIDE_MAX)
        return VG_FAIL(
            err, VG_E_ARG,
            "a picture of %dx%d is too long for the image encoder, which makes its shorter "
            "side %d pixels",
            width, height, p->edge);
    uint8_t *resized = malloc((size_t)(new_height * new_width) * 3);
    if (!resized)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for a picture of %lldx%lld",
                       (long long)new_width, (long long)new_height);
    vg_status status = vg_resize_pillow(rgb, height, width, VG_RESAMPLE_BICUBIC, resized,
                                        (int)new_height, (int)new_width, err);
    int64_t top = (new_height - p->side) / 2, left = (new_width - p->side) / 2, side = p->side;
    for (int64_t k = 0; status == VG_OK && k < 3; k++)
        for (int64_t y = 0; y < side; y++)
            for (int64_t x = 0; x < side; x++) {
                float v = (float)resized[((top + y) * new_width + left + x) * 3 + k];
                pixels[(k * side + y) * side + x] =
                    (v * (1.0f / 255.0f) - (float)p->mean[k]) / (float)p->std[k];
            }
    free(resized);
    return status;
}
