/* test_clip.c: written clips can be read again with the right size, rate, colours and settings;
 * nothing half-written stays; damaged and foreign files are one clear error. Skipped in builds
 * without clips, but for the answer they must give. */
#include "tests/scratch.h"

#include <fcntl.h>
#include "app/media/clip.h"
#include "app/media/frames_compose.h"
#include "tests/metric.h"

#define NEED_CLIPS()                                                                               \
    do {                                                                                           \
        if (!vg_clip_available())                                                                  \
            skip();                                                                                \
    } while (0)

static char *path_of(const char *name)
{
    char *path = vg_path_join(scratch_group(), name);
    assert_non_null(path);
    return path;
}

/* A ball that moves over a gradient; `noise` is added to every sample, reproducibly. */
static vg_frames scene(int count, int height, int width, int noise)
{
    vg_frames f = {count, height, width, malloc((size_t)count * height * width * 3)};
    check_rng rng = {5};
    assert_non_null(f.rgb);
    uint8_t *p = f.rgb;
    for (int t = 0; t < count; t++)
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++, p += 3) {
                double r = height * 0.25, dx = x - width * (0.2 + 0.6 * t / count),
                       dy = y - height * 0.5;
                double edge = r - sqrt(dx * dx + dy * dy), a = edge < -2  ? 0
                                                               : edge > 2 ? 1
                                                                          : (edge + 2) / 4;
                double back[3] = {20 + 20.0 * y / height, 120 + 60.0 * x / width,
                                  120 + 40.0 * y / height},
                       ball[3] = {215, 45, 40 - dy / r * 20};
                for (int c = 0; c < 3; c++) {
                    double v = back[c] * (1 - a) + ball[c] * a + noise * check_random(&rng);
                    p[c] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5);
                }
            }
    return f;
}

static double clip_psnr(vg_clip_reader *reader, const vg_frames *f)
{
    vg_err err;
    size_t bytes = (size_t)f->width * f->height * 3;
    uint8_t *rgb = malloc(bytes);
    double worst = INFINITY;
    for (int k = 0; k < f->count; k++) {
        int i = k * 5 % f->count; /* jumps, when count is no multiple of 5 */
        CHECK_OK(vg_clip_reader_get(reader, i, rgb, &err), err);
        double psnr =
            metric_of_pictures("psnr", rgb, f->rgb + (size_t)i * bytes, f->height, f->width);
        worst = psnr < worst ? psnr : worst;
    }
    free(rgb);
    return worst;
}

static void test_clip_comes_back(void **state)
{
    (void)state;
    NEED_CLIPS();
    static const struct {
        int count, height, width;
        double fps;
    } cases[] = {{17, 96, 160, 16}, {1, 64, 64, 24}, {33, 128, 96, 23.976},
                 {7, 480, 832, 30}, {4, 2, 2, 0.5},  {12, 48, 80, 240}};
    vg_err err;
    char *path = path_of("a: clip\n%d.mp4");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vg_frames f = scene(cases[i].count, cases[i].height, cases[i].width, 0);
        vg_frame_source source = vg_frames_source(&f);
        vg_clip_options options = {.title = "a red ball",
                                   .comment = "{\"seed\": 42, \"prompt\": \"\xC3\xA9\"}"};
        vg_clip_reader *reader = NULL;
        CHECK_OK(vg_clip_write(path, &source, cases[i].fps, &options, &err), err);
        CHECK_OK(vg_clip_reader_open(path, &reader, &err), err);
        assert_int_equal(vg_clip_reader_count(reader), f.count);
        assert_int_equal(vg_clip_reader_width(reader), f.width);
        assert_int_equal(vg_clip_reader_height(reader), f.height);
        assert_true(fabs(vg_clip_reader_fps(reader) - cases[i].fps) < 1e-3);
        assert_string_equal(vg_clip_reader_metadata(reader, "title"), options.title);
        assert_string_equal(vg_clip_reader_metadata(reader, "comment"), options.comment);
        assert_null(vg_clip_reader_metadata(reader, "creation_time"));
        double psnr = clip_psnr(reader, &f);
        print_message("%dx%d: worst PSNR %.1f dB, %s\n", f.width, f.height, psnr,
                      vg_clip_reader_codec(reader));
        assert_true(psnr > 35 || f.width < 16);
        vg_clip_reader_close(reader);
        free(f.rgb);
    }
    free(path);
}

