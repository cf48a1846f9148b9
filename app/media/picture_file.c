/* picture_file.c: which format a file has, and what all formats' readers share. */
#include "app/media/picture_file.h"

#include <stdlib.h>
#include <string.h>

static const vg_picture_format *const formats[] = {
    &vg_picture_png, &vg_picture_jpeg, &vg_picture_webp, &vg_picture_gif, &vg_picture_bmp,
};

bool vg_picture_begins(const void *bytes, size_t size)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i]->begins(bytes, size))
            return true;
    return false;
}

vg_status vg_picture_file_open(const char *path, const uint8_t *bytes, size_t size,
                               vg_picture_file *file, vg_err *err)
{
    *file = (vg_picture_file){.path = path, .orientation = 1, .frames = 1};
    if (size == 0)
        return VG_FAIL(err, VG_E_FORMAT, "%s: the file is empty", path);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (!formats[i]->begins(bytes, size))
            continue;
        static const uint8_t padding[VG_PICTURE_PADDING];
        file->format = formats[i];
        file->kind = formats[i]->kind;
        VG_TRY(formats[i]->read(file, bytes, size, err));
        VG_TRY(vg_picture_append(file, padding, sizeof padding, err));
        file->stream_size -= sizeof padding;
        return VG_OK;
    }
    return VG_FAIL(err, VG_E_FORMAT,
                   "%s: not a picture that vgen reads: it does not begin like PNG, JPEG, WebP, GIF "
                   "or BMP",
                   path);
}

void vg_picture_file_deinit(vg_picture_file *file)
{
    free(file->stream);
    file->stream = NULL;
}

vg_status vg_picture_set_size(vg_picture_file *file, int64_t width, int64_t height, vg_err *err)
{
    if (width < 1 || height < 1)
        return VG_FAIL(err, VG_E_FORMAT, "%s: this %s has no pixels: its size is %lldx%lld",
                       file->path, file->kind, (long long)width, (long long)height);
    if (width > VG_PICTURE_SIDE_MAX || height > VG_PICTURE_SIDE_MAX ||
        width * height > VG_PICTURE_PIXELS_MAX)
        return VG_FAIL(err, VG_E_FORMAT,
                       "%s: this %s has %lldx%lld pixels; up to %d a side and %d in all are read",
                       file->path, file->kind, (long long)width, (long long)height,
                       VG_PICTURE_SIDE_MAX, VG_PICTURE_PIXELS_MAX);
    file->width = file->frame_width = (int)width;
    file->height = file->frame_height = (int)height;
    return VG_OK;
}

vg_status vg_picture_append(vg_picture_file *file, const void *bytes, size_t size, vg_err *err)
{
    size_t need = file->stream_size + size;
    if (need > file->stream_capacity) {
        size_t capacity = need + need / 2 + 256;
        uint8_t *grown = realloc(file->stream, capacity);
        if (!grown)
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %zu bytes", file->path,
                           capacity);
        file->stream = grown;
        file->stream_capacity = capacity;
    }
    if (size)
        memcpy(file->stream + file->stream_size, bytes, size);
    file->stream_size = need;
    return VG_OK;
}

vg_status vg_picture_cut(const vg_picture_file *file, const char *where, vg_err *err)
{
    return VG_FAIL(err, VG_E_FORMAT, "%s: this %s is cut: the file ends inside of %s", file->path,
                   file->kind, where);
}
