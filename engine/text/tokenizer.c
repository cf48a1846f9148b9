/* tokenizer.c: T5/UMT5 text to ids as HuggingFace's tokenizers runs the published tokenizer.json:
 *   1. added tokens (`</s>`, `<extra_id_0>`, ...) are cut out of the raw text, leftmost and longest first;
 *   2. each stretch between them: character map, white space stripped on the right, runs of spaces to one U+2581;
 *   3. spaces to U+2581, one put in front if it is not there, cut before every U+2581;
 *   4. each cut: Unigram segmentation (libsentencepiece), adjacent unknown characters fused;
 *   5. `</s>` appended; when there are more than max_length ids, the last is replaced by it.
 * Not covered: added tokens with "normalized": true are matched in the raw text like the others; the pre-tokeniser of files that
 * transformers 5 rebuilt (it also splits at other white space, which prompt cleaning has removed already).
 * Scores are summed in FP32 by libsentencepiece and in FP64 by tokenizers: only exact near-ties could differ. */
#include "engine/text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "kernels/base/json.h"
#include "engine/text/prompt.h"
#include "engine/text/sentencepiece_shim.h"
#include "engine/text/spiece_model.h"

#define MODEL_LIMIT_BYTES (64u << 20)
#define ADDED_MAX         16384
#define EXTRA_IDS_MAX     10000
#define METASPACE         "\xe2\x96\x81"
#define METASPACE_BYTES   3

typedef struct added_token {
    char *text;
    size_t length;
    int id;
    bool lstrip, rstrip, single_word;
} added_token;

struct vg_tokenizer {
    vg_spiece_model model;
    vg_spiece *sp;
    added_token *added;
    int added_count;
    bool starts[256]; /* some added token starts with this byte */
    int eos, vocab;
};

/* ---- loading ---- */

static vg_status add_token(vg_tokenizer *t, const char *name, const char *text, int64_t id,
                           const cJSON *flags, vg_err *err)
{
    added_token token = {.length = strlen(text), .id = (int)id};

    if (token.length == 0 || token.length > 1024)
        return VG_FAIL(err, VG_E_FORMAT, "%s: added token %lld has an empty or very long text",
                       name, (long long)id);
    if (id < 0 || id > INT32_MAX / 2)
        return VG_FAIL(err, VG_E_FORMAT, "%s: added token \"%s\" has the id %lld", name, text,
                       (long long)id);
    if (flags) {
        VG_TRY(vg_json_get_bool(flags, name, "lstrip", &token.lstrip, err));
        VG_TRY(vg_json_get_bool(flags, name, "rstrip", &token.rstrip, err));
        VG_TRY(vg_json_get_bool(flags, name, "single_word", &token.single_word, err));
    }
    for (int i = 0; i < t->added_count; i++) {
        if (strcmp(t->added[i].text, text) == 0)
            return VG_OK;
    }
    if (t->added_count == ADDED_MAX)
        return VG_FAIL(err, VG_E_FORMAT, "%s: more than %d added tokens", name, ADDED_MAX);
    if ((t->added_count & (t->added_count - 1)) == 0) { /* full at each power of two */
        added_token *grown =
            realloc(t->added, (t->added_count ? 2 * (size_t)t->added_count : 1) * sizeof *grown);
        if (!grown)
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
        t->added = grown;
    }
    token.text = strdup(text);
    if (!token.text)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
    t->added[t->added_count++] = token;
    t->starts[(unsigned char)text[0]] = true;
    if (t->vocab <= token.id)
        t->vocab = token.id + 1;
    return VG_OK;
}

/* tokenizer_config.json: {"added_tokens_decoder": {"0": {"content": "<pad>", ...}}} */
static vg_status add_from_decoder(vg_tokenizer *t, const char *name, const cJSON *decoder,
                                  vg_err *err)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, decoder)
    {
        const char *text = NULL;
        char *end;
        long long id = strtoll(item->string ? item->string : "", &end, 10);
        if (!item->string || !item->string[0] || *end)
            return VG_FAIL(err, VG_E_FORMAT, "%s: added_tokens_decoder: \"%s\" is not an id", name,
                           item->string ? item->string : "");
        VG_TRY(vg_json_get_string(item, name, "content", &text, err));
        if (!text)
            return VG_FAIL(err, VG_E_FORMAT, "%s: added token %lld has no content", name, id);
        VG_TRY(add_token(t, name, text, id, item, err));
    }
    return VG_OK;
}

/* tokenizer.json: {"added_tokens": [{"id": 0, "content": "<pad>", ...}]} */
static vg_status add_from_list(vg_tokenizer *t, const char *name, const cJSON *list, vg_err *err)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        const char *text = NULL;
        int64_t id = -1;
        VG_TRY(vg_json_get_string(item, name, "content", &text, err));
        VG_TRY(vg_json_get_int(item, name, "id", 0, INT32_MAX / 2, &id, err));
        if (!text || id < 0)
            return VG_FAIL(err, VG_E_FORMAT, "%s: an added token has no content or no id", name);
        VG_TRY(add_token(t, name, text, id, item, err));
    }
    return VG_OK;
}

