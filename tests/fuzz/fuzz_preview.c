/* fuzz_preview.c: preview.ppm of arbitrary bytes: refused, or a picture of the size that it says. */
#include "tests/fuzz/fuzz.h"

#include "app/job/preview_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int width = 0, height = 0;
    volatile unsigned sum = 0;
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    const uint8_t *rgb = vg_preview_parse(text, size, &width, &height);
    if (rgb) {
        if (width < 1 || height < 1 || width > VG_PREVIEW_SIDE_MAX || height > VG_PREVIEW_SIDE_MAX)
            abort();
        for (size_t i = 0; i < (size_t)width * (size_t)height * 3; i++)
            sum += rgb[i];
    }
    free(text);
    return 0;
}
