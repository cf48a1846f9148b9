/* tokenizer_json.c: see tokenizer_json.h. Two pipelines are T5's, and give the same ids for cleaned text:
 *   before transformers 5   normalizer     Sequence[Precompiled, Strip right, Replace " {2,}" by U+2581]
 *                           pre_tokenizer  Metaspace
 *   transformers 5          normalizer     Precompiled
 *                           pre_tokenizer  Sequence[WhitespaceSplit, Metaspace]
 * tokenizer.c runs the first for both. Anything else in these places is refused by its name: it would change ids silently. */
#include "engine/text/tokenizer_json.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METASPACE "\xe2\x96\x81"
#define STEPS_MAX 16

static vg_status unsupported(const char *name, const char *where, const char *what, vg_err *err)
{
    return VG_FAIL(err, VG_E_UNSUPPORTED,
                   "%s: %s: \"%s\" is not supported: only what T5 tokenizers consist of", name,
                   where, what);
}

/* ---- the character map: base64 ---- */

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Whole groups of four with padding; bytes has room for 3 a group. False when it is no base64. */
static bool base64_decode(const char *text, size_t length, uint8_t *bytes, size_t *size)
{
    size_t used = 0;

    if (length % 4 != 0)
        return false;
    for (size_t i = 0; i < length; i += 4) {
        int pad = i + 4 < length ? 0 : text[i + 2] == '=' ? 2 : text[i + 3] == '=' ? 1 : 0;
        uint32_t group = 0;
        for (int k = 0; k < 4; k++) {
            int value = k >= 4 - pad ? (text[i + (size_t)k] == '=' ? 0 : -1)
                                     : base64_value(text[i + (size_t)k]);
            if (value < 0)
                return false;
            group = group << 6 | (uint32_t)value;
        }
        for (int k = 0; k < 3 - pad; k++)
            bytes[used++] = (uint8_t)(group >> (16 - 8 * k));
    }
    *size = used;
    return true;
}

static vg_status read_charsmap(const cJSON *step, const char *name, vg_spiece_model *model,
                               vg_err *err)
{
    const char *text = "";
    size_t length, size = 0;

    if (!vg_json_is_set(step, "precompiled_charsmap"))
        return VG_OK;
    VG_TRY(vg_json_get_string(step, name, "precompiled_charsmap", &text, err));
    length = strlen(text);
    if (model->charsmap)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: normalizer: two character maps", name);
    if (length == 0)
        return VG_OK;
    uint8_t *bytes = malloc(length / 4 * 3 + 3);
    if (!bytes)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
    vg_status status =
        base64_decode(text, length, bytes, &size)
            ? vg_charsmap_check(bytes, size, name, err)
            : VG_FAIL(err, VG_E_FORMAT, "%s: \"precompiled_charsmap\" is not base64", name);
    if (status != VG_OK) {
        free(bytes);
        return status;
    }
    model->charsmap = bytes;
    model->charsmap_size = size;
    return VG_OK;
}

/* ---- the pipeline ---- */

static vg_status type_of(const cJSON *step, const char *name, const char *where, const char **type,
                         vg_err *err)
{
    *type = NULL;
    if (!cJSON_IsObject(step))
        return VG_FAIL(err, VG_E_FORMAT, "%s: %s is %s, must be an object", name, where,
                       vg_json_kind(step));
    VG_TRY(vg_json_get_string(step, name, "type", type, err));
    return *type ? VG_OK : VG_FAIL(err, VG_E_FORMAT, "%s: %s has no type", name, where);
}

/* A step, or each step of a Sequence, whose list is called `list`. */
typedef vg_status (*take_step)(const cJSON *step, const char *type, const char *name, void *to,
                               vg_err *err);

static vg_status for_steps(const cJSON *root, const char *name, const char *where, const char *list,
                           take_step take, void *to, vg_err *err)
{
    const cJSON *first = cJSON_GetObjectItemCaseSensitive(root, where), *steps = NULL, *step;
    const char *type;

    if (!first || cJSON_IsNull(first))
        return VG_OK;
    VG_TRY(type_of(first, name, where, &type, err));
    if (strcmp(type, "Sequence") != 0)
        return take(first, type, name, to, err);
    VG_TRY(vg_json_get_list(first, name, list, 0, STEPS_MAX, &steps, err));
    cJSON_ArrayForEach(step, steps)
    {
        VG_TRY(type_of(step, name, where, &type, err));
        VG_TRY(take(step, type, name, to, err));
    }
    return VG_OK;
}

