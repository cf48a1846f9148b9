/* bucket.c: image to video takes no size: it is the one, of a list as large as the model was trained for, whose shape is nearest the picture's,
 * and the picture is cut to it. Source: hunyuanvideo15 6.2, diffusers' generate_crop_size_list, get_closest_ratio, _resize_and_crop. */
#include "engine/family/hunyuanvideo15/hv15.h"
#include "engine/vision/resize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATIO_MAX 4.0 /* between the sides of a bucket */

/* round(x, 5) as Python rounds: to the nearest decimal. */
static double rounded(double x)
{
    char text[64];
    snprintf(text, sizeof text, "%.5f", x);
    return strtod(text, NULL);
}

/* Ratios are compared on the side of the picture's that is nearer to a square only, and rounded while the picture's is not: some sizes of the
 * list do not lead to themselves, as in the reference. */
void hv_bucket(const hv_config *config, int picture_height, int picture_width, int *height,
               int *width)
{
    int patch = config->vae.spatial;
    double side = (double)config->dit.target_size / patch,
           wanted = (double)picture_height / (double)picture_width, best = INFINITY;
    int64_t all = (int64_t)nearbyint(side * side);
    *height = *width = patch;
    for (int64_t tall = all, wide = 1; tall > 0;) {
        double longer = (double)(tall > wide ? tall : wide),
               shorter = (double)(tall > wide ? wide : tall);
        double off = rounded((double)tall / (double)wide) - wanted;
        bool allowed = wanted >= 1 ? off <= 0 : off >= 0;
        if (longer / shorter <= RATIO_MAX && allowed && fabs(off) < best) {
            best = fabs(off);
            *height = (int)tall * patch;
            *width = (int)wide * patch;
        }
        if ((wide + 1) * tall <= all)
            wide++;
        else
            tall--;
    }
}

/* Rows of `from` [h,w,3] to their place in `to` [height,width,3], which is black elsewhere. */
static void paste(const uint8_t *from, int h, int w, uint8_t *to, int height, int width)
{
    int top = height / 2 - h / 2, left = width / 2 - w / 2;
    int first = left < 0 ? -left : 0, last = left + w > width ? width - left : w;
    for (int y = 0; y < h; y++)
        if (top + y >= 0 && top + y < height && last > first)
            memcpy(to + ((size_t)(top + y) * (size_t)width + (size_t)(left + first)) * 3,
                   from + ((size_t)y * (size_t)w + (size_t)first) * 3, (size_t)(last - first) * 3);
}

vg_status hv_cover(const vg_frames *picture, int height, int width, uint8_t **rgb, vg_err *err)
{
    double ratio = (double)width / height, own = (double)picture->width / picture->height;
    int w = ratio > own ? width : (int)((int64_t)picture->width * height / picture->height),
        h = ratio <= own ? height : (int)((int64_t)picture->height * width / picture->width);
    uint8_t *resized = malloc((size_t)h * (size_t)w * 3),
            *made = calloc((size_t)height * (size_t)width, 3);
    vg_status status = VG_OK;
    if (!resized || !made)
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for a picture of %dx%d", w, h);
    if (status == VG_OK)
        status =
            vg_resize_lanczos(picture->rgb, picture->height, picture->width, resized, h, w, err);
    if (status == VG_OK)
        paste(resized, h, w, made, height, width);
    free(resized);
    if (status == VG_OK)
        *rgb = made;
    else
        free(made);
    return status;
}
