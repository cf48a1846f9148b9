/* test_hunyuan_tokens.c: ids of both tokenizers of HunyuanVideo-1.5, and what it makes of a prompt for each, equal to those of transformers and
 * diffusers (tests/oracle/make_hunyuan_text.py): texts by hand, and 6,000 that are generated here as there, in some 80 scripts, a good part of
 * them no UTF-8. VGEN_BPE names a folder of fresh ones (make_hunyuan_text.py --check). */
#include "engine/checkpoint/safetensors.h"
#include "engine/text/bpe.h"
#include "engine/text/byt5.h"
#include "engine/text/hunyuan_prompt.h"
#include "kernels/base/json.h"
#include "kernels/base/utf8.h"
#include "tests/check.h"
#include "tests/scratch.h"

#define GOLDEN_DIR VG_TEST_DIR "/golden/hunyuan-text"
#define TEXT_MAX   2048
#define IDS_MAX    4096

static const char *golden_dir(void)
{
    const char *dir = getenv("VGEN_BPE");
    return dir ? dir : GOLDEN_DIR;
}

static vg_bpe *open_bpe(const char *dir)
{
    vg_bpe *t;
    vg_err err;
    CHECK_OK(vg_bpe_open(dir, &t, &err), err);
    return t;
}

static vg_byt5 *open_byt5(const char *dir)
{
    vg_byt5 *t;
    vg_err err;
    CHECK_OK(vg_byt5_open(dir, &t, &err), err);
    return t;
}

static vg_bpe *golden_bpe(void)
{
    char dir[512];
    snprintf(dir, sizeof dir, "%s/tokenizer", golden_dir());
    return open_bpe(dir);
}

static vg_byt5 *golden_byt5(void)
{
    char dir[512];
    snprintf(dir, sizeof dir, "%s/tokenizer_2", golden_dir());
    return open_byt5(dir);
}

static cJSON *load_tokens(void)
{
    cJSON *root;
    vg_err err;
    CHECK_OK(vg_json_load(GOLDEN_DIR "/tokens.json", &root, &err), err);
    return root;
}

static const cJSON *item(const cJSON *o, const char *key)
{
    const cJSON *found = cJSON_GetObjectItem(o, key);
    assert_non_null(found);
    return found;
}

static void check_ids(const char *what, const char *text, const cJSON *wanted, const int32_t *ids,
                      int count)
{
    int k = 0;
    const cJSON *id;
    if (count != cJSON_GetArraySize(wanted))
        fail_msg("%s of %s: %d ids instead of %d", what, text, count, cJSON_GetArraySize(wanted));
    cJSON_ArrayForEach(id, wanted)
    {
        if (ids[k] != id->valueint)
            fail_msg("%s of %s: id %d is %d instead of %d", what, text, k, (int)ids[k],
                     id->valueint);
        k++;
    }
}

/* ---- generated texts: the same as generate() of make_hunyuan_text.py -------------------------------------------- */

typedef struct recipe {
    const cJSON *words, *spaces, *tokens, *snippets, *ranges;
} recipe;

typedef struct text {
    char bytes[TEXT_MAX];
    size_t size;
} text;

static uint64_t below(check_rng *r, uint64_t n)
{
    return check_random_bits(r) % n;
}

static void add(text *t, const void *bytes, size_t size)
{
    assert_true(t->size + size <= sizeof t->bytes);
    memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
}

static size_t unhex(const char *hex, char *bytes)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned value;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &value), 1);
        bytes[i] = (char)value;
    }
    return n;
}

static const char *pick(check_rng *r, const cJSON *list)
{
    return cJSON_GetArrayItem(list, (int)below(r, (uint64_t)cJSON_GetArraySize(list)))->valuestring;
}

static void add_hex(text *t, const char *hex)
{
    char bytes[64];
    add(t, bytes, unhex(hex, bytes));
}

/* One character of a range; without its last byte where `cut`. Ranges may hold surrogates in neither form. */
static void add_character(text *t, check_rng *r, const cJSON *range, bool cut)
{
    int low = range->child->valueint, high = range->child->next->valueint;
    char bytes[4];
    int n = vg_utf8_encode((uint32_t)low + (uint32_t)below(r, (uint64_t)(high - low + 1)), bytes);
    add(t, bytes, (size_t)(cut ? n - 1 : n));
}

