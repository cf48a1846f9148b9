/* resize.h: pictures to another size, exactly as the references do it: Pillow's antialiased filters on 8-bit RGB, torch's bilinear on floats.
 *
 * Which reference resizes how: every picture and video frame that diffusers' VideoProcessor takes: Pillow Lanczos; CLIP's and SigLIP's
 * processors: Pillow bicubic; reference pictures of VACE: torch bilinear without antialiasing. */
#ifndef VG_ENGINE_VISION_RESIZE_H
#define VG_ENGINE_VISION_RESIZE_H

#include "kernels/base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define VG_RESIZE_SIDE_MAX                                                                         \
    65535 /* pixels; sums of 8-bit samples stay inside of 32 bits whatever the sides are */

typedef enum vg_resample {
    VG_RESAMPLE_BILINEAR,
    VG_RESAMPLE_BICUBIC, /* a = -0.5 */
    VG_RESAMPLE_LANCZOS, /* a = 3 */
    VG_RESAMPLE_COUNT,
} vg_resample;

/* Image.resize((width, height), resample) of Pillow, bit for bit as Pillow 13: one direction after the other, 8 bits in between; a
 * direction that keeps its size is not filtered. Shrinking widens the filter (antialiasing), so every source pixel counts.
 *   src  in   [src_height,src_width,3], rows contiguous
 *   dst  out  [height,width,3]; must not overlap src
 * Errors: VG_E_ARG (a side outside of 1..VG_RESIZE_SIDE_MAX, or no such filter), VG_E_NOMEM. Tests: test_resize. */
vg_status vg_resize_pillow(const uint8_t *src, int src_height, int src_width, vg_resample resample,
                           uint8_t *dst, int height, int width, vg_err *err);

/* What VideoProcessor.preprocess(picture, height, width) does before it scales to [-1,1]: the aspect is not kept. */
static inline vg_status vg_resize_lanczos(const uint8_t *src, int src_height, int src_width,
                                          uint8_t *dst, int height, int width, vg_err *err)
{
    return vg_resize_pillow(src, src_height, src_width, VG_RESAMPLE_LANCZOS, dst, height, width,
                            err);
}

/* torch.nn.functional.interpolate(x, (height, width), mode="bilinear", align_corners=False, antialias=antialias) of FP32 on the CPU to
 * 1e-5 of the largest value; torch's own code paths differ by as much, as they round positions differently (a bug of torch 2.15 is not followed:
 * with antialiasing and width 1 it repeats the first row). Without antialiasing each output pixel sees at most 2x2 source pixels, also when
 * shrinking.
 *   src  in   [planes,src_height,src_width] contiguous
 *   dst  out  [planes,height,width]; must not overlap src
 * Errors: VG_E_ARG (a side outside of 1..VG_RESIZE_SIDE_MAX, planes < 1), VG_E_NOMEM. Tests: test_resize. */
vg_status vg_resize_torch_bilinear(const float *src, int64_t planes, int src_height, int src_width,
                                   bool antialias, float *dst, int height, int width, vg_err *err);
#endif
