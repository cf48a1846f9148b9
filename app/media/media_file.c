/* media_file.c: see media_file.h. */
#include "app/media/media_file.h"

#include <stdlib.h>
#include <string.h>
#include "app/media/frames.h"
#include "engine/run/limits.h"
#include "kernels/base/fileio.h"
#include "kernels/base/text.h"

void vg_media_file_deinit(vg_media_file *file)
{
    vg_frames_deinit(&file->frames);
    *file = (vg_media_file){0};
}

static vg_status decode_picture(const char *path, const char *bytes, size_t size,
                                vg_media_file *file, vg_err *err)
{
    vg_picture picture;
    VG_TRY(vg_picture_decode(path, bytes, size, &picture, err));
    file->frames = picture.frames;
    file->kind = picture.kind;
    memcpy(file->note, picture.note, sizeof file->note);
    return VG_OK;
}

/* Its container, for the name of a copy. */
static const char *kind_of(const char *path, const char *bytes, size_t size)
{
    if (vg_ends_with(path, ".safetensors"))
        return "safetensors";
    return size >= 4 && memcmp(bytes, "\x1a\x45\xdf\xa3", 4) == 0 ? "mkv" : "mp4";
}

/* ---- is all of the file there? Readers take what they find, and a clip that is cut behind a frame is only shorter. ---- */

static uint64_t big_endian(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

/* Boxes of MP4 from the file's begin: one that goes beyond its end. */
static bool is_cut_mp4(const uint8_t *bytes, uint64_t size)
{
    for (uint64_t at = 0; at + 8 <= size;) {
        uint64_t length = big_endian(bytes + at, 4), head = 8;
        if (length == 0) /* to the end, wherever that is */
            return false;
        if (length == 1 && at + 16 <= size) {
            length = big_endian(bytes + at + 8, 8);
            head = 16;
        }
        if (length < head)
            return false; /* for the reader to say */
        if (length > size - at)
            return true;
        at += length;
    }
    return false;
}

/* The length of an element of Matroska: its first byte says how many bytes it has. False: it is not there, or unknown as of a live recording. */
static bool element_length(const uint8_t *bytes, uint64_t size, uint64_t *at, uint64_t *length)
{
    int n = 1;
    if (*at >= size || bytes[*at] == 0)
        return false;
    while (!(bytes[*at] & 0x80 >> (n - 1)))
        n++;
    if (size - *at < (uint64_t)n)
        return false;
    uint64_t most = ((uint64_t)1 << 7 * n) - 1;
    *length = big_endian(bytes + *at, n) & most;
    *at += (uint64_t)n;
    return *length != most;
}

/* Matroska is a header and one segment. */
static bool is_cut_mkv(const uint8_t *bytes, uint64_t size)
{
    uint64_t at = 4, length;
    if (!element_length(bytes, size, &at, &length) || length > size - at)
        return true;
    at += length;
    if (size - at < 4 || memcmp(bytes + at, "\x18\x53\x80\x67", 4) != 0)
        return false;
    at += 4;
    return element_length(bytes, size, &at, &length) && length > size - at;
}

static vg_status check_whole(const char *path, const char *bytes, size_t size, vg_err *err)
{
    const uint8_t *b = (const uint8_t *)bytes;
    const char *kind = kind_of(path, bytes, size);
    bool cut = strcmp(kind, "mkv") == 0   ? is_cut_mkv(b, size)
               : strcmp(kind, "mp4") == 0 ? is_cut_mp4(b, size)
                                          : false;
    return cut ? VG_FAIL(err, VG_E_FORMAT, "%s: this clip is cut: its end is missing", path)
               : VG_OK;
}

static vg_status check_size(const char *path, const vg_frames_store *store, vg_err *err)
{
    int count = vg_frames_store_count(store), width = vg_frames_store_width(store),
        height = vg_frames_store_height(store);
    size_t bytes = (size_t)count * (size_t)width * (size_t)height * 3;
    char most[32];
    if (count > VG_FRAMES_MAX || bytes > VG_MEDIA_BYTES_MAX)
        return VG_FAIL(
            err, VG_E_FORMAT,
            "%s: %d frames of %dx%d are too many; at most %d, and %s of pixels, are read", path,
            count, width, height, VG_FRAMES_MAX,
            vg_text_bytes(VG_MEDIA_BYTES_MAX, most, sizeof most));
    return VG_OK;
}

static vg_status decode_clip(const char *path, const char *bytes, size_t size, vg_media_file *file,
                             vg_err *err)
{
    vg_frames_store *store;
    VG_TRY(vg_frames_store_open_file(path, &store, err));
    vg_status status = check_whole(path, bytes, size, err);
    if (status == VG_OK)
        status = check_size(path, store, err);
    if (status == VG_OK)
        status = vg_frames_store_load(store, NULL, NULL, &file->frames, err);
    vg_frames_store_close(store);
    file->kind = kind_of(path, bytes, size);
    return status;
}

vg_status vg_media_file_read(const char *path, unsigned kinds, vg_media_file *file, char **bytes,
                             size_t *size, vg_err *err)
{
    vg_media_file out = {0};
    char *all = NULL;
    size_t n;
    vg_status status;
    if (!vg_file_exists(path))
        return VG_FAIL(err, VG_E_MISSING, "%s: there is no such file", path);
    VG_TRY(vg_file_read(path, kinds & VG_MEDIA_CLIP ? VG_MEDIA_FILE_MAX : VG_PICTURE_FILE_MAX, &all,
                        &n, err));
    bool picture = vg_picture_begins(all, n), clip = kinds & VG_MEDIA_CLIP && !picture;
    if (picture && !(kinds & VG_MEDIA_PICTURE))
        status =
            VG_FAIL(err, VG_E_FORMAT,
                    "%s: a picture; a clip is wanted: .mp4, .mkv, or frames in .safetensors", path);
    else
        status =
            clip ? decode_clip(path, all, n, &out, err) : decode_picture(path, all, n, &out, err);
    if (status != VG_OK) {
        vg_media_file_deinit(&out);
        free(all);
        return status;
    }
    *file = out;
    *bytes = all;
    *size = n;
    return VG_OK;
}
