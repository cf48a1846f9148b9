/* test_picture.c: pictures load as the reference loads them (tests/oracle/make_pictures.py): the same pixels, within two levels of 255 where
 * the format is lossy; what the reference refuses is one line that names the file; so are damage and lies about sizes. */
#include "app/media/picture.h"

#include <dirent.h>
#include "app/media/clip.h"
#include "engine/vision/resize.h"
#include "kernels/base/hash.h"
#include "kernels/base/json.h"
#include "tests/model.h"
#include "tests/scratch.h"

#define PICTURES GOLDEN "pictures/"
#define BAD      VG_TEST_DIR "/bad/pictures/"

#define NEED_PICTURES()                                                                            \
    do {                                                                                           \
        if (!vg_clip_available())                                                                  \
            skip();                                                                                \
    } while (0)

static char *path_in(const char *folder, const char *name)
{
    char *path = vg_strf("%s%s", folder, name);
    assert_non_null(path);
    return path;
}

/* ---- what the reference loads ---- */

/* How far a picture is from its golden, in levels. */
static int worst_level(const vg_frames *got, const vg_tensor *wanted, double *mean)
{
    int64_t n = vg_tensor_numel(wanted), sum = 0;
    int worst = 0;
    for (int64_t i = 0; i < n; i++) {
        int off = abs(got->rgb[i] - ((const uint8_t *)wanted->data)[i]);
        worst = off > worst ? off : worst;
        sum += off;
    }
    *mean = (double)sum / (double)n;
    return worst;
}

static void compare(const char *name, const vg_frames *got, const vg_tensor *wanted, bool lossy)
{
    double mean;
    assert_non_null(wanted);
    if (got->count != 1 || got->height != wanted->shape[0] || got->width != wanted->shape[1])
        fail_msg("%s: %dx%d instead of %dx%d", name, got->width, got->height, (int)wanted->shape[1],
                 (int)wanted->shape[0]);
    int worst = worst_level(got, wanted, &mean);
    if (worst > (lossy ? 2 : 0) || mean > (lossy ? 0.1 : 0))
        fail_msg("%s: %d levels off, %.3f in the mean", name, worst, mean);
}

static void compare_golden(const char *name, const cJSON *facts, vg_safetensors *golden)
{
    vg_err err;
    vg_picture picture;
    char *path = path_in(PICTURES, name), *resized = vg_strf("%s.resized", name);
    bool lossy = cJSON_IsTrue(cJSON_GetObjectItem(facts, "lossy")),
         clipped = cJSON_IsTrue(cJSON_GetObjectItem(facts, "clipped"));
    CHECK_OK(vg_picture_read(path, &picture, &err), err);
    compare(name, &picture.frames, vg_safetensors_find(golden, name), lossy);
    assert_int_equal(picture.note[0] != '\0', clipped || strncmp(name, "animated", 8) == 0);
    /* And resized to a clip's size, which is what the model sees. */
    const vg_tensor *wanted = vg_safetensors_find(golden, resized);
    vg_frames small = {1, (int)wanted->shape[0], (int)wanted->shape[1],
                       malloc(vg_tensor_bytes(wanted))};
    CHECK_OK(vg_resize_lanczos(picture.frames.rgb, picture.frames.height, picture.frames.width,
                               small.rgb, small.height, small.width, &err),
             err);
    compare(resized, &small, wanted, lossy);
    vg_frames_deinit(&small);
    vg_picture_deinit(&picture);
    free(path);
    free(resized);
}

static void test_picture_is_the_references(void **state)
{
    (void)state;
    NEED_PICTURES();
    vg_err err;
    cJSON *facts;
    int count = 0;
    vg_safetensors *golden = open_file(PICTURES "pictures.safetensors");
    CHECK_OK(vg_json_load(PICTURES "pictures.json", &facts, &err), err);
    const cJSON *item;
    cJSON_ArrayForEach(item, facts)
    {
        compare_golden(item->string, item, golden);
        count++;
    }
    assert_int_equal(count, 50);
    cJSON_Delete(facts);
    vg_safetensors_close(golden);
}

/* ---- what it refuses ---- */

/* One line that begins with the path; nothing is handed out. */
static void refused(const char *path, const vg_picture *picture, vg_status status,
                    const vg_err *err)
{
    if (status == VG_OK)
        fail_msg("%s was read", path);
    assert_null(picture->frames.rgb);
    if (strncmp(err->message, path, strlen(path)) != 0 || strchr(err->message, '\n') ||
        strlen(err->message) < strlen(path) + 10)
        fail_msg("%s: what is told is: %s", path, err->message);
}

static void test_picture_bad_files_are_one_line(void **state)
{
    (void)state;
    NEED_PICTURES();
    int count = 0;
    DIR *folder = opendir(BAD);
    assert_non_null(folder);
    for (struct dirent *e; (e = readdir(folder));) {
        if (e->d_name[0] == '.')
            continue;
        vg_err err;
        vg_picture picture = {0};
        char *path = path_in(BAD, e->d_name);
        refused(path, &picture, vg_picture_read(path, &picture, &err), &err);
        free(path);
        count++;
    }
    closedir(folder);
    assert_int_equal(count, 22);
}

static void test_picture_paths_that_are_no_files(void **state)
{
    (void)state;
    vg_err err;
    vg_picture picture = {0};
    assert_int_equal(vg_picture_read("/nowhere/a.png", &picture, &err), VG_E_MISSING);
    assert_non_null(strstr(err.message, "/nowhere/a.png"));
    assert_true(vg_picture_read(PICTURES, &picture, &err) != VG_OK);
    assert_true(vg_picture_read("/dev/zero", &picture, &err) != VG_OK);
}

