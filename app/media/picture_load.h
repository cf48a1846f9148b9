/* picture_load.h: pictures through the FFmpeg libraries, or the answer of a build without; inside of app/media/picture*.c only. */
#ifndef VG_APP_MEDIA_PICTURE_LOAD_H
#define VG_APP_MEDIA_PICTURE_LOAD_H

#include "app/media/picture.h"

/* vg_picture_decode for everything but .safetensors, turned upright; arguments and errors as there. Without the libraries: VG_E_UNSUPPORTED. */
vg_status vg_picture_load(const char *path, const void *bytes, size_t size, vg_picture *picture,
                          vg_err *err);
/* Pixels of one frame, not filled. Errors: VG_E_NOMEM. */
vg_status vg_picture_allocate(const char *path, int width, int height, vg_frames *frames,
                              vg_err *err);
#endif
