/* picture_exif.c: how a picture is to be turned, from EXIF's tags or XMP's text. */
#include "app/media/picture_file.h"

#include <string.h>

#define TAG_ORIENTATION 0x0112

typedef struct tiff {
    const uint8_t *bytes;
    size_t size;
    bool big;
} tiff;

static uint32_t read16(const tiff *t, size_t at)
{
    return t->big ? vg_be16(t->bytes + at) : vg_le16(t->bytes + at);
}

static uint32_t read32(const tiff *t, size_t at)
{
    return t->big ? vg_be32(t->bytes + at) : vg_le32(t->bytes + at);
}

/* The value of a tag of 12 bytes with one whole number: type, count, value. */
static uint32_t one_number(const tiff *t, size_t tag)
{
    enum { BYTE = 1, SHORT = 3, LONG = 4 };
    uint32_t type = read16(t, tag + 2);
    if (read32(t, tag + 4) != 1)
        return 0;
    return type == BYTE    ? t->bytes[tag + 8]
           : type == SHORT ? read16(t, tag + 8)
           : type == LONG  ? read32(t, tag + 8)
                           : 0;
}

int vg_picture_exif_orientation(const uint8_t *bytes, size_t size)
{
    while (size >= 6 && memcmp(bytes, "Exif\0\0", 6) == 0) {
        bytes += 6;
        size -= 6;
    }
    if (size < 8)
        return 0;
    tiff t = {bytes, size, bytes[0] == 'M'};
    if (memcmp(bytes, t.big ? "MM\0*" : "II*\0", 4) != 0)
        return 0;
    size_t at = read32(&t, 4);
    if (at > size || size - at < 2)
        return 0;
    size_t count = read16(&t, at);
    for (size_t i = 0; i < count; i++) {
        size_t tag = at + 2 + 12 * i;
        if (tag + 12 > size)
            return 0;
        if (read16(&t, tag) == TAG_ORIENTATION) {
            uint32_t value = one_number(&t, tag);
            return value >= 1 && value <= 8 ? (int)value : 1;
        }
    }
    return 0;
}

/* As Pillow: the first of tiff:Orientation="6" and <tiff:Orientation>6. */
int vg_picture_xmp_orientation(const uint8_t *bytes, size_t size)
{
    static const char key[] = "tiff:Orientation";
    const size_t n = sizeof key - 1;
    const uint8_t *end = bytes + size, *p = bytes;
    while ((p = memmem(p, (size_t)(end - p), key, n))) {
        p += n;
        const uint8_t *digit = end - p >= 3 && p[0] == '=' && p[1] == '"' ? p + 2
                               : end - p >= 2 && p[0] == '>'              ? p + 1
                                                                          : NULL;
        if (digit && *digit >= '0' && *digit <= '9')
            return *digit >= '1' && *digit <= '8' ? *digit - '0' : 1;
    }
    return 0;
}
