/* bpe_load.c: a byte-level BPE tokenizer from its files: tokenizer.json, or vocab.json and merges.txt. Steps of a tokenizer.json that bpe.c does
 * not do are refused by their names: they would change ids silently. */
#include "engine/text/bpe_impl.h"

#include "engine/text/nfc.h"
#include "kernels/base/utf8.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MERGES_LIMIT_BYTES (64u << 20)
#define VOCAB_MAX          (1 << 22)

/* Of Qwen2, where no tokenizer.json says it. */
static const char qwen2_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/* ---- the vocabulary: text to id, while loading ---- */

typedef struct word {
    const char *text; /* NULL: an empty place; borrowed from the JSON */
    size_t length;
    int32_t id;
} word;

typedef struct words {
    word *at;
    size_t mask;
} words;

static size_t hash(const char *text, size_t length)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 29);
}

/* The word's place, or the empty one where it belongs. */
static word *find_word(const words *w, const char *text, size_t length)
{
    size_t at = hash(text, length) & w->mask;
    while (w->at[at].text &&
           (w->at[at].length != length || memcmp(w->at[at].text, text, length) != 0))
        at = (at + 1) & w->mask;
    return &w->at[at];
}

/* Twice as many places as entries, or more; never full. */
static size_t places_for(size_t entries)
{
    size_t places = 16;
    while (places < 2 * entries)
        places *= 2;
    return places;
}

static vg_status read_words(const cJSON *vocab, const char *name, words *w, int *end, vg_err *err)
{
    const cJSON *item;
    int count = cJSON_GetArraySize(vocab);
    if (count < 256 || count > VOCAB_MAX)
        return VG_FAIL(err, VG_E_FORMAT, "%s: a vocabulary of %d; 256 to %d are possible", name,
                       count, VOCAB_MAX);
    w->mask = places_for((size_t)count) - 1;
    w->at = calloc(w->mask + 1, sizeof *w->at);
    if (!w->at)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
    cJSON_ArrayForEach(item, vocab)
    {
        double id = item->valuedouble;
        if (!cJSON_IsNumber(item) || !(id >= 0 && id < VOCAB_MAX) || id != (int)id)
            return VG_FAIL(err, VG_E_FORMAT, "%s: the id of \"%s\" must be a number below %d", name,
                           item->string, VOCAB_MAX);
        size_t length = strlen(item->string);
        *find_word(w, item->string, length) = (word){item->string, length, (int32_t)id};
        if (*end <= (int)id)
            *end = (int)id + 1;
    }
    return VG_OK;
}

/* The vocabulary writes bytes as visible characters: those that are visible in Latin-1 as they are, the others, in order, from U+0100 on. */
static vg_status read_bytes(const words *w, const char *name, int32_t bytes[256], vg_err *err)
{
    uint32_t next = 0x100;
    for (uint32_t b = 0; b < 256; b++) {
        bool visible = (b > 0x20 && b < 0x7f) || (b > 0xa0 && b != 0xad);
        char text[4];
        int length = vg_utf8_encode(visible ? b : next++, text);
        const word *found = find_word(w, text, (size_t)length);
        if (!found->text)
            return VG_FAIL(err, VG_E_FORMAT, "%s: the vocabulary has no token for the byte %u",
                           name, b);
        bytes[b] = found->id;
    }
    return VG_OK;
}

/* ---- merges ---- */

static vg_status reserve_merges(vg_bpe *t, size_t count, const char *name, vg_err *err)
{
    if (count > VOCAB_MAX)
        return VG_FAIL(err, VG_E_FORMAT, "%s: more than %d merges", name, VOCAB_MAX);
    t->merges_mask = places_for(count) - 1;
    t->merges = malloc((t->merges_mask + 1) * sizeof *t->merges);
    if (!t->merges)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
    for (size_t i = 0; i <= t->merges_mask; i++)
        t->merges[i].left = -1;
    return VG_OK;
}

typedef struct span {
    const char *text;
    size_t length;
} span;

static vg_status add_merge(vg_bpe *t, const words *w, const char *name, int rank, span left,
                           span right, vg_err *err)
{
    vg_status status = VG_OK;
    size_t length = left.length + right.length;
    char *both = malloc(length + 1);
    if (!both)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
    memcpy(both, left.text, left.length);
    memcpy(both + left.length, right.text, right.length);
    both[length] = '\0';
    const word *a = find_word(w, left.text, left.length),
               *b = find_word(w, right.text, right.length), *c = find_word(w, both, length);
    if (!a->text || !b->text || !c->text)
        status = VG_FAIL(
            err, VG_E_FORMAT,
            "%s: merge %d makes \"%s\" of tokens that are not all in the vocabulary, or is not in it",
            name, rank, both);
    free(both);
    VG_TRY(status);
    size_t at = vg_merge_place(a->id, b->id, t->merges_mask);
    while (t->merges[at].left >= 0 && (t->merges[at].left != a->id || t->merges[at].right != b->id))
        at = (at + 1) & t->merges_mask;
    t->merges[at] = (vg_merge){a->id, b->id, c->id, rank};
    return VG_OK;
}

