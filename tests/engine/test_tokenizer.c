/* test_tokenizer.c: token ids equal to those of tokenizer.json run by HuggingFace's tokenizers (tests/oracle/make_tokens.py), and
 * damaged model files. */
#include "kernels/base/json.h"
#include "engine/text/prompt.h"
#include "engine/text/tokenizer.h"
#include "tests/check.h"
#include "tests/scratch.h"

#define MAX_LENGTH 512 /* of tokens.json */
#define TINY_A     VG_TEST_DIR "/golden/tiny-a/tokenizer"

static vg_tokenizer *open_tokenizer(const char *dir)
{
    vg_tokenizer *t;
    vg_err err;

    CHECK_OK(vg_tokenizer_open(dir, &t, &err), err);
    return t;
}

/* tokens.json, or the file of fresh cases that tests/oracle/check_tokens.py names. */
static cJSON *load_tokens(void)
{
    const char *path = getenv("VGEN_TOKENS");
    char *text, *nul;
    size_t size;
    cJSON *root;
    vg_err err;

    CHECK_OK(
        vg_file_read(path ? path : VG_TEST_DIR "/golden/tokens.json", 64 << 20, &text, &size, &err),
        err);
    while ((nul = strstr(text, "\\u0000")) !=
           NULL) /* one prompt has a NUL; its cleaned text has not */
        memmove(nul, nul + 6, strlen(nul + 6) + 1);
    CHECK_OK(vg_json_parse(text, strlen(text), "tokens.json", &root, &err), err);
    free(text);
    assert_int_equal(cJSON_GetObjectItem(root, "max_length")->valueint, MAX_LENGTH);
    return root;
}

/* The ids of one row, by a tokenizer of its model. */
static void check_row(const vg_tokenizer *t, const cJSON *root, const cJSON *row, const char *how)
{
    const cJSON *a_case = cJSON_GetObjectItem(root, "cases")->child, *id;
    const char *name = cJSON_GetObjectItem(row, "name")->valuestring;
    int32_t ids[MAX_LENGTH];
    int got, k = 0, whole;
    vg_err err;

    while (strcmp(cJSON_GetObjectItem(a_case, "name")->valuestring, name) != 0)
        a_case = a_case->next;
    const char *text = cJSON_GetObjectItem(a_case, "cleaned")->valuestring;
    CHECK_OK(vg_tokenizer_encode(t, text, MAX_LENGTH, ids, &got, &err), err);
    if (got != cJSON_GetArraySize(cJSON_GetObjectItem(row, "ids")))
        fail_msg("%s, %s: %d ids", how, name, got);
    cJSON_ArrayForEach(id, cJSON_GetObjectItem(row, "ids"))
    {
        if (ids[k] != id->valueint)
            fail_msg("%s, %s: id %d is %d instead of %d", how, name, k, (int)ids[k], id->valueint);
        assert_true(ids[k] >= 0 && ids[k] < vg_tokenizer_vocab(t));
        k++;
    }
    CHECK_OK(vg_tokenizer_count(t, text, &whole, &err), err);
    assert_true(got < MAX_LENGTH ? whole == got : whole >= got);
}

/* Every row of `model` (NULL: of all models) by the tokenizer of a folder (NULL: the model's own). */
static int check_rows(const cJSON *root, const char *model, const char *folder)
{
    vg_tokenizer *t = NULL;
    const char *opened = "";
    const cJSON *row;
    char dir[400];
    int count = 0;

    cJSON_ArrayForEach(row, cJSON_GetObjectItem(root, "tokens"))
    {
        const char *its = cJSON_GetObjectItem(row, "model")->valuestring;
        if (model && strcmp(its, model) != 0)
            continue;
        if (strcmp(its, opened) != 0) {
            vg_tokenizer_close(t);
            snprintf(dir, sizeof dir, "%s%s%s", its[0] == '/' ? "" : VG_TEST_DIR "/golden/", its,
                     strncmp(its, "tiny", 4) == 0 ? "/tokenizer" : "");
            t = open_tokenizer(folder ? folder : dir);
            opened = its;
        }
        check_row(t, root, row, folder ? folder : its);
        count++;
    }
    vg_tokenizer_close(t);
    return count;
}

static void test_tokenizer_equals_huggingface(void **state)
{
    cJSON *root = load_tokens();

    (void)state;
    assert_true(check_rows(root, NULL, NULL) > 200);
    cJSON_Delete(root);
}

