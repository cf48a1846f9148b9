/* test_settings.c: the options table, values from text and JSON, messages, and what the engine is given. */
#include "tests/check.h"

#include "app/settings/settings.h"

static void set_ok(vg_settings *s, vg_option_id id, const char *text, const char *canonical)
{
    vg_err err;
    CHECK_OK(vg_settings_set(s, id, text, &err), err);
    assert_string_equal(vg_settings_get(s, id), canonical);
}

static void set_bad(vg_option_id id, const char *text, const char *in_message)
{
    vg_settings s = {{0}};
    vg_err err;
    CHECK_FAILS(vg_settings_set(&s, id, text, &err), VG_E_ARG, err);
    if (!strstr(err.message, in_message) || !strstr(err.message, vg_options[id].key))
        fail_msg("\"%s\" says neither %s nor %s", err.message, in_message, vg_options[id].key);
    assert_false(vg_settings_is_set(&s, id));
    vg_settings_deinit(&s);
}

static void test_settings_table_is_sound(void **state)
{
    (void)state;
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        const vg_option *o = &vg_options[i];
        vg_settings s = {{0}};
        vg_err err;
        char flag[64];
        assert_true(*o->label && *o->help && *o->group && *o->key);
        assert_int_equal(vg_option_find(o->key), i);
        assert_int_equal(vg_option_find(vg_option_flag(o, flag, sizeof flag)), i);
        if (*o->def)
            CHECK_OK(vg_settings_set(&s, (vg_option_id)i, o->def, &err), err);
        if (o->type == VG_TYPE_ENUM || o->type == VG_TYPE_LIST)
            assert_true(*o->choices);
        vg_settings_deinit(&s);
    }
    assert_int_equal(vg_option_find("no_such"), -1);
    assert_int_equal(vg_option_find("num-frames-"), -1);
    assert_int_equal(vg_option_find(""), -1);
}

static void test_settings_values_become_canonical(void **state)
{
    (void)state;
    vg_settings s = {{0}};
    set_ok(&s, VG_OPT_height, " 480 ", "480");
    set_ok(&s, VG_OPT_height, "0480", "480");
    set_ok(&s, VG_OPT_guidance_scale, "4.50", "4.5");
    set_ok(&s, VG_OPT_guidance_scale, "1e0", "1");
    set_ok(&s, VG_OPT_flow_shift, "0.1", "0.1");
    set_ok(&s, VG_OPT_vae_use_tiling, "YES", "true");
    set_ok(&s, VG_OPT_vae_use_tiling, "off", "false");
    set_ok(&s, VG_OPT_seed, "18446744073709551615", "18446744073709551615");
    set_ok(&s, VG_OPT_quantization, "fp8-block , bf16", "fp8-block,bf16");
    set_ok(&s, VG_OPT_prompt, " kept as it is ", " kept as it is ");
    set_ok(&s, VG_OPT_negative_prompt, "", "");
    assert_true(vg_settings_is_set(&s, VG_OPT_negative_prompt));
    /* "" unsets what is not a text. */
    set_ok(&s, VG_OPT_height, "", "");
    assert_false(vg_settings_is_set(&s, VG_OPT_height));
    set_ok(&s, VG_OPT_fps, "", "16");
    vg_settings_deinit(&s);
}

static void test_settings_wrong_values_are_explained(void **state)
{
    (void)state;
    set_bad(VG_OPT_height, "17x", "whole number from 16 to 8192");
    set_bad(VG_OPT_height, "15", "16 to 8192");
    set_bad(VG_OPT_height, "99999999999999999999", "whole number");
    set_bad(VG_OPT_height, "4.5", "whole number");
    set_bad(VG_OPT_guidance_scale, "nan", "number from");
    set_bad(VG_OPT_guidance_scale, "inf", "number from");
    set_bad(VG_OPT_guidance_scale, "0x10", "number from");
    set_bad(VG_OPT_seed, "-1", "whole number");
    set_bad(VG_OPT_seed, "18446744073709551616", "whole number");
    set_bad(VG_OPT_vae_use_tiling, "maybe", "true or false");
    set_bad(VG_OPT_quantization, "bf16,bf16", "twice");
    set_bad(VG_OPT_quantization, "fp9", "did you mean fp8");
    set_bad(VG_OPT_quantization, "bf16,", "not known");
    set_bad(VG_OPT_scheduler, "unipcc", "did you mean unipc");
    set_bad(VG_OPT_prompt, "\xff\xfe", "UTF-8");
    static char long_text[65538];
    memset(long_text, 'a', sizeof long_text - 1);
    set_bad(VG_OPT_prompt, long_text, "too long");
}

