/* picture_gif.c: the structure of a GIF. The decoder gets its first frame by itself, as large as that frame and without
 * transparency; around a frame that is smaller than its screen the reference shows the transparent colour, or the first. */
#include "app/media/picture_file.h"

#include <libavcodec/codec_id.h>
#include <stdlib.h>
#include <string.h>

typedef struct gif {
    const uint8_t *bytes;
    size_t size, at;
    int transparent; /* index, -1 = none */
    size_t palette;  /* place of the screen's, 0 = none */
    int colours;     /* in it */
} gif;

static bool begins(const uint8_t *bytes, size_t size)
{
    return size >= 6 && memcmp(bytes, "GIF8", 4) == 0 && (bytes[4] == '7' || bytes[4] == '9') &&
           bytes[5] == 'a';
}

/* Are there n more bytes? */
static bool has(const gif *g, size_t n)
{
    return g->size - g->at >= n;
}

/* Over blocks of a length byte and data, to the one of no length. */
static bool skip_blocks(gif *g)
{
    while (has(g, 1) && has(g, 1u + g->bytes[g->at])) {
        size_t n = g->bytes[g->at];
        g->at += 1 + n;
        if (n == 0)
            return true;
    }
    return false;
}

static bool skip_extension(gif *g)
{
    enum { CONTROL = 0xF9 };
    if (!has(g, 2))
        return false;
    const uint8_t *p = g->bytes + g->at;
    g->at += 1;
    if (p[0] == CONTROL && has(g, 5) && p[1] == 4)
        g->transparent = p[2] & 1 ? p[5] : -1;
    return skip_blocks(g);
}

/* An image descriptor is at hand, behind its ','. */
static vg_status take_image(vg_picture_file *f, gif *g, vg_err *err)
{
    if (!has(g, 9))
        return vg_picture_cut(f, "its first picture", err);
    const uint8_t *p = g->bytes + g->at;
    int x = (int)vg_le16(p), y = (int)vg_le16(p + 2), width = (int)vg_le16(p + 4),
        height = (int)vg_le16(p + 6);
    /* The reference widens the screen for a frame that is larger. */
    int screen_width = (int)vg_le16(g->bytes + 6), screen_height = (int)vg_le16(g->bytes + 8);
    VG_TRY(vg_picture_set_size(f, x + width > screen_width ? x + width : screen_width,
                               y + height > screen_height ? y + height : screen_height, err));
    if (width < 1 || height < 1)
        return VG_FAIL(err, VG_E_FORMAT, "%s: this GIF has no pixels: its picture is %dx%d",
                       f->path, width, height);
    f->frame_x = x;
    f->frame_y = y;
    f->frame_width = width;
    f->frame_height = height;
    size_t begin = g->at, own = p[8] & 0x80 ? (size_t)3 << ((p[8] & 7) + 1) : 0;
    if (own) {
        g->palette = g->at + 9;
        g->colours = 2 << (p[8] & 7);
    }
    g->at += 9;
    if (!has(g, own + 1))
        return vg_picture_cut(f, "its first picture", err);
    g->at += own + 1; /* and the size of LZW's codes */
    if (!skip_blocks(g))
        return vg_picture_cut(f, "its first picture", err);
    if (!g->palette)
        return VG_FAIL(err, VG_E_FORMAT, "%s: this GIF has no palette", f->path);
    int fill = g->transparent >= 0 && g->transparent < g->colours ? g->transparent : 0;
    memcpy(f->background, g->bytes + g->palette + 3 * (size_t)fill, 3);
    /* "GIF89a", a screen of the frame's size with the palette, the frame at its corner, the end. */
    size_t head = 13 + (g->bytes[10] & 0x80 ? (size_t)3 << ((g->bytes[10] & 7) + 1) : 0);
    size_t start = f->stream_size;
    VG_TRY(vg_picture_append(f, g->bytes, head, err));
    memcpy(f->stream + start + 6, p + 4, 4);
    VG_TRY(vg_picture_append(f, ",\0\0\0\0", 5, err));
    VG_TRY(vg_picture_append(f, g->bytes + begin + 4, g->at - begin - 4, err));
    return vg_picture_append(f, ";", 1, err);
}

/* The pictures behind the first, as far as they can be followed: for a note only. */
static void count_images(vg_picture_file *f, gif *g)
{
    while (has(g, 1)) {
        int kind = g->bytes[g->at++];
        if (kind == '!' && skip_extension(g))
            continue;
        if (kind != ',' || !has(g, 9))
            return;
        f->frames++;
        size_t own = g->bytes[g->at + 8] & 0x80 ? (size_t)3 << ((g->bytes[g->at + 8] & 7) + 1) : 0;
        g->at += 9;
        if (!has(g, own + 1))
            return;
        g->at += own + 1;
        if (!skip_blocks(g))
            return;
    }
}

static vg_status read_gif(vg_picture_file *f, const uint8_t *bytes, size_t size, vg_err *err)
{
    gif g = {.bytes = bytes, .size = size, .at = 13, .transparent = -1};
    f->codec = AV_CODEC_ID_GIF;
    if (size < 13)
        return vg_picture_cut(f, "its header", err);
    if (bytes[10] & 0x80) {
        g.palette = 13;
        g.colours = 2 << (bytes[10] & 7);
        if (!has(&g, 3 * (size_t)g.colours))
            return vg_picture_cut(f, "its palette", err);
        g.at += 3 * (size_t)g.colours;
    }
    while (has(&g, 1)) {
        int kind = bytes[g.at++];
        if (kind == '!') {
            if (!skip_extension(&g))
                break;
        } else if (kind == ',') {
            VG_TRY(take_image(f, &g, err));
            count_images(f, &g);
            return VG_OK;
        } else if (kind == ';') {
            return VG_FAIL(err, VG_E_FORMAT, "%s: this GIF holds no picture", f->path);
        }
    }
    return vg_picture_cut(f, "its extensions", err);
}

const vg_picture_format vg_picture_gif = {"GIF", begins, read_gif, vg_picture_decode_stream};