/* Files of a picture, whole. */
static char *bytes_of(const char *name, size_t *size)
{
    vg_err err;
    char *path = path_in(PICTURES, name), *bytes;
    CHECK_OK(vg_file_read(path, 1 << 20, &bytes, size, &err), err);
    free(path);
    return bytes;
}

static const char *const kinds[] = {"rgb.png",
                                    "rgba-16-bit-interlaced.png",
                                    "palette-4-bit.png",
                                    "420.jpg",
                                    "progressive.jpg",
                                    "lossy.webp",
                                    "cmyk.jpg",
                                    "lossless-alpha.webp",
                                    "animated.webp",
                                    "still.gif",
                                    "rgb.bmp"};

/* Cut anywhere before its pixels are complete no file is half a picture (a BMP may end with two bytes of padding). */
static void test_picture_cut_files_are_refused(void **state)
{
    (void)state;
    NEED_PICTURES();
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        size_t size;
        char *bytes = bytes_of(kinds[k], &size);
        for (size_t n = 0; n < size - 3; n += n < 64 ? 1 : 7) {
            vg_err err;
            vg_picture picture = {0};
            char *copy = malloc(n + 1); /* so that a sanitizer sees reading behind it */
            memcpy(copy, bytes, n);
            refused(kinds[k], &picture, vg_picture_decode(kinds[k], copy, n, &picture, &err), &err);
            free(copy);
        }
        free(bytes);
    }
}

/* Whatever a byte is changed to, the result is a picture of sane size or one line. */
static void test_picture_changed_bytes(void **state)
{
    (void)state;
    NEED_PICTURES();
    check_rng rng = {7};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        size_t size;
        char *bytes = bytes_of(kinds[k], &size);
        for (int i = 0; i < 300; i++) {
            vg_err err;
            vg_picture picture = {0};
            size_t at = (size_t)((check_random(&rng) + 1) / 2 * (double)(size - 1)) % size;
            char before = bytes[at];
            bytes[at] = (char)(bytes[at] ^ (1 << i % 8));
            vg_status status = vg_picture_decode(kinds[k], bytes, size, &picture, &err);
            if (status != VG_OK)
                refused(kinds[k], &picture, status, &err);
            else
                assert_in_range(picture.frames.width, 1, VG_PICTURE_SIDE_MAX);
            vg_picture_deinit(&picture);
            bytes[at] = before;
        }
        free(bytes);
    }
}

/* A name says nothing: what a file begins with does. */
static void test_picture_kind_is_in_the_bytes(void **state)
{
    (void)state;
    NEED_PICTURES();
    vg_err err;
    size_t size;
    vg_picture picture;
    char *bytes = bytes_of("420.jpg", &size);
    CHECK_OK(vg_picture_decode("a picture.png", bytes, size, &picture, &err), err);
    assert_string_equal(picture.kind, "JPEG");
    vg_picture_deinit(&picture);
    free(bytes);
}

/* ---- frames in .safetensors, in every build ---- */

static void write_frames(const char *path, int64_t count, int64_t height, int64_t width,
                         int64_t channels)
{
    vg_err err;
    uint8_t rgb[2 * 3 * 5 * 4];
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * 7);
    vg_safetensors_entry entry = {.name = "frames"};
    entry.tensor = (vg_tensor){.data = rgb, .dtype = VG_U8, .ndim = 4};
    const int64_t shape[] = {count, height, width, channels};
    memcpy(entry.tensor.shape, shape, sizeof shape);
    CHECK_OK(vg_safetensors_write(path, &entry, 1, NULL, &err), err);
}

static void test_picture_frames_as_tensors(void **state)
{
    (void)state;
    vg_err err;
    vg_picture picture;
    char *path = vg_path_join(scratch_group(), "picture.safetensors");
    write_frames(path, 1, 3, 5, 3);
    CHECK_OK(vg_picture_read(path, &picture, &err), err);
    assert_int_equal(picture.frames.height, 3);
    assert_int_equal(picture.frames.width, 5);
    assert_int_equal(picture.frames.rgb[44], (uint8_t)(44 * 7));
    assert_string_equal(picture.note, "");
    vg_picture_deinit(&picture);
    write_frames(path, 2, 3, 5, 3);
    CHECK_OK(vg_picture_read(path, &picture, &err), err);
    assert_string_equal(picture.note, "the first of 2 frames");
    vg_picture_deinit(&picture);
    write_frames(path, 1, 3, 5, 4);
    vg_picture none = {0};
    refused(path, &none, vg_picture_read(path, &none, &err), &err);
    free(path);
}

/* A build without the libraries says what it reads instead. */
static void test_picture_without_the_libraries(void **state)
{
    (void)state;
    if (vg_clip_available())
        skip();
    vg_err err;
    vg_picture picture = {0};
    assert_int_equal(vg_picture_read(PICTURES "rgb.png", &picture, &err), VG_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, ".safetensors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_picture_is_the_references),
        cmocka_unit_test(test_picture_bad_files_are_one_line),
        cmocka_unit_test(test_picture_paths_that_are_no_files),
        cmocka_unit_test(test_picture_cut_files_are_refused),
        cmocka_unit_test(test_picture_changed_bytes),
        cmocka_unit_test(test_picture_kind_is_in_the_bytes),
        cmocka_unit_test(test_picture_frames_as_tensors),
        cmocka_unit_test(test_picture_without_the_libraries),
    };
    return cmocka_run_group_tests(tests, scratch_group_open, scratch_group_close);
}
