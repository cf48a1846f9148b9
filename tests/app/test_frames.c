/* test_frames.c: kept frames come back bit for bit, in both forms and in any order; damage, full
 * disks and missing folders are one clear error; the comparison layout holds what it promises. */
#include "tests/scratch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include "app/media/clip.h"
#include "app/media/frames.h"
#include "app/media/frames_compose.h"
#include "engine/checkpoint/safetensors.h"

static vg_frames random_frames(int count, int height, int width, uint64_t seed)
{
    check_rng rng = {seed};
    vg_frames f = {count, height, width, malloc((size_t)count * height * width * 3)};
    assert_non_null(f.rgb);
    for (size_t i = 0; i < (size_t)count * height * width * 3; i++)
        f.rgb[i] = (uint8_t)check_random_bits(&rng);
    return f;
}

static char *make_dir(const char *name)
{
    vg_err err;
    char *dir = vg_path_join(scratch_group(), name);
    assert_non_null(dir);
    CHECK_OK(vg_file_make_dirs(dir, &err), err);
    return dir;
}

static void check_same(vg_frames_store *store, const vg_frames *f)
{
    vg_err err;
    size_t bytes = (size_t)f->width * f->height * 3;
    assert_int_equal(vg_frames_store_count(store), f->count);
    assert_int_equal(vg_frames_store_width(store), f->width);
    assert_int_equal(vg_frames_store_height(store), f->height);
    /* Backwards, then in jumps: each is a seek. */
    for (int k = 0; k < 2 * f->count; k++) {
        int i = k < f->count ? f->count - 1 - k : k * 7 % f->count;
        const uint8_t *rgb;
        CHECK_OK(vg_frames_store_get(store, i, &rgb, &err), err);
        assert_memory_equal(rgb, f->rgb + (size_t)i * bytes, bytes);
    }
    const uint8_t *rgb;
    CHECK_FAILS(vg_frames_store_get(store, -1, &rgb, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_frames_store_get(store, f->count, &rgb, &err), VG_E_ARG, err);
    vg_frames all = {0};
    CHECK_OK(vg_frames_store_load(store, NULL, NULL, &all, &err), err);
    assert_memory_equal(all.rgb, f->rgb, bytes * (size_t)f->count);
    free(all.rgb);
}

static const char *const metadata[] = {"prompt", "a \"red\" ball \xC3\xA9", "seed", "42", NULL};

static void test_frames_come_back_bit_for_bit(void **state)
{
    (void)state;
    static const struct {
        int count, height, width;
        double fps;
    } cases[] = {{1, 1, 1, 16},   {5, 3, 5, 24},    {17, 96, 160, 16}, {9, 37, 61, 23.976},
                 {3, 1, 64, 0.5}, {30, 9, 16, 240}, {40, 8, 8, 1000},  {2, 480, 832, 16}};
    vg_err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vg_frames f = random_frames(cases[i].count, cases[i].height, cases[i].width, i);
        char *dir = make_dir("round");
        vg_frames_store *store = NULL;
        CHECK_OK(vg_frames_store_write(dir, &f, cases[i].fps, metadata, &err), err);
        CHECK_OK(vg_frames_store_open(dir, &store, &err), err);
        assert_true(vg_frames_store_fps(store) == cases[i].fps);
        assert_string_equal(vg_frames_store_metadata(store, "prompt"), metadata[1]);
        assert_string_equal(vg_frames_store_metadata(store, "seed"), "42");
        assert_null(vg_frames_store_metadata(store, "nothing"));
        check_same(store, &f);
        vg_frames_store_close(store);
        free(f.rgb);
        free(dir);
    }
}

