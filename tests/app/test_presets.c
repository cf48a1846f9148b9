/* test_presets.c: the presets that come along, a person's own, and broken ones. */
#include "tests/app/test_cli.h"

#include "app/settings/paths.h"
#include "app/settings/presets.h"

static void test_presets_that_came_along_load_without_warnings(void **state)
{
    (void)state;
    static const char *const names[] = {"demo",
                                        "hunyuanvideo-1.5-480p-t2v",
                                        "hunyuanvideo-1.5-480p-t2v-distilled",
                                        "hunyuanvideo-1.5-720p-t2v",
                                        "wan2.1-flf2v-14b-720p",
                                        "wan2.1-i2v-14b-480p",
                                        "wan2.1-i2v-14b-720p",
                                        "wan2.1-t2v-1.3b-480p",
                                        "wan2.1-t2v-14b-480p",
                                        "wan2.1-t2v-14b-720p",
                                        "wan2.1-vace-1.3b-480p",
                                        "wan2.1-vace-14b-480p",
                                        "wan2.1-vace-14b-720p",
                                        "wan2.1-vace-14b-r2v-480p",
                                        "wan2.2-i2v-a14b-480p",
                                        "wan2.2-i2v-a14b-720p",
                                        "wan2.2-t2v-a14b-480p",
                                        "wan2.2-t2v-a14b-720p",
                                        "wan2.2-ti2v-5b-704p"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vg_settings s = {{0}};
        vg_lines warnings = {0};
        vg_err err;
        CHECK_OK(vg_presets_load(names[i], &s, &warnings, &err), err);
        assert_int_equal(warnings.count, 0);
        assert_true(vg_settings_is_set(&s, VG_OPT_model) && vg_settings_is_set(&s, VG_OPT_height) &&
                    vg_settings_is_set(&s, VG_OPT_num_inference_steps));
        assert_int_equal((vg_settings_int(&s, VG_OPT_num_frames) - 1) % 4, 0);
        vg_settings_deinit(&s);
    }
    vg_settings s = {{0}};
    vg_err err;
    CHECK_OK(vg_presets_load("wan2.2-t2v-a14b-720p", &s, NULL, &err), err);
    assert_string_equal(vg_settings_get(&s, VG_OPT_boundary_ratio), "0.875");
    assert_string_equal(vg_settings_get(&s, VG_OPT_flow_shift), "12");
    assert_string_equal(vg_settings_get(&s, VG_OPT_guidance_scale), "4");
    assert_string_equal(vg_settings_get(&s, VG_OPT_guidance_scale_2), "3");
    vg_settings_deinit(&s);
    CHECK_OK(vg_presets_load("wan2.2-i2v-a14b-720p", &s, NULL, &err), err);
    assert_string_equal(vg_settings_get(&s, VG_OPT_boundary_ratio), "0.9");
    assert_string_equal(vg_settings_get(&s, VG_OPT_flow_shift), "5");
    assert_string_equal(vg_settings_get(&s, VG_OPT_guidance_scale), "3.5");
    assert_string_equal(vg_settings_get(&s, VG_OPT_guidance_scale_2), "3.5");
    assert_false(vg_settings_is_set(&s, VG_OPT_mode)); /* by what is given: one picture or two */
    vg_settings_deinit(&s);
    CHECK_OK(vg_presets_load("wan2.2-ti2v-5b-704p", &s, NULL, &err), err);
    assert_string_equal(vg_settings_get(&s, VG_OPT_num_frames), "121");
    assert_string_equal(vg_settings_get(&s, VG_OPT_fps), "24");
    assert_false(vg_settings_is_set(&s, VG_OPT_mode)); /* text alone, or with a picture */
    vg_settings_deinit(&s);
}

