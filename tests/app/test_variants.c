/* test_variants.c: what is asked with --variant and --quantization: labels, ids, overlays, messages; and what job.json keeps of it. */
#include "tests/check.h"

#include "app/settings/variants.h"

static vg_settings shared_of(const char *quantization)
{
    vg_settings s = {{0}};
    vg_err err;
    if (quantization)
        CHECK_OK(vg_settings_set(&s, VG_OPT_quantization, quantization, &err), err);
    return s;
}

static void make(const char *quantization, const char *const *texts, int count, vg_variants *v)
{
    vg_settings s = shared_of(quantization);
    vg_err err;
    CHECK_OK(vg_variants_make(&s, texts, count, v, &err), err);
    vg_settings_deinit(&s);
}

static void expect(const vg_variant *v, const char *id, const char *label, vg_scheme scheme)
{
    assert_string_equal(v->id, id);
    assert_string_equal(v->label, label);
    assert_int_equal(vg_variant_scheme(v), scheme);
}

static void test_variants_schemes_are_the_shorthand(void **state)
{
    (void)state;
    vg_variants v = {0};
    make("fp8,bf16,fp8-block", NULL, 0, &v);
    assert_int_equal(v.count, 3);
    expect(&v.items[0], "fp8", "FP8 per-tensor", VG_SCHEME_FP8);
    expect(&v.items[1], "bf16", "BF16", VG_SCHEME_BF16);
    expect(&v.items[2], "fp8-block", "FP8 per-block", VG_SCHEME_FP8_BLOCK);
    vg_variants_deinit(&v);
    make(NULL, NULL, 0, &v);
    assert_int_equal(v.count, 1);
    expect(&v.items[0], "bf16", "BF16", VG_SCHEME_BF16);
    vg_variants_deinit(&v);
}

/* 8-bit attention is in the name of what has it, however it was asked for. */
static void test_variants_say_that_attention_has_8_bits(void **state)
{
    (void)state;
    vg_variants v = {0};
    vg_err err;
    static const char *const texts[] = {"quantization=fp8,attention=qk8v8",
                                        "attention=auto,quantization=bf16", "own: attention=qk8v8",
                                        "quantization=fp8-block"};
    make("bf16", texts, 4, &v);
    expect(&v.items[0], "bf16", "BF16", VG_SCHEME_BF16);
    expect(&v.items[1], "fp8-attn8", "FP8 per-tensor + attn8", VG_SCHEME_FP8);
    expect(&v.items[2], "bf16-attn8-auto", "BF16 + attn8 auto", VG_SCHEME_BF16);
    expect(&v.items[3], "own", "own", VG_SCHEME_BF16);
    expect(&v.items[4], "fp8-block", "FP8 per-block", VG_SCHEME_FP8_BLOCK);
    vg_variants_deinit(&v);
    vg_settings s = shared_of("bf16,fp8");
    CHECK_OK(vg_settings_set(&s, VG_OPT_attention, "qk8v8", &err), err);
    static const char *const others[] = {"quantization=fp8-block",
                                         "quantization=fp8,attention=bf16"};
    CHECK_OK(vg_variants_make(&s, others, 2, &v, &err), err);
    expect(&v.items[0], "bf16-attn8", "BF16 + attn8", VG_SCHEME_BF16);
    expect(&v.items[1], "fp8-attn8", "FP8 per-tensor + attn8", VG_SCHEME_FP8);
    expect(&v.items[2], "fp8-block-attn8", "FP8 per-block + attn8", VG_SCHEME_FP8_BLOCK);
    expect(&v.items[3], "fp8", "FP8 per-tensor", VG_SCHEME_FP8);
    vg_variants_deinit(&v);
    vg_settings_deinit(&s);
}

