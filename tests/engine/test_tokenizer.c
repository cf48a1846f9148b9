/* test_tokenizer.c: token ids equal to those of tokenizer.json run by HuggingFace's tokenizers (tests/oracle/make_tokens.py), and
 * damaged model files. */
#include "kernels/base/json.h"
#include "engine/text/prompt.h"
#include "engine/text/tokenizer.h"
#include "tests/check.h"
#include "tests/scratch.h"

#define TINY_A VG_TEST_DIR "/golden/tiny-a/tokenizer"

static vg_tokenizer *open_tokenizer(const char *dir)
{
    vg_tokenizer *t;
    vg_err err;

    CHECK_OK(vg_tokenizer_open(dir, &t, &err), err);
    return t;
}

static void test_tokenizer_equals_huggingface(void **state)
{
    char *text, *nul;
    size_t size;
    cJSON *root;
    const cJSON *row, *id;
    vg_tokenizer *t = NULL;
    const char *opened = "";
    char dir[300];
    vg_err err;
    int count = 0;

    (void)state;
    CHECK_OK(vg_file_read(VG_TEST_DIR "/golden/tokens.json", 16 << 20, &text, &size, &err), err);
    while ((nul = strstr(text, "\\u0000")) !=
           NULL) /* one prompt has a NUL; its cleaned text has not */
        memmove(nul, nul + 6, strlen(nul + 6) + 1);
    CHECK_OK(vg_json_parse(text, strlen(text), "tokens.json", &root, &err), err);
    free(text);
    const int max_length = cJSON_GetObjectItem(root, "max_length")->valueint;
    assert_int_equal(max_length, 512);
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(root, "tokens"))
    {
        const char *model = cJSON_GetObjectItem(row, "model")->valuestring;
        const char *name = cJSON_GetObjectItem(row, "name")->valuestring;
        const cJSON *a_case = cJSON_GetObjectItem(root, "cases")->child;
        int32_t ids[512];
        int got, k = 0;
        if (strcmp(model, opened) != 0) {
            vg_tokenizer_close(t);
            snprintf(dir, sizeof dir, "%s/golden/%s%s", VG_TEST_DIR, model,
                     strncmp(model, "tiny", 4) == 0 ? "/tokenizer" : "");
            t = open_tokenizer(dir);
            opened = model;
        }
        while (strcmp(cJSON_GetObjectItem(a_case, "name")->valuestring, name) != 0)
            a_case = a_case->next;
        CHECK_OK(vg_tokenizer_encode(t, cJSON_GetObjectItem(a_case, "cleaned")->valuestring,
                                     max_length, ids, &got, &err),
                 err);
        assert_int_equal(got, cJSON_GetArraySize(cJSON_GetObjectItem(row, "ids")));
        cJSON_ArrayForEach(id, cJSON_GetObjectItem(row, "ids"))
        {
            if (ids[k] != id->valueint)
                fail_msg("%s, %s: id %d is %d instead of %d", model, name, k, (int)ids[k],
                         id->valueint);
            assert_true(ids[k] >= 0 && ids[k] < vg_tokenizer_vocab(t));
            k++;
        }
        count++;
    }
    assert_true(count > 200);
    vg_tokenizer_close(t);
    cJSON_Delete(root);
}

