/* preview_file.h: preview.ppm of a variant (binary PPM, 8 bits), written by the worker after a step and read by the screens. */
#ifndef VG_APP_JOB_PREVIEW_FILE_H
#define VG_APP_JOB_PREVIEW_FILE_H

#include <stddef.h>
#include <stdint.h>
#include "kernels/base/status.h"

#define VG_PREVIEW_SIDE_MAX 8192 /* pixels */

/* rgb [height, width, 3]. Not synced: the next step replaces it. Errors: VG_E_ARG (size), VG_E_IO. */
vg_status vg_preview_write(const char *path, const uint8_t *rgb, int width, int height,
                           vg_err *err);
/* The pixels within `text`, a whole file of `size` bytes with a NUL behind them; NULL: it is none, or damaged. */
const uint8_t *vg_preview_parse(const char *text, size_t size, int *width, int *height);
#endif