static void copy_file(void **state, const char *from, const char *name)
{
    char path[400], *bytes;
    size_t size;
    vg_err err;

    snprintf(path, sizeof path, "%s/%s", from, name);
    CHECK_OK(vg_file_read(path, 1 << 24, &bytes, &size, &err), err);
    scratch_write(state, name, bytes, size);
    free(bytes);
}

/* Without spiece.model, from tokenizer.json: the same ids. Once as tokenizers writes it, once as transformers 5 does. */
static void test_tokenizer_needs_no_model_file(void **state)
{
    static const char *const models[] = {"tiny-a", "tiny-b", "tiny-c", "tokenizer-nfkc"};
    cJSON *root = load_tokens();

    for (int i = 0; i < 4 && !getenv("VGEN_TOKENS"); i++) {
        char from[300];
        snprintf(from, sizeof from, VG_TEST_DIR "/golden/%s%s", models[i],
                 i < 3 ? "/tokenizer" : "");
        copy_file(state, from, "tokenizer.json");
        copy_file(state, from, "tokenizer_config.json");
        assert_true(check_rows(root, models[i], *state) > 50);
        unlink(scratch_path(state, "tokenizer_config.json"));
        assert_true(check_rows(root, models[i], *state) > 50);
    }
    if (!getenv("VGEN_TOKENS"))
        assert_true(check_rows(root, "tiny-b", VG_TEST_DIR "/golden/tokenizer-transformers5") > 50);
    cJSON_Delete(root);
}