/* Without any list: the model's own control pieces, and T5's extra ids, which count down behind the pieces. */
static vg_status add_from_model(vg_tokenizer *t, const char *name, int64_t extra_ids, vg_err *err)
{
    for (int i = 0; i < t->model.count; i++) {
        const vg_piece *p = &t->model.pieces[i];
        if (p->type == VG_PIECE_CONTROL || p->type == VG_PIECE_UNKNOWN)
            VG_TRY(add_token(t, name, p->text, i, NULL, err));
    }
    for (int64_t i = 0; i < extra_ids; i++) {
        char text[40];
        snprintf(text, sizeof text, "<extra_id_%lld>", (long long)i);
        VG_TRY(add_token(t, name, text, t->model.count + extra_ids - 1 - i, NULL, err));
    }
    return VG_OK;
}

/* A special token is written as "text" or {"content": "text"}. */
static const char *token_text(const cJSON *config, const char *key, const char *otherwise)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, key);

    if (cJSON_IsObject(item))
        item = cJSON_GetObjectItemCaseSensitive(item, "content");
    return cJSON_IsString(item) ? item->valuestring : otherwise;
}

static vg_status load_json(const char *dir, const char *file, char **path, cJSON **root,
                           vg_err *err)
{
    *root = NULL;
    *path = vg_path_join(dir, file);
    if (!*path)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
    return vg_file_exists(*path) ? vg_json_load(*path, root, err) : VG_OK;
}

static vg_status load_added(vg_tokenizer *t, const char *dir, vg_err *err)
{
    char *config_path = NULL, *map_path = NULL, *whole_path = NULL;
    cJSON *config = NULL, *map = NULL, *whole = NULL;
    vg_status status;
    int64_t extra_ids = 0;

    VG_TRY_GOTO(status, load_json(dir, "tokenizer_config.json", &config_path, &config, err), done);
    VG_TRY_GOTO(status, load_json(dir, "special_tokens_map.json", &map_path, &map, err), done);
    /* tokenizer.json holds the list too, behind some 16 MB of vocabulary: opened only when it must be. */
    const cJSON *decoder = cJSON_GetObjectItemCaseSensitive(config, "added_tokens_decoder");
    if (cJSON_IsObject(decoder) && decoder->child) {
        VG_TRY_GOTO(status, add_from_decoder(t, config_path, decoder, err), done);
    } else {
        VG_TRY_GOTO(status, load_json(dir, "tokenizer.json", &whole_path, &whole, err), done);
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(whole, "added_tokens");
        if (cJSON_IsArray(list) && list->child) {
            VG_TRY_GOTO(status, add_from_list(t, whole_path, list, err), done);
        } else {
            VG_TRY_GOTO(status,
                        vg_json_get_int(config, config_path, "extra_ids", 0, EXTRA_IDS_MAX,
                                        &extra_ids, err),
                        done);
            VG_TRY_GOTO(status, add_from_model(t, config_path, extra_ids, err), done);
        }
    }
    const char *eos = token_text(config, "eos_token", token_text(map, "eos_token", "</s>"));
    t->eos = -1;
    for (int i = 0; i < t->added_count; i++) {
        if (strcmp(t->added[i].text, eos) == 0)
            t->eos = t->added[i].id;
    }
    for (int i = 0; t->eos < 0 && i < t->model.count; i++) {
        if (strcmp(t->model.pieces[i].text, eos) == 0)
            t->eos = i;
    }
    if (t->eos < 0)
        status = VG_FAIL(err, VG_E_FORMAT, "%s: the end token \"%s\" is not in the vocabulary", dir,
                         eos);
done:
    cJSON_Delete(config);
    cJSON_Delete(map);
    cJSON_Delete(whole);
    free(config_path);
    free(map_path);
    free(whole_path);
    return status;
}

static vg_status load_model(vg_tokenizer *t, const void *bytes, size_t size, const char *name,
                            vg_err *err)
{
    char reason[200] = "";
    void *proto;
    size_t proto_size;

    VG_TRY(vg_spiece_model_parse(bytes, size, name, &t->model, err));
    VG_TRY(vg_spiece_model_serialise(&t->model, &proto, &proto_size, err));
    t->sp = vg_spiece_new(proto, proto_size, reason, sizeof reason);
    free(proto);
    if (!t->sp)
        return VG_FAIL(err, VG_E_FORMAT, "%s: libsentencepiece: %s", name, reason);
    t->vocab = t->model.count;
    return VG_OK;
}