static void test_frames_same_input_same_bytes(void **state)
{
    (void)state;
    vg_err err;
    vg_frames f = random_frames(4, 40, 56, 3);
    char *text[2], *dir = make_dir("same");
    size_t size[2];
    for (int i = 0; i < 2; i++) {
        CHECK_OK(vg_frames_store_write(dir, &f, 16, metadata, &err), err);
        char *path =
            vg_path_join(dir, vg_clip_available() ? VG_FRAMES_FILE_CLIP : VG_FRAMES_FILE_TENSORS);
        CHECK_OK(vg_file_read(path, 1 << 24, &text[i], &size[i], &err), err);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        mode_t mask = umask(0);
        umask(mask);
        assert_int_equal(st.st_mode & 0777, 0666 & ~mask);
        free(path);
        sleep(i == 0); /* a date in the file would change */
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(text[0], text[1], size[0]);
    free(text[0]);
    free(text[1]);
    free(f.rgb);
    free(dir);
}

static void test_frames_tensor_form_is_read(void **state)
{
    (void)state;
    vg_err err;
    vg_frames f = random_frames(3, 4, 6, 11);
    char *dir = make_dir("tensors"), *path = vg_path_join(dir, VG_FRAMES_FILE_TENSORS);
    vg_safetensors_entry entry = {"frames", vg_tensor_make(f.rgb, VG_U8, 4, 3, 4, 6, 3)};
    const char *const rate[] = {"vgen_fps", "12.5", NULL}, *const bad_rate[] = {"vgen_fps", "12x",
                                                                                NULL};
    vg_frames_store *store = NULL;
    CHECK_OK(vg_safetensors_write(path, &entry, 1, rate, &err), err);
    CHECK_OK(vg_frames_store_open(dir, &store, &err), err);
    assert_true(vg_frames_store_fps(store) == 12.5);
    check_same(store, &f);
    vg_frames_store_close(store);
    CHECK_OK(vg_safetensors_write(path, &entry, 1, bad_rate, &err), err);
    CHECK_FAILS(vg_frames_store_open(dir, &store, &err), VG_E_FORMAT, err);
    entry.tensor = vg_tensor_make(f.rgb, VG_U8, 4, 3, 4, 9, 2);
    CHECK_OK(vg_safetensors_write(path, &entry, 1, NULL, &err), err);
    CHECK_FAILS(vg_frames_store_open(dir, &store, &err), VG_E_FORMAT, err);
    entry.name = "other";
    CHECK_OK(vg_safetensors_write(path, &entry, 1, NULL, &err), err);
    CHECK_FAILS(vg_frames_store_open(dir, &store, &err), VG_E_FORMAT, err);

    /* Writing in the build's own form leaves one file only. */
    CHECK_OK(vg_frames_store_write(dir, &f, 16, NULL, &err), err);
    assert_int_equal(vg_file_exists(path), !vg_clip_available());
    CHECK_OK(vg_frames_store_open(dir, &store, &err), err);
    check_same(store, &f);
    vg_frames_store_close(store);
    free(f.rgb);
    free(path);
    free(dir);
}

static void test_frames_unwritable_places(void **state)
{
    (void)state;
    vg_err err;
    vg_frames f = random_frames(2, 8, 8, 5), none = {0};
    vg_frames_store *store = NULL;
    char *dir = make_dir("places"), *missing = vg_path_join(dir, "missing"),
         *file = vg_path_join(dir, "file");
    CHECK_FAILS(vg_frames_store_write(missing, &f, 16, NULL, &err), VG_E_IO, err);
    assert_non_null(strstr(err.message, missing));
    CHECK_OK(vg_file_write_atomic(file, "x", 1, &err), err);
    CHECK_FAILS(vg_frames_store_write(file, &f, 16, NULL, &err), VG_E_IO, err);
    CHECK_FAILS(vg_frames_store_open(dir, &store, &err), VG_E_MISSING, err);
    CHECK_FAILS(vg_frames_store_open(missing, &store, &err), VG_E_MISSING, err);
    CHECK_FAILS(vg_frames_store_write(dir, &none, 16, NULL, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_frames_store_write(dir, &f, 0, NULL, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_frames_store_write(dir, &f, NAN, NULL, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_frames_store_write(dir, &f, 1e9, NULL, &err), VG_E_ARG, err);
    free(f.rgb);
    free(file);
    free(missing);
    free(dir);
}

static int count_entries(const char *dir)
{
    char *command = vg_strf("ls -A '%s' | wc -l", dir);
    FILE *p = popen(command, "r");
    int n = -1;
    assert_non_null(p);
    assert_int_equal(fscanf(p, "%d", &n), 1);
    pclose(p);
    free(command);
    return n;
}

/* A file size limit acts as a full disk does: write() fails in the middle. */
static void test_frames_full_disk_keeps_the_old_file(void **state)
{
    (void)state;
    vg_err err;
    vg_frames old = random_frames(2, 8, 8, 5), f = random_frames(20, 96, 160, 6);
    char *dir = make_dir("full");
    vg_frames_store *store = NULL;
    CHECK_OK(vg_frames_store_write(dir, &old, 16, NULL, &err), err);
    static const rlim_t limits[] = {0, 100, 70000, 400000};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        scratch_full full = scratch_full_begin(limits[i]);
        vg_status status = vg_frames_store_write(dir, &f, 16, NULL, &err);
        scratch_full_end(&full);
        assert_int_equal(status, VG_E_IO);
        assert_non_null(strstr(err.message, "File too large"));
        assert_int_equal(count_entries(dir), 1); /* no temporary is left */
        CHECK_OK(vg_frames_store_open(dir, &store, &err), err);
        check_same(store, &old);
        vg_frames_store_close(store);
    }
    free(old.rgb);
    free(f.rgb);
    free(dir);
}

/* Cut at every place, and with every byte region disturbed: always an error or the true frames,
 * never other pixels. */
static void test_frames_damaged_clips_are_errors(void **state)
{
    (void)state;
    if (!vg_clip_available())
        skip();
    vg_err err;
    vg_frames f = random_frames(6, 24, 40, 9);
    for (int i = 0; i < 6 * 24 * 40 * 3; i++)
        f.rgb[i] = (uint8_t)(f.rgb[i] / 16 + i / 120 % 100); /* compressible, as pictures are */
    char *dir = make_dir("damaged"), *path = vg_path_join(dir, VG_FRAMES_FILE_CLIP), *text = NULL;
    size_t size, bytes = 24 * 40 * 3;
    CHECK_OK(vg_frames_store_write(dir, &f, 16, metadata, &err), err);
    CHECK_OK(vg_file_read(path, 1 << 24, &text, &size, &err), err);
    char *copy = malloc(size);
    assert_non_null(copy);
    check_rng rng = {1};
    int refused = 0, unharmed = 0, frame_errors = 0;
    for (int n = 0; n < 600; n++) {
        size_t length = size;
        memcpy(copy, text, size);
        if (n < 150) {
            length = size * (size_t)n / 150;
        } else {
            size_t at =
                check_random_bits(&rng) % (n % 2 ? size : 1500); /* half of them in the headers */
            int run = n % 3 ? 1 : 40;
            for (int k = 0; k < run && at + (size_t)k < size; k++)
                copy[at + (size_t)k] = (char)check_random_bits(&rng);
        }
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        assert_true(fd >= 0 && write(fd, copy, length) == (ssize_t)length && close(fd) == 0);
        vg_frames_store *store = NULL;
        err.message[0] = '\0';
        if (vg_frames_store_open(dir, &store, &err) != VG_OK) {
            assert_true(err.message[0] != '\0');
            assert_null(store);
            refused++;
            continue;
        }
        bool size_kept = vg_frames_store_width(store) == 40 && vg_frames_store_height(store) == 24;
        bool whole = true;
        for (int i = 0; i < vg_frames_store_count(store) && i < 40; i++) {
            const uint8_t *rgb;
            err.message[0] = '\0';
            if (vg_frames_store_get(store, i, &rgb, &err) != VG_OK) {
                assert_true(err.message[0] != '\0');
                frame_errors++;
                whole = false;
            } else if (vg_frames_store_metadata(store, "vgen_crc32") && size_kept && i < 6) {
                assert_memory_equal(rgb, f.rgb + (size_t)i * bytes, bytes);
            }
        }
        unharmed += whole;
        vg_frames_store_close(store);
    }
    print_message("%d clips refused, %d damaged frames, %d read\n", refused, frame_errors,
                  unharmed);
    assert_true(refused > 20 && frame_errors > 100);
    free(copy);
    free(text);
    free(f.rgb);
    free(path);
    free(dir);
}

/* ---- the layout of comparisons ---- */

static bool overlap(vg_compose_rect a, vg_compose_rect b)
{
    return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

static void test_frames_comparison_layout(void **state)
{
    (void)state;
    static const int sizes[][2] = {{160, 96},   {96, 160}, {832, 480}, {1280, 720},
                                   {720, 1280}, {1, 1},    {33, 17},   {64, 64}};
    vg_err err;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int count = 1; count <= VG_COMPOSE_PANES_MAX; count++)
            for (int mode = 0; mode < 6; mode++) {
                vg_compose_layout l;
                int w = sizes[s][0], h = sizes[s][1];
                bool diff = mode & 1;
                CHECK_OK(vg_compose_plan(w, h, count, diff, mode / 2, &l, &err), err);
                assert_true(l.width % 2 == 0 && l.height % 2 == 0);
                assert_true(l.width <= 4096 || l.width <= w + 200);
                assert_int_equal(l.pane_count, diff && count > 1 ? 2 * count - 1 : count);
                assert_true(l.scale * (w > h ? w : h) >= 400 || l.scale == 64);
                vg_compose_rect all[3 * 2 * VG_COMPOSE_PANES_MAX + 1];
                int n = 0;
                all[n++] = l.header;
                for (int i = 0; i < l.pane_count; i++) {
                    const vg_compose_pane *p = &l.pane[i];
                    assert_int_equal(p->picture.w, w * l.scale);
                    assert_int_equal(p->picture.h, h * l.scale);
                    all[n++] = p->label;
                    all[n++] = p->picture;
                    all[n++] = p->caption;
                }
                for (int i = 0; i < n; i++) {
                    assert_true(all[i].x >= 0 && all[i].y >= 0 && all[i].x + all[i].w <= l.width &&
                                all[i].y + all[i].h <= l.height);
                    for (int k = 0; k < i; k++)
                        if (all[i].w && all[i].h && all[k].w && all[k].h)
                            assert_false(overlap(all[i], all[k]));
                }
            }
    vg_compose_layout l;
    CHECK_OK(vg_compose_plan(160, 96, 2, true, 1, &l, &err), err);
    assert_int_equal(l.scale, 3);
    assert_int_equal(l.pane_count, 3);
    assert_int_equal(l.pane[0].picture.y,
                     l.pane[2].picture.y); /* the pair and its difference stand in a row */
    CHECK_FAILS(vg_compose_plan(160, 96, 0, true, 1, &l, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_compose_plan(160, 96, 9, true, 1, &l, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_compose_plan(0, 96, 2, true, 1, &l, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_compose_plan(16000, 16000, 8, true, 1, &l, &err), VG_E_ARG, err);
}

static void test_frames_comparison_pixels(void **state)
{
    (void)state;
    vg_err err;
    vg_frames a = random_frames(1, 10, 20, 1), b = random_frames(1, 10, 20, 2);
    vg_compose_layout l;
    CHECK_OK(vg_compose_plan(20, 10, 2, true, 2, &l, &err), err);
    uint8_t *canvas = malloc((size_t)l.width * l.height * 3);
    const char *labels[2] = {"bf16", "fp8 \xC3\x97 \xE2\x9A\xA0 \x1b[31m \xff and a name that does "
                                     "not end before the pane does"};
    const char *captions[2] = {"0.42 s/it", "0.25 s/it  PSNR 31.25 dB  SSIM 0.9532  latent rel. L2 "
                                            "0.0312  and so on and on and on and on"};
    const uint8_t *pictures[2] = {a.rgb, b.rgb};
    vg_compose_background(&l, labels, captions, "title", 8, canvas);
    vg_compose_frame(&l, pictures, 20, 10, 8, 0, 17, 16, canvas);
    for (int y = 0; y < 10 * l.scale; y++)
        for (int x = 0; x < 20 * l.scale; x++)
            for (int c = 0; c < 3; c++) {
                size_t from = ((size_t)(y / l.scale) * 20 + x / l.scale) * 3 + c;
                int difference = abs(a.rgb[from] - b.rgb[from]) * 8;
                int want[3] = {a.rgb[from], b.rgb[from], difference > 255 ? 255 : difference};
                for (int p = 0; p < 3; p++) {
                    size_t at =
                        ((size_t)(l.pane[p].picture.y + y) * l.width + l.pane[p].picture.x + x) *
                            3 +
                        c;
                    assert_int_equal(canvas[at], want[p]);
                }
            }
    assert_int_equal(vg_compose_caption_lines(&l, captions, 2), 2);
    assert_int_equal(vg_compose_caption_lines(&l, captions, 1), 1);
    /* Text outside of the canvas, or no text, writes nothing. */
    uint8_t tiny[4 * 4 * 3] = {0};
    assert_int_equal(vg_compose_text(tiny, 4, 4, -100, -100, 8, 0xffffff, "abc", 10), 3);
    assert_int_equal(vg_compose_text(tiny, 4, 4, 0, 0, 8, 0xffffff, "", 10), 0);
    assert_int_equal(vg_compose_text(tiny, 4, 4, 0, 0, 8, 0xffffff, "abcdef", 3), 3);
    vg_compose_text(tiny, 4, 4, 2, -6, 20, 0xffffff, "\xE2\x82", 3);
    free(canvas);
    free(a.rgb);
    free(b.rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_come_back_bit_for_bit),
        cmocka_unit_test(test_frames_same_input_same_bytes),
        cmocka_unit_test(test_frames_tensor_form_is_read),
        cmocka_unit_test(test_frames_unwritable_places),
        cmocka_unit_test(test_frames_full_disk_keeps_the_old_file),
        cmocka_unit_test(test_frames_damaged_clips_are_errors),
        cmocka_unit_test(test_frames_comparison_layout),
        cmocka_unit_test(test_frames_comparison_pixels),
    };
    return cmocka_run_group_tests(tests, scratch_group_open, scratch_group_close);
}