/* A tokenizer.json is taken for what it is: T5's pipeline and a sound vocabulary, or refused by the name of what is wrong. */
static void test_tokenizer_json_errors(void **state)
{
#define VOCAB "[[\"<unk>\",0],[\"</s>\",0],[\"\xe2\x96\x81\",-1.5],[\"a\",-2]]"
#define MODEL "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":" VOCAB "}"
#define PRE                                                                                        \
    "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"always\",\"split\":true}"
#define POST                                                                                       \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\"}},{\"SpecialToken\":{\"id\":\"</s>\"}}]}"
#define REST PRE "," POST
    static const struct {
        const char *text;
        vg_status wanted;
        const char *says;
    } cases[] = {
        {"{" MODEL "," REST "}", VG_OK, NULL},
        {"{" MODEL "," REST ",\"normalizer\":null,\"truncation\":NaN}", VG_OK, NULL},
        {"{" MODEL "," REST ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[]}}", VG_OK,
         NULL},
        {"{" MODEL "," REST
         ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":null}}",
         VG_OK, NULL},
        {"[]", VG_E_FORMAT, "object"},
        {"{" REST "}", VG_E_UNSUPPORTED, "model"},
        {"{\"model\":5," REST "}", VG_E_FORMAT, "\"model\" is a number"},
        {"{\"model\":{\"type\":\"BPE\"}," REST "}", VG_E_UNSUPPORTED, "BPE"},
        {"{\"model\":{\"type\":\"Unigram\"}," REST "}", VG_E_FORMAT, "vocab"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}," REST "}", VG_E_FORMAT, "vocab"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":{\"a\":1}}," REST "}", VG_E_FORMAT, "vocab"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}," REST "}", VG_E_FORMAT,
         "\"vocab\"[0]"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",1,2]]}," REST "}", VG_E_FORMAT,
         "\"vocab\"[0]"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[1,\"a\"]]}," REST "}", VG_E_FORMAT,
         "\"vocab\"[0]"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"\",1]]}," REST "}", VG_E_FORMAT,
         "piece 0"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",Infinity]]}," REST "}", VG_E_FORMAT,
         "score of piece 0"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",1e30]]}," REST "}", VG_E_FORMAT,
         "score of piece 0"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",-1]]}," REST "}", VG_E_FORMAT,
         "unknown piece"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",-1]]}," REST "}",
         VG_E_FORMAT, "unknown piece"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":-1,\"vocab\":[[\"a\",-1]]}," REST "}",
         VG_E_FORMAT, "unk_id"},
        {"{\"model\":{\"type\":\"Unigram\",\"byte_fallback\":true,\"vocab\":" VOCAB "}," REST "}",
         VG_E_UNSUPPORTED, "byte_fallback"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"<unk>\",0],[\"</s>\",0],[\"a\",-1],[\"a\",-1]]}," REST
         "}",
         VG_E_FORMAT, "libsentencepiece"},
        {"{" MODEL "," POST "}", VG_E_UNSUPPORTED, "pre_tokenizer"},
        {"{" MODEL ",\"pre_tokenizer\":{\"type\":\"ByteLevel\"}," POST "}", VG_E_UNSUPPORTED,
         "ByteLevel"},
        {"{" MODEL ",\"pre_tokenizer\":{\"type\":\"Metaspace\",\"prepend_scheme\":\"first\"}," POST
         "}",
         VG_E_UNSUPPORTED, "Metaspace"},
        {"{" MODEL ",\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[5]}," POST "}",
         VG_E_FORMAT, "pre_tokenizer is a number"},
        {"{" MODEL
         ",\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"}]}," POST
         "}",
         VG_E_UNSUPPORTED, "Metaspace"},
        {"{" MODEL "," PRE "}", VG_E_UNSUPPORTED, "post_processor"},
        {"{" MODEL "," PRE ",\"post_processor\":{\"type\":\"ByteLevel\"}}", VG_E_UNSUPPORTED,
         "post_processor"},
        {"{" MODEL "," REST ",\"normalizer\":{\"type\":\"Lowercase\"}}", VG_E_UNSUPPORTED,
         "Lowercase"},
        {"{" MODEL "," REST ",\"normalizer\":{\"type\":\"Strip\"}}", VG_E_UNSUPPORTED, "Strip"},
        {"{" MODEL "," REST
         ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"b\"}}",
         VG_E_UNSUPPORTED, "Replace"},
        {"{" MODEL "," REST ",\"normalizer\":{\"type\":5}}", VG_E_FORMAT, "\"type\" is a number"},
        {"{" MODEL "," REST ",\"normalizer\":{}}", VG_E_FORMAT, "normalizer has no type"},
        {"{" MODEL "," REST
         ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAA\"}}",
         VG_E_FORMAT, "base64"},
        {"{" MODEL "," REST
         ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AA=A\"}}",
         VG_E_FORMAT, "base64"},
        {"{" MODEL "," REST
         ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"====\"}}",
         VG_E_FORMAT, "base64"},
        {"{" MODEL "," REST
         ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}}",
         VG_E_FORMAT, "character map"},
        {"{" MODEL "," REST
         ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"/////////////w==\"}}",
         VG_E_FORMAT, "character map"},
        {"{" MODEL "," REST ",\"added_tokens\":[5]}", VG_E_FORMAT, "added_tokens"},
        {"{" MODEL "," REST ",\"added_tokens\":[{\"id\":\"1\",\"content\":\"</s>\"}]}", VG_E_FORMAT,
         "\"id\" is a text"},
    };
    vg_tokenizer *t;
    vg_err err = {0};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scratch_text(state, "tokenizer.json", cases[i].text);
        int vocab = 0;
        vg_status checked = vg_tokenizer_check(*state, &vocab, &err);
        vg_status status = vg_tokenizer_open(*state, &t, &err);
        if (status == VG_OK) {
            assert_int_equal(vocab, vg_tokenizer_vocab(t));
            vg_tokenizer_close(t);
        }
        if (checked != status && !strstr(err.message, "libsentencepiece"))
            fail_msg("%s: checked %s, opened %s", cases[i].text, vg_status_name(checked),
                     vg_status_name(status));
        if (status != cases[i].wanted ||
            (cases[i].says &&
             (!strstr(err.message, cases[i].says) || !strstr(err.message, "tokenizer.json"))))
            fail_msg("%s: %s (%s)", cases[i].text, vg_status_name(status), err.message);
    }
#undef VOCAB
#undef MODEL
#undef PRE
#undef POST
#undef REST
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
    CHECK_OK(vg_tokenizer_count(t, "", &count, &err), err);
    assert_int_equal(count, 1);
    CHECK_OK(vg_tokenizer_count(t, "a cat and a dog and a cat and a dog", &count, &err), err);
    assert_true(count > 8);
    CHECK_FAILS(vg_tokenizer_count(t, "a \xff", &count, &err), VG_E_ARG, err);
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
        "{\"eos_token\": 5}",
        "{\"eos_token\": {\"content\": []}}",
        "{\"extra_ids\": \"100\"}",
        "{\"added_tokens_decoder\": []}",
        "{\"added_tokens_decoder\": {\"1\": \"</s>\"}}",
        "{\"added_tokens_decoder\": {\"1\": {\"content\": \"</s>\", \"lstrip\": 1}}}",
    };
    vg_tokenizer *t;
    vg_err err;

    CHECK_FAILS(vg_tokenizer_open(*state, &t, &err), VG_E_MISSING, err);
    assert_true(strstr(err.message, "spiece.model") && strstr(err.message, "tokenizer.json"));
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
        cmocka_unit_test_setup_teardown(test_tokenizer_needs_no_model_file, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_tokenizer_json_errors, scratch_open, scratch_close),
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