/* The model file under one of its names; VG_E_MISSING lists them. */
static vg_status read_model(const char *dir, char **path, char **bytes, size_t *size, vg_err *err)
{
    static const char *const names[] = {"spiece.model", "sentencepiece.model", "tokenizer.model"};

    for (int i = 0; i < 3; i++) {
        char *candidate = vg_path_join(dir, names[i]);
        if (!candidate)
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
        if (vg_file_exists(candidate)) {
            *path = candidate;
            return vg_file_read(candidate, MODEL_LIMIT_BYTES, bytes, size, err);
        }
        free(candidate);
    }
    return VG_FAIL(err, VG_E_MISSING, "%s: no %s, %s or %s", dir, names[0], names[1], names[2]);
}

vg_status vg_tokenizer_open_memory(const void *bytes, size_t size, const char *name,
                                   vg_tokenizer **tokenizer, vg_err *err)
{
    vg_tokenizer *t = calloc(1, sizeof *t);

    if (!t)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
    vg_status status = load_model(t, bytes, size, name, err);
    if (status == VG_OK)
        status = add_from_model(t, name, 0, err);
    for (int i = 0; i < t->added_count; i++)
        t->eos = strcmp(t->added[i].text, "</s>") == 0 ? t->added[i].id : t->eos;
    if (status != VG_OK) {
        vg_tokenizer_close(t);
        return status;
    }
    *tokenizer = t;
    return VG_OK;
}

vg_status vg_tokenizer_open(const char *dir, vg_tokenizer **tokenizer, vg_err *err)
{
    char *path = NULL, *bytes = NULL;
    size_t size = 0;
    vg_tokenizer *t = calloc(1, sizeof *t);

    if (!t)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
    vg_status status = read_model(dir, &path, &bytes, &size, err);
    if (status == VG_OK)
        status = load_model(t, bytes, size, path, err);
    if (status == VG_OK)
        status = load_added(t, dir, err);
    free(bytes);
    free(path);
    if (status != VG_OK) {
        vg_tokenizer_close(t);
        return status;
    }
    *tokenizer = t;
    return VG_OK;
}

void vg_tokenizer_close(vg_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    for (int i = 0; i < tokenizer->added_count; i++)
        free(tokenizer->added[i].text);
    free(tokenizer->added);
    vg_spiece_free(tokenizer->sp);
    vg_spiece_model_deinit(&tokenizer->model);
    free(tokenizer);
}

int vg_tokenizer_vocab(const vg_tokenizer *tokenizer)
{
    return tokenizer->vocab;
}

/* ---- encoding ---- */

/* Ids collected so far; counting goes on when the array is full, so that truncation can be told. */
typedef struct id_list {
    int32_t *ids;
    size_t room, count;
} id_list;

static void push(id_list *list, int id)
{
    if (list->count < list->room)
        list->ids[list->count] = id;
    list->count++;
}

static utf8proc_int32_t decode_at(const char *text, size_t size, size_t *length)
{
    utf8proc_int32_t code = -1;
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, &code);

    *length = n > 0 ? (size_t)n : 1;
    return n > 0 ? code : -1;
}

/* Unicode White_Space. */
static bool is_space(utf8proc_int32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

static bool is_word(utf8proc_int32_t c)
{
    utf8proc_category_t category = c >= 0 ? utf8proc_category(c) : UTF8PROC_CATEGORY_CN;

    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO) ||
           category == UTF8PROC_CATEGORY_PC;
}

/* Begin of the character that ends at `at`. */
static size_t back_one(const char *text, size_t at)
{
    do
        at--;
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80);
    return at;
}

static bool word_beside(const char *text, size_t size, size_t begin, size_t end)
{
    size_t length;

    if (begin > 0) {
        size_t before = back_one(text, begin);
        if (is_word(decode_at(text + before, size - before, &length)))
            return true;
    }
    return end < size && is_word(decode_at(text + end, size - end, &length));
}

/* The longest added token at text[at]; NULL if none. */
static const added_token *match_added(const vg_tokenizer *t, const char *text, size_t size,
                                      size_t at)
{
    const added_token *best = NULL;

    if (!t->starts[(unsigned char)text[at]])
        return NULL;
    for (int i = 0; i < t->added_count; i++) {
        const added_token *a = &t->added[i];
        if (a->length <= size - at && (!best || a->length > best->length) &&
            memcmp(text + at, a->text, a->length) == 0)
            best = a;
    }
    if (best && best->single_word && word_beside(text, size, at, at + best->length))
        return NULL;
    return best;
}

