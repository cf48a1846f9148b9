/* picture_bmp.c: the header of a BMP; the decoder gets the file as it is. */
#include "app/media/picture_file.h"

#include <libavcodec/codec_id.h>
#include <string.h>

static bool begins(const uint8_t *bytes, size_t size)
{
    return size >= 18 && memcmp(bytes, "BM", 2) == 0 && vg_le32(bytes + 14) >= 12 &&
           vg_le32(bytes + 14) <= 124;
}

static vg_status read_bmp(vg_picture_file *f, const uint8_t *bytes, size_t size, vg_err *err)
{
    f->codec = AV_CODEC_ID_BMP;
    if (size < 34)
        return vg_picture_cut(f, "its header", err);
    bool old = vg_le32(bytes + 14) == 12;
    int64_t width = (int32_t)(old ? vg_le16(bytes + 18) : vg_le32(bytes + 18));
    int64_t height = (int32_t)(old ? vg_le16(bytes + 20) : vg_le32(bytes + 22));
    VG_TRY(
        vg_picture_set_size(f, width, height < 0 ? -height : height, err)); /* below 0: top down */
    /* FFmpeg takes a file that is a little short for one whose rows are not padded. */
    uint64_t bits = vg_le16(bytes + (old ? 24 : 28)), compression = old ? 0 : vg_le32(bytes + 30);
    uint64_t row = (uint64_t)f->width * bits, pixels = vg_le32(bytes + 10);
    if ((compression == 0 || compression == 3) &&
        pixels + (row + 31) / 32 * 4 * (uint64_t)(f->height - 1) + (row + 7) / 8 > size)
        return vg_picture_cut(f, "its pixels", err);
    return vg_picture_append(f, bytes, size, err);
}

const vg_picture_format vg_picture_bmp = {"BMP", begins, read_bmp, vg_picture_decode_stream};
