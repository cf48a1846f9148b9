/* picture_png.c: the structure of a PNG: checksums of all chunks, and whether its pixels are all there, which takes
 * inflating them (FFmpeg leaves rows blank that are missing or filtered in no known way). */
#include "app/media/picture_file.h"

#include <ctype.h>
#include <libavcodec/codec_id.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SIGNATURE "\x89PNG\r\n\x1a\n"
enum { GREY = 0, RGB = 2, PALETTE = 3, GREY_ALPHA = 4, RGB_ALPHA = 6 };

/* Where the scan lines are while the pixels are inflated. */
typedef struct lines {
    z_stream z;
    bool open, done;
    int width, height, bits_per_pixel;
    bool interlaced;
    int pass;             /* of Adam7, or 0 */
    int rows_left;        /* of this pass, this one included */
    size_t at, row_bytes; /* of this row, the filter's byte included */
} lines;

typedef struct png {
    lines lines;
    bool palette;  /* seen */
    int exif, xmp; /* orientation; 0 = none */
} png;

static bool begins(const uint8_t *bytes, size_t size)
{
    return size >= 8 && memcmp(bytes, SIGNATURE, 8) == 0;
}

/* ---- scan lines ---- */

/* Step to the next pass that has pixels; its rows, or the end. */
static void next_pass(lines *l)
{
    static const struct {
        int x, y, dx, dy;
    } adam7[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                 {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
    for (l->pass++; l->pass < (l->interlaced ? 7 : 1); l->pass++) {
        int width = l->width, height = l->height;
        if (l->interlaced) {
            width = (width - adam7[l->pass].x + adam7[l->pass].dx - 1) / adam7[l->pass].dx;
            height = (height - adam7[l->pass].y + adam7[l->pass].dy - 1) / adam7[l->pass].dy;
        }
        if (width < 1 || height < 1)
            continue;
        l->rows_left = height;
        l->row_bytes = 1 + ((size_t)width * (size_t)l->bits_per_pixel + 7) / 8;
        return;
    }
    l->done = true;
}

/* Take inflated bytes; false: a row with an unknown filter. */
static bool take(lines *l, const uint8_t *bytes, size_t size)
{
    while (size && !l->done) {
        if (l->at == 0 && bytes[0] > 4)
            return false;
        size_t n = l->row_bytes - l->at < size ? l->row_bytes - l->at : size;
        l->at += n;
        bytes += n;
        size -= n;
        if (l->at == l->row_bytes) {
            l->at = 0;
            if (--l->rows_left == 0)
                next_pass(l);
        }
    }
    return true;
}

static vg_status inflate_chunk(vg_picture_file *f, lines *l, const uint8_t *bytes, size_t size,
                               vg_err *err)
{
    uint8_t block[1 << 14];
    l->z.next_in = (Bytef *)(uintptr_t)bytes;
    l->z.avail_in = (uInt)size;
    while (!l->done) {
        l->z.next_out = block;
        l->z.avail_out = sizeof block;
        int rc = inflate(&l->z, Z_NO_FLUSH);
        if (rc == Z_MEM_ERROR)
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory while inflating", f->path);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return VG_FAIL(err, VG_E_FORMAT, "%s: this PNG is damaged: its pixels do not inflate",
                           f->path);
        if (!take(l, block, sizeof block - l->z.avail_out))
            return VG_FAIL(err, VG_E_FORMAT,
                           "%s: this PNG is damaged: a row is filtered in no known way", f->path);
        if (rc == Z_STREAM_END && !l->done)
            return VG_FAIL(err, VG_E_FORMAT, "%s: this PNG is damaged: rows are missing", f->path);
        if (rc == Z_BUF_ERROR || (l->z.avail_in == 0 && l->z.avail_out > 0))
            return VG_OK; /* the next chunk goes on */
    }
    return VG_OK;
}

/* ---- chunks ---- */

static vg_status read_header(vg_picture_file *f, lines *l, const uint8_t *data, size_t size,
                             vg_err *err)
{
    static const char *const depths[] = {
        [GREY] = "\1\2\4\10\20", [RGB] = "\10\20",       [PALETTE] = "\1\2\4\10",
        [GREY_ALPHA] = "\10\20", [RGB_ALPHA] = "\10\20",
    };
    static const int channels[] = {1, 0, 3, 1, 2, 0, 4};
    if (size != 13)
        return VG_FAIL(err, VG_E_FORMAT, "%s: this PNG is damaged: its header has %zu bytes",
                       f->path, size);
    VG_TRY(vg_picture_set_size(f, vg_be32(data), vg_be32(data + 4), err));
    int bits = data[8], colour = data[9];
    if (colour > RGB_ALPHA || !depths[colour] || !bits || !strchr(depths[colour], bits) ||
        data[10] || data[11] || data[12] > 1)
        return VG_FAIL(err, VG_E_FORMAT,
                       "%s: this PNG is damaged: no such kind (%d bits, colour type %d, "
                       "compression %d, filter %d, interlacing %d)",
                       f->path, bits, colour, data[10], data[11], data[12]);
    f->clip_16 = colour == GREY && bits == 16;
    *l = (lines){.width = f->width,
                 .height = f->height,
                 .bits_per_pixel = bits * channels[colour],
                 .interlaced = data[12],
                 .pass = -1};
    next_pass(l);
    if (inflateInit(&l->z) != Z_OK)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory while inflating", f->path);
    l->open = true;
    return VG_OK;
}

/* ImageMagick's EXIF: zTXt or tEXt "Raw profile type exif", three lines of heading, then hex digits. */
static int orientation_of_profile(const char *text, size_t size)
{
    uint8_t block[4096];
    size_t n = 0, i = 0;
    int digits = 0;
    for (int line = 0; line < 3; line++) {
        const char *end = memchr(text + i, '\n', size - i);
        if (!end)
            return 0;
        i = (size_t)(end - text) + 1;
    }
    for (; i < size && n < sizeof block; i++) {
        if (!isxdigit((unsigned char)text[i]))
            continue;
        int value = text[i] <= '9' ? text[i] - '0' : (text[i] | 0x20) - 'a' + 10;
        block[n] = (uint8_t)(digits ? block[n] << 4 | value : value);
        n += (size_t)digits;
        digits = !digits;
    }
    return vg_picture_exif_orientation(block, n);
}

/* Text chunks: keyword, NUL, and for zTXt a method and deflated text. */
static int orientation_of_text(const uint8_t *data, size_t size, bool deflated)
{
    static const char key[] = "Raw profile type exif";
    char text[16384];
    if (size <= sizeof key || memcmp(data, key, sizeof key) != 0)
        return 0;
    data += sizeof key;
    size -= sizeof key;
    if (!deflated)
        return orientation_of_profile((const char *)data, size);
    z_stream z = {.next_in = (Bytef *)(uintptr_t)(data + 1),
                  .avail_in = (uInt)(size - 1),
                  .next_out = (Bytef *)text,
                  .avail_out = sizeof text};
    if (data[0] != 0 || inflateInit(&z) != Z_OK)
        return 0;
    inflate(&z, Z_SYNC_FLUSH); /* the tags are at the beginning: what fits is enough */
    inflateEnd(&z);
    return orientation_of_profile(text, sizeof text - z.avail_out);
}

/* iTXt "XML:com.adobe.xmp" that is not deflated. */
static int orientation_of_xmp(const uint8_t *data, size_t size)
{
    static const char key[] = "XML:com.adobe.xmp";
    return size > sizeof key && memcmp(data, key, sizeof key) == 0 && data[sizeof key] == 0
               ? vg_picture_xmp_orientation(data, size)
               : 0;
}

static vg_status read_chunk(vg_picture_file *f, png *p, const uint8_t *chunk, size_t size,
                            vg_err *err)
{
    const uint8_t *name = chunk + 4, *data = chunk + 8;
    bool first = f->width == 0;
    if (first != (memcmp(name, "IHDR", 4) == 0))
        return VG_FAIL(err, VG_E_FORMAT, "%s: this PNG is damaged: %s", f->path,
                       first ? "it does not begin with its header" : "it has two headers");
    if (first) {
        VG_TRY(read_header(f, &p->lines, data, size, err));
    } else if (memcmp(name, "PLTE", 4) == 0) {
        if (size % 3 || size > 768 || size == 0)
            return VG_FAIL(err, VG_E_FORMAT, "%s: this PNG is damaged: a palette of %zu bytes",
                           f->path, size);
        p->palette = true;
    } else if (memcmp(name, "IDAT", 4) == 0) {
        VG_TRY(inflate_chunk(f, &p->lines, data, size, err));
    } else if (memcmp(name, "IEND", 4) != 0) {
        int told = memcmp(name, "eXIf", 4) == 0   ? vg_picture_exif_orientation(data, size)
                   : memcmp(name, "tEXt", 4) == 0 ? orientation_of_text(data, size, false)
                   : memcmp(name, "zTXt", 4) == 0 ? orientation_of_text(data, size, true)
                                                  : 0;
        p->exif = told ? told : p->exif;
        told = memcmp(name, "iTXt", 4) == 0 ? orientation_of_xmp(data, size) : 0;
        p->xmp = told ? told : p->xmp;
        if (memcmp(name, "acTL", 4) == 0 && size == 8)
            f->frames = vg_be32(data) > 1 && vg_be32(data) < 1u << 30 ? (int)vg_be32(data) : 1;
        return VG_OK; /* no decoder needs it: left out */
    }
    return vg_picture_append(f, chunk, size + 12, err);
}

static vg_status read_chunks(vg_picture_file *f, png *p, const uint8_t *bytes, size_t size,
                             vg_err *err)
{
    VG_TRY(vg_picture_append(f, SIGNATURE, 8, err));
    for (size_t at = 8;;) {
        if (size - at < 12)
            return vg_picture_cut(f, at == 8 ? "its header" : "its pixels", err);
        size_t n = vg_be32(bytes + at);
        if (n > size - at - 12)
            return vg_picture_cut(f, "a chunk", err);
        uint32_t sum = (uint32_t)crc32(0, bytes + at + 4, (uInt)n + 4);
        if (sum != vg_be32(bytes + at + 8 + n))
            return VG_FAIL(err, VG_E_FORMAT,
                           "%s: this PNG is damaged: the checksum of chunk '%.4s' does not fit",
                           f->path, (const char *)bytes + at + 4);
        VG_TRY(read_chunk(f, p, bytes + at, n, err));
        if (memcmp(bytes + at + 4, "IEND", 4) == 0)
            break;
        at += n + 12;
    }
    if (!p->lines.done)
        return VG_FAIL(err, VG_E_FORMAT, "%s: this PNG is damaged: rows are missing", f->path);
    if (!p->palette && bytes[25] == PALETTE)
        return VG_FAIL(err, VG_E_FORMAT, "%s: this PNG is damaged: its palette is missing",
                       f->path);
    return VG_OK;
}

static vg_status read_png(vg_picture_file *f, const uint8_t *bytes, size_t size, vg_err *err)
{
    png p = {0};
    f->codec = AV_CODEC_ID_PNG;
    vg_status status = read_chunks(f, &p, bytes, size, err);
    if (p.lines.open)
        inflateEnd(&p.lines.z);
    f->orientation = p.exif ? p.exif : p.xmp ? p.xmp : 1;
    return status;
}

const vg_picture_format vg_picture_png = {"PNG", begins, read_png, vg_picture_decode_stream};
