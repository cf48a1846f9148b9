/* vace_media.c: see vace_media.h. */
#include "engine/family/wan/vace_media.h"

#include "engine/vision/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t frame_bytes(const wan_vace_clip *clip)
{
    return (size_t)clip->height * (size_t)clip->width * 3;
}

static vg_status take(const wan_vace_clip *clip, uint8_t value, uint8_t **frames, vg_err *err)
{
    size_t bytes = (size_t)clip->frames * frame_bytes(clip);
    *frames = malloc(bytes);
    if (!*frames)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %d frames of %dx%d", clip->frames,
                       clip->width, clip->height);
    memset(*frames, value, bytes);
    return VG_OK;
}

/* Frame `from` of what is given as frame `to` of frames of the clip's size. */
static vg_status put(const wan_vace_clip *clip, const vg_frames *given, int from, uint8_t *frames,
                     int to, vg_err *err)
{
    size_t size = (size_t)given->height * (size_t)given->width * 3;
    return vg_resize_lanczos(given->rgb + (size_t)from * size, given->height, given->width,
                             frames + (size_t)to * frame_bytes(clip), clip->height, clip->width,
                             err);
}

/* A video frame by frame, or one picture in all frames. */
static vg_status put_all(const wan_vace_clip *clip, const vg_frames *given, uint8_t *frames,
                         vg_err *err)
{
    for (int i = 0; i < clip->frames; i++) {
        if (i < given->count)
            VG_TRY(put(clip, given, i, frames, i, err));
        else
            memcpy(frames + (size_t)i * frame_bytes(clip), frames, frame_bytes(clip));
    }
    return VG_OK;
}

/* Pictures at the clip's ends: they are known, what is between them is not. */
static vg_status put_end(wan_vace_clip *clip, const vg_media *picture, int frame, vg_err *err)
{
    if (!picture)
        return VG_OK;
    memset(clip->mask + (size_t)frame * frame_bytes(clip), 0, frame_bytes(clip));
    return put(clip, &picture->frames, 0, clip->rgb, frame, err);
}

static vg_status put_ends(const vg_generate_params *p, wan_vace_clip *clip, vg_err *err)
{
    VG_TRY(take(clip, WAN_VACE_GREY, &clip->rgb, err));
    VG_TRY(take(clip, 255, &clip->mask, err));
    VG_TRY(put_end(clip, vg_inputs_find(&p->inputs, VG_ROLE_IMAGE, 0), 0, err));
    return put_end(clip, vg_inputs_find(&p->inputs, VG_ROLE_LAST_IMAGE, 0), clip->frames - 1, err);
}

/* What a pixel of a mask is to the reference, from 0 to 1: by way of [-1,1]. */
static float mask_value(uint8_t byte)
{
    float x = 2.0f * ((float)byte / 255.0f) - 1.0f;
    return fminf(fmaxf((x + 1.0f) / 2.0f, 0.0f), 1.0f);
}

static bool is_made(uint8_t mask)
{
    return mask_value(mask) > 0.5f;
}

/* What is to be made anew is not seen: inpainting, where a video with a mask alone (v2v) may hold a control signal there. */
static void hide_made(wan_vace_clip *clip)
{
    size_t bytes = (size_t)clip->frames * frame_bytes(clip);
    for (size_t i = 0; i < bytes; i++)
        if (is_made(clip->mask[i]))
            clip->rgb[i] = WAN_VACE_GREY;
}

static vg_status fill(const vg_generate_params *p, wan_vace_clip *clip, vg_err *err)
{
    const vg_media *video = vg_inputs_find(&p->inputs, VG_ROLE_VIDEO, 0),
                   *mask = vg_inputs_find(&p->inputs, VG_ROLE_MASK, 0),
                   *image = vg_inputs_find(&p->inputs, VG_ROLE_IMAGE, 0),
                   *last = vg_inputs_find(&p->inputs, VG_ROLE_LAST_IMAGE, 0);
    if (!mask && (image || last))
        return put_ends(p, clip, err);
    if (!video)
        video = image; /* in every frame */
    if (video) {
        VG_TRY(take(clip, WAN_VACE_GREY, &clip->rgb, err));
        VG_TRY(put_all(clip, &video->frames, clip->rgb, err));
    }
    if (mask) {
        VG_TRY(take(clip, 255, &clip->mask, err));
        VG_TRY(put_all(clip, &mask->frames, clip->mask, err));
    }
    if (mask && strcmp(p->mode, WAN_MODE_INPAINT) == 0)
        hide_made(clip);
    return VG_OK;
}