/* "left right", of `length` bytes. */
static vg_status add_merge_line(vg_bpe *t, const words *w, const char *name, int rank,
                                const char *line, size_t length, vg_err *err)
{
    const char *space = memchr(line, ' ', length);
    size_t left = space ? (size_t)(space - line) : 0, right = space ? length - left - 1 : 0;
    if (!left || !right || memchr(space + 1, ' ', right))
        return VG_FAIL(err, VG_E_FORMAT, "%s: merge %d must be two tokens with a space between",
                       name, rank);
    return add_merge(t, w, name, rank, (span){line, left}, (span){space + 1, right}, err);
}

static vg_status add_merges_json(vg_bpe *t, const words *w, const char *name, const cJSON *list,
                                 vg_err *err)
{
    const cJSON *item;
    int rank = 0;
    VG_TRY(reserve_merges(t, (size_t)cJSON_GetArraySize(list), name, err));
    cJSON_ArrayForEach(item, list)
    {
        const cJSON *left = cJSON_IsArray(item) ? item->child : NULL,
                    *right = left ? left->next : NULL;
        if (cJSON_IsString(item))
            VG_TRY(add_merge_line(t, w, name, rank, item->valuestring, strlen(item->valuestring),
                                  err));
        else if (cJSON_IsString(left) && cJSON_IsString(right) && !right->next)
            VG_TRY(add_merge(t, w, name, rank, (span){left->valuestring, strlen(left->valuestring)},
                             (span){right->valuestring, strlen(right->valuestring)}, err));
        else
            return VG_FAIL(err, VG_E_FORMAT, "%s: merge %d must be two tokens", name, rank);
        rank++;
    }
    return VG_OK;
}

/* merges.txt: a line each, in front of them perhaps "#version: 0.2". */
static vg_status add_merges_text(vg_bpe *t, const words *w, const char *name, const char *text,
                                 size_t size, vg_err *err)
{
    size_t lines = 1;
    int rank = 0;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    VG_TRY(reserve_merges(t, lines, name, err));
    for (const char *line = text, *next; line < text + size; line = next) {
        const char *end = memchr(line, '\n', (size_t)(text + size - line));
        next = end ? end + 1 : text + size;
        end = end ? end : text + size;
        if (end > line && end[-1] == '\r')
            end--;
        if (end == line || (rank == 0 && strncmp(line, "#version", 8) == 0))
            continue;
        VG_TRY(add_merge_line(t, w, name, rank++, line, (size_t)(end - line), err));
    }
    return VG_OK;
}

/* ---- the steps of a tokenizer.json ---- */

static vg_status unsupported(const char *name, const char *where, const char *what, vg_err *err)
{
    return VG_FAIL(err, VG_E_UNSUPPORTED,
                   "%s: %s: \"%s\" is not supported: only what Qwen2's tokenizer consists of", name,
                   where, what);
}

/* The object at `key` and its "type"; NULL and "" where it is null or missing. */
static vg_status typed(const cJSON *o, const char *name, const char *key, const cJSON **object,
                       const char **type, vg_err *err)
{
    *object = NULL;
    *type = "";
    if (!vg_json_is_set(o, key))
        return VG_OK;
    VG_TRY(vg_json_get_object(o, name, key, object, err));
    return vg_json_get_string(*object, name, "type", type, err);
}

static vg_status read_normalizer(vg_bpe *t, const cJSON *root, const char *name, vg_err *err)
{
    const cJSON *normalizer;
    const char *type;
    VG_TRY(typed(root, name, "normalizer", &normalizer, &type, err));
    t->nfc = strcmp(type, "NFC") == 0;
    return t->nfc || !normalizer ? VG_OK : unsupported(name, "normalizer", type, err);
}

