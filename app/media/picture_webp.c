/* picture_webp.c: the structure of a WebP: RIFF chunks. The decoder gets a file of one chunk, VP8 or VP8L, of a still
 * picture or of an animation's first frame (FFmpeg 5.1 reads no animations). The colours under alpha are what the reference
 * shows, so the chunk of alpha beside VP8 is left out. */
#include "app/media/picture_file.h"

#include <libavcodec/codec_id.h>
#include <stdlib.h>
#include <string.h>

static bool begins(const uint8_t *bytes, size_t size)
{
    return size >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0;
}

static vg_status damaged(const vg_picture_file *f, const char *how, vg_err *err)
{
    return VG_FAIL(err, VG_E_FORMAT, "%s: this WebP is damaged: %s", f->path, how);
}

/* ---- chunks ---- */

typedef struct chunks {
    const uint8_t *at, *end;
} chunks;

typedef struct chunk {
    const uint8_t *name, *data;
    size_t size;
} chunk;

/* The next chunk; *c.name is NULL at the end. */
static vg_status next_chunk(const vg_picture_file *f, chunks *s, chunk *c, vg_err *err)
{
    *c = (chunk){0};
    if (s->at == s->end)
        return VG_OK;
    size_t left = (size_t)(s->end - s->at);
    if (left < 8)
        return vg_picture_cut(f, "a chunk", err);
    size_t size = vg_le32(s->at + 4);
    if (size > left - 8)
        return vg_picture_cut(f, "a chunk", err);
    *c = (chunk){s->at, s->at + 8, size};
    size_t whole = 8 + size + (size & 1);
    s->at += whole < left ? whole : left;
    return VG_OK;
}

static bool is(const chunk *c, const char *name)
{
    return memcmp(c->name, name, 4) == 0;
}

/* ---- pixels ---- */

/* Size in the head of VP8 or VP8L data. */
static vg_status size_of_frame(const vg_picture_file *f, const chunk *c, int *width, int *height,
                               vg_err *err)
{
    const uint8_t *p = c->data;
    if (is(c, "VP8L")) {
        if (c->size < 5 || p[0] != 0x2F || p[4] >> 5)
            return damaged(f, "the head of its pixels", err);
        uint32_t bits = vg_le32(p + 1);
        *width = 1 + (int)(bits & 0x3FFF);
        *height = 1 + (int)(bits >> 14 & 0x3FFF);
        return VG_OK;
    }
    bool key = c->size >= 10 && !(p[0] & 1) && (p[0] >> 1 & 7) <= 3 && p[0] >> 4 & 1 &&
               memcmp(p + 3, "\x9d\x01\x2a", 3) == 0;
    if (!key || vg_le24(p) >> 5 > c->size - 10)
        return damaged(f, "the head of its pixels", err);
    *width = (int)(vg_le16(p + 6) & 0x3FFF);
    *height = (int)(vg_le16(p + 8) & 0x3FFF);
    return VG_OK;
}

/* The pixels become the stream: a simple file of one chunk. width, height: what is said of them elsewhere; 0 = nothing. */
static vg_status take_pixels(vg_picture_file *f, const chunk *c, int width, int height, vg_err *err)
{
    int own_width = 0, own_height = 0;
    VG_TRY(size_of_frame(f, c, &own_width, &own_height, err));
    if (width == 0)
        VG_TRY(vg_picture_set_size(f, own_width, own_height, err));
    else if (own_width != width || own_height != height)
        return damaged(f, "its pixels are of another size than it says", err);
    f->frame_width = own_width;
    f->frame_height = own_height;
    f->yuv = !is(c, "VP8L");
    uint8_t head[20] = "RIFF....WEBP";
    uint32_t padded = (uint32_t)(c->size + (c->size & 1)), whole = padded + 12,
             size = (uint32_t)c->size;
    for (int i = 0; i < 4; i++) {
        head[4 + i] = (uint8_t)(whole >> 8 * i);
        head[12 + i] = c->name[i];
        head[16 + i] = (uint8_t)(size >> 8 * i);
    }
    VG_TRY(vg_picture_append(f, head, sizeof head, err));
    VG_TRY(vg_picture_append(f, c->data, c->size, err));
    return vg_picture_append(f, "", c->size & 1, err);
}

/* An animation's frame: place, size, duration, flags, then chunks of its own. */
static vg_status take_frame(vg_picture_file *f, const chunk *frame, vg_err *err)
{
    if (frame->size < 16)
        return damaged(f, "the head of its first frame", err);
    const uint8_t *p = frame->data;
    int x = 2 * (int)vg_le24(p), y = 2 * (int)vg_le24(p + 3), width = 1 + (int)vg_le24(p + 6),
        height = 1 + (int)vg_le24(p + 9);
    if (x + width > f->width || y + height > f->height)
        return damaged(f, "its first frame lies outside of it", err);
    chunks inside = {p + 16, p + frame->size};
    chunk c;
    for (;;) {
        VG_TRY(next_chunk(f, &inside, &c, err));
        if (!c.name)
            return damaged(f, "its first frame has no pixels", err);
        if (is(&c, "VP8 ") || is(&c, "VP8L"))
            break;
    }
    VG_TRY(take_pixels(f, &c, width, height, err));
    f->frame_x = x;
    f->frame_y = y;
    return VG_OK;
}

static vg_status read_webp(vg_picture_file *f, const uint8_t *bytes, size_t size, vg_err *err)
{
    size_t whole = vg_le32(bytes + 4);
    int exif = 0, xmp = 0, frames = 0;
    bool extended = false, animated = false;
    f->codec = AV_CODEC_ID_WEBP;
    if (whole > size - 8)
        return vg_picture_cut(f, "its pixels", err);
    if (whole < 4 || whole % 2)
        return damaged(f, "its length", err);
    chunks all = {bytes + 12, bytes + 8 + whole};
    for (chunk c;;) {
        VG_TRY(next_chunk(f, &all, &c, err));
        if (!c.name)
            break;
        if (is(&c, "VP8X") && !f->width && !extended) {
            if (c.size < 10)
                return damaged(f, "its header", err);
            VG_TRY(vg_picture_set_size(f, 1 + (int64_t)vg_le24(c.data + 4),
                                       1 + (int64_t)vg_le24(c.data + 7), err));
            extended = true;
            animated = c.data[0] >> 1 & 1;
        } else if (is(&c, "ANMF") && animated) {
            if (frames++ == 0)
                VG_TRY(take_frame(f, &c, err));
        } else if ((is(&c, "VP8 ") || is(&c, "VP8L")) && !animated) {
            if (frames++ == 0)
                VG_TRY(take_pixels(f, &c, f->width, f->height, err));
        } else if (is(&c, "EXIF") && extended && !exif) {
            exif = vg_picture_exif_orientation(c.data, c.size);
        } else if (is(&c, "XMP ") && extended && !xmp) {
            xmp = vg_picture_xmp_orientation(c.data, c.size);
        }
    }
    if (frames == 0)
        return damaged(f, "it has no pixels", err);
    f->frames = animated ? frames : 1;
    f->orientation = exif ? exif : xmp ? xmp : 1;
    return VG_OK;
}

const vg_picture_format vg_picture_webp = {"WebP", begins, read_webp, vg_picture_decode_stream};
