/* test_clip_sizes.c: clips of every size that a job may have are kept without loss and written as .mp4, and an encoder that
 * refuses costs nothing but the smaller file. */
#include "tests/scratch.h"

#include <dlfcn.h>
#include <libavcodec/avcodec.h>
#include "app/media/clip.h"

/* libavcodec's, but for the encoder named here. This definition is the one that the program's own calls find. */
static const char *refused = "";

int avcodec_open2(AVCodecContext *context, const AVCodec *codec, AVDictionary **options)
{
    static int (*real)(AVCodecContext *, const AVCodec *, AVDictionary **);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "avcodec_open2");
    assert_non_null(real);
    return codec && !strcmp(codec->name, refused) ? AVERROR(EINVAL) : real(context, codec, options);
}

static vg_frames noise(int count, int height, int width)
{
    size_t bytes = (size_t)count * height * width * 3;
    vg_frames f = {count, height, width, malloc(bytes)};
    check_rng rng = {(uint64_t)width * 70001 + (uint64_t)height};
    assert_non_null(f.rgb);
    size_t run = width > 2000 ? 4096 : 64; /* or large pictures would take the test's time */
    for (size_t i = 0; i < bytes; i++)
        f.rgb[i] = i % run ? f.rgb[i - 1] : (uint8_t)check_random_bits(&rng);
    return f;
}

static void expect_kept(const char *dir, const vg_frames *f)
{
    vg_frames_store *store = NULL;
    const uint8_t *rgb;
    vg_err err;
    size_t bytes = (size_t)f->height * f->width * 3;
    CHECK_OK(vg_frames_store_open(dir, &store, &err), err);
    assert_int_equal(vg_frames_store_count(store), f->count);
    for (int i = 0; i < f->count; i++) {
        CHECK_OK(vg_frames_store_get(store, i, &rgb, &err), err);
        if (memcmp(rgb, f->rgb + (size_t)i * bytes, bytes))
            fail_msg("%dx%d: frame %d is not what was kept", f->width, f->height, i);
    }
    vg_frames_store_close(store);
}

static void one_size(const char *dir, int width, int height, int count, bool lossless_clip)
{
    vg_frames f = noise(count, height, width);
    vg_frame_source source = vg_frames_source(&f);
    vg_clip_reader *reader = NULL;
    char *mp4 = vg_path_join(dir, "clip.mp4"), *mkv = vg_path_join(dir, VG_FRAMES_FILE_CLIP);
    vg_err err;
    CHECK_OK(vg_clip_probe(NULL, width, height, 16, &err), err);
    CHECK_OK(vg_frames_store_write(dir, &f, 16, NULL, &err), err);
    if (vg_file_exists(mkv) != lossless_clip)
        fail_msg("%dx%d: %skept as FFV1", width, height, lossless_clip ? "not " : "");
    expect_kept(dir, &f);
    CHECK_OK(vg_clip_write(mp4, &source, 16, NULL, &err), err);
    CHECK_OK(vg_clip_reader_open(mp4, &reader, &err), err);
    assert_int_equal(vg_clip_reader_count(reader), count);
    assert_int_equal(vg_clip_reader_width(reader), width + width % 2);
    assert_int_equal(vg_clip_reader_height(reader), height + height % 2);
    vg_clip_reader_close(reader);
    free(mp4);
    free(mkv);
    free(f.rgb);
}

static void test_clip_sizes_all_can_be_kept_and_written(void **state)
{
    static const int sizes[][3] = {
        /* around the encoder's limit for one slice, 352x288 */
        {352, 288, 3},
        {353, 288, 3},
        {352, 289, 3},
        {416, 240, 3},
        {480, 272, 3},
        {384, 384, 3},
        {640, 352, 3},
        {16, 400, 3},
        {400, 16, 3},
        /* what models make */
        {832, 480, 2},
        {480, 832, 2},
        {1280, 720, 2},
        {1920, 1088, 1},
        /* odd, and primes */
        {355, 291, 3},
        {353, 4, 3},
        {5, 999, 2},
        {641, 361, 2},
        {1279, 719, 2},
        {997, 1009, 1},
        /* above 20 million pixels 4 slices are too few */
        {5120, 4096, 1},
        {4097, 5121, 1},
    };
    /* Slices of 1 pixel, which libavcodec does not encode without loss. */
    static const int narrow[][2] = {{1, 64}, {64, 1}, {1, 1}, {2, 1000}, {3, 400}, {400, 3}};
    if (!vg_clip_available())
        skip();
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++)
        one_size(*state, narrow[i][0], narrow[i][1], 2, false);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        one_size(*state, sizes[i][0], sizes[i][1], sizes[i][2], true);
}

static void test_clip_sizes_a_refusing_encoder_is_replaced(void **state)
{
    vg_frames f = noise(2, 64, 96);
    vg_frame_source source = vg_frames_source(&f);
    vg_err err;
    const char *mp4 = scratch_path(state, "clip.mp4"), *used = "";
    vg_clip_options options = {.used = &used};
    if (!vg_clip_available())
        skip();
    /* Frames are kept as a tensor, and the older clip goes. */
    CHECK_OK(vg_frames_store_write(*state, &f, 16, NULL, &err), err);
    refused = "ffv1";
    f.rgb[0] ^= 1;
    CHECK_OK(vg_frames_store_write(*state, &f, 16, NULL, &err), err);
    assert_true(vg_file_exists(scratch_path(state, VG_FRAMES_FILE_TENSORS)));
    assert_false(vg_file_exists(scratch_path(state, VG_FRAMES_FILE_CLIP)));
    expect_kept(*state, &f);
    /* .mp4: the next best encoder; one that was asked for by name is not replaced. */
    refused = vg_clip_encoder_name();
    options.encoder = refused;
    CHECK_FAILS(vg_clip_write(mp4, &source, 16, &options, &err), VG_E_UNSUPPORTED, err);
    CHECK_FAILS(vg_clip_probe(refused, 96, 64, 16, &err), VG_E_UNSUPPORTED, err);
    options.encoder = NULL;
    if (strcmp(refused, "mpeg4")) {
        CHECK_OK(vg_clip_probe(NULL, 96, 64, 16, &err), err);
        CHECK_OK(vg_clip_write(mp4, &source, 16, &options, &err), err);
        assert_true(*used && strcmp(used, refused));
    }
    refused = "";
    free(f.rgb);
}

static void test_clip_sizes_that_nothing_writes_are_told(void **state)
{
    (void)state;
    vg_err err;
    if (!vg_clip_available())
        skip();
    CHECK_FAILS(vg_clip_probe(NULL, 16384, 16384, 16, &err), VG_E_UNSUPPORTED, err);
    assert_non_null(strstr(err.message, "16384x16384"));
    CHECK_FAILS(vg_clip_probe("libnothing", 64, 64, 16, &err), VG_E_UNSUPPORTED, err);
    CHECK_OK(vg_clip_probe_comparison(NULL, 832, 480, 3, 16, &err), err);
    CHECK_FAILS(vg_clip_probe_comparison(NULL, 8192, 8192, 3, 16, &err), VG_E_ARG, err);
}

int main(void)
{
#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_open, scratch_close)
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(test_clip_sizes_all_can_be_kept_and_written),
        WITH_SCRATCH(test_clip_sizes_a_refusing_encoder_is_replaced),
        WITH_SCRATCH(test_clip_sizes_that_nothing_writes_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