static const cJSON *pick_range(check_rng *r, const recipe *from)
{
    return cJSON_GetArrayItem(from->ranges,
                              (int)below(r, (uint64_t)cJSON_GetArraySize(from->ranges)));
}

static void add_part(text *t, check_rng *r, const recipe *from)
{
    uint64_t kind = below(r, 16), n;
    if (kind < 5) {
        const char *word = pick(r, from->words);
        add(t, word, strlen(word));
    } else if (kind < 9) {
        const cJSON *range = pick_range(r, from);
        for (n = 1 + below(r, 8); n > 0; n--)
            add_character(t, r, range, false);
    } else if (kind < 11) {
        add_hex(t, pick(r, from->spaces));
    } else if (kind < 12) {
        const char *token = pick(r, from->tokens);
        add(t, token, strlen(token));
    } else if (kind < 14) {
        add_hex(t, pick(r, from->snippets));
    } else if (kind < 15) {
        for (n = 1 + below(r, 6); n > 0; n--)
            add(t, &(char){(char)below(r, 256)}, 1);
    } else {
        add_character(t, r, pick_range(r, from), true);
    }
}

static void generate(const recipe *from, uint64_t number, text *t)
{
    check_rng r = {number};
    t->size = 0;
    for (uint64_t parts = 1 + below(&r, 9); parts > 0; parts--) {
        add_part(t, &r, from);
        if (below(&r, 3) == 0)
            add(t, " ", 1);
    }
}

static uint32_t hash_ids(const int32_t *ids, int count)
{
    uint32_t h = 0x811c9dc5u;
    for (int i = 0; i < count; i++)
        for (int b = 0; b < 4; b++)
            h = (h ^ ((uint32_t)ids[i] >> 8 * b & 0xff)) * 0x01000193u;
    return h;
}

static uint32_t wanted_hash(const vg_safetensors *golden, const char *name, int i)
{
    uint32_t h;
    const vg_tensor *t = vg_safetensors_find(golden, name);
    assert_true(t && t->dtype == VG_I32);
    memcpy(&h, (const char *)t->data + 4 * i, 4);
    return h;
}

static void fail_text(const char *what, uint64_t number, const text *t)
{
    char shown[2 * 400 + 1] = "";
    for (size_t i = 0; i < t->size && i < 400; i++)
        snprintf(shown + 2 * i, 3, "%02x", (unsigned char)t->bytes[i]);
    fail_msg("%s of text %llu differ: %s", what, (unsigned long long)number, shown);
}

/* What stands in front of the first NUL, as a prompt. */
static uint32_t glyph_hash(const vg_byt5 *byt5, const text *t)
{
    char prompt[TEXT_MAX + 1];
    int32_t ids[VG_HUNYUAN_GLYPHS];
    int count;
    vg_err err;
    memcpy(prompt, t->bytes, t->size);
    prompt[t->size] = '\0';
    CHECK_OK(vg_hunyuan_glyph_ids(byt5, prompt, ids, &count, NULL, &err), err);
    return count ? hash_ids(ids, count) : 0;
}

