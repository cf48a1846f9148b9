/* fuzz_picture.c: any bytes as a picture. What is read has a sane size and all of its pixels; what is not is one line. */
#include <stdlib.h>
#include <string.h>

#include "app/media/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Small pictures only: the limits are tested elsewhere, and a large one takes a second to fill. */
static int too_large(const uint8_t *data, size_t size)
{
    return size > 24 && memcmp(data, "\x89PNG", 4) == 0 &&
           (data[16] | data[17] | data[20] | data[21]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vg_picture picture = {0};
    vg_err err = {0};
    volatile unsigned sum = 0;

    if (too_large(data, size))
        return 0;
    if (vg_picture_decode("fuzz", data, size, &picture, &err) != VG_OK) {
        if (strncmp(err.message, "fuzz: ", 6) != 0 || strchr(err.message, '\n') ||
            picture.frames.rgb)
            abort();
        return 0;
    }
    const vg_frames *f = &picture.frames;
    if (f->count != 1 || f->width < 1 || f->height < 1 || f->width > VG_PICTURE_SIDE_MAX ||
        f->height > VG_PICTURE_SIDE_MAX)
        abort();
    for (size_t i = 0, n = (size_t)f->width * (size_t)f->height * 3; i < n; i++)
        sum += f->rgb[i];
    vg_picture_deinit(&picture);
    return 0;
}
