/* fuzz_frames.c: a file of kept frames, or a clip, of arbitrary bytes: it is refused with one line, or all of its frames can be asked for. The first
 * byte chooses: 0 frames.mkv, 1 clip.mp4, 2 frames.safetensors. */
#include "tests/fuzz/fuzz.h"

#include "app/media/frames.h"

#define PIXELS_MAX 1000000 /* larger pictures cost seconds, and are read by the same code */
#define FRAMES_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"frames.mkv", "clip.mp4", "frames.safetensors"};
    vg_frames_store *store;
    const uint8_t *rgb;
    vg_err err = {0};
    volatile unsigned sum = 0;
    if (!size)
        return 0;
    const char *name = names[data[0] % 3];
    fuzz_write(name, "wb", data + 1, size - 1);
    if (vg_frames_store_open_file(fuzz_path(name), &store, &err) != VG_OK) {
        if (!err.message[0] || strchr(err.message, '\n'))
            abort();
        return 0;
    }
    int count = vg_frames_store_count(store), width = vg_frames_store_width(store),
        height = vg_frames_store_height(store);
    if (count < 1 || count > VG_FRAMES_COUNT_MAX || width < 1 || height < 1 ||
        width > VG_FRAMES_SIDE_MAX || height > VG_FRAMES_SIDE_MAX)
        abort();
    (void)vg_frames_store_metadata(store, "made_with");
    for (int i = 0; i < count && i < FRAMES_MAX && (int64_t)width * height <= PIXELS_MAX; i++)
        if (vg_frames_store_get(store, i, &rgb, &err) == VG_OK)
            sum += rgb[0] + rgb[(size_t)width * (size_t)height * 3 - 1];
    vg_frames_store_close(store);
    return 0;
}