/* {"type":"Split","pattern":{"Regex":"..."},"behavior":"Isolated","invert":false} */
static vg_status read_split(const cJSON *step, const char *name, const char **pattern, vg_err *err)
{
    const cJSON *object = NULL;
    const char *behavior = "", *type = "";
    bool invert = false;
    VG_TRY(vg_json_get_string(step, name, "type", &type, err));
    VG_TRY(vg_json_get_string(step, name, "behavior", &behavior, err));
    VG_TRY(vg_json_get_bool(step, name, "invert", &invert, err));
    if (strcmp(type, "Split") != 0 || strcmp(behavior, "Isolated") != 0 || invert)
        return unsupported(name, "pre_tokenizer", type, err);
    VG_TRY(vg_json_get_object(step, name, "pattern", &object, err));
    VG_TRY(vg_json_get_string(object, name, "Regex", pattern, err));
    return *pattern ? VG_OK : unsupported(name, "pre_tokenizer", "Split without Regex", err);
}

/* {"type":"ByteLevel","add_prefix_space":false,"use_regex":false} */
static vg_status check_byte_level(const cJSON *step, const char *name, vg_err *err)
{
    const char *type = "";
    bool prefix = true, regex = true;
    VG_TRY(vg_json_get_string(step, name, "type", &type, err));
    VG_TRY(vg_json_get_bool(step, name, "add_prefix_space", &prefix, err));
    VG_TRY(vg_json_get_bool(step, name, "use_regex", &regex, err));
    return strcmp(type, "ByteLevel") == 0 && !prefix && !regex
               ? VG_OK
               : unsupported(name, "pre_tokenizer", type, err);
}

static vg_status read_pre_tokenizer(vg_bpe *t, const cJSON *root, const char *name, vg_err *err)
{
    const cJSON *sequence, *steps = NULL;
    const char *type, *pattern = NULL;
    VG_TRY(typed(root, name, "pre_tokenizer", &sequence, &type, err));
    if (strcmp(type, "Sequence") != 0)
        return unsupported(name, "pre_tokenizer", type, err);
    VG_TRY(vg_json_get_list(sequence, name, "pretokenizers", 2, 2, &steps, err));
    if (!steps)
        return VG_FAIL(err, VG_E_FORMAT, "%s: pre_tokenizer has no pretokenizers", name);
    VG_TRY(read_split(steps->child, name, &pattern, err));
    VG_TRY(check_byte_level(steps->child->next, name, err));
    return vg_pretokenizer_new(pattern, name, &t->pieces, err);
}

/* Nothing may be put around the text. */
static vg_status check_post_processor(const cJSON *root, const char *name, vg_err *err)
{
    const cJSON *post, *single = NULL;
    const char *type;
    VG_TRY(typed(root, name, "post_processor", &post, &type, err));
    if (!post || strcmp(type, "ByteLevel") == 0)
        return VG_OK;
    if (strcmp(type, "TemplateProcessing") != 0)
        return unsupported(name, "post_processor", type, err);
    VG_TRY(vg_json_get_list(post, name, "single", 0, INT_MAX, &single, err));
    if (single && single->child && !single->child->next &&
        cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(single->child, "Sequence")))
        return VG_OK;
    return unsupported(name, "post_processor", "a template with more than the text", err);
}

static vg_status check_model(const cJSON *model, const char *name, vg_err *err)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const char *type = "", *affix;
    bool ignore = false;
    VG_TRY(vg_json_get_string(model, name, "type", &type, err));
    if (strcmp(type, "BPE") != 0)
        return unsupported(name, "model", type, err);
    for (int i = 0; i < 2; i++) {
        affix = "";
        if (vg_json_is_set(model, affixes[i]))
            VG_TRY(vg_json_get_string(model, name, affixes[i], &affix, err));
        if (*affix)
            return unsupported(name, "model", affixes[i], err);
    }
    VG_TRY(vg_json_get_bool(model, name, "ignore_merges", &ignore, err));
    if (ignore || vg_json_is_set(model, "dropout"))
        return unsupported(name, "model", ignore ? "ignore_merges" : "dropout", err);
    return VG_OK;
}

static vg_status read_model(vg_bpe *t, const cJSON *root, const char *name, vg_err *err)
{
    const cJSON *model = NULL, *vocab = NULL, *merges = NULL;
    words w = {0};
    vg_status status;
    VG_TRY(vg_json_get_object(root, name, "model", &model, err));
    VG_TRY(check_model(model, name, err));
    VG_TRY(vg_json_get_object(model, name, "vocab", &vocab, err));
    VG_TRY(vg_json_get_list(model, name, "merges", 0, VOCAB_MAX, &merges, err));
    VG_TRY_GOTO(status, read_words(vocab, name, &w, &t->end, err), done);
    VG_TRY_GOTO(status, read_bytes(&w, name, t->bytes, err), done);
    status = add_merges_json(t, &w, name, merges, err);
done:
    free(w.at);
    return status;
}

