/* picture_none.c: pictures in a build without the FFmpeg libraries (VGEN_CLIP=OFF): none but frames in .safetensors. */
#include "app/media/picture_load.h"

bool vg_picture_begins(const void *bytes, size_t size)
{
    (void)bytes, (void)size;
    return false;
}

vg_status vg_picture_load(const char *path, const void *bytes, size_t size, vg_picture *picture,
                          vg_err *err)
{
    (void)bytes, (void)size, (void)picture;
    return VG_FAIL(
        err, VG_E_UNSUPPORTED,
        "%s: this vgen was built without picture formats (VGEN_CLIP=OFF); it reads frames "
        "in .safetensors: tensor 'frames', U8 [1,H,W,3]",
        path);
}
