/* test_settings.c: the options table, values from text and JSON, messages, and what the engine is given. */
#include "tests/check.h"

#include "app/settings/choices.h"
#include "app/settings/settings.h"
#include "engine/run/limits.h"

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
    set_bad(VG_OPT_seed, "-9223372036854775809",
            "from -9223372036854775808 to 18446744073709551615, or random");
    set_bad(VG_OPT_seed, "18446744073709551616", "whole number");
    set_bad(VG_OPT_seed, "- 1", "whole number");
    set_bad(VG_OPT_seed, "-", "whole number");
    set_bad(VG_OPT_seed, "Random", "or random");
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
        {"{\"seed\": -1e19}", "seed", "a whole number"},
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
    vg_settings_params(&s, &p);
    assert_int_equal(p.height, VG_UNSET_INT);
    assert_true(p.guidance_scale == VG_UNSET_DOUBLE && p.scheduler == NULL &&
                p.flow_grid == VG_UNSET_INT);
    assert_int_equal(p.compute, VG_COMPUTE_BF16);
    assert_int_equal(p.vae_compute, VG_COMPUTE_F32);
    assert_int_equal(p.seed, 42);
    CHECK_OK(
        from_text(
            &s,
            "{\"height\": 96, \"guidance_scale\": 0, \"flow_grid\": 0.36, \"scheduler\": \"euler\", \"compute\": \"f32\", \"fp8_act\": \"dynamic\", \"vae_use_tiling\": true, \"quantization\": [\"fp8\", \"bf16\"]}",
            NULL, &err),
        err);
    vg_settings_params(&s, &p);
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

/* torch.manual_seed(-1).initial_seed() is 2^64 - 1. */
static void test_settings_seeds_below_0_are_torchs(void **state)
{
    (void)state;
    vg_settings s = {{0}};
    vg_err err;
    set_ok(&s, VG_OPT_seed, "-1", "18446744073709551615");
    set_ok(&s, VG_OPT_seed, "-5", "18446744073709551611");
    set_ok(&s, VG_OPT_seed, "-9223372036854775808", "9223372036854775808");
    set_ok(&s, VG_OPT_seed, "-0", "0");
    assert_true(vg_settings_seed(&s) == 0);
    CHECK_OK(from_text(&s, "{\"seed\": -3}", NULL, &err), err);
    assert_true(vg_settings_seed(&s) == 18446744073709551613ull);
    vg_settings_deinit(&s);
}

static void test_settings_a_random_seed_is_drawn_once(void **state)
{
    (void)state;
    vg_settings s = {{0}};
    vg_err err;
    uint64_t drawn[4];
    CHECK_OK(vg_settings_set(&s, VG_OPT_seed, "7", &err), err);
    CHECK_OK(vg_settings_draw_seed(&s, &err), err);
    assert_string_equal(vg_settings_get(&s, VG_OPT_seed), "7");
    for (int i = 0; i < 4; i++) {
        CHECK_OK(from_text(&s, "{\"seed\": \"random\"}", NULL, &err), err);
        CHECK_OK(vg_settings_draw_seed(&s, &err), err);
        drawn[i] = vg_settings_seed(&s);
        CHECK_OK(vg_settings_draw_seed(&s, &err), err);
        assert_true(vg_settings_seed(&s) == drawn[i] && drawn[i] <= UINT32_MAX);
    }
    assert_false(drawn[0] == drawn[1] && drawn[1] == drawn[2] && drawn[2] == drawn[3]);
    vg_settings_deinit(&s);
}