static void test_generated_texts_equal_huggingface(void **state)
{
    static int32_t ids[IDS_MAX];
    cJSON *root = load_tokens();
    const cJSON *texts = item(root, "texts");
    recipe from = {item(texts, "words"), item(texts, "spaces"), item(texts, "tokens"),
                   item(texts, "snippets"), item(texts, "ranges")};
    const char *first = getenv("VGEN_BPE_FIRST");
    uint64_t begin = first ? strtoull(first, NULL, 10) : 0;
    int broken = 0, glyphs = 0, count, total = item(root, "count")->valueint;
    vg_bpe *bpe = golden_bpe();
    vg_byt5 *byt5 = golden_byt5();
    vg_safetensors *golden;
    char path[512];
    text t;
    vg_err err;

    (void)state;
    snprintf(path, sizeof path, "%s/tokens.safetensors", golden_dir());
    CHECK_OK(vg_safetensors_open(path, &golden, &err), err);
    for (int i = 0; i < total; i++) {
        uint64_t number = begin + (uint64_t)i;
        generate(&from, number, &t);
        CHECK_OK(vg_bpe_encode(bpe, t.bytes, t.size, ids, IDS_MAX, &count, &err), err);
        assert_true(count <= IDS_MAX);
        for (int k = 0; k < count; k++)
            assert_true(ids[k] >= 0 && ids[k] < vg_bpe_vocab(bpe));
        if (hash_ids(ids, count) != wanted_hash(golden, "bpe", i))
            fail_text("BPE ids", number, &t);
        CHECK_OK(vg_byt5_encode(byt5, t.bytes, t.size, 256, ids, &count, NULL, &err), err);
        if (hash_ids(ids, count) != wanted_hash(golden, "byt5", i))
            fail_text("ByT5 ids", number, &t);
        if (glyph_hash(byt5, &t) != wanted_hash(golden, "glyphs", i))
            fail_text("glyph ids", number, &t);
        broken += !vg_utf8_valid(t.bytes, t.size, NULL);
        glyphs += wanted_hash(golden, "glyphs", i) != 0;
    }
    assert_true(total >= 5000 && broken > total / 4 && glyphs > 50);
    vg_safetensors_close(golden);
    vg_byt5_close(byt5);
    vg_bpe_close(bpe);
    cJSON_Delete(root);
}

/* ---- texts by hand ------------------------------------------------------------------------------------------------ */

static void check_cases(const vg_bpe *bpe, const vg_byt5 *byt5)
{
    static int32_t ids[IDS_MAX];
    static char bytes[TEXT_MAX];
    cJSON *root = load_tokens();
    const cJSON *row;
    int count, whole, rows = 0;
    vg_err err;
    cJSON_ArrayForEach(row, item(root, "cases"))
    {
        const char *hex = item(row, "hex")->valuestring;
        size_t size = unhex(hex, bytes);
        CHECK_OK(vg_bpe_encode(bpe, bytes, size, ids, IDS_MAX, &count, &err), err);
        check_ids("BPE ids", hex, item(row, "ids"), ids, count);
        if (byt5) {
            CHECK_OK(vg_byt5_encode(byt5, bytes, size, 256, ids, &count, &whole, &err), err);
            check_ids("ByT5 ids", hex, item(row, "byt5_ids"), ids, count);
            assert_true(count == whole || (whole > count && count >= 255));
        }
        rows++;
    }
    assert_true(rows > 150);
    cJSON_Delete(root);
}

static void test_texts_equal_huggingface(void **state)
{
    vg_bpe *bpe = open_bpe(GOLDEN_DIR "/tokenizer");
    vg_byt5 *byt5 = open_byt5(GOLDEN_DIR "/tokenizer_2");
    (void)state;
    check_cases(bpe, byt5);
    vg_byt5_close(byt5);
    vg_bpe_close(bpe);
}

static cJSON *load_tokenizer_json(void)
{
    cJSON *root;
    vg_err err;
    CHECK_OK(vg_json_load(GOLDEN_DIR "/tokenizer/tokenizer.json", &root, &err), err);
    return root;
}

static void save_json(void **state, const char *name, const cJSON *root)
{
    char *printed = cJSON_PrintUnformatted(root);
    scratch_text(state, name, printed);
    free(printed);
}

/* merges.txt of a tokenizer.json's merges, with this line in front and these ends of lines. */
static void save_merges(void **state, const cJSON *merges, const char *head, const char *end)
{
    const cJSON *merge;
    char *whole = strdup(head);
    cJSON_ArrayForEach(merge, merges)
    {
        char *longer = vg_strf("%s%s %s%s", whole, merge->child->valuestring,
                               merge->child->next->valuestring, end);
        free(whole);
        whole = longer;
    }
    scratch_text(state, "merges.txt", whole);
    free(whole);
}

