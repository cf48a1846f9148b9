/* picture_file.h: what lies in a picture's file, found without decoding it, and the formats; inside of app/media/picture*.c
 * only.
 *
 * Each format has a reader that walks the file's own structure: it learns size and orientation and checks that nothing is
 * missing. Where FFmpeg decodes it copies what the decoder needs into `stream`, without metadata, profiles, alpha and later
 * frames: FFmpeg, which would make pixels of half a file, sees little of what a stranger wrote. JPEG is libjpeg's, as in the
 * reference: FFmpeg's own inverse transforms are up to 3 levels off, and it refuses what that library reads. */
#ifndef VG_APP_MEDIA_PICTURE_FILE_H
#define VG_APP_MEDIA_PICTURE_FILE_H

#include "app/media/picture.h"

typedef struct vg_picture_file {
    const char *path, *kind;
    const struct vg_picture_format *format;
    int codec;         /* enum AVCodecID */
    int width, height; /* of the picture, before it is turned */
    int frame_x, frame_y, frame_width,
        frame_height; /* where the decoded frame lies in it; elsewhere it is `background` */
    uint8_t background[3];
    bool
        yuv; /* decoded to planes of YUV, to be converted as libwebp does; else grey, RGB or palette */
    bool clip_16;    /* 16-bit greys are cut off at 255 */
    int orientation; /* EXIF's 1..8 */
    int frames;      /* pictures in the file; the first is read */
    uint8_t *stream; /* for the decoder: malloc'd, padded with VG_PICTURE_PADDING zero bytes */
    size_t stream_size, stream_capacity;
} vg_picture_file;

#define VG_PICTURE_PADDING 64 /* zero bytes that decoders may read behind their input */

/* Fill *file from the file's bytes; the caller deinits it, also after an error. Errors: VG_E_FORMAT, VG_E_UNSUPPORTED,
 * VG_E_NOMEM. */
vg_status vg_picture_file_open(const char *path, const uint8_t *bytes, size_t size,
                               vg_picture_file *file, vg_err *err);
/* Free the stream that decoders read; the file's bytes stay the caller's. */
void vg_picture_file_deinit(vg_picture_file *file);

/* Called with the rows of the decoded frame in order, RGB [frame_width,3], borrowed. */
typedef void (*vg_picture_take_row)(void *user, int y, const uint8_t *rgb);

/* One format: does a file of it begin like this; its reader; its decoder, which is given the file's bytes once more. Any
 * damage that a decoder finds or hides is an error. */
typedef struct vg_picture_format {
    const char *kind;
    bool (*begins)(const uint8_t *bytes, size_t size);
    vg_status (*read)(vg_picture_file *file, const uint8_t *bytes, size_t size, vg_err *err);
    vg_status (*decode)(const vg_picture_file *file, const uint8_t *bytes, size_t size,
                        vg_picture_take_row take, void *user, vg_err *err);
} vg_picture_format;
extern const vg_picture_format vg_picture_png, vg_picture_jpeg, vg_picture_webp, vg_picture_gif,
    vg_picture_bmp;

/* Decode file->stream with FFmpeg; a vg_picture_format's `decode`. Errors: VG_E_FORMAT, VG_E_UNSUPPORTED, VG_E_NOMEM. */
vg_status vg_picture_decode_stream(const vg_picture_file *file, const uint8_t *bytes, size_t size,
                                   vg_picture_take_row take, void *user, vg_err *err);

/* For the readers. The size, checked against the limits; the frame then covers all of the picture. */
vg_status vg_picture_set_size(vg_picture_file *file, int64_t width, int64_t height, vg_err *err);
/* Add bytes to the stream. */
vg_status vg_picture_append(vg_picture_file *file, const void *bytes, size_t size, vg_err *err);
/* "PATH: this PNG is cut: its file ends inside of WHERE". */
vg_status vg_picture_cut(const vg_picture_file *file, const char *where, vg_err *err);

/* The orientation in an EXIF block (a TIFF header and tags, also behind "Exif\0\0"), or in XMP's text; 0 = none told, or
 * nothing sensible. Never an error: a camera's odd tags are no reason to refuse a picture. */
int vg_picture_exif_orientation(const uint8_t *bytes, size_t size);
/* The same for XMP's text, which names it tiff:Orientation; a digit that is not 1 to 8 counts as 1. */
int vg_picture_xmp_orientation(const uint8_t *bytes, size_t size);

/* Little-endian: 2 bytes at p. */
static inline uint32_t vg_le16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}
/* Little-endian: 3 bytes at p. */
static inline uint32_t vg_le24(const uint8_t *p)
{
    return vg_le16(p) | (uint32_t)p[2] << 16;
}
/* Little-endian: 4 bytes at p. */
static inline uint32_t vg_le32(const uint8_t *p)
{
    return vg_le16(p) | vg_le16(p + 2) << 16;
}
/* Big-endian: 2 bytes at p. */
static inline uint32_t vg_be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}
/* Big-endian: 4 bytes at p. */
static inline uint32_t vg_be32(const uint8_t *p)
{
    return vg_be16(p) << 16 | vg_be16(p + 2);
}
#endif
