/* preview_file.c: see preview_file.h. */
#include "app/job/preview_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernels/base/fileio.h"
#include "kernels/base/text.h"

static bool is_size(int width, int height)
{
    return width > 0 && height > 0 && width <= VG_PREVIEW_SIDE_MAX && height <= VG_PREVIEW_SIDE_MAX;
}

vg_status vg_preview_write(const char *path, const uint8_t *rgb, int width, int height, vg_err *err)
{
    char head[64];
    if (!is_size(width, height))
        return VG_FAIL(err, VG_E_ARG, "%s: a preview of %dx%d", path, width, height);
    size_t n = (size_t)snprintf(head, sizeof head, "P6\n%d %d\n255\n", width, height),
           pixels = (size_t)width * (size_t)height * 3;
    char *file = vg_xcalloc(n + pixels, 1);
    memcpy(file, head, n);
    memcpy(file + n, rgb, pixels);
    vg_status status = vg_file_write_volatile(path, file, n + pixels, err);
    free(file);
    return status;
}

const uint8_t *vg_preview_parse(const char *text, size_t size, int *width, int *height)
{
    int w = 0, h = 0, head = 0;
    if (sscanf(text, "P6 %d %d 255%n", &w, &h, &head) != 2 || head <= 0 || !is_size(w, h) ||
        (size_t)head + 1 + (size_t)w * (size_t)h * 3 != size)
        return NULL;
    *width = w;
    *height = h;
    return (const uint8_t *)text + head + 1;
}