/* vocab.json and merges.txt, with the added tokens where transformers 4 puts them: the same ids. */
static void test_two_files_give_the_same_ids(void **state)
{
    cJSON *root = load_tokenizer_json(), *config = cJSON_CreateObject(),
          *decoder = cJSON_AddObjectToObject(config, "added_tokens_decoder"), *token;
    char id[16];
    cJSON_ArrayForEach(token, item(root, "added_tokens"))
    {
        snprintf(id, sizeof id, "%d", item(token, "id")->valueint);
        cJSON_AddItemToObject(decoder, id, cJSON_Duplicate(token, true));
    }
    save_json(state, "tokenizer_config.json", config);
    save_json(state, "vocab.json", item(item(root, "model"), "vocab"));
    for (int windows = 0; windows < 2; windows++) {
        save_merges(state, item(item(root, "model"), "merges"), windows ? "" : "#version: 0.2\n",
                    windows ? "\r\n" : "\n");
        vg_bpe *bpe = open_bpe(*state);
        check_cases(bpe, NULL);
        vg_bpe_close(bpe);
    }
    cJSON_Delete(config);
    cJSON_Delete(root);
}

/* Merges as "left right", as before tokenizers 0.20. */
static void test_merges_as_texts_give_the_same_ids(void **state)
{
    cJSON *root = load_tokenizer_json(), *model = cJSON_GetObjectItem(root, "model"), *merge;
    cJSON *texts = cJSON_CreateArray();
    cJSON_ArrayForEach(merge, cJSON_GetObjectItem(model, "merges"))
    {
        char *both = vg_strf("%s %s", merge->child->valuestring, merge->child->next->valuestring);
        cJSON_AddItemToArray(texts, cJSON_CreateString(both));
        free(both);
    }
    cJSON_ReplaceItemInObject(model, "merges", texts);
    save_json(state, "tokenizer.json", root);
    vg_bpe *bpe = open_bpe(*state);
    check_cases(bpe, NULL);
    vg_bpe_close(bpe);
    cJSON_Delete(root);
}

/* ---- prompts -------------------------------------------------------------------------------------------------------- */

static void test_prompts_equal_the_pipeline(void **state)
{
    static int32_t ids[VG_HUNYUAN_CROP + VG_HUNYUAN_TOKENS];
    cJSON *root = load_tokens();
    const cJSON *row;
    vg_bpe *bpe = open_bpe(GOLDEN_DIR "/tokenizer");
    vg_byt5 *byt5 = open_byt5(GOLDEN_DIR "/tokenizer_2");
    int count, whole, with = 0, cut = 0, rows = 0;
    char *glyphs;
    vg_err err;

    (void)state;
    cJSON_ArrayForEach(row, item(root, "prompts"))
    {
        const char *prompt = item(row, "prompt")->valuestring;
        const cJSON *wanted = item(row, "glyphs");
        CHECK_OK(vg_hunyuan_prompt_ids(bpe, prompt, VG_HUNYUAN_TOKENS, ids, &count, &whole, &err),
                 err);
        check_ids("chat", prompt, item(row, "ids"), ids, count);
        assert_true(count == whole + VG_HUNYUAN_CROP || whole > VG_HUNYUAN_TOKENS);
        cut += whole > VG_HUNYUAN_TOKENS;
        CHECK_OK(vg_hunyuan_glyph_text(prompt, &glyphs, &err), err);
        if (cJSON_IsNull(wanted) != (glyphs == NULL) ||
            (glyphs && strcmp(glyphs, wanted->valuestring) != 0))
            fail_msg("glyphs of %s: %s", prompt, glyphs ? glyphs : "none");
        with += glyphs != NULL;
        free(glyphs);
        CHECK_OK(vg_hunyuan_glyph_ids(byt5, prompt, ids, &count, &whole, &err), err);
        check_ids("glyph ids", prompt, item(row, "glyph_ids"), ids, count);
        rows++;
    }
    assert_true(rows > 15 && with > 8 && with < rows && cut == 1);
    vg_byt5_close(byt5);
    vg_bpe_close(bpe);
    cJSON_Delete(root);
}