vg_status wan_vace_clip_make(const vg_generate_params *p, wan_vace_clip *clip, vg_err *err)
{
    const vg_media *video = vg_inputs_find(&p->inputs, VG_ROLE_VIDEO, 0);
    *clip = (wan_vace_clip){.frames = video ? video->frames.count : p->num_frames,
                            .height = p->height,
                            .width = p->width};
    vg_status status = fill(p, clip, err);
    if (status != VG_OK)
        wan_vace_clip_deinit(clip);
    return status;
}

void wan_vace_clip_deinit(wan_vace_clip *clip)
{
    free(clip->rgb);
    free(clip->mask);
    *clip = (wan_vace_clip){0};
}

void wan_vace_clip_sample(const wan_vace_clip *clip, bool reactive, float *sample)
{
    size_t plane = (size_t)clip->frames * (size_t)clip->height * (size_t)clip->width;
    for (size_t i = 0; i < plane; i++)
        for (size_t k = 0; k < 3; k++) {
            bool made = !clip->mask || is_made(clip->mask[3 * i + k]);
            sample[k * plane + i] = clip->rgb && made == reactive
                                        ? 2.0f * ((float)clip->rgb[3 * i + k] / 255.0f) - 1.0f
                                        : 0.0f;
        }
}

void wan_vace_clip_fold(const wan_vace_clip *clip, int spatial, int64_t latent_frames,
                        float *folded)
{
    int64_t h = clip->height / spatial, w = clip->width / spatial;
    float scale = (float)clip->frames / (float)latent_frames; /* torch's "nearest-exact" */
    for (int64_t c = 0; c < (int64_t)spatial * spatial; c++)
        for (int64_t t = 0; t < latent_frames; t++) {
            int64_t frame = (int64_t)floorf(((float)t + 0.5f) * scale);
            if (frame >= clip->frames)
                frame = clip->frames - 1;
            for (int64_t i = 0; i < h * w; i++, folded++) {
                int64_t y = i / w * spatial + c / spatial, x = i % w * spatial + c % spatial;
                *folded =
                    clip->mask
                        ? mask_value(clip->mask[((frame * clip->height + y) * clip->width + x) * 3])
                        : 1.0f;
            }
        }
}

/* ---- reference pictures ---- */

typedef struct fit {
    int height, width;         /* the reference's first step: whole latent pixels, Lanczos */
    int new_height, new_width; /* its second: as large as the clip lets it be, bilinear */
} fit;

static fit fit_of(const vg_frames *picture, int spatial, int height, int width)
{
    fit f = {.height = picture->height / spatial * spatial,
             .width = picture->width / spatial * spatial};
    if (f.height < 1 || f.width < 1)
        return f;
    double scale = fmin((double)height / f.height, (double)width / f.width);
    f.new_height = (int)(f.height * scale);
    f.new_width = (int)(f.width * scale);
    return f;
}

static vg_status check_reference(const vg_frames *picture, int spatial, int height, int width,
                                 vg_err *err)
{
    fit f = fit_of(picture, spatial, height, width);
    if (f.new_height < 1 || f.new_width < 1)
        return VG_FAIL(
            err, VG_E_ARG,
            "a reference picture of %dx%d leaves nothing in a clip of %dx%d: %d pixels a "
            "side are needed, and less of a difference between the sides",
            picture->width, picture->height, width, height, spatial);
    return VG_OK;
}

/* Bytes [height,width,3] to planes in [-1,1]. */
static void to_planes(const uint8_t *rgb, size_t plane, float *planes)
{
    for (size_t i = 0; i < plane; i++)
        for (size_t k = 0; k < 3; k++)
            planes[k * plane + i] = 2.0f * ((float)rgb[3 * i + k] / 255.0f) - 1.0f;
}

