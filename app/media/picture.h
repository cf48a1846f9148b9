/* picture.h: still pictures as the references load them: diffusers' load_image, that is Pillow's open, exif_transpose and
 * convert("RGB").
 *
 * Read are PNG (every depth, palettes, interlaced), JPEG (baseline and progressive; grey, YCbCr, RGB, CMYK, YCCK), WebP
 * (lossy, lossless), GIF and BMP, decoded by the FFmpeg libraries, and frames in a .safetensors file: tensor `frames`, U8
 * [1,H,W,3], for builds without those libraries (VGEN_CLIP=OFF) and for exactness. As with the reference alpha is dropped
 * (the colour under it shows), an animation gives its first picture, EXIF (or XMP) turns any format, 16-bit samples keep
 * their high byte but 16-bit greys are cut off at 255. What the reference refuses, damaged or cut files, is refused. */
#ifndef VG_APP_MEDIA_PICTURE_H
#define VG_APP_MEDIA_PICTURE_H

#include "engine/run/run.h"

#define VG_PICTURE_FILE_MAX   ((size_t)256 << 20) /* bytes of a file */
#define VG_PICTURE_SIDE_MAX   16384               /* pixels, either side */
#define VG_PICTURE_PIXELS_MAX 178956970           /* the reference's own limit */

typedef struct vg_picture {
    vg_frames frames; /* one frame, RGB [height, width, 3] */
    const char *kind; /* "PNG"; static */
    char note[128]; /* what its owner may not expect, e.g. "the first of 12 frames"; "" = nothing */
} vg_picture;

/* Do a file's first bytes say that it is a picture of a kind that is read? Never of .safetensors; in a build without the libraries never. */
bool vg_picture_begins(const void *bytes, size_t size);
/* Read a picture's file. Nothing in it is trusted: kind and sizes come from its first bytes, never its name, and are checked
 * before anything is allocated for them.
 * Errors, each one line that starts with the path: VG_E_MISSING, VG_E_IO, VG_E_FORMAT (no picture, damaged, cut, too large),
 * VG_E_UNSUPPORTED (a kind of picture that is not read; a build without the libraries), VG_E_NOMEM. Tests: test_picture. */
vg_status vg_picture_read(const char *path, vg_picture *picture, vg_err *err);
/* The same for the bytes of a file, borrowed; `path` names them in messages and by its end tells .safetensors. */
vg_status vg_picture_decode(const char *path, const void *bytes, size_t size, vg_picture *picture,
                            vg_err *err);
/* Free the pixels and zero *picture; one that is all zero is fine. */
void vg_picture_deinit(vg_picture *picture);
#endif