static void test_prompt_limits(void **state)
{
    int32_t ids[VG_HUNYUAN_CROP + 3], all[VG_HUNYUAN_CROP + VG_HUNYUAN_TOKENS];
    vg_bpe *bpe = open_bpe(GOLDEN_DIR "/tokenizer");
    int count, all_count;
    vg_err err;
    (void)state;
    CHECK_OK(vg_hunyuan_prompt_ids(bpe, "a cat", 3, ids, &count, NULL, &err), err);
    assert_int_equal(count, VG_HUNYUAN_CROP + 3);
    CHECK_OK(vg_hunyuan_prompt_ids(bpe, "a cat", VG_HUNYUAN_TOKENS, all, &all_count, NULL, &err),
             err);
    assert_memory_equal(ids, all, sizeof ids);
    CHECK_OK(vg_hunyuan_prompt_ids(bpe, NULL, VG_HUNYUAN_TOKENS, all, &all_count, NULL, &err), err);
    CHECK_FAILS(vg_hunyuan_prompt_ids(bpe, "a", 0, ids, &count, NULL, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_hunyuan_prompt_ids(bpe, "a", VG_HUNYUAN_TOKENS + 1, all, &count, NULL, &err),
                VG_E_ARG, err);
    vg_bpe_close(bpe);
}

/* ---- limits, and files that are something else -------------------------------------------------------------------- */

static void test_long_texts_are_encoded_in_reasonable_time(void **state)
{
    static const char *const units[] = {" ", "a", "\n", "猫", "ab ", "\xf0\x9f", "</s>", "1"};
    vg_bpe *bpe = open_bpe(GOLDEN_DIR "/tokenizer");
    vg_byt5 *byt5 = open_byt5(GOLDEN_DIR "/tokenizer_2");
    char *long_text = malloc(VG_BPE_MAX_BYTES + 8);
    int32_t ids[16];
    int count, again;
    vg_err err;
    (void)state;
    assert_non_null(long_text);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t size = 0, n = strlen(units[i]);
        for (; size + n <= VG_BPE_MAX_BYTES; size += n)
            memcpy(long_text + size, units[i], n);
        CHECK_OK(vg_bpe_encode(bpe, long_text, size, ids, 16, &count, &err), err);
        CHECK_OK(vg_bpe_encode(bpe, long_text, size, NULL, 0, &again, &err), err);
        assert_true(count == again && count > 16);
        CHECK_OK(vg_byt5_encode(byt5, long_text, size, 16, ids, &count, &again, &err), err);
        assert_true(count >= 15 && again > 1000);
    }
    CHECK_FAILS(vg_bpe_encode(bpe, long_text, VG_BPE_MAX_BYTES + 1, ids, 16, &count, &err),
                VG_E_ARG, err);
    CHECK_FAILS(vg_byt5_encode(byt5, "a", 1, 0, ids, &count, NULL, &err), VG_E_ARG, err);
    free(long_text);
    vg_byt5_close(byt5);
    vg_bpe_close(bpe);
    vg_byt5_close(NULL);
    vg_bpe_close(NULL);
}

