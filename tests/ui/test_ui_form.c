/* test_ui_form.c: the setup form's forecast: stages of several schemes in one list, and the device it is held against. The program is its
 * own `vgen device`: it answers what the environment says. */
#include "tests/check.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/settings/paths.h"
#include "app/media/media_file.h"
#include "app/tui/tui_complete.h"
#include "app/tui/tui_device.h"
#include "app/tui/tui_form.h"
#include "kernels/base/fileio.h"

#define GIB (1ull << 30)

static void form_open(vg_tui_form *form, const char *schemes)
{
    vg_settings s = {{0}};
    vg_err err;
    CHECK_OK(vg_settings_set(&s, VG_OPT_model, "demo", &err), err);
    CHECK_OK(vg_settings_set(&s, VG_OPT_prompt, "a ball", &err), err);
    CHECK_OK(vg_settings_set(&s, VG_OPT_quantization, schemes, &err), err);
    vg_tui_form_init(form, &s);
    vg_settings_deinit(&s);
}

static void form_set(vg_tui_form *form, vg_option_id id, const char *text)
{
    vg_err err;
    CHECK_OK(vg_settings_set(&form->settings, id, text, &err), err);
    form->dirty = true;
}

static void test_ui_form_lists_each_stage_once_in_order(void **state)
{
    (void)state;
    static const char *const wanted[] = {"text", "calibrate", "transformer", "transformer_2",
                                         "decode"};
    static const char *const orders[] = {"bf16,fp8", "fp8,bf16", "fp8-block,fp8,bf16"};
    for (size_t k = 0; k < sizeof orders / sizeof *orders; k++) {
        vg_tui_form form;
        form_open(&form, orders[k]);
        vg_ui_plan plan = vg_tui_form_plan(&form);
        assert_int_equal(plan.count, 5);
        int peaks = 0;
        for (int i = 0; i < plan.count; i++) {
            assert_string_equal(plan.rows[i].stage, wanted[i]);
            assert_true(plan.rows[i].bytes > 0);
            peaks += plan.rows[i].peak;
        }
        assert_int_equal(peaks, 1);
        /* The transformer in BF16 takes more than in FP8, whichever comes first. */
        form_set(&form, VG_OPT_quantization, "bf16");
        uint64_t most = plan.rows[2].bytes;
        plan = vg_tui_form_plan(&form);
        assert_int_equal(plan.count, 4);
        assert_true(plan.rows[1].bytes == most);
        vg_tui_form_deinit(&form);
    }
}

static void test_ui_form_is_held_against_the_device(void **state)
{
    (void)state;
    vg_tui_form form;
    form_open(&form, "bf16");
    uint64_t host = vg_tui_form_plan(&form).available;
    assert_true(host > 0);
    vg_tui_form_set_device(&form, true, 30 * GIB, "");
    assert_true(vg_tui_form_plan(&form).available == 30 * GIB);
    form_set(&form, VG_OPT_device, "cpu");
    assert_true(vg_tui_form_plan(&form).available != 30 * GIB);
    form_set(&form, VG_OPT_vram_limit, "2");
    assert_true(vg_tui_form_plan(&form).available == 2 * GIB);
    form_set(&form, VG_OPT_vram_limit, "");
    form_set(&form, VG_OPT_device, "cuda");
    assert_true(vg_tui_form_plan(&form).available == 30 * GIB);
    /* Why it is the CPU is said where the job would go there by itself. */
    vg_tui_form_set_device(&form, false, 0, "no driver");
    assert_null(strstr(vg_tui_form_plan(&form).note, "no driver"));
    form_set(&form, VG_OPT_device, "");
    assert_non_null(strstr(vg_tui_form_plan(&form).note, "on the CPU: no driver"));
    form_set(&form, VG_OPT_device, "cuda");
    vg_tui_form_set_device(&form, false, 0, ""); /* a GPU that nobody could look at */
    assert_true(vg_tui_form_plan(&form).available == 0);
    vg_tui_form_deinit(&form);
}

