/* added_tokens.c: see added_tokens.h. */
#include "engine/text/added_tokens.h"

#include "engine/text/text32.h"
#include "kernels/base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define ADDED_MAX 16384

/* ---- lists ---- */

static vg_status check_token(const char *name, const char *text, int64_t id, vg_err *err)
{
    size_t length = strlen(text);
    if (length == 0 || length > 1024)
        return VG_FAIL(err, VG_E_FORMAT, "%s: added token %lld has an empty or very long text",
                       name, (long long)id);
    if (id < 0 || id > INT32_MAX / 2)
        return VG_FAIL(err, VG_E_FORMAT, "%s: added token \"%s\" has the id %lld", name, text,
                       (long long)id);
    return VG_OK;
}

vg_status vg_added_tokens_add(vg_added_tokens *l, const char *name, const char *text, int64_t id,
                              const cJSON *flags, vg_err *err)
{
    VG_TRY(check_token(name, text, id, err));
    vg_added_token token = {.length = strlen(text), .id = (int)id};
    VG_TRY(vg_json_get_bool(flags, name, "lstrip", &token.lstrip, err));
    VG_TRY(vg_json_get_bool(flags, name, "rstrip", &token.rstrip, err));
    VG_TRY(vg_json_get_bool(flags, name, "single_word", &token.single_word, err));
    VG_TRY(vg_json_get_bool(flags, name, "normalized", &token.normalized, err));
    if (vg_added_tokens_find(l, text) >= 0)
        return VG_OK;
    if (l->count == ADDED_MAX)
        return VG_FAIL(err, VG_E_FORMAT, "%s: more than %d added tokens", name, ADDED_MAX);
    if ((l->count & (l->count - 1)) == 0) { /* full at each power of two */
        vg_added_token *grown =
            realloc(l->tokens, (l->count ? 2 * (size_t)l->count : 1) * sizeof *grown);
        if (!grown)
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
        l->tokens = grown;
    }
    token.text = strdup(text);
    if (!token.text)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
    l->tokens[l->count++] = token;
    l->starts[(unsigned char)text[0]] = true;
    if (l->end <= token.id)
        l->end = token.id + 1;
    return VG_OK;
}

vg_status vg_added_tokens_add_decoder(vg_added_tokens *l, const char *name, const cJSON *config,
                                      vg_err *err)
{
    const cJSON *decoder = NULL, *item;
    VG_TRY(vg_json_get_object(config, name, "added_tokens_decoder", &decoder, err));
    cJSON_ArrayForEach(item, decoder)
    {
        const char *text = NULL;
        char *end;
        long long id = strtoll(item->string ? item->string : "", &end, 10);
        if (!item->string || !item->string[0] || *end)
            return VG_FAIL(err, VG_E_FORMAT, "%s: added_tokens_decoder: \"%s\" is not an id", name,
                           item->string ? item->string : "");
        if (!cJSON_IsObject(item))
            return VG_FAIL(err, VG_E_FORMAT, "%s: added token %lld is %s, must be an object", name,
                           id, vg_json_kind(item));
        VG_TRY(vg_json_get_string(item, name, "content", &text, err));
        if (!text)
            return VG_FAIL(err, VG_E_FORMAT, "%s: added token %lld has no content", name, id);
        VG_TRY(vg_added_tokens_add(l, name, text, id, item, err));
    }
    return VG_OK;
}

vg_status vg_added_tokens_add_list(vg_added_tokens *l, const char *name, const cJSON *root,
                                   vg_err *err)
{
    const cJSON *list = NULL, *item;
    VG_TRY(vg_json_get_list(root, name, "added_tokens", 0, ADDED_MAX, &list, err));
    cJSON_ArrayForEach(item, list)
    {
        const char *text = NULL;
        int64_t id = -1;
        VG_TRY(vg_json_get_string(item, name, "content", &text, err));
        VG_TRY(vg_json_get_int(item, name, "id", 0, INT32_MAX / 2, &id, err));
        if (!text || id < 0)
            return VG_FAIL(err, VG_E_FORMAT, "%s: an added token has no content or no id", name);
        VG_TRY(vg_added_tokens_add(l, name, text, id, item, err));
    }
    return VG_OK;
}

