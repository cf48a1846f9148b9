/* picture.c: a picture's file into one frame, the right way up. */
#include "app/media/picture.h"

#include <stdlib.h>
#include <string.h>
#include "app/media/clip.h"
#include "app/media/picture_load.h"
#include "engine/checkpoint/safetensors.h"
#include "kernels/base/fileio.h"
#include "kernels/base/text.h"

void vg_picture_deinit(vg_picture *picture)
{
    vg_frames_deinit(&picture->frames);
    *picture = (vg_picture){0};
}

vg_status vg_picture_allocate(const char *path, int width, int height, vg_frames *frames,
                              vg_err *err)
{
    size_t bytes = (size_t)width * (size_t)height * 3;
    uint8_t *rgb = malloc(bytes);
    if (!rgb)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %dx%d pixels", path, width, height);
    *frames = (vg_frames){1, height, width, rgb};
    return VG_OK;
}

/* The first of the frames that `vgen generate --save-frames` and others write. */
static vg_status load_tensors(const char *path, const void *bytes, size_t size, vg_picture *picture,
                              vg_err *err)
{
    vg_safetensors *file = NULL;
    VG_TRY(vg_safetensors_open_memory(bytes, size, path, &file, err));
    const vg_tensor *t = vg_safetensors_find(file, "frames");
    vg_status status = VG_OK;
    if (!t || t->dtype != VG_U8 || t->ndim != 4 || t->shape[0] < 1 || t->shape[3] != 3 ||
        t->shape[1] < 1 || t->shape[2] < 1 || t->shape[1] > VG_PICTURE_SIDE_MAX ||
        t->shape[2] > VG_PICTURE_SIDE_MAX) {
        status = VG_FAIL(err, VG_E_FORMAT,
                         "%s: no picture in it: tensor 'frames', U8 [1,H,W,3], sides of 1 to %d",
                         path, VG_PICTURE_SIDE_MAX);
        goto done;
    }
    VG_TRY_GOTO(
        status,
        vg_picture_allocate(path, (int)t->shape[2], (int)t->shape[1], &picture->frames, err), done);
    memcpy(picture->frames.rgb, t->data, (size_t)t->shape[1] * (size_t)t->shape[2] * 3);
    picture->kind = "safetensors";
    if (t->shape[0] > 1)
        snprintf(picture->note, sizeof picture->note, "the first of %lld frames",
                 (long long)t->shape[0]);
done:
    vg_safetensors_close(file);
    return status;
}

vg_status vg_picture_decode(const char *path, const void *bytes, size_t size, vg_picture *picture,
                            vg_err *err)
{
    vg_picture out = {0};
    vg_status status = vg_ends_with(path, ".safetensors")
                           ? load_tensors(path, bytes, size, &out, err)
                           : vg_picture_load(path, bytes, size, &out, err);
    if (status != VG_OK)
        vg_picture_deinit(&out);
    else
        *picture = out;
    return status;
}

vg_status vg_picture_read(const char *path, vg_picture *picture, vg_err *err)
{
    char *bytes = NULL;
    size_t size = 0;
    if (!vg_file_exists(path))
        return VG_FAIL(err, VG_E_MISSING, "%s: there is no such file", path);
    VG_TRY(vg_file_read(path, VG_PICTURE_FILE_MAX, &bytes, &size, err));
    vg_status status = vg_picture_decode(path, bytes, size, picture, err);
    free(bytes);
    return status;
}