vg_status wan_vace_reference(const vg_frames *picture, int spatial, int height, int width,
                             float *canvas, vg_err *err)
{
    fit f = fit_of(picture, spatial, height, width);
    VG_TRY(check_reference(picture, spatial, height, width, err));
    size_t plane = (size_t)f.height * (size_t)f.width, new_row = (size_t)f.new_width,
           new_plane = (size_t)f.new_height * new_row, all = (size_t)height * (size_t)width;
    size_t top = (size_t)((height - f.new_height) / 2), left = (size_t)((width - f.new_width) / 2);
    uint8_t *rgb = malloc(3 * plane);
    float *planes = malloc(3 * plane * sizeof *planes),
          *fitted = malloc(3 * new_plane * sizeof *fitted);
    vg_status status = VG_OK;
    if (!rgb || !planes || !fitted)
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory for a reference picture");
    if (status == VG_OK)
        status = vg_resize_lanczos(picture->rgb, picture->height, picture->width, rgb, f.height,
                                   f.width, err);
    if (status == VG_OK) {
        to_planes(rgb, plane, planes);
        status = vg_resize_torch_bilinear(planes, 3, f.height, f.width, false, fitted, f.new_height,
                                          f.new_width, err);
    }
    if (status == VG_OK) {
        for (size_t i = 0; i < 3 * all; i++)
            canvas[i] = 1.0f;
        for (size_t i = 0; i < 3 * (size_t)f.new_height; i++) {
            size_t k = i / (size_t)f.new_height, y = i % (size_t)f.new_height;
            memcpy(canvas + k * all + (top + y) * (size_t)width + left, fitted + i * new_row,
                   new_row * sizeof *canvas);
        }
    }
    free(fitted);
    free(planes);
    free(rgb);
    return status;
}

/* ---- what goes together ---- */

/* The reference's rule for a video's size, with the size that it takes when none is said. */
void wan_vace_defaults(const wan_config *c, vg_generate_params *p)
{
    enum { HEIGHT = 480, WIDTH = 832 };
    const vg_media *video = vg_inputs_find(&p->inputs, VG_ROLE_VIDEO, 0);
    if (!video || video->frames.count < 1)
        return;
    int cell = c->vae.spatial, rows = cell * c->dit[0].patch[1],
        columns = cell * c->dit[0].patch[2];
    int height = video->frames.height / cell * cell, width = video->frames.width / cell * cell;
    if ((int64_t)height * width > HEIGHT * WIDTH) {
        double scale = fmin((double)WIDTH / width, (double)HEIGHT / height);
        height = (int)(height * scale);
        width = (int)(width * scale);
    }
    if (p->num_frames == VG_UNSET_INT)
        p->num_frames = (video->frames.count - 1) / c->vae.temporal * c->vae.temporal + 1;
    if (p->height == VG_UNSET_INT && p->width == VG_UNSET_INT && height >= rows &&
        width >= columns) {
        p->height = height / rows * rows;
        p->width = width / columns * columns;
    }
}

static vg_status check_video(const wan_config *c, const vg_generate_params *p,
                             const vg_media *video, vg_err *err)
{
    int given = video->frames.count, t = c->vae.temporal;
    if ((given - 1) / t != (p->num_frames - 1) / t)
        return VG_FAIL(
            err, VG_E_ARG,
            "the video has %d frames, the clip %d: give --num-frames %d, or a video that "
            "is as long",
            given, p->num_frames, (given - 1) / t * t + 1);
    return VG_OK;
}

static vg_status check_mask(const vg_generate_params *p, const vg_media *mask,
                            const vg_media *video, vg_err *err)
{
    int wanted = video ? video->frames.count : p->num_frames;
    if (mask->frames.count != 1 && mask->frames.count != wanted)
        return VG_FAIL(err, VG_E_ARG,
                       "the mask has %d frames, the %s %d: as many are needed, or one picture",
                       mask->frames.count, video ? "video" : "clip", wanted);
    return VG_OK;
}

vg_status wan_vace_check_inputs(const wan_config *c, const vg_generate_params *p, vg_err *err)
{
    const vg_media *video = vg_inputs_find(&p->inputs, VG_ROLE_VIDEO, 0),
                   *mask = vg_inputs_find(&p->inputs, VG_ROLE_MASK, 0), *reference;
    if (video)
        VG_TRY(check_video(c, p, video, err));
    if (mask)
        VG_TRY(check_mask(p, mask, video, err));
    for (int i = 0; (reference = vg_inputs_find(&p->inputs, VG_ROLE_REFERENCE, i)); i++)
        VG_TRY(check_reference(&reference->frames, c->vae.spatial, p->height, p->width, err));
    return VG_OK;
}