vg_status vg_added_tokens_add_map(vg_added_tokens *l, const char *name, const cJSON *map,
                                  vg_err *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, map)
    {
        int64_t id = -1;
        VG_TRY(vg_json_get_int(map, name, item->string, 0, INT32_MAX / 2, &id, err));
        VG_TRY(vg_added_tokens_add(l, name, item->string, id, NULL, err));
    }
    return VG_OK;
}

void vg_added_tokens_deinit(vg_added_tokens *l)
{
    for (int i = 0; i < l->count; i++)
        free(l->tokens[i].text);
    free(l->tokens);
    *l = (vg_added_tokens){0};
}

int vg_added_tokens_find(const vg_added_tokens *l, const char *text)
{
    for (int i = 0; i < l->count; i++)
        if (strcmp(l->tokens[i].text, text) == 0)
            return l->tokens[i].id;
    return -1;
}

/* ---- finding them in text ---- */

int32_t vg_added_code_at(const char *text, size_t size, size_t *length)
{
    uint32_t code;
    int bytes = vg_utf8_next(text, size, &code);
    *length = bytes ? (size_t)bytes : 1;
    return bytes ? (int32_t)code : -1;
}

bool vg_added_is_space(int32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* \w of Rust's regular expressions: Alphabetic, marks, decimal digits, connectors, joiners. Of what is Alphabetic and neither letter, mark nor
 * letter-like number there are the letters in circles and squares. */
static bool is_word(int32_t c)
{
    utf8proc_category_t category = c >= 0 ? utf8proc_category(c) : UTF8PROC_CATEGORY_CN;
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) ||
           category == UTF8PROC_CATEGORY_PC || c == 0x200c || c == 0x200d ||
           (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
           (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
}

size_t vg_added_back_one(const char *text, size_t at)
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
        size_t before = vg_added_back_one(text, begin);
        if (is_word(vg_added_code_at(text + before, size - before, &length)))
            return true;
    }
    return end < size && is_word(vg_added_code_at(text + end, size - end, &length));
}

/* The longest token at text[at]; NULL if none. */
static const vg_added_token *match(const vg_added_tokens *l, unsigned which, const char *text,
                                   size_t size, size_t at)
{
    const vg_added_token *best = NULL;
    if (!l->starts[(unsigned char)text[at]])
        return NULL;
    for (int i = 0; i < l->count; i++) {
        const vg_added_token *t = &l->tokens[i];
        if ((which & (t->normalized ? VG_ADDED_NORMALIZED : VG_ADDED_RAW)) &&
            t->length <= size - at && (!best || t->length > best->length) &&
            memcmp(text + at, t->text, t->length) == 0)
            best = t;
    }
    return best;
}

static bool space_at(unsigned which, const char *text, size_t size, size_t *length)
{
    int32_t code = vg_added_code_at(text, size, length);
    return which & VG_ADDED_PYTHON ? code >= 0 && vg_text32_is_space((uint32_t)code)
                                   : vg_added_is_space(code);
}

/* Move the hit's ends over white space, not before `from`. */
static void strip(const vg_added_token *t, unsigned which, const char *text, size_t size,
                  size_t from, vg_added_hit *hit)
{
    size_t length;
    while (t->lstrip && hit->begin > from) {
        size_t last = vg_added_back_one(text, hit->begin);
        if (!space_at(which, text + last, size - last, &length))
            break;
        hit->begin = last;
    }
    while (t->rstrip && hit->end < size &&
           space_at(which, text + hit->end, size - hit->end, &length))
        hit->end += length;
}

bool vg_added_tokens_next(const vg_added_tokens *l, unsigned which, const char *text, size_t size,
                          size_t from, vg_added_hit *hit)
{
    for (size_t at = from; at < size;) {
        const vg_added_token *t = match(l, which, text, size, at);
        if (t && !(t->single_word && word_beside(text, size, at, at + t->length))) {
            *hit = (vg_added_hit){at, at + t->length, t->id};
            strip(t, which, text, size, from, hit);
            return true;
        }
        at += t ? t->length : 1;
    }
    return false;
}