static void test_variants_of_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "other seed: seed=43",
        " Schnell! : quantization=fp8 , num-inference-steps = 4",
        "prompt='a \"fox\", red',seed=44",
        "quantization=fp8-block",
        "l\xc3\xa4nge: flow_shift=1",
        "\xe8\x89\xb2: guidance_scale=1",
        "\xe7\x8b\x90: guidance_scale=2",
        "model=/some/where/wan-fp8",
        "x: negative_prompt=\"a\\\"b\"",
    };
    vg_variants v = {0};
    make("bf16", texts, 9, &v);
    assert_int_equal(v.count, 10);
    expect(&v.items[0], "bf16", "BF16", VG_SCHEME_BF16);
    expect(&v.items[1], "other-seed", "other seed", VG_SCHEME_BF16);
    assert_string_equal(v.items[1].overlay.text[VG_OPT_seed], "43");
    expect(&v.items[2], "schnell", "Schnell!", VG_SCHEME_FP8);
    assert_string_equal(v.items[2].overlay.text[VG_OPT_num_inference_steps], "4");
    assert_string_equal(v.items[3].overlay.text[VG_OPT_prompt], "a \"fox\", red");
    assert_string_equal(v.items[3].overlay.text[VG_OPT_seed], "44");
    expect(&v.items[4], "fp8-block", "FP8 per-block", VG_SCHEME_FP8_BLOCK);
    expect(&v.items[5], "l-nge", "l\xc3\xa4nge", VG_SCHEME_BF16);
    expect(&v.items[6], "variant", "\xe8\x89\xb2", VG_SCHEME_BF16);
    expect(&v.items[7], "variant-2", "\xe7\x8b\x90", VG_SCHEME_BF16);
    expect(&v.items[8], "model-wan-fp8", "model=wan-fp8", VG_SCHEME_BF16);
    assert_string_equal(v.items[9].overlay.text[VG_OPT_negative_prompt], "a\"b");
    /* What a run takes: the shared settings under the overlay. */
    vg_settings s = shared_of("bf16,fp8"), run = {{0}};
    vg_err err;
    CHECK_OK(vg_settings_set(&s, VG_OPT_height, "96", &err), err);
    vg_variant_settings(&s, &v.items[2], &run);
    assert_string_equal(vg_settings_get(&run, VG_OPT_quantization), "fp8");
    assert_int_equal(vg_settings_int(&run, VG_OPT_height), 96);
    assert_int_equal(vg_settings_int(&run, VG_OPT_num_inference_steps), 4);
    vg_settings_deinit(&s);
    vg_settings_deinit(&run);
    vg_variants_deinit(&v);
}

static void test_variants_one_that_changes_nothing_names_what_is_there(void **state)
{
    (void)state;
    static const char *const texts[] = {"seed 42: seed=42", "seed 43: seed=43",
                                        "quick: quantization=fp8"};
    vg_variants v = {0};
    make("bf16,fp8", texts, 3, &v);
    assert_int_equal(v.count, 3);
    expect(&v.items[0], "seed-42", "seed 42", VG_SCHEME_BF16);
    expect(&v.items[1], "quick", "quick", VG_SCHEME_FP8);
    expect(&v.items[2], "seed-43", "seed 43", VG_SCHEME_BF16);
    vg_variants_deinit(&v);
    /* Each draws its own. */
    static const char *const drawn[] = {"a: seed=random", "b: seed=random"};
    make("bf16", drawn, 2, &v);
    assert_int_equal(v.count, 3);
    vg_variants_deinit(&v);
}

