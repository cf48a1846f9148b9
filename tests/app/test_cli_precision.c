/* test_cli_precision.c: --precision: rules on top of a scheme decide what runs, are told, and are refused in one line before anything is made. */
#include "tests/app/test_cli_small.h"

/* Run the small job with these settings; its latents are in cli_dir/NAME.latents.safetensors. */
static void generate(const char *name, const char *scheme, const char *rules)
{
    outputs o = outputs_of(name);
    CLI_EXPECT(0, "generate", SMALL, "--quantization", scheme, "--save-latents", o.latents, "-q",
               rules ? "--precision" : NULL, rules);
}

static bool same(const char *a, const char *b)
{
    outputs x = outputs_of(a), y = outputs_of(b);
    return cli_same_file(x.latents, y.latents);
}

static void test_cli_precision_rules_decide(void **state)
{
    (void)state;
    generate("bf16", "bf16", NULL);
    generate("block", "fp8-block", NULL);
    generate("none", "fp8-block", "*=bf16");
    generate("all", "bf16", "*=fp8-block");
    generate("mixed", "fp8-block", "blocks.0.*=bf16");
    generate("last", "fp8-block", "*=fp8:dynamic, *=bf16,blocks.1-.*=fp8-block");
    assert_true(same("none", "bf16") && same("all", "block") && same("last", "mixed"));
    assert_false(same("bf16", "block") || same("mixed", "bf16") || same("mixed", "block"));
}

/* The newest job as JSON. */
static cJSON *newest(void)
{
    cli_result r = CLI("show", "last", "--json");
    assert_int_equal(r.status, 0);
    cJSON *root = cJSON_Parse(r.out);
    assert_non_null(root);
    cli_result_free(&r);
    return root;
}

/* Static inputs of layers that a rule makes FP8 are calibrated, and the report says what ran. */
static void test_cli_precision_is_told(void **state)
{
    char path[700], *text;
    (void)state;
    CLI_EXPECT(0, "generate", SMALL, "--precision", "*.ffn.*=fp8", "-q");
    cJSON *root = newest();
    const char *dir = cJSON_GetStringValue(cJSON_GetObjectItem(root, "dir"));
    assert_non_null(dir);
    snprintf(path, sizeof path, "%s/variants/bf16/variant.json", dir);
    text = cli_read(path);
    assert_non_null(text);
    cJSON *variant = cJSON_Parse(text), *precision = cJSON_GetObjectItem(variant, "precision");
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(precision, "fp8_tensor")) > 0);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(precision, "activations")),
                        "static");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(precision, "rules")),
                        "*.ffn.*=fp8");
    free(text);
    snprintf(path, sizeof path, "%s/events.jsonl", dir);
    text = cli_read(path);
    assert_non_null(strstr(text, "FP8 per-tensor (static)"));
    assert_non_null(strstr(text, "; rules *.ffn.*=fp8"));
    snprintf(path, sizeof path, "%s/calibration.json", dir);
    assert_true(vg_file_exists(path));
    free(text);
    cJSON_Delete(variant);
    cJSON_Delete(root);
}

static void test_cli_precision_mistakes_are_one_line(void **state)
{
    static const char *const cases[][2] = {
        {"blocks.0.*", "a rule is PATTERN=PRECISION"},
        {"blocks.0.*=fp9", "unknown precision \"fp9\""},
        {"blocks.99.*=bf16", "is about no layer of this model; they are called like blocks.0."},
        {"proj_out=fp8", "is about no layer of this model"},
        {"nowhere/*=bf16", "is about no layer of this model"},
        {"*=fp8-channel", "per-channel FP8 is not made at load"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cli_result r = CLI("generate", SMALL, "--precision", cases[i][0], "-q");
        if (r.status == 0 || !strstr(r.err, cases[i][1]) || cli_lines(r.err) != 1)
            fail_msg("%s: exit %d: %s", cases[i][0], r.status, r.err);
        cli_result_free(&r);
    }
    cli_result r = CLI("jobs", "--json"); /* not one of them left a job */
    assert_null(strstr(r.out, "failed"));
    cli_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_precision_rules_decide),
        cmocka_unit_test(test_cli_precision_is_told),
        cmocka_unit_test(test_cli_precision_mistakes_are_one_line),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