static void test_settings_messages_hold_no_controls(void **state)
{
    (void)state;
    vg_settings s = {{0}};
    vg_err err = {0};
    assert_int_equal(vg_settings_set(&s, VG_OPT_scheduler, "\x1b]0;owned\x07", &err), VG_E_ARG);
    for (const char *c = err.message; *c; c++)
        assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void test_settings_survive_json(void **state)
{
    (void)state;
    vg_settings s = {{0}}, back = {{0}};
    vg_err err;
    vg_lines warnings = {0};
    static const struct {
        vg_option_id id;
        const char *text;
    } values[] = {{VG_OPT_seed, "18446744073709551615"},
                  {VG_OPT_height, "480"},
                  {VG_OPT_guidance_scale, "4.1"},
                  {VG_OPT_vae_use_tiling, "true"},
                  {VG_OPT_quantization, "bf16,fp8"},
                  {VG_OPT_flow_grid, "0.36"},
                  {VG_OPT_prompt, "a \"b\"\n\t\xe8\x89\xb2"},
                  {VG_OPT_boundary_ratio, "0.875"},
                  {VG_OPT_negative_prompt, ""},
                  {VG_OPT_output, "/x/y.mp4"}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        CHECK_OK(vg_settings_set(&s, values[i].id, values[i].text, &err), err);
    cJSON *json = vg_settings_to_json(&s);
    assert_true(cJSON_IsNumber(cJSON_GetObjectItem(json, "height")));
    assert_true(cJSON_IsString(cJSON_GetObjectItem(json, "seed")));
    assert_true(cJSON_IsArray(cJSON_GetObjectItem(json, "quantization")));
    CHECK_OK(vg_settings_from_json(&back, json, "test", &warnings, &err), err);
    assert_int_equal(warnings.count, 0);
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        assert_int_equal(s.text[i] == NULL, back.text[i] == NULL);
        if (s.text[i])
            assert_string_equal(s.text[i], back.text[i]);
    }
    cJSON_Delete(json);
    vg_settings_deinit(&s);
    vg_settings_deinit(&back);
}

static vg_status from_text(vg_settings *s, const char *text, vg_lines *warnings, vg_err *err)
{
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    vg_status status = vg_settings_from_json(s, json, "file.json", warnings, err);
    cJSON_Delete(json);
    return status;
}

static void test_settings_json_errors_name_file_key_and_right_value(void **state)
{
    (void)state;
    static const struct {
        const char *json, *key, *right;
    } cases[] = {
        {"{\"height\": \"big\"}", "height", "a whole number from 16 to 8192"},
        {"{\"height\": \"480\"}", "height", "a whole number from 16 to 8192"},
        {"{\"height\": 480.5}", "height", "a whole number"},
        {"{\"height\": 1e300}", "height", "a whole number"},
        {"{\"height\": [480]}", "height", "a whole number"},
        {"{\"guidance_scale\": true}", "guidance_scale", "a number from 0 to 100"},
        {"{\"vae_use_tiling\": 1}", "vae_use_tiling", "true or false"},
        {"{\"prompt\": {}}", "prompt", "a text"},
        {"{\"quantization\": []}", "quantization", "empty"},
        {"{\"quantization\": [\"bf16\", 8]}", "quantization", "bf16, fp8 or fp8-block"},
        {"{\"quantization\": \"bf17\"}", "quantization", "did you mean bf16"},
        {"{\"seed\": -3}", "seed", "a whole number"},
        {"{\"seed\": 1e30}", "seed", "a whole number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vg_settings s = {{0}};
        vg_err err;
        CHECK_FAILS(from_text(&s, cases[i].json, NULL, &err), VG_E_FORMAT, err);
        if (!strstr(err.message, "file.json") || !strstr(err.message, cases[i].key) ||
            !strstr(err.message, cases[i].right))
            fail_msg("%s: \"%s\"", cases[i].json, err.message);
        vg_settings_deinit(&s);
    }
}

static void test_settings_unknown_keys_warn_with_the_nearest(void **state)
{
    (void)state;
    vg_settings s = {{0}};
    vg_lines warnings = {0};
    vg_err err;
    CHECK_OK(
        from_text(
            &s,
            "{\"heigth\": 480, \"_comment\": 5, \"zzzzzz\": 1, \"width\": 64, \"steps\": 4, \"fps\": null}",
            &warnings, &err),
        err);
    assert_int_equal(warnings.count, 3);
    assert_non_null(strstr(warnings.items[0], "did you mean height"));
    assert_null(strstr(warnings.items[1], "did you mean"));
    assert_non_null(strstr(warnings.items[2], "did you mean num_inference_steps"));
    assert_int_equal(vg_settings_int(&s, VG_OPT_width), 64);
    assert_false(vg_settings_is_set(&s, VG_OPT_fps));
    vg_lines_free(&warnings);
    vg_settings_deinit(&s);
}

static void test_settings_a_bad_file_changes_nothing(void **state)
{
    (void)state;
    vg_settings s = {{0}};
    vg_err err;
    CHECK_OK(vg_settings_set(&s, VG_OPT_width, "128", &err), err);
    CHECK_FAILS(from_text(&s, "{\"width\": 64, \"height\": false}", NULL, &err), VG_E_FORMAT, err);
    assert_int_equal(vg_settings_int(&s, VG_OPT_width), 128);
    vg_settings_deinit(&s);
}

static void test_settings_reach_the_engine(void **state)
{
    (void)state;
    vg_settings s = {{0}};
    vg_generate_params p;
    vg_err err;
    vg_settings_params(&s, VG_SCHEME_FP8, &p);
    assert_int_equal(p.height, VG_UNSET_INT);
    assert_true(p.guidance_scale == VG_UNSET_DOUBLE && p.scheduler == NULL &&
                p.flow_grid == VG_UNSET_INT);
    assert_int_equal(p.compute, VG_COMPUTE_BF16);
    assert_int_equal(p.vae_compute, VG_COMPUTE_F32);
    assert_int_equal(p.seed, 42);
    CHECK_OK(
        from_text(
            &s,
            "{\"height\": 96, \"guidance_scale\": 0, \"flow_grid\": 0.36, \"scheduler\": \"euler\", \"compute\": \"f32\", \"fp8_act\": \"dynamic\", \"vae_use_tiling\": true}",
            NULL, &err),
        err);
    vg_settings_params(&s, VG_SCHEME_FP8, &p);
    assert_int_equal(p.height, 96);
    assert_true(p.guidance_scale == 0 && p.vae_tiling);
    assert_int_equal(p.flow_grid, VG_FLOW_GRID_036);
    assert_string_equal(p.scheduler, "euler");
    assert_int_equal(p.fp8_act, VG_FP8_ACT_DYNAMIC);
    assert_int_equal(p.compute, VG_COMPUTE_F32);
    assert_int_equal(p.scheme, VG_SCHEME_FP8);
    p.width = 160;
    p.guidance_scale_2 = 3.25;
    CHECK_OK(vg_settings_take_resolved(&s, &p, &err), err);
    assert_string_equal(vg_settings_get(&s, VG_OPT_width), "160");
    assert_string_equal(vg_settings_get(&s, VG_OPT_guidance_scale_2), "3.25");
    vg_settings_deinit(&s);
}

static void test_text_is_safe_and_cut_at_characters(void **state)
{
    (void)state;
    char *clean = vg_text_clean("a\x1b[31m\x07\n\xc2\x9b"
                                "b\xe2\x80\xae\xff\xe8\x89\xb2");
    assert_string_equal(clean, "a?[31m? ?b??\xe8\x89\xb2");
    free(clean);
    char small[4];
    vg_text_clean_to(small, sizeof small, "ab\xe8\x89\xb2");
    assert_string_equal(small, "ab");
    char cut[] = "a long line of text";
    vg_text_cut(cut, 8);
    assert_string_equal(cut, "a lon...");
    assert_int_equal(vg_text_distance("heigth", "height"), 1);
    assert_int_equal(vg_text_distance("abc", ""), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings_table_is_sound),
        cmocka_unit_test(test_settings_values_become_canonical),
        cmocka_unit_test(test_settings_wrong_values_are_explained),
        cmocka_unit_test(test_settings_messages_hold_no_controls),
        cmocka_unit_test(test_settings_survive_json),
        cmocka_unit_test(test_settings_json_errors_name_file_key_and_right_value),
        cmocka_unit_test(test_settings_unknown_keys_warn_with_the_nearest),
        cmocka_unit_test(test_settings_a_bad_file_changes_nothing),
        cmocka_unit_test(test_settings_reach_the_engine),
        cmocka_unit_test(test_text_is_safe_and_cut_at_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