/* Step 4 for one cut. */
static vg_status encode_cut(const vg_tokenizer *t, const char *text, size_t size, id_list *list,
                            vg_err *err)
{
    int some[64], *ids = some;
    long count = vg_spiece_encode(t->sp, text, size, some, 64);

    if (count > 64) {
        ids = malloc((size_t)count * sizeof *ids);
        if (!ids)
            return VG_FAIL(err, VG_E_NOMEM, "out of memory for %ld tokens", count);
        count = vg_spiece_encode(t->sp, text, size, ids, (size_t)count);
    }
    vg_status status =
        count >= 0 ? VG_OK : VG_FAIL(err, VG_E_NOMEM, "libsentencepiece could not encode the text");
    for (long i = 0; i < count; i++) {
        if (ids[i] < 0 || ids[i] >= t->model.count) {
            status = VG_FAIL(err, VG_E_FORMAT, "libsentencepiece gave the id %d of %d", ids[i],
                             t->model.count);
            break;
        }
        push(list, ids[i]);
    }
    if (ids != some)
        free(ids);
    return status;
}

/* Steps 2 to 4 for text between added tokens. */
static vg_status encode_stretch(const vg_tokenizer *t, const char *text, size_t size, id_list *list,
                                vg_err *err)
{
    char *normal = NULL, *marked = NULL;
    size_t normal_size, used = 0, length;

    VG_TRY(vg_charsmap_apply(t->model.charsmap, t->model.charsmap_size, text, size, &normal,
                             &normal_size, err));
    while (normal_size > 0) {
        size_t last = back_one(normal, normal_size);
        if (!is_space(decode_at(normal + last, normal_size - last, &length)))
            break;
        normal_size = last;
    }
    vg_status status = VG_OK;
    if (normal_size == 0)
        goto done;
    marked = malloc(METASPACE_BYTES * (normal_size + 1));
    if (!marked) {
        status = VG_FAIL(err, VG_E_NOMEM, "out of memory tokenising the prompt");
        goto done;
    }
    if (normal[0] != ' ' &&
        (normal_size < METASPACE_BYTES || memcmp(normal, METASPACE, METASPACE_BYTES) != 0)) {
        memcpy(marked, METASPACE, METASPACE_BYTES);
        used = METASPACE_BYTES;
    }
    for (size_t i = 0; i < normal_size; i++) {
        if (normal[i] != ' ') {
            marked[used++] = normal[i];
        } else if (i == 0 || normal[i - 1] != ' ') {
            memcpy(marked + used, METASPACE, METASPACE_BYTES);
            used += METASPACE_BYTES;
        }
    }
    for (size_t begin = 0; status == VG_OK && begin < used;) {
        const char *next =
            used - begin > METASPACE_BYTES
                ? memmem(marked + begin + 1, used - begin - 1, METASPACE, METASPACE_BYTES)
                : NULL;
        size_t end = next ? (size_t)(next - marked) : used;
        status = encode_cut(t, marked + begin, end - begin, list, err);
        begin = end;
    }
done:
    free(normal);
    free(marked);
    return status;
}

static vg_status encode_all(const vg_tokenizer *t, const char *text, size_t size, id_list *list,
                            vg_err *err)
{
    size_t begin = 0, at = 0, length;

    while (at < size) {
        const added_token *a = match_added(t, text, size, at);
        if (!a) {
            at++;
            continue;
        }
        size_t stop = at, go_on = at + a->length;
        while (a->lstrip && stop > begin) {
            size_t last = back_one(text, stop);
            if (!is_space(decode_at(text + last, size - last, &length)))
                break;
            stop = last;
        }
        while (a->rstrip && go_on < size &&
               is_space(decode_at(text + go_on, size - go_on, &length)))
            go_on += length;
        if (stop > begin)
            VG_TRY(encode_stretch(t, text + begin, stop - begin, list, err));
        push(list, a->id);
        begin = at = go_on;
    }
    return begin < size ? encode_stretch(t, text + begin, size - begin, list, err) : VG_OK;
}

vg_status vg_tokenizer_encode(const vg_tokenizer *tokenizer, const char *text, int max_length,
                              int32_t *ids, int *count, vg_err *err)
{
    const size_t size = strlen(text);
    size_t bad;

    if (max_length < 1)
        return VG_FAIL(err, VG_E_ARG, "max_length is %d, must be at least 1", max_length);
    if (size > VG_PROMPT_MAX_BYTES)
        return VG_FAIL(err, VG_E_ARG, "the text has %zu bytes, at most %d", size,
                       VG_PROMPT_MAX_BYTES);
    if (!vg_utf8_valid(text, size, &bad))
        return VG_FAIL(err, VG_E_ARG, "the text is not valid UTF-8 at byte %zu", bad);
    id_list list = {ids, (size_t)max_length - 1, 0};
    VG_TRY(encode_all(tokenizer, text, size, &list, err));
    int kept = (int)(list.count < list.room ? list.count : list.room);
    ids[kept] = tokenizer->eos;
    *count = kept + 1;
    return VG_OK;
}