/* What is wrong in a tokenizer.json, by an edit of the golden one: the value at a path is replaced. */
static void test_bpe_errors(void **state)
{
    static const struct {
        const char *path, *value; /* "a.b" or "a.0"; JSON */
        vg_status wanted;
        const char *says;
    } cases[] = {
        {"version", "\"1.0\"", VG_OK, NULL},
        {"normalizer", "null", VG_OK, NULL},
        {"normalizer", "{\"type\":\"NFKC\"}", VG_E_UNSUPPORTED, "NFKC"},
        {"pre_tokenizer", "null", VG_E_UNSUPPORTED, "pre_tokenizer"},
        {"pre_tokenizer", "{\"type\":\"ByteLevel\"}", VG_E_UNSUPPORTED, "ByteLevel"},
        {"pre_tokenizer.pretokenizers", "[]", VG_E_FORMAT, "pretokenizers"},
        {"pre_tokenizer.pretokenizers.0.behavior", "\"Removed\"", VG_E_UNSUPPORTED, "Split"},
        {"pre_tokenizer.pretokenizers.0.invert", "true", VG_E_UNSUPPORTED, "Split"},
        {"pre_tokenizer.pretokenizers.0.pattern", "{\"String\":\" \"}", VG_E_UNSUPPORTED, "Regex"},
        {"pre_tokenizer.pretokenizers.0.pattern.Regex", "\"(\"", VG_E_FORMAT, "expression"},
        {"pre_tokenizer.pretokenizers.0.pattern.Regex", "\"a*\"", VG_E_FORMAT, "without"},
        {"pre_tokenizer.pretokenizers.0.pattern.Regex", "\"[^\\\\S]\"", VG_E_UNSUPPORTED, "\\S"},
        {"pre_tokenizer.pretokenizers.1.use_regex", "true", VG_E_UNSUPPORTED, "ByteLevel"},
        {"pre_tokenizer.pretokenizers.1.add_prefix_space", "true", VG_E_UNSUPPORTED, "ByteLevel"},
        {"post_processor", "null", VG_OK, NULL},
        {"post_processor", "{\"type\":\"ByteLevel\"}", VG_OK, NULL},
        {"post_processor", "{\"type\":\"BertProcessing\"}", VG_E_UNSUPPORTED, "BertProcessing"},
        {"post_processor.single", "[{\"SpecialToken\":{\"id\":\"x\"}}]", VG_E_UNSUPPORTED,
         "template"},
        {"model", "5", VG_E_FORMAT, "\"model\" is a number"},
        {"model.type", "\"Unigram\"", VG_E_UNSUPPORTED, "Unigram"},
        {"model.dropout", "0.1", VG_E_UNSUPPORTED, "dropout"},
        {"model.ignore_merges", "true", VG_E_UNSUPPORTED, "ignore_merges"},
        {"model.end_of_word_suffix", "\"</w>\"", VG_E_UNSUPPORTED, "end_of_word_suffix"},
        {"model.vocab", "{\"a\":1}", VG_E_FORMAT, "256"},
        {"model.vocab.a", "-1", VG_E_FORMAT, "id of \"a\""},
        {"model.vocab.a", "1e30", VG_E_FORMAT, "id of \"a\""},
        {"model.vocab.a", "1.5", VG_E_FORMAT, "id of \"a\""},
        {"model.vocab.a", "\"1\"", VG_E_FORMAT, "id of \"a\""},
        {"model.merges.0", "5", VG_E_FORMAT, "merge 0"},
        {"model.merges.1", "[\"a\"]", VG_E_FORMAT, "merge 1"},
        {"model.merges.1", "[\"a\",\"b\",\"c\"]", VG_E_FORMAT, "merge 1"},
        {"model.merges.1", "\"ab\"", VG_E_FORMAT, "merge 1"},
        {"model.merges.1", "\"a b c\"", VG_E_FORMAT, "merge 1"},
        {"model.merges.1", "[\"z\",\"qqq\"]", VG_E_FORMAT, "vocabulary"},
        {"model.merges", "{}", VG_E_FORMAT, "merges"},
        {"added_tokens", "[5]", VG_E_FORMAT, "added token"},
        {"added_tokens.0.id", "-4", VG_E_FORMAT, "id"},
        {"added_tokens.0.content", "\"\"", VG_E_FORMAT, "empty"},
    };
    vg_bpe *t;
    vg_err err = {0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *root = load_tokenizer_json(), *at = root, *value = cJSON_Parse(cases[i].value);
        char path[128], *save, *key, *last = strrchr(strcpy(path, cases[i].path), '.');
        for (key = strtok_r(path, ".", &save); key && last && key != last + 1;
             key = strtok_r(NULL, ".", &save))
            at = cJSON_IsArray(at) ? cJSON_GetArrayItem(at, atoi(key))
                                   : cJSON_GetObjectItemCaseSensitive(at, key);
        assert_true(at && key && value);
        assert_true(cJSON_IsArray(at) ? cJSON_ReplaceItemInArray(at, atoi(key), value)
                                      : cJSON_ReplaceItemInObjectCaseSensitive(at, key, value));
        save_json(state, "tokenizer.json", root);
        vg_status status = vg_bpe_open(*state, &t, &err);
        if (status == VG_OK)
            vg_bpe_close(t);
        if (status != cases[i].wanted ||
            (cases[i].says &&
             (!strstr(err.message, cases[i].says) || !strstr(err.message, "tokenizer.json"))))
            fail_msg("%s = %s: %s (%s)", cases[i].path, cases[i].value, vg_status_name(status),
                     status == VG_OK ? "" : err.message);
        cJSON_Delete(root);
    }
}