/* Sizes of image to video follow from the picture, so its presets have none. */
static void test_presets_of_hunyuanvideo_fit_their_model(void **state)
{
    static const struct {
        const char *name, *shift, *guidance, *steps;
        bool size;
    } cases[] = {{"hunyuanvideo-1.5-480p-t2v", "5", "6", "50", true},
                 {"hunyuanvideo-1.5-480p-t2v-distilled", "5", "1", "50", true},
                 {"hunyuanvideo-1.5-720p-t2v", "9", "6", "50", true},
                 {"hunyuanvideo-1.5-480p-i2v", "5", "6", "50", false},
                 {"hunyuanvideo-1.5-480p-i2v-distilled", "5", "1", "50", false},
                 {"hunyuanvideo-1.5-480p-i2v-step-distilled", "7", "1", "12", false},
                 {"hunyuanvideo-1.5-720p-i2v", "7", "6", "50", false},
                 {"hunyuanvideo-1.5-720p-i2v-distilled", "7", "1", "50", false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vg_settings s = {{0}};
        vg_lines warnings = {0};
        vg_err err;
        CHECK_OK(vg_presets_load(cases[i].name, &s, &warnings, &err), err);
        assert_int_equal(warnings.count, 0);
        assert_string_equal(vg_settings_get(&s, VG_OPT_flow_shift), cases[i].shift);
        assert_string_equal(vg_settings_get(&s, VG_OPT_guidance_scale), cases[i].guidance);
        assert_string_equal(vg_settings_get(&s, VG_OPT_num_inference_steps), cases[i].steps);
        assert_true(vg_settings_is_set(&s, VG_OPT_height) == cases[i].size);
        assert_true(vg_settings_is_set(&s, VG_OPT_width) == cases[i].size);
        vg_settings_deinit(&s);
    }
}

static void test_presets_own_ones_win_and_are_listed(void **state)
{
    (void)state;
    vg_settings s = {{0}}, back = {{0}};
    vg_err err;
    char *path = NULL;
    CHECK_OK(vg_settings_set(&s, VG_OPT_height, "32", &err), err);
    CHECK_OK(vg_presets_save("demo", &s, "mine", &path, &err), err);
    assert_non_null(strstr(path, "/config/vgen/presets/demo.json"));
    CHECK_OK(vg_presets_load("demo", &back, NULL, &err), err);
    assert_string_equal(vg_settings_get(&back, VG_OPT_height), "32");
    assert_false(vg_settings_is_set(&back, VG_OPT_prompt));
    vg_preset_entry *entries;
    int count, demos = 0;
    vg_presets_list(&entries, &count);
    for (int i = 0; i < count; i++) {
        if (!strcmp(entries[i].name, "demo")) {
            demos++;
            assert_true(entries[i].user);
            assert_string_equal(entries[i].description, "mine");
        }
        assert_true(i == 0 || strcmp(entries[i - 1].name, entries[i].name) < 0);
    }
    assert_int_equal(demos, 1);
    vg_presets_list_free(entries, count);
    /* A file that was put there by hand may have any name; what is listed can be loaded. */
    char *copy = vg_xstrf("%.*s/with space.json", (int)(strrchr(path, '/') - path), path);
    assert_int_equal(rename(path, copy), 0);
    CHECK_OK(vg_presets_load("with space", &back, NULL, &err), err);
    assert_int_equal(rename(copy, path), 0);
    free(copy);
    assert_int_equal(unlink(path), 0);
    free(path);
    vg_settings_deinit(&s);
    vg_settings_deinit(&back);
}

/* A preset is used from any folder. */
static void test_presets_keep_pictures_by_their_whole_paths(void **state)
{
    (void)state;
    vg_settings s = {{0}}, back = {{0}};
    vg_err err;
    char *path = NULL, *whole = vg_paths_absolute("a fox.png");
    CHECK_OK(vg_settings_set(&s, VG_OPT_image, "a fox.png", &err), err);
    CHECK_OK(vg_settings_set(&s, VG_OPT_last_image, "/b.png", &err), err);
    CHECK_OK(vg_presets_save("pictures", &s, NULL, &path, &err), err);
    CHECK_OK(vg_presets_load("pictures", &back, NULL, &err), err);
    assert_string_equal(vg_settings_get(&back, VG_OPT_image), whole);
    assert_string_equal(vg_settings_get(&back, VG_OPT_last_image), "/b.png");
    assert_string_equal(vg_settings_get(&s, VG_OPT_image), "a fox.png");
    assert_int_equal(unlink(path), 0);
    free(path);
    free(whole);
    vg_settings_deinit(&s);
    vg_settings_deinit(&back);
}

static void test_presets_bad_names_leave_no_file(void **state)
{
    (void)state;
    static const char *const names[] = {"",        ".",          "..",      "../x", "a/b",
                                        ".hidden", "with space", "esc\x1b", "x\n"};
    vg_settings s = {{0}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vg_err err;
        CHECK_FAILS(vg_presets_save(names[i], &s, NULL, NULL, &err), VG_E_ARG, err);
    }
}

static void test_presets_unknown_name_gives_the_nearest(void **state)
{
    (void)state;
    vg_settings s = {{0}};
    vg_err err;
    CHECK_FAILS(vg_presets_load("dmeo", &s, NULL, &err), VG_E_MISSING, err);
    assert_non_null(strstr(err.message, "did you mean demo"));
    CHECK_FAILS(vg_presets_load("../../no-such-file", &s, NULL, &err), VG_E_MISSING, err);
}

static void test_presets_broken_text_is_one_line(void **state)
{
    (void)state;
    static const char *const texts[] = {"",         "[]",
                                        "{",        "{\"height\": }",
                                        "null",     "{\"height\": 1e999}",
                                        "\x1b[31m", "{\"prompt\": \"\xff\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        vg_settings s = {{0}};
        vg_err err;
        CHECK_FAILS(vg_presets_parse(texts[i], strlen(texts[i]), "bad.json", &s, NULL, &err),
                    VG_E_FORMAT, err);
        assert_true(cli_is_clean(err.message) && !strchr(err.message, '\n'));
        assert_non_null(strstr(err.message, "bad.json"));
        vg_settings_deinit(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_presets_that_came_along_load_without_warnings),
        cmocka_unit_test(test_presets_of_hunyuanvideo_fit_their_model),
        cmocka_unit_test(test_presets_own_ones_win_and_are_listed),
        cmocka_unit_test(test_presets_keep_pictures_by_their_whole_paths),
        cmocka_unit_test(test_presets_bad_names_leave_no_file),
        cmocka_unit_test(test_presets_unknown_name_gives_the_nearest),
        cmocka_unit_test(test_presets_broken_text_is_one_line),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