static vg_status take_normalizer(const cJSON *step, const char *type, const char *name, void *to,
                                 vg_err *err)
{
    bool left = true, right = true;
    const cJSON *pattern = NULL;
    const char *regex = "", *content = "";

    if (strcmp(type, "Precompiled") == 0)
        return read_charsmap(step, name, to, err);
    if (strcmp(type, "Strip") == 0) {
        VG_TRY(vg_json_get_bool(step, name, "strip_left", &left, err));
        VG_TRY(vg_json_get_bool(step, name, "strip_right", &right, err));
        if (right && !left)
            return VG_OK;
    }
    if (strcmp(type, "Replace") == 0) {
        VG_TRY(vg_json_get_object(step, name, "pattern", &pattern, err));
        VG_TRY(vg_json_get_string(pattern, name, "Regex", &regex, err));
        VG_TRY(vg_json_get_string(step, name, "content", &content, err));
        if (strcmp(regex, " {2,}") == 0 &&
            (strcmp(content, METASPACE) == 0 || strcmp(content, " ") == 0))
            return VG_OK;
    }
    return unsupported(name, "normalizer", type, err);
}

static vg_status take_pre_tokenizer(const cJSON *step, const char *type, const char *name, void *to,
                                    vg_err *err)
{
    const char *replacement = METASPACE, *scheme = "always";
    bool split = true, prefix = true;

    if (strcmp(type, "WhitespaceSplit") == 0)
        return VG_OK;
    if (strcmp(type, "Metaspace") != 0)
        return unsupported(name, "pre_tokenizer", type, err);
    VG_TRY(vg_json_get_string(step, name, "replacement", &replacement, err));
    VG_TRY(vg_json_get_string(step, name, "prepend_scheme", &scheme, err));
    VG_TRY(vg_json_get_bool(step, name, "add_prefix_space", &prefix, err)); /* its older name */
    VG_TRY(vg_json_get_bool(step, name, "split", &split, err));
    if (strcmp(replacement, METASPACE) != 0 || strcmp(scheme, "always") != 0 || !prefix || !split)
        return unsupported(name, "pre_tokenizer", "Metaspace", err);
    *(bool *)to = true;
    return VG_OK;
}

vg_status vg_tokenizer_json_check_end(const cJSON *root, const char *name, const char *end,
                                      vg_err *err)
{
    const cJSON *post = NULL, *single = NULL, *first = NULL, *token = NULL;
    const char *type = "", *id = "";

    VG_TRY(vg_json_get_object(root, name, "post_processor", &post, err));
    VG_TRY(vg_json_get_string(post, name, "type", &type, err));
    if (strcmp(type, "TemplateProcessing") == 0) {
        VG_TRY(vg_json_get_list(post, name, "single", 0, STEPS_MAX, &single, err));
        first = single ? single->child : NULL;
    }
    if (cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(first, "Sequence")) && first->next &&
        !first->next->next) {
        VG_TRY(vg_json_get_object(first->next, name, "SpecialToken", &token, err));
        VG_TRY(vg_json_get_string(token, name, "id", &id, err));
    }
    if (strcmp(id, end) == 0)
        return VG_OK;
    return VG_FAIL(err, VG_E_UNSUPPORTED,
                   "%s: post_processor does not put \"%s\" behind the text, and nothing else", name,
                   end);
}

/* ---- the vocabulary ---- */

static vg_status read_piece(const cJSON *row, int index, const char *name, vg_spiece_model *model,
                            vg_err *err)
{
    const cJSON *text = cJSON_IsArray(row) ? row->child : NULL, *score = text ? text->next : NULL;

    if (!cJSON_IsString(text) || !cJSON_IsNumber(score) || score->next)
        return VG_FAIL(err, VG_E_FORMAT, "%s: \"vocab\"[%d] must be [text, number]", name, index);
    return vg_spiece_model_add(model, text->valuestring, strlen(text->valuestring),
                               (float)score->valuedouble, VG_PIECE_NORMAL, name, err);
}