static void test_folders_without_a_tokenizer(void **state)
{
    vg_bpe *bpe;
    vg_byt5 *byt5;
    vg_err err;
    CHECK_FAILS(vg_bpe_open(*state, &bpe, &err), VG_E_MISSING, err);
    CHECK_FAILS(vg_byt5_open(*state, &byt5, &err), VG_E_MISSING, err);
    scratch_text(state, "vocab.json", "{}");
    CHECK_FAILS(vg_bpe_open(*state, &bpe, &err), VG_E_IO, err);
    scratch_text(state, "merges.txt", "a b\n");
    CHECK_FAILS(vg_bpe_open(*state, &bpe, &err), VG_E_FORMAT, err);
    scratch_text(state, "tokenizer_config.json", "{\"tokenizer_class\":\"T5Tokenizer\"}");
    CHECK_FAILS(vg_byt5_open(*state, &byt5, &err), VG_E_UNSUPPORTED, err);
    scratch_text(state, "tokenizer_config.json",
                 "{\"added_tokens_decoder\":{\"0\":{\"content\":\"<pad>\"}}}");
    CHECK_FAILS(vg_byt5_open(*state, &byt5, &err), VG_E_FORMAT, err);
}

/* Without a list of added tokens ByT5 has its own: the same ids, but for colours and fonts, which added_tokens.json brings. */
static void test_byt5_without_lists(void **state)
{
    static const char *const texts[] = {"a </s>  b", "<extra_id_0>x <extra_id_124> \x1f</s>", "",
                                        "<color-1>", "z<pad> <unk>"};
    vg_byt5 *whole = open_byt5(GOLDEN_DIR "/tokenizer_2"), *bare;
    int32_t a[64], b[64];
    int a_count, b_count;
    vg_err err;
    scratch_text(state, "tokenizer_config.json", "{}");
    for (int colours = 0; colours < 2; colours++) {
        if (colours)
            scratch_text(state, "added_tokens.json", "{\"<color-1>\":385}");
        bare = open_byt5(*state);
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            const char *t = texts[i];
            CHECK_OK(vg_byt5_encode(whole, t, strlen(t), 64, a, &a_count, NULL, &err), err);
            CHECK_OK(vg_byt5_encode(bare, t, strlen(t), 64, b, &b_count, NULL, &err), err);
            bool same = a_count == b_count && memcmp(a, b, (size_t)a_count * sizeof *a) == 0;
            assert_true(same == (colours || !strstr(t, "color")));
        }
        assert_int_equal(vg_byt5_vocab(bare), colours ? 386 : 384);
        vg_byt5_close(bare);
    }
    vg_byt5_close(whole);
}

int main(void)
{
    const struct CMUnitTest fresh[] = {cmocka_unit_test(test_generated_texts_equal_huggingface)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generated_texts_equal_huggingface),
        cmocka_unit_test(test_texts_equal_huggingface),
        cmocka_unit_test_setup_teardown(test_two_files_give_the_same_ids, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_merges_as_texts_give_the_same_ids, scratch_open,
                                        scratch_close),
        cmocka_unit_test(test_prompts_equal_the_pipeline),
        cmocka_unit_test(test_prompt_limits),
        cmocka_unit_test(test_long_texts_are_encoded_in_reasonable_time),
        cmocka_unit_test_setup_teardown(test_bpe_errors, scratch_open, scratch_close),
        cmocka_unit_test_setup_teardown(test_folders_without_a_tokenizer, scratch_open,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_byt5_without_lists, scratch_open, scratch_close),
    };
    if (getenv("VGEN_BPE"))
        return cmocka_run_group_tests(fresh, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