static void test_ui_form_finds_the_field_that_a_message_names(void **state)
{
    (void)state;
    static const struct {
        const char *message, *key;
    } cases[] = {
        {"the model has no transformer folder", "model"}, /* "mode" is in it, and is not meant */
        {"height 100 is not a multiple of 16: 96 or 112", "height"},
        {"heights and widths are odd", "model"},
        {"--num-frames: 18 is not 4k+1", "num_frames"},
        {"guidance_scale_2 needs two experts", "guidance_scale_2"},
        {"width x height: 8192x8192 needs more than this machine has", "width"},
        {"mode i2v needs a picture to begin with: give --image; this model's modes: i2v", "image"},
        {"mode i2v takes no picture to end with (--last-image)", "last_image"},
        {"image: /a/--width/height.png: there is no such file", "image"},
        {"this model has no mode r2v", "mode"},
        {"something else", "model"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(vg_tui_form_field_of(cases[i].message), cases[i].key);
}

static const vg_ui_field *form_field(vg_tui_form *form, const char *key)
{
    int count = 0;
    const vg_ui_field *fields = vg_tui_form_fields(form, &count);
    for (int i = 0; i < count; i++)
        if (!strcmp(fields[i].key, key))
            return &fields[i];
    return NULL;
}

/* Pictures are asked for where the model takes them, and stay to be seen while they are given. */
static void test_ui_form_asks_for_what_the_model_takes(void **state)
{
    (void)state;
    vg_tui_form form;
    char message[256];
    const char *key = NULL;
    form_open(&form, "bf16");
    assert_null(form_field(&form, "image"));
    assert_string_equal(form_field(&form, "mode")->choices[0], "t2v");
    assert_null(form_field(&form, "mode")->choices[1]);
    form_set(&form, VG_OPT_image, "a.png");
    assert_non_null(form_field(&form, "image"));
    assert_null(form_field(&form, "last_image"));
    assert_false(vg_tui_form_check(&form, &key, message, sizeof message));
    assert_string_equal(key, "image");
    form_set(&form, VG_OPT_model, VG_TEST_DIR "/golden/tiny-i2v");
    assert_non_null(form_field(&form, "last_image"));
    assert_int_equal(form_field(&form, "image")->kind, VG_UI_PATH);
    assert_string_equal(form_field(&form, "mode")->choices[0], "i2v");
    assert_string_equal(form_field(&form, "mode")->choices[1], "flf2v");
    assert_true(vg_tui_form_check(&form, &key, message, sizeof message));
    assert_string_equal(vg_tui_form_default(&form, "mode"), "i2v (as given)");
    form_set(&form, VG_OPT_last_image, "b.png");
    assert_string_equal(vg_tui_form_default(&form, "mode"), "flf2v (as given)");
    assert_true(vg_tui_form_plan(&form).count > 0);
    vg_tui_form_deinit(&form);
}

/* A model with a control branch asks for references, a video and a mask; a mode that lacks one says which. */
static void test_ui_form_asks_for_what_vace_takes(void **state)
{
    static const char *const given[] = {"image", "last_image", "reference_image", "video", "mask"};
    (void)state;
    vg_tui_form form;
    char message[256];
    const char *key = NULL;
    form_open(&form, "bf16");
    for (size_t i = 0; i < 5; i++)
        assert_null(form_field(&form, given[i]));
    assert_null(form_field(&form, "conditioning_scale"));
    form_set(&form, VG_OPT_model, VG_TEST_DIR "/golden/tiny-i2v");
    assert_null(form_field(&form, "reference_image"));
    assert_null(form_field(&form, "video"));
    assert_null(form_field(&form, "conditioning_scale"));
    form_set(&form, VG_OPT_model, VG_TEST_DIR "/golden/tiny-vace");
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(form_field(&form, given[i])->kind, VG_UI_PATH);
    assert_true(form_field(&form, "conditioning_scale")->advanced);
    assert_string_equal(vg_tui_form_default(&form, "mode"), "t2v (as given)");
    form_set(&form, VG_OPT_mask, "m.png");
    assert_string_equal(vg_tui_form_default(&form, "mode"), "v2v (as given)");
    form_set(&form, VG_OPT_image, "a.png");
    assert_string_equal(vg_tui_form_default(&form, "mode"), "inpaint (as given)");
    form_set(&form, VG_OPT_mask, "");
    form_set(&form, VG_OPT_image, "");
    form_set(&form, VG_OPT_height, "32");
    form_set(&form, VG_OPT_width, "48");
    form_set(&form, VG_OPT_num_frames, "5");
    form_set(&form, VG_OPT_reference_image, "a.png | b.png");
    assert_string_equal(vg_settings_get(&form.settings, VG_OPT_reference_image), "a.png|b.png");
    assert_string_equal(vg_tui_form_default(&form, "mode"), "r2v (as given)");
    assert_non_null(strstr(vg_tui_form_plan(&form).note, "24 tokens"));
    form_set(&form, VG_OPT_mode, "i2v");
    (void)vg_tui_form_check(&form, &key, message, sizeof message);
    vg_tui_form_deinit(&form);
}

static void completes_kinds(const char *text, unsigned kinds, const char *wanted, const char *names)
{
    char out[512], message[256];
    vg_tui_complete(text, kinds, out, sizeof out, message, sizeof message);
    assert_string_equal(out, wanted);
    assert_string_equal(message, names);
}

static void completes(const char *text, const char *wanted, const char *names)
{
    completes_kinds(text, VG_MEDIA_PICTURE, wanted, names);
}

static void test_ui_form_completes_names_of_pictures(void **state)
{
    (void)state;
    char dir[] = "/tmp/vgen-test-XXXXXX", here[512];
    static const char *const files[] = {
        "first.png",     "first.txt",   "fir tree.JPEG", "\xc3\xa9t\xc3\xa9.webp",
        "\xc3\xa8.webp", ".hidden.png", "a clip.mp4"};
    assert_non_null(mkdtemp(dir));
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(dir), 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        CHECK_OK(vg_file_write_atomic(files[i], "x", 1, &(vg_err){0}), ((vg_err){0}));
    assert_int_equal(mkdir("folder", 0700), 0);
    completes("f", "f", "fir tree.JPEG  first.png  folder/");
    completes("fi", "fir", "");
    completes("fir", "fir", "fir tree.JPEG  first.png");
    completes("firs", "first.png", "");
    completes("first.png", "first.png", "");
    completes("fo", "folder/", "");
    completes("folder/", "folder/", "no picture or folder there begins like this");
    completes("x", "x", "no picture or folder there begins like this");
    completes_kinds("x", VG_MEDIA_CLIP, "x", "no clip or folder there begins like this");
    completes("a", "a", "no picture or folder there begins like this");
    completes_kinds("a", VG_MEDIA_CLIP, "a clip.mp4", "");
    completes_kinds("a", VG_MEDIA_CLIP | VG_MEDIA_PICTURE, "a clip.mp4", "");
    completes("\xc3", "\xc3", "\xc3\xa8.webp  \xc3\xa9t\xc3\xa9.webp"); /* never half a character */
    completes(".", ".hidden.png", "");
    setenv("HOME", dir, 1);
    char *whole = vg_xstrf("%s/first.png", dir);
    completes("~/firs", whole, "");
    free(whole);
    assert_int_equal(chdir(here), 0);
    (void)vg_file_remove_tree(dir, NULL);
}

static void test_ui_form_says_each_unit_once(void **state)
{
    (void)state;
    vg_tui_form form;
    form_open(&form, "bf16");
    int count = 0, seen = 0;
    const vg_ui_field *fields = vg_tui_form_fields(&form, &count);
    for (int i = 0; i < count; i++) {
        bool frames = !strcmp(fields[i].key, "num_frames"), rate = !strcmp(fields[i].key, "fps");
        seen += frames || rate;
        if (frames)
            assert_string_equal(fields[i].unit, "");
        else if (rate)
            assert_string_equal(fields[i].unit, "fps");
    }
    assert_int_equal(seen, 2);
    vg_tui_form_deinit(&form);
}

/* Ask the program that answers `text`. */
static vg_tui_device answer(const char *text)
{
    vg_tui_device device;
    pid_t pid = 0;
    setenv("VG_TEST_ANSWER", text, 1);
    vg_tui_device_init(&device);
    assert_true(vg_tui_device_ask(&device, &pid));
    pid_t other;
    assert_false(vg_tui_device_ask(&device, &other)); /* one at a time */
    bool done = false;
    for (int i = 0; i < 100 && !done; i++) {
        struct pollfd p = {.fd = device.fd, .events = POLLIN};
        (void)poll(&p, 1, 100);
        done = vg_tui_device_take(&device);
    }
    assert_true(done);
    assert_int_equal(device.fd, -1);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    vg_tui_device_deinit(&device);
    return device;
}

static void test_ui_form_device_is_what_the_other_process_says(void **state)
{
    (void)state;
    vg_tui_device d = answer("{\"device\":\"cuda\",\"limit_bytes\":84000000000}\n");
    assert_true(d.is_cuda && d.limit == 84000000000ull);
    d = answer("{\"device\":\"cpu\",\"limit_bytes\":5}\n");
    assert_true(!d.is_cuda && d.limit == 0);
    static const char *const bad[] = {"", "x", "{\"device\":1}",
                                      "{\"device\":\"cuda\",\"limit_bytes\":-1}",
                                      "{\"limit_bytes\":1}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        d = answer(bad[i]);
        assert_true(!d.is_cuda && d.limit == 0);
    }
    char *big = malloc(100001);
    assert_non_null(big);
    memset(big, ' ', 100000);
    big[100000] = 0;
    d = answer(big);
    assert_true(!d.is_cuda && d.limit == 0);
    free(big);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "device")) {
        const char *text = getenv("VG_TEST_ANSWER");
        fputs(text ? text : "", stdout);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ui_form_lists_each_stage_once_in_order),
        cmocka_unit_test(test_ui_form_is_held_against_the_device),
        cmocka_unit_test(test_ui_form_finds_the_field_that_a_message_names),
        cmocka_unit_test(test_ui_form_asks_for_what_the_model_takes),
        cmocka_unit_test(test_ui_form_asks_for_what_vace_takes),
        cmocka_unit_test(test_ui_form_completes_names_of_pictures),
        cmocka_unit_test(test_ui_form_says_each_unit_once),
        cmocka_unit_test(test_ui_form_device_is_what_the_other_process_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