static vg_status read_vocabulary(const cJSON *root, const char *name, vg_spiece_model *model,
                                 int64_t *unk, vg_err *err)
{
    const cJSON *unigram = NULL, *vocabulary = NULL, *row;
    const char *type = "";
    bool bytes = false;
    int index = 0;

    VG_TRY(vg_json_get_object(root, name, "model", &unigram, err));
    VG_TRY(vg_json_get_string(unigram, name, "type", &type, err));
    if (strcmp(type, "Unigram") != 0)
        return unsupported(name, "model", type, err);
    VG_TRY(vg_json_get_bool(unigram, name, "byte_fallback", &bytes, err));
    if (bytes)
        return unsupported(name, "model", "byte_fallback", err);
    if (vg_json_is_set(unigram, "unk_id"))
        VG_TRY(vg_json_get_int(unigram, name, "unk_id", 0, INT_MAX, unk, err));
    VG_TRY(vg_json_get_list(unigram, name, "vocab", 1, VG_PIECES_MAX, &vocabulary, err));
    if (!vocabulary)
        return VG_FAIL(err, VG_E_FORMAT, "%s: model has no vocab", name);
    VG_TRY(vg_spiece_model_reserve(model, cJSON_GetArraySize(vocabulary), name, err));
    cJSON_ArrayForEach(row, vocabulary) VG_TRY(read_piece(row, index++, name, model, err));
    return VG_OK;
}

static vg_status choose_unknown(vg_spiece_model *model, const char *name, const char *unknown,
                                int64_t unk, vg_err *err)
{
    for (int i = 0; i < model->count && model->unk < 0; i++)
        if (strcmp(model->pieces[i].text, unknown) == 0)
            model->unk = i;
    if (model->unk < 0 && unk >= 0 && unk < model->count)
        model->unk = (int)unk;
    if (model->unk < 0)
        return VG_FAIL(err, VG_E_FORMAT,
                       "%s: no unknown piece: neither \"%s\" nor a unk_id of the vocabulary", name,
                       unknown);
    model->pieces[model->unk].type = VG_PIECE_UNKNOWN;
    return VG_OK;
}

/* Tokens that are cut out of the raw text are no pieces of words. */
static vg_status mark_added(const cJSON *root, const char *name, vg_spiece_model *model,
                            vg_err *err)
{
    const cJSON *added = NULL, *item;

    VG_TRY(vg_json_get_list(root, name, "added_tokens", 0, VG_PIECES_MAX, &added, err));
    cJSON_ArrayForEach(item, added)
    {
        const char *text = "";
        int64_t id = -1;
        if (!cJSON_IsObject(item))
            return VG_FAIL(err, VG_E_FORMAT, "%s: \"added_tokens\" must be a list of objects",
                           name);
        VG_TRY(vg_json_get_string(item, name, "content", &text, err));
        VG_TRY(vg_json_get_int(item, name, "id", 0, INT_MAX, &id, err));
        if (id >= 0 && id < model->count && id != model->unk &&
            strcmp(model->pieces[id].text, text) == 0)
            model->pieces[id].type = VG_PIECE_CONTROL;
    }
    return VG_OK;
}

vg_status vg_tokenizer_json_model(const cJSON *root, const char *name, const char *unknown,
                                  vg_spiece_model *model, vg_err *err)
{
    vg_spiece_model made = {.unk = -1};
    int64_t unk = -1;
    bool metaspace = false;
    vg_status status;

    VG_TRY_GOTO(status, read_vocabulary(root, name, &made, &unk, err), fail);
    VG_TRY_GOTO(status, choose_unknown(&made, name, unknown, unk, err), fail);
    VG_TRY_GOTO(status, mark_added(root, name, &made, err), fail);
    VG_TRY_GOTO(status,
                for_steps(root, name, "normalizer", "normalizers", take_normalizer, &made, err),
                fail);
    VG_TRY_GOTO(status,
                for_steps(root, name, "pre_tokenizer", "pretokenizers", take_pre_tokenizer,
                          &metaspace, err),
                fail);
    if (!metaspace) {
        status = VG_FAIL(err, VG_E_UNSUPPORTED, "%s: pre_tokenizer has no Metaspace", name);
        goto fail;
    }
    *model = made;
    return VG_OK;
fail:
    vg_spiece_model_deinit(&made);
    return status;
}