static vg_status read_whole(vg_bpe *t, const cJSON *root, const char *name, vg_err *err)
{
    VG_TRY(read_normalizer(t, root, name, err));
    VG_TRY(read_pre_tokenizer(t, root, name, err));
    VG_TRY(check_post_processor(root, name, err));
    VG_TRY(read_model(t, root, name, err));
    return vg_added_tokens_add_list(&t->added, name, root, err);
}

/* ---- folders ---- */

/* Run fn on DIR/FILE, if there is one; *found says so. */
typedef vg_status (*json_fn)(vg_bpe *t, const cJSON *root, const char *name, vg_err *err);
static vg_status with_json(vg_bpe *t, const char *dir, const char *file, json_fn fn, bool *found,
                           vg_err *err)
{
    cJSON *root = NULL;
    char *path = NULL;
    vg_status status = vg_json_load_if(dir, file, &path, &root, err);
    *found = root != NULL;
    if (status == VG_OK && root)
        status = fn(t, root, path, err);
    cJSON_Delete(root);
    free(path);
    return status;
}

/* vocab.json, and merges.txt beside it. */
static vg_status read_two_files(vg_bpe *t, const cJSON *vocab, const char *vocab_name, vg_err *err)
{
    words w = {0};
    char *text = NULL, *name = NULL;
    size_t size;
    const char *file = strrchr(vocab_name, '/');
    vg_status status;
    t->nfc = true;
    VG_TRY(vg_pretokenizer_new(qwen2_pattern, vocab_name, &t->pieces, err));
    name = vg_strf("%.*smerges.txt", file ? (int)(file + 1 - vocab_name) : 0, vocab_name);
    if (!name)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", vocab_name);
    VG_TRY_GOTO(status, vg_file_read(name, MERGES_LIMIT_BYTES, &text, &size, err), done);
    VG_TRY_GOTO(status, read_words(vocab, vocab_name, &w, &t->end, err), done);
    VG_TRY_GOTO(status, read_bytes(&w, vocab_name, t->bytes, err), done);
    status = add_merges_text(t, &w, name, text, size, err);
done:
    free(w.at);
    free(text);
    free(name);
    return status;
}

static vg_status add_config(vg_bpe *t, const cJSON *root, const char *name, vg_err *err)
{
    return vg_added_tokens_add_decoder(&t->added, name, root, err);
}

static vg_status add_map(vg_bpe *t, const cJSON *root, const char *name, vg_err *err)
{
    return vg_added_tokens_add_map(&t->added, name, root, err);
}

/* Added tokens that are looked for in normalised text are normalised themselves. */
static vg_status normalise_added(vg_bpe *t, vg_err *err)
{
    for (int i = 0; t->nfc && i < t->added.count; i++) {
        vg_added_token *a = &t->added.tokens[i];
        char *normal;
        if (!a->normalized)
            continue;
        VG_TRY(vg_nfc(a->text, a->length, &normal, &a->length, err));
        free(a->text);
        a->text = normal;
        t->added.starts[(unsigned char)normal[0]] = true;
    }
    return VG_OK;
}

static vg_status read_folder(vg_bpe *t, const char *dir, vg_err *err)
{
    bool found;
    VG_TRY(with_json(t, dir, "tokenizer.json", read_whole, &found, err));
    if (!found)
        VG_TRY(with_json(t, dir, "vocab.json", read_two_files, &found, err));
    if (!found)
        return VG_FAIL(err, VG_E_MISSING, "%s: no tokenizer.json, nor vocab.json and merges.txt",
                       dir);
    VG_TRY(with_json(t, dir, "tokenizer_config.json", add_config, &found, err));
    VG_TRY(with_json(t, dir, "added_tokens.json", add_map, &found, err));
    return normalise_added(t, err);
}

vg_status vg_bpe_open(const char *dir, vg_bpe **tokenizer, vg_err *err)
{
    vg_bpe *t = calloc(1, sizeof *t);
    if (!t)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
    vg_status status = read_folder(t, dir, err);
    if (status != VG_OK) {
        vg_bpe_close(t);
        return status;
    }
    *tokenizer = t;
    return VG_OK;
}

vg_status vg_bpe_open_memory(const char *json, size_t size, const char *name, vg_bpe **tokenizer,
                             vg_err *err)
{
    cJSON *root;
    VG_TRY(vg_json_parse(json, size, name, &root, err));
    vg_bpe *t = calloc(1, sizeof *t);
    vg_status status =
        t ? read_whole(t, root, name, err) : VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
    if (status == VG_OK)
        status = normalise_added(t, err);
    cJSON_Delete(root);
    if (status != VG_OK) {
        vg_bpe_close(t);
        return status;
    }
    *tokenizer = t;
    return VG_OK;
}
