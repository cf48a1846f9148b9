/* test_prompt.c: prompt cleaning equal to the reference's (tests/oracle/make_prompts.py, make_tokens.py), byte for byte. */
#include "kernels/base/json.h"
#include "engine/text/prompt.h"
#include "tests/check.h"

static cJSON *load(const char *path)
{
    cJSON *root;
    vg_err err;

    CHECK_OK(vg_json_load(path, &root, &err), err);
    return root;
}

static void check(const char *prompt, const char *wanted)
{
    char *clean;
    vg_err err;

    CHECK_OK(vg_prompt_clean(prompt, &clean, &err), err);
    if (strcmp(clean, wanted) != 0)
        fail_msg("\"%s\"\n  gives  \"%s\"\n  instead of \"%s\"", prompt, clean, wanted);
    free(clean);
}

static void test_prompt_equals_the_reference(void **state)
{
    cJSON *root = load(VG_TEST_DIR "/golden/prompts.json");
    const cJSON *row;
    int count = 0;

    (void)state;
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(root, "cases"))
    {
        check(row->child->valuestring, row->child->next->valuestring);
        count++;
    }
    assert_true(count > 400);
    cJSON_Delete(root);
}

/* A file of JSON cannot hold the prompt with a NUL, so it is read with the escape removed. */
static void test_prompt_equals_the_token_goldens(void **state)
{
    char *text, *nul;
    size_t size;
    cJSON *root;
    const cJSON *row;
    vg_err err;

    (void)state;
    CHECK_OK(vg_file_read(VG_TEST_DIR "/golden/tokens.json", 16 << 20, &text, &size, &err), err);
    while ((nul = strstr(text, "\\u0000")) != NULL)
        memmove(nul, nul + 6, strlen(nul + 6) + 1);
    CHECK_OK(vg_json_parse(text, strlen(text), "tokens.json", &root, &err), err);
    free(text);
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(root, "cases"))
        check(cJSON_GetObjectItem(row, "prompt")->valuestring,
              cJSON_GetObjectItem(row, "cleaned")->valuestring);
    cJSON_Delete(root);
}

static void test_prompt_wan_negative_prompt_loses_full_width_commas(void **state)
{
    (void)state;
    check("色调艳丽，过曝，静态", "色调艳丽,过曝,静态");
    check("  a\t cat \n", "a cat");
    check("", "");
}

static void test_prompt_rejects_bad_utf8_and_long_text(void **state)
{
    char *clean, *text = malloc(VG_PROMPT_MAX_BYTES + 2);
    vg_err err;

    (void)state;
    assert_non_null(text);
    CHECK_FAILS(vg_prompt_clean("a cat \xff", &clean, &err), VG_E_ARG, err);
    assert_non_null(strstr(err.message, "byte 6"));
    CHECK_FAILS(vg_prompt_clean("\xc0\x80", &clean, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_prompt_clean("\xed\xa0\x80", &clean, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_prompt_clean("\xf4\x90\x80\x80", &clean, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_prompt_clean("\xe2\x82", &clean, &err), VG_E_ARG, err);
    memset(text, 'a', VG_PROMPT_MAX_BYTES + 1);
    text[VG_PROMPT_MAX_BYTES + 1] = '\0';
    CHECK_FAILS(vg_prompt_clean(text, &clean, &err), VG_E_ARG, err);
    text[VG_PROMPT_MAX_BYTES] = '\0';
    CHECK_OK(vg_prompt_clean(text, &clean, &err), err);
    assert_int_equal(strlen(clean), VG_PROMPT_MAX_BYTES);
    free(clean);
    free(text);
}

/* Cleaning what is clean changes nothing more, except where unescaping goes one layer deeper. */
static void test_prompt_cleaning_settles(void **state)
{
    cJSON *root = load(VG_TEST_DIR "/golden/prompts.json");
    const cJSON *row;
    vg_err err;

    (void)state;
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(root, "cases"))
    {
        const char *before = row->child->next->valuestring;
        char *text = strdup(before);
        int rounds = 0;
        for (bool same = false; !same && rounds < 20; rounds++) {
            char *clean;
            CHECK_OK(vg_prompt_clean(text, &clean, &err), err);
            same = strcmp(text, clean) == 0;
            free(text);
            text = clean;
        }
        if (rounds == 20)
            fail_msg("\"%s\" never settles", before);
        free(text);
    }
    cJSON_Delete(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompt_equals_the_reference),
        cmocka_unit_test(test_prompt_equals_the_token_goldens),
        cmocka_unit_test(test_prompt_wan_negative_prompt_loses_full_width_commas),
        cmocka_unit_test(test_prompt_rejects_bad_utf8_and_long_text),
        cmocka_unit_test(test_prompt_cleaning_settles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