static void test_tokenizer_truncation_keeps_the_end_token(void **state)
{
    vg_tokenizer *t = open_tokenizer(TINY_A);
    int32_t ids[8];
    int count;
    vg_err err;

    (void)state;
    CHECK_OK(vg_tokenizer_encode(t, "", 8, ids, &count, &err), err);
    assert_true(count == 1 && ids[0] == 1);
    CHECK_OK(vg_tokenizer_encode(t, "a cat and a dog and a cat and a dog", 8, ids, &count, &err),
             err);
    assert_true(count == 8 && ids[7] == 1 && ids[6] != 1);
    CHECK_OK(vg_tokenizer_encode(t, "a cat", 1, ids, &count, &err), err);
    assert_true(count == 1 && ids[0] == 1);
    CHECK_FAILS(vg_tokenizer_encode(t, "a cat", 0, ids, &count, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_tokenizer_encode(t, "a \xff", 8, ids, &count, &err), VG_E_ARG, err);
    vg_tokenizer_close(t);
    vg_tokenizer_close(NULL);
}

/* Copies the model file alone into the scratch folder. */
static void copy_model(void **state, const char *from)
{
    char path[300], *bytes;
    size_t size;
    vg_err err;

    snprintf(path, sizeof path, "%s/spiece.model", from);
    CHECK_OK(vg_file_read(path, 1 << 24, &bytes, &size, &err), err);
    scratch_write(state, "spiece.model", bytes, size);
    free(bytes);
}

/* Without tokenizer.json the extra ids follow from their number, counting down behind the pieces. */
static void test_tokenizer_special_tokens_without_lists(void **state)
{
    vg_tokenizer *whole = open_tokenizer(TINY_A), *bare;
    const char *text = "a <extra_id_0> cat</s> <extra_id_99><pad>";
    int32_t a[64], b[64];
    int a_count, b_count;
    vg_err err;

    copy_model(state, TINY_A);
    scratch_text(state, "tokenizer_config.json", "{\"extra_ids\": 100}");
    bare = open_tokenizer(*state);
    assert_int_equal(vg_tokenizer_vocab(bare), vg_tokenizer_vocab(whole));
    CHECK_OK(vg_tokenizer_encode(whole, text, 64, a, &a_count, &err), err);
    CHECK_OK(vg_tokenizer_encode(bare, text, 64, b, &b_count, &err), err);
    assert_true(a_count == b_count && memcmp(a, b, (size_t)a_count * sizeof *a) == 0);
    vg_tokenizer_close(bare);
    vg_tokenizer_close(whole);
}

/* lstrip, rstrip and single_word, in the spelling of added_tokens_decoder. */
static void test_tokenizer_added_token_flags(void **state)
{
    int32_t ids[64];
    int count;
    vg_err err;

    copy_model(state, TINY_A);
    scratch_text(
        state, "tokenizer_config.json",
        "{\"eos_token\": {\"content\": \"</s>\"}, \"added_tokens_decoder\": {"
        "\"1\": {\"content\": \"</s>\"},"
        "\"900\": {\"content\": \"[L]\", \"lstrip\": true}, \"901\": {\"content\": \"[R]\", \"rstrip\": true},"
        "\"902\": {\"content\": \"word\", \"single_word\": true}, \"903\": {\"content\": \"[LR]\"}}}");
    vg_tokenizer *t = open_tokenizer(*state);
    assert_int_equal(vg_tokenizer_vocab(t), 904);
    CHECK_OK(vg_tokenizer_encode(t, "a  [L]", 64, ids, &count, &err), err);
    int32_t a = ids[0];
    assert_true(count == 3 && ids[1] == 900 && ids[2] == 1);
    CHECK_OK(vg_tokenizer_encode(t, "[R]   a", 64, ids, &count, &err), err);
    assert_true(count == 3 && ids[0] == 901 && ids[1] == a);
    CHECK_OK(vg_tokenizer_encode(t, "word", 64, ids, &count, &err), err);
    assert_true(count == 2 && ids[0] == 902);
    CHECK_OK(vg_tokenizer_encode(t, "words wordword \xc3\xa9word", 64, ids, &count, &err), err);
    for (int i = 0; i < count; i++)
        assert_true(ids[i] != 902);
    CHECK_OK(vg_tokenizer_encode(t, "[LR]", 64, ids, &count, &err), err);
    assert_true(count == 2 && ids[0] == 903);
    vg_tokenizer_close(t);
}

static void test_tokenizer_open_errors(void **state)
{
    static const char *const bad_configs[] = {
        "[]",
        "{\"added_tokens_decoder\": {\"x\": {\"content\": \"a\"}}}",
        "{\"added_tokens_decoder\": {\"-1\": {\"content\": \"a\"}}}",
        "{\"added_tokens_decoder\": {\"1\": {\"content\": \"\"}}}",
        "{\"added_tokens_decoder\": {\"1\": {}}}",
        "{\"added_tokens_decoder\": {\"1\": {\"content\": 3}}}",
        "{\"added_tokens_decoder\": {\"99999999999999999999\": {\"content\": \"a\"}}}",
        "{\"extra_ids\": -1}",
        "{\"extra_ids\": 1e9}",
        "{\"eos_token\": \"nowhere\"}",
    };
    vg_tokenizer *t;
    vg_err err;

    CHECK_FAILS(vg_tokenizer_open(*state, &t, &err), VG_E_MISSING, err);
    assert_non_null(strstr(err.message, "spiece.model"));
    scratch_text(state, "spiece.model", "");
    CHECK_FAILS(vg_tokenizer_open(*state, &t, &err), VG_E_FORMAT, err);
    scratch_text(state, "spiece.model", "no model at all");
    CHECK_FAILS(vg_tokenizer_open(*state, &t, &err), VG_E_FORMAT, err);
    copy_model(state, TINY_A);
    for (size_t i = 0; i < sizeof bad_configs / sizeof bad_configs[0]; i++) {
        scratch_text(state, "tokenizer_config.json", bad_configs[i]);
        if (vg_tokenizer_open(*state, &t, &err) != VG_E_FORMAT)
            fail_msg("accepted: %s", bad_configs[i]);
    }
}

/* Every byte of a model flipped in turn, and every truncation: an error or a tokenizer that still keeps its promises. */
static void try_model(const char *bytes, size_t size)
{
    vg_tokenizer *t;
    int32_t ids[32];
    int count;
    vg_err err = {0};

    if (vg_tokenizer_open_memory(bytes, size, "mutated", &t, &err) != VG_OK) {
        assert_true(err.code == VG_E_FORMAT || err.code == VG_E_UNSUPPORTED);
        return;
    }
    vg_status status =
        vg_tokenizer_encode(t, "a cat \xc3\xa9\xe2\x88\x80 <s> x\xc2\xb2", 32, ids, &count, &err);
    assert_true(status == VG_OK || status == VG_E_FORMAT);
    for (int i = 0; status == VG_OK && i < count; i++)
        assert_true(ids[i] >= 0 && ids[i] < vg_tokenizer_vocab(t));
    vg_tokenizer_close(t);
}

static void test_tokenizer_survives_mutated_models(void **state)
{
    static const unsigned char masks[] = {0x01, 0x80, 0xff};
    char *bytes;
    size_t size;
    vg_err err;

    (void)state;
    CHECK_OK(vg_file_read(TINY_A "/spiece.model", 1 << 24, &bytes, &size, &err), err);
    for (size_t length = 0; length < size;
         length += length < 200 || size - length < 3000 ? 7 : 97) {
        char *part = malloc(length + 1); /* a block of its own: the sanitizer sees the end */
        assert_non_null(part);
        memcpy(part, bytes, length);
        try_model(part, length);
        free(part);
    }
    for (size_t at = 0; at < size; at += at < 200 ? 1 : 11) {
        for (size_t m = 0; m < sizeof masks; m++) {
            bytes[at] = (char)(bytes[at] ^ masks[m]);
            try_model(bytes, size);
            bytes[at] = (char)(bytes[at] ^ masks[m]);
        }
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizer_equals_huggingface),
        cmocka_unit_test(test_tokenizer_truncation_keeps_the_end_token),
        cmocka_unit_test_setup_teardown(test_tokenizer_special_tokens_without_lists, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_tokenizer_added_token_flags, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_tokenizer_open_errors, scratch_open, scratch_close),
        cmocka_unit_test(test_tokenizer_survives_mutated_models),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