/* One range for a setting, in the table and in the engine: every row of either is looked for in the other. */
static void test_settings_ranges_are_the_engines(void **state)
{
    (void)state;
    for (int i = 0; i < vg_limits_count; i++) {
        const vg_limit *l = &vg_limits[i];
        int id = vg_option_find(l->key);
        if (!strcmp(l->key, "max_text_tokens")) /* of the engine alone */
            continue;
        assert_true(id >= 0);
        const vg_option *o = &vg_options[id];
        assert_int_equal(o->type, l->whole ? VG_TYPE_INT : VG_TYPE_REAL);
        if (o->min != l->min || o->max != l->max)
            fail_msg("%s: %g to %g in options.def, %g to %g in limits.c", l->key, o->min, o->max,
                     l->min, l->max);
        /* And it is this field that the setting reaches, and this range that is checked. */
        const double values[] = {o->min, o->max, o->min - 3, o->max + 1};
        for (int k = 0; k < 4; k++) {
            vg_settings s = {{0}};
            vg_generate_params p;
            vg_err err;
            s.text[id] = vg_text_real(values[k]); /* past vg_settings_set, which would refuse */
            vg_settings_params(&s, &p);
            const char *at = (const char *)&p + l->offset;
            assert_true((l->whole ? *(const int *)at : *(const double *)at) == values[k]);
            if (k < 2) {
                CHECK_OK(vg_limits_check(&p, &err), err);
            } else {
                CHECK_FAILS(vg_limits_check(&p, &err), VG_E_ARG, err);
                assert_non_null(strstr(err.message, l->key));
            }
            vg_settings_deinit(&s);
        }
    }
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        const vg_option *o = &vg_options[i];
        bool found = (o->type != VG_TYPE_INT && o->type != VG_TYPE_REAL) ||
                     vg_option_has(o, VG_OPTION_QUANTIZE);
        for (int k = 0; k < vg_limits_count; k++)
            found = found || !strcmp(vg_limits[k].key, o->key);
        if (!found && i != VG_OPT_fps && i != VG_OPT_threads && i != VG_OPT_vram_limit)
            fail_msg("%s: the engine has no range for it", o->key);
    }
}

static void test_settings_defaults_are_the_engines(void **state)
{
    (void)state;
    vg_settings s = {{0}};
    vg_generate_params p, e;
    vg_settings_params(&s, &p);
    vg_generate_params_init(&e);
    assert_true(p.seed == e.seed && p.flow_grid == e.flow_grid && p.steps == e.steps);
    assert_int_equal(p.fp8_act, e.fp8_act);
    assert_int_equal(p.fp8_exact, e.fp8_exact);
    assert_int_equal(p.compute, e.compute);
    assert_int_equal(p.vae_compute, e.vae_compute);
    assert_int_equal(p.vae_tiling, e.vae_tiling);
    assert_int_equal(p.attention_kernel, e.attention_kernel);
    assert_int_equal(p.attention.mode, e.attention.mode);
    assert_int_equal(p.attention.recipe, e.attention.recipe);
    assert_true(p.attention.limit == e.attention.limit &&
                p.attention.self_test == e.attention.self_test &&
                p.attention.first_blocks == e.attention.first_blocks &&
                p.attention.last_blocks == e.attention.last_blocks &&
                p.attention.first_steps == e.attention.first_steps &&
                p.attention.last_steps == e.attention.last_steps);
    assert_int_equal(p.max_steps_run, e.max_steps_run);
    assert_true(p.memory_limit == e.memory_limit && p.scheduler == e.scheduler);
    vg_settings_deinit(&s);
}

