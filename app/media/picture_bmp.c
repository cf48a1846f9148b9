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
    if (size < 30)
        return vg_picture_cut(f, "its header", err);
    bool old = vg_le32(bytes + 14) == 12;
    int64_t width = (int32_t)(old ? vg_le16(bytes + 18) : vg_le32(bytes + 18));
    int64_t height = (int32_t)(old ? vg_le16(bytes + 20) : vg_le32(bytes + 22));
    VG_TRY(
        vg_picture_set_size(f, width, height < 0 ? -height : height, err)); /* below 0: top down */
    return vg_picture_append(f, bytes, size, err);
}

const vg_picture_format vg_picture_bmp = {"BMP", begins, read_bmp, vg_picture_decode_stream};