static void test_variants_wrong_ones_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words[2];
    } cases[] = {
        {"x: sed=4", {"sed", "did you mean seed"}},
        {"x: zzzzzz=4", {"zzzzzz", "not a setting"}},
        {"height=64", {"height", "cannot differ"}},
        {"x: width=64", {"width", "cannot differ"}},
        {"x: num_frames=9", {"num_frames", "cannot differ"}},
        {"x: fps=9", {"fps", "cannot differ"}},
        {"x: mode=t2v", {"mode", "cannot differ"}},
        {"x: device=cpu", {"device", "cannot differ"}},
        {"x: output=/tmp/x.mp4", {"output", "cannot differ"}},
        {"x: init_latents=/tmp/x", {"init_latents", "cannot differ"}},
        {"x: seed", {"\"seed\"", "key=value"}},
        {"x: seed=4,,", {"key=value", "commas"}},
        {"x: seed=4,5", {"\"5\"", "quotes"}},
        {"x: seed=", {"seed", "empty"}},
        {"x: seed=4, seed=5", {"seed", "twice"}},
        {"x: seed=4.5", {"seed", "whole number"}},
        {"x: scheduler=unipcc", {"scheduler", "did you mean unipc"}},
        {"x: quantization='bf16,fp8'", {"quantization", "one of them"}},
        {"x: prompt='a", {"prompt", "not closed"}},
        {": seed=4", {"label", "empty"}},
        {"", {"says nothing", "key=value"}},
        {"x\x1b[31m: seed=4", {"label", "UTF-8"}},
        {"\xff: seed=4", {"label", "UTF-8"}},
        {"0123456789012345678901234567890123456789012345678901234567890123456789: seed=4",
         {"70 bytes", "at most 64"}},
        {"BF16: seed=4", {"of this label", "already"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vg_settings s = {{0}};
        vg_variants v = {0};
        vg_err err;
        const char *text = cases[i].text;
        CHECK_FAILS(vg_variants_make(&s, &text, 1, &v, &err), VG_E_ARG, err);
        for (int k = 0; k < 2; k++) {
            if (!strstr(err.message, cases[i].words[k]))
                fail_msg("\"%s\" says nothing of %s: %s", text, cases[i].words[k], err.message);
        }
        for (const char *c = err.message; *c; c++)
            assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
        assert_int_equal(v.count, 0);
    }
    static const char *const twice[] = {"a: seed=4", "b: seed=4"}, *const alike[] = {"a: seed=4",
                                                                                     "a: seed=5"};
    vg_settings s = {{0}};
    vg_variants v = {0};
    vg_err err;
    CHECK_FAILS(vg_variants_make(&s, twice, 2, &v, &err), VG_E_ARG, err);
    assert_non_null(strstr(err.message, "nothing in it differs from \"a\""));
    CHECK_FAILS(vg_variants_make(&s, alike, 2, &v, &err), VG_E_ARG, err);
    assert_non_null(strstr(err.message, "already"));
}

static void test_variants_are_sixteen_at_most(void **state)
{
    (void)state;
    char texts[VG_VARIANTS_MAX][32];
    const char *list[VG_VARIANTS_MAX];
    vg_settings s = {{0}};
    vg_variants v = {0};
    vg_err err;
    for (int i = 0; i < VG_VARIANTS_MAX; i++) {
        snprintf(texts[i], sizeof texts[i], "seed=%d", 1000 + i);
        list[i] = texts[i];
    }
    CHECK_OK(vg_variants_make(&s, list, VG_VARIANTS_MAX - 1, &v, &err), err);
    assert_int_equal(v.count, VG_VARIANTS_MAX);
    vg_variants_deinit(&v);
    CHECK_FAILS(vg_variants_make(&s, list, VG_VARIANTS_MAX, &v, &err), VG_E_ARG, err);
    assert_non_null(strstr(err.message, "16 variants at most"));
}

static void test_variants_survive_json(void **state)
{
    (void)state;
    static const char *const texts[] = {"other seed: seed=-1",
                                        "x: prompt='a, b',vae_use_tiling=true,flow_grid=0.36"};
    vg_variants v = {0}, back = {0};
    vg_err err;
    make("fp8-block", texts, 2, &v);
    for (int i = 0; i < v.count; i++) {
        cJSON *o = vg_variant_to_json(&v.items[i]);
        CHECK_OK(vg_variants_add_json(&back, o, "job.json", &err), err);
        cJSON_Delete(o);
    }
    assert_int_equal(back.count, 3);
    for (int i = 0; i < v.count; i++) {
        assert_string_equal(back.items[i].id, v.items[i].id);
        assert_string_equal(back.items[i].label, v.items[i].label);
        for (int k = 0; k < VG_OPT_COUNT; k++) {
            const char *a = v.items[i].overlay.text[k], *b = back.items[i].overlay.text[k];
            assert_int_equal(a == NULL, b == NULL);
            if (a)
                assert_string_equal(a, b);
        }
    }
    vg_variants_deinit(&back);
    /* As the first version of job.json has them. */
    cJSON *old = cJSON_Parse("{\"quantization\": \"fp8\", \"output\": \"/x.mp4\"}");
    CHECK_OK(vg_variants_add_json(&back, old, "job.json", &err), err);
    expect(&back.items[0], "fp8", "FP8 per-tensor", VG_SCHEME_FP8);
    CHECK_FAILS(vg_variants_add_json(&back, old, "job.json", &err), VG_E_FORMAT, err);
    cJSON_Delete(old);
    vg_variants_deinit(&back);
    vg_variants_deinit(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants_schemes_are_the_shorthand),
        cmocka_unit_test(test_variants_say_that_attention_has_8_bits),
        cmocka_unit_test(test_variants_of_texts),
        cmocka_unit_test(test_variants_one_that_changes_nothing_names_what_is_there),
        cmocka_unit_test(test_variants_wrong_ones_are_explained),
        cmocka_unit_test(test_variants_are_sixteen_at_most),
        cmocka_unit_test(test_variants_survive_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