static void test_clip_colours_are_right(void **state)
{
    (void)state;
    NEED_CLIPS();
    static const uint8_t colours[][3] = {{255, 0, 0},     {0, 128, 128},   {0, 0, 255},
                                         {0, 255, 0},     {255, 255, 255}, {0, 0, 0},
                                         {128, 128, 128}, {200, 150, 60},  {255, 255, 0}};
    vg_err err;
    char *path = path_of("solid.mp4");
    for (size_t i = 0; i < sizeof colours / sizeof *colours; i++) {
        vg_frames f = {3, 64, 96, malloc(3 * 64 * 96 * 3)};
        for (int p = 0; p < 3 * 64 * 96; p++)
            memcpy(f.rgb + 3 * p, colours[i], 3);
        vg_frame_source source = vg_frames_source(&f);
        vg_clip_reader *reader = NULL;
        uint8_t rgb[64 * 96 * 3];
        CHECK_OK(vg_clip_write(path, &source, 16, NULL, &err), err);
        CHECK_OK(vg_clip_reader_open(path, &reader, &err), err);
        CHECK_OK(vg_clip_reader_get(reader, 2, rgb, &err), err);
        for (int p = 0; p < 64 * 96 * 3; p++)
            if (abs(rgb[p] - colours[i][p % 3]) > 3)
                fail_msg("colour %d,%d,%d came back as %d,%d,%d", colours[i][0], colours[i][1],
                         colours[i][2], rgb[p - p % 3], rgb[p - p % 3 + 1], rgb[p - p % 3 + 2]);
        vg_clip_reader_close(reader);
        free(f.rgb);
    }
    free(path);
}

static void test_clip_odd_sides_gain_one(void **state)
{
    (void)state;
    NEED_CLIPS();
    vg_err err;
    vg_frames f = scene(3, 37, 53, 0);
    vg_frame_source source = vg_frames_source(&f);
    vg_clip_reader *reader = NULL;
    char *path = path_of("odd.mp4");
    uint8_t rgb[38 * 54 * 3];
    CHECK_OK(vg_clip_write(path, &source, 16, NULL, &err), err);
    CHECK_OK(vg_clip_reader_open(path, &reader, &err), err);
    assert_int_equal(vg_clip_reader_width(reader), 54);
    assert_int_equal(vg_clip_reader_height(reader), 38);
    CHECK_OK(vg_clip_reader_get(reader, 0, rgb, &err), err);
    for (int y = 0; y < 38; y++)
        for (int x = 0; x < 54; x++)
            for (int c = 0; c < 3; c++) {
                int want = f.rgb[((y < 37 ? y : 36) * 53 + (x < 53 ? x : 52)) * 3 + c];
                assert_true(abs(rgb[(y * 54 + x) * 3 + c] - want) <
                            40); /* chroma is halved at the ball's edge */
            }
    vg_clip_reader_close(reader);
    free(f.rgb);
    free(path);
}