/* The position of a word is the value of the enum it stands for. */
static void test_settings_choices_are_the_enums(void **state)
{
    (void)state;
    static const struct {
        vg_option_id id;
        int count;
    } enums[] = {{VG_OPT_compute, VG_COMPUTE_COUNT},
                 {VG_OPT_vae_compute, VG_COMPUTE_COUNT},
                 {VG_OPT_fp8_act, VG_FP8_ACT_COUNT},
                 {VG_OPT_fp8_sums, 2},
                 {VG_OPT_flow_grid, VG_FLOW_GRID_COUNT},
                 {VG_OPT_attention, VG_ATTEND_COUNT},
                 {VG_OPT_attention_recipe, VG_ATTEND_RECIPE_COUNT},
                 {VG_OPT_attention_kernel, VG_ATTENTION_KERNEL_COUNT},
                 {VG_OPT_load_format, VG_LOAD_FORMAT_COUNT},
                 {VG_OPT_device, VG_DEVICE_KIND_COUNT},
                 {VG_OPT_quantization, VG_SCHEME_COUNT}};
    for (size_t i = 0; i < sizeof enums / sizeof *enums; i++) {
        vg_lines words = {0};
        assert_int_equal(vg_option_choices(&vg_options[enums[i].id], &words), enums[i].count);
        for (int k = 0; k < words.count; k++) {
            vg_settings s = {{0}};
            vg_err err;
            CHECK_OK(vg_settings_set(&s, enums[i].id, words.items[k], &err), err);
            assert_int_equal(vg_settings_choice(&s, enums[i].id), k);
            vg_settings_deinit(&s);
        }
        vg_lines_free(&words);
    }
    vg_settings s = {{0}};
    vg_err err;
    vg_generate_params p;
    CHECK_OK(from_text(&s,
                       "{\"compute\": \"f32\", \"vae_compute\": \"bf16\", \"fp8_sums\": \"exact\", "
                       "\"fp8_act\": \"weight-only\", \"attention_kernel\": \"mma\", "
                       "\"attention\": \"qk8v8\", \"attention_recipe\": \"no-rotation\", "
                       "\"attention_self_test\": true, "
                       "\"precision\": \"blocks.0.*=bf16\", "
                       "\"load_format\": \"dummy\", \"device\": \"cuda\"}",
                       NULL, &err),
             err);
    vg_settings_params(&s, &p);
    assert_int_equal(p.compute, VG_COMPUTE_F32);
    assert_int_equal(p.vae_compute, VG_COMPUTE_BF16);
    assert_true(p.fp8_exact);
    assert_int_equal(p.fp8_act, VG_FP8_ACT_WEIGHT_ONLY);
    assert_int_equal(p.attention_kernel, VG_ATTENTION_MMA);
    assert_true(p.attention.mode == VG_ATTEND_QK8V8 && p.attention.self_test &&
                p.attention.recipe == VG_ATTEND_RECIPE_NO_ROTATION);
    assert_string_equal(p.precision, "blocks.0.*=bf16");
    assert_int_equal(p.device, VG_DEVICE_CUDA);
    assert_int_equal(vg_settings_load_format(&s), VG_LOAD_DUMMY);
    vg_settings_deinit(&s);
}

static void test_settings_rows_say_what_they_decide(void **state)
{
    (void)state;
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        const vg_option *o = &vg_options[i];
        assert_int_equal(strspn(o->decides, "PSC"), strlen(o->decides));
        assert_int_equal(strspn(o->flags, "FPHQV"), strlen(o->flags));
        if (*o->decides) /* what decides scales or conditions decides pixels */
            assert_true(vg_option_decides(o, VG_DECIDES_PIXELS));
        assert_int_equal(vg_option_applies(o, "t2v"), !*o->modes);
    }
    /* Variants are compared picture by picture. */
    static const vg_option_id shape[] = {VG_OPT_height, VG_OPT_width, VG_OPT_num_frames,
                                         VG_OPT_fps};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        assert_false(vg_option_has(&vg_options[shape[i]], VG_OPTION_VARIES));
    assert_true(vg_option_has(&vg_options[VG_OPT_seed], VG_OPTION_VARIES));
    const vg_option some = {.key = "x", .modes = "vace|r2v"};
    assert_true(vg_option_applies(&some, "r2v") && vg_option_applies(&some, "vace"));
    assert_false(vg_option_applies(&some, "t2v") || vg_option_applies(&some, "r2") ||
                 vg_option_applies(&some, ""));
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
        cmocka_unit_test(test_settings_seeds_below_0_are_torchs),
        cmocka_unit_test(test_settings_a_random_seed_is_drawn_once),
        cmocka_unit_test(test_settings_ranges_are_the_engines),
        cmocka_unit_test(test_settings_defaults_are_the_engines),
        cmocka_unit_test(test_settings_choices_are_the_enums),
        cmocka_unit_test(test_settings_rows_say_what_they_decide),
        cmocka_unit_test(test_text_is_safe_and_cut_at_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