static void test_clip_same_bytes_and_index_first(void **state)
{
    (void)state;
    NEED_CLIPS();
    vg_err err;
    vg_frames f = scene(9, 400, 720, 20);
    vg_frame_source source = vg_frames_source(&f);
    char *text[2], *path = path_of("twice.mp4");
    size_t size[2];
    for (int i = 0; i < 2; i++) {
        CHECK_OK(vg_clip_write(path, &source, 16, NULL, &err), err);
        CHECK_OK(vg_file_read(path, 1 << 26, &text[i], &size[i], &err), err);
        sleep(i == 0);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(text[0], text[1], size[0]);
    const char *index = memmem(text[0], size[0], "moov", 4),
               *data = memmem(text[0], size[0], "mdat", 4);
    assert_true(index && data && index < data);
    free(text[0]);
    free(text[1]);
    free(f.rgb);
    free(path);
}

static void test_clip_other_encoders(void **state)
{
    (void)state;
    NEED_CLIPS();
    vg_err err;
    vg_frames f = scene(9, 64, 96, 0);
    vg_frame_source source = vg_frames_source(&f);
    vg_clip_reader *reader = NULL;
    char *path = path_of("other.mp4");
    vg_clip_options options = {.encoder = "mpeg4"};
    print_message("best encoder here: %s\n", vg_clip_encoder_name());
    assert_string_not_equal(vg_clip_encoder_name(), "none");
    CHECK_OK(vg_clip_write(path, &source, 16, &options, &err), err);
    CHECK_OK(vg_clip_reader_open(path, &reader, &err), err);
    assert_string_equal(vg_clip_reader_codec(reader), "mpeg4");
    assert_int_equal(vg_clip_reader_count(reader), 9);
    assert_true(clip_psnr(reader, &f) > 32);
    vg_clip_reader_close(reader);
    options.encoder = "no-such-encoder";
    CHECK_FAILS(vg_clip_write(path, &source, 16, &options, &err), VG_E_UNSUPPORTED, err);
    options.encoder = NULL;
    options.crf = 52;
    CHECK_FAILS(vg_clip_write(path, &source, 16, &options, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_clip_write(path, &source, 0, NULL, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_clip_write(path, &source, NAN, NULL, &err), VG_E_ARG, err);
    source.count = 0;
    CHECK_FAILS(vg_clip_write(path, &source, 16, NULL, &err), VG_E_ARG, err);
    free(f.rgb);
    free(path);
}

static int count_files(void)
{
    char *command = vg_strf("ls -A '%s' | wc -l", scratch_group());
    FILE *p = popen(command, "r");
    int n = -1;
    assert_non_null(p);
    assert_int_equal(fscanf(p, "%d", &n), 1);
    pclose(p);
    free(command);
    return n;
}

static bool stop_at_three(void *user, int done, int total)
{
    (void)user, (void)total;
    return done < 3;
}

static vg_status fail_at_four(void *user, int index, const uint8_t **rgb, vg_err *err)
{
    *rgb = ((vg_frames *)user)->rgb;
    return index < 4 ? VG_OK : VG_FAIL(err, VG_E_FORMAT, "frame 4 is damaged");
}

static void test_clip_nothing_half_written_stays(void **state)
{
    (void)state;
    NEED_CLIPS();
    vg_err err;
    vg_frames f = scene(12, 96, 160, 60);
    vg_frame_source source = vg_frames_source(&f), failing = source;
    failing.get = fail_at_four;
    char *path = path_of("whole.mp4"), *missing = path_of("none/clip.mp4"),
         *dir = path_of("dir.mp4");
    vg_clip_options options = {.progress = stop_at_three};
    int before = count_files();
    CHECK_FAILS(vg_clip_write(path, &source, 16, &options, &err), VG_E_CANCELLED, err);
    CHECK_FAILS(vg_clip_write(path, &failing, 16, NULL, &err), VG_E_FORMAT, err);
    CHECK_FAILS(vg_clip_write(missing, &source, 16, NULL, &err), VG_E_IO, err);
    CHECK_OK(vg_file_make_dirs(dir, &err), err);
    CHECK_FAILS(vg_clip_write(dir, &source, 16, NULL, &err), VG_E_IO, err);
    vg_clip_pane panes[2] = {{source, "a", NULL}, {failing, "b", NULL}};
    CHECK_FAILS(vg_clip_write_comparison(path, panes, 2, 4, 16, NULL, &err), VG_E_FORMAT, err);
    assert_int_equal(count_files(), before + 1);

    static const rlim_t limits[] = {0, 40, 5000, 50000};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        scratch_full full = scratch_full_begin(limits[i]);
        vg_status status = vg_clip_write(path, &source, 16, NULL, &err);
        scratch_full_end(&full);
        assert_int_equal(status, VG_E_IO);
        assert_non_null(strstr(err.message, "File too large"));
        assert_int_equal(count_files(), before + 1);
    }
    free(f.rgb);
    free(path);
    free(missing);
    free(dir);
}

static void test_clip_foreign_and_damaged_files(void **state)
{
    (void)state;
    NEED_CLIPS();
    static const char *const foreign[] = {"",
                                          "x",
                                          "#EXTM3U\nfile:///etc/hostname\n",
                                          "ffconcat version 1.0\nfile /etc/hostname\n",
                                          "RIFF\x10\x10\x10\020AVI LIST",
                                          "\x89PNG\r\n\x1a\n",
                                          "\x1A\x45\xDF\xA3",
                                          "%!PS"};
    vg_err err;
    vg_clip_reader *reader = NULL;
    char *path = path_of("foreign.mp4");
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        CHECK_OK(vg_file_write_atomic(path, foreign[i], strlen(foreign[i]), &err), err);
        CHECK_FAILS(vg_clip_reader_open(path, &reader, &err), VG_E_FORMAT, err);
        assert_null(strchr(err.message, '\n'));
    }
    CHECK_FAILS(vg_clip_reader_open("/nonexistent.mp4", &reader, &err), VG_E_MISSING, err);
    assert_true(vg_clip_reader_open(scratch_group(), &reader, &err) != VG_OK);

    vg_frames f = scene(20, 48, 80, 10);
    vg_frame_source source = vg_frames_source(&f);
    char *text;
    size_t size;
    uint8_t *rgb = malloc((size_t)VG_FRAMES_SIDE_MAX * 4096 * 3);
    CHECK_OK(vg_clip_write(path, &source, 16, NULL, &err), err);
    CHECK_OK(vg_file_read(path, 1 << 24, &text, &size, &err), err);
    char *copy = malloc(size);
    check_rng rng = {17};
    int refused = 0, frame_errors = 0;
    for (int n = 0; n < 400; n++) {
        size_t length = n < 60 ? size * (size_t)n / 60 : size;
        memcpy(copy, text, size);
        for (int k = 0; n >= 60 && k < 1 + n % 30; k++)
            copy[check_random_bits(&rng) % (n % 2 ? size : 1200)] = (char)check_random_bits(&rng);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        assert_true(fd >= 0 && write(fd, copy, length) == (ssize_t)length && close(fd) == 0);
        err.message[0] = '\0';
        if (vg_clip_reader_open(path, &reader, &err) != VG_OK) {
            assert_true(err.message[0] != '\0');
            refused++;
            continue;
        }
        bool fits = (int64_t)vg_clip_reader_width(reader) * vg_clip_reader_height(reader) <=
                    (int64_t)VG_FRAMES_SIDE_MAX * 4096;
        for (int i = 0; fits && i < vg_clip_reader_count(reader) && i < 30; i++)
            frame_errors += vg_clip_reader_get(reader, (i * 7) % vg_clip_reader_count(reader), rgb,
                                               &err) != VG_OK;
        vg_clip_reader_close(reader);
    }
    print_message("%d clips refused, %d frames could not be read\n", refused, frame_errors);
    assert_true(refused > 60);
    free(rgb);
    free(copy);
    free(text);
    free(f.rgb);
    free(path);
}

static void test_clip_comparison(void **state)
{
    (void)state;
    NEED_CLIPS();
    vg_err err;
    vg_frames a = scene(6, 96, 160, 0), b = scene(6, 96, 160, 12), shorter = scene(5, 96, 160, 0),
              larger = scene(6, 98, 160, 0);
    vg_clip_pane panes[3] = {{vg_frames_source(&a), "bf16", "0.42 s/it"},
                             {vg_frames_source(&b), "fp8", "0.25 s/it  PSNR 31.25 dB"},
                             {vg_frames_source(&a), "fp8-block", NULL}};
    vg_clip_options options = {.title = "a big red ball moving right on a teal background",
                               .comment = "{\"seed\": 42}"};
    char *path = path_of("comparison.mp4");
    vg_clip_reader *reader = NULL;
    vg_compose_layout l;
    for (int count = 1; count <= 3; count++) {
        CHECK_OK(vg_clip_write_comparison(path, panes, count, 8, 16, &options, &err), err);
        CHECK_OK(vg_compose_plan(160, 96, count, true, 1, &l, &err), err);
        CHECK_OK(vg_clip_reader_open(path, &reader, &err), err);
        assert_int_equal(vg_clip_reader_width(reader), l.width);
        assert_int_equal(vg_clip_reader_height(reader), l.height);
        assert_int_equal(vg_clip_reader_count(reader), 6);
        assert_string_equal(vg_clip_reader_metadata(reader, "title"), options.title);
        uint8_t *rgb = malloc((size_t)l.width * l.height * 3);
        CHECK_OK(vg_clip_reader_get(reader, 5, rgb, &err), err);
        /* The middle of the ball is red in the picture of the reference. */
        vg_compose_rect r = l.pane[0].picture;
        const uint8_t *p = rgb + ((size_t)(r.y + r.h / 2) * l.width + r.x + (int)(r.w * 0.7)) * 3;
        assert_true(p[0] > 180 && p[1] < 90 && p[2] < 90);
        vg_clip_reader_close(reader);
        free(rgb);
    }
    panes[1].source = vg_frames_source(&shorter);
    CHECK_FAILS(vg_clip_write_comparison(path, panes, 2, 8, 16, NULL, &err), VG_E_SHAPE, err);
    assert_non_null(
        strstr(err.message, "'fp8' has 5 frames of 160x96, the reference 'bf16' 6 of 160x96"));
    panes[1].source = vg_frames_source(&larger);
    CHECK_FAILS(vg_clip_write_comparison(path, panes, 2, 8, 16, NULL, &err), VG_E_SHAPE, err);
    CHECK_FAILS(vg_clip_write_comparison(path, panes, 0, 8, 16, NULL, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_clip_write_comparison(path, panes, 9, 8, 16, NULL, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_clip_write_comparison(path, panes, 1, NAN, 16, NULL, &err), VG_E_ARG, err);
    free(a.rgb);
    free(b.rgb);
    free(shorter.rgb);
    free(larger.rgb);
    free(path);
}

static void test_clip_absent_says_so(void **state)
{
    (void)state;
    if (vg_clip_available())
        skip();
    vg_err err;
    uint8_t rgb[12] = {0};
    vg_frames f = {1, 2, 2, rgb};
    vg_frame_source source = vg_frames_source(&f);
    vg_clip_reader *reader = NULL;
    CHECK_FAILS(vg_clip_write("/tmp/x.mp4", &source, 16, NULL, &err), VG_E_UNSUPPORTED, err);
    CHECK_FAILS(vg_clip_reader_open("/tmp/x.mp4", &reader, &err), VG_E_UNSUPPORTED, err);
    assert_string_equal(vg_clip_encoder_name(), "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clip_comes_back),
        cmocka_unit_test(test_clip_colours_are_right),
        cmocka_unit_test(test_clip_odd_sides_gain_one),
        cmocka_unit_test(test_clip_same_bytes_and_index_first),
        cmocka_unit_test(test_clip_other_encoders),
        cmocka_unit_test(test_clip_nothing_half_written_stays),
        cmocka_unit_test(test_clip_foreign_and_damaged_files),
        cmocka_unit_test(test_clip_comparison),
        cmocka_unit_test(test_clip_absent_says_so),
    };
    return cmocka_run_group_tests(tests, scratch_group_open, scratch_group_close);
}
