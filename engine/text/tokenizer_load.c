/* tokenizer_load.c: a tokenizer from its folder: the pieces from the SentencePiece model file, or from tokenizer.json where there is none
 * (tokenizer_json.h); the added tokens from whichever file lists them. */
#include "engine/text/tokenizer_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/text/tokenizer_json.h"
#include "kernels/base/json.h"

#define MODEL_LIMIT_BYTES (64u << 20)
#define EXTRA_IDS_MAX     10000

/* ---- added tokens ---- */

/* Without any list: the model's own control pieces, and T5's extra ids, which count down behind the pieces. */
static vg_status add_from_model(vg_tokenizer *t, const char *name, int64_t extra_ids, vg_err *err)
{
    for (int i = 0; i < t->model.count; i++) {
        const vg_piece *p = &t->model.pieces[i];
        if (p->type == VG_PIECE_CONTROL || p->type == VG_PIECE_UNKNOWN)
            VG_TRY(vg_added_tokens_add(&t->added, name, p->text, i, NULL, err));
    }
    for (int64_t i = 0; i < extra_ids; i++) {
        char text[40];
        snprintf(text, sizeof text, "<extra_id_%lld>", (long long)i);
        VG_TRY(vg_added_tokens_add(&t->added, name, text, t->model.count + extra_ids - 1 - i, NULL,
                                   err));
    }
    return VG_OK;
}

/* ---- a folder ---- */

/* The JSON files of a tokenizer folder, and where they are; NULL where there is none. */
typedef struct folder {
    char *config_path, *map_path, *whole_path, *model_path;
    cJSON *config, *map,
        *whole; /* tokenizer_config.json, special_tokens_map.json, tokenizer.json */
} folder;

static void folder_deinit(folder *f)
{
    cJSON_Delete(f->config);
    cJSON_Delete(f->map);
    cJSON_Delete(f->whole);
    free(f->config_path);
    free(f->map_path);
    free(f->whole_path);
    free(f->model_path);
}

/* tokenizer.json is some 16 MB of vocabulary: read only when it must be, and once. */
static vg_status need_whole(const char *dir, folder *f, vg_err *err)
{
    return f->whole_path ? VG_OK
                         : vg_json_load_if(dir, "tokenizer.json", &f->whole_path, &f->whole, err);
}

/* A special token is written as "text" or {"content": "text"}; null: there is none. */
static vg_status token_text(const cJSON *config, const char *name, const char *key,
                            const char **text, vg_err *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, key);

    if (!vg_json_is_set(config, key))
        return VG_OK;
    if (cJSON_IsObject(item))
        return vg_json_get_string(item, name, "content", text, err);
    return vg_json_get_string(config, name, key, text, err);
}

/* As tokenizer_config.json says, else special_tokens_map.json, else *text as it is. */
static vg_status special_token(const folder *f, const char *key, const char **text, vg_err *err)
{
    VG_TRY(token_text(f->map, f->map_path, key, text, err));
    return token_text(f->config, f->config_path, key, text, err);
}

static vg_status load_added(vg_tokenizer *t, const char *dir, folder *f, vg_err *err)
{
    int64_t extra_ids = 0;

    VG_TRY(vg_added_tokens_add_decoder(&t->added, f->config_path, f->config, err));
    if (t->added.count > 0)
        return VG_OK;
    VG_TRY(need_whole(dir, f, err));
    VG_TRY(vg_added_tokens_add_list(&t->added, f->whole_path, f->whole, err));
    if (t->added.count > 0)
        return VG_OK;
    VG_TRY(
        vg_json_get_int(f->config, f->config_path, "extra_ids", 0, EXTRA_IDS_MAX, &extra_ids, err));
    return add_from_model(t, f->config_path, extra_ids, err);
}

static vg_status find_end(vg_tokenizer *t, const char *dir, const char *end, vg_err *err)
{
    t->eos = vg_added_tokens_find(&t->added, end);
    for (int i = 0; t->eos < 0 && i < t->model.count; i++) {
        if (strcmp(t->model.pieces[i].text, end) == 0)
            t->eos = i;
    }
    if (t->eos < 0)
        return VG_FAIL(err, VG_E_FORMAT, "%s: the end token \"%s\" is not in the vocabulary", dir,
                       end);
    return VG_OK;
}

/* libsentencepiece on the pieces of t->model. */
static vg_status start_model(vg_tokenizer *t, const char *name, vg_err *err)
{
    char reason[200] = "";
    void *proto;
    size_t proto_size;

    VG_TRY(vg_spiece_model_serialise(&t->model, &proto, &proto_size, err));
    t->sp = vg_spiece_new(proto, proto_size, reason, sizeof reason);
    free(proto);
    return t->sp ? VG_OK : VG_FAIL(err, VG_E_FORMAT, "%s: libsentencepiece: %s", name, reason);
}

static vg_status load_model(vg_tokenizer *t, const void *bytes, size_t size, const char *name,
                            vg_err *err)
{
    return vg_spiece_model_parse(bytes, size, name, &t->model, err);
}

static vg_status load_whole(vg_tokenizer *t, const folder *f, const char *end, vg_err *err)
{
    const char *unknown = "<unk>";

    VG_TRY(special_token(f, "unk_token", &unknown, err));
    VG_TRY(vg_tokenizer_json_model(f->whole, f->whole_path, unknown, &t->model, err));
    return vg_tokenizer_json_check_end(f->whole, f->whole_path, end, err);
}

/* The model file under one of its names; *path NULL when there is none. */
static vg_status find_model(const char *dir, char **path, vg_err *err)
{
    static const char *const names[] = {"spiece.model", "sentencepiece.model", "tokenizer.model"};

    *path = NULL;
    for (int i = 0; i < 3; i++) {
        char *candidate = vg_path_join(dir, names[i]);
        if (!candidate)
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
        if (vg_file_exists(candidate)) {
            *path = candidate;
            return VG_OK;
        }
        free(candidate);
    }
    return VG_OK;
}

static vg_status load_pieces(vg_tokenizer *t, const char *dir, folder *f, const char *end,
                             vg_err *err)
{
    char *bytes = NULL;
    size_t size = 0;

    VG_TRY(find_model(dir, &f->model_path, err));
    if (f->model_path) {
        VG_TRY(vg_file_read(f->model_path, MODEL_LIMIT_BYTES, &bytes, &size, err));
        vg_status status = load_model(t, bytes, size, f->model_path, err);
        free(bytes);
        return status;
    }
    VG_TRY(need_whole(dir, f, err));
    if (!f->whole)
        return VG_FAIL(
            err, VG_E_MISSING,
            "%s: no spiece.model, sentencepiece.model, tokenizer.model or tokenizer.json", dir);
    return load_whole(t, f, end, err);
}

static vg_status load_folder(vg_tokenizer *t, const char *dir, folder *f, vg_err *err)
{
    const char *end = "</s>";

    VG_TRY(vg_json_load_if(dir, "tokenizer_config.json", &f->config_path, &f->config, err));
    VG_TRY(vg_json_load_if(dir, "special_tokens_map.json", &f->map_path, &f->map, err));
    VG_TRY(special_token(f, "eos_token", &end, err));
    VG_TRY(load_pieces(t, dir, f, end, err));
    VG_TRY(load_added(t, dir, f, err));
    return find_end(t, dir, end, err);
}

vg_status vg_tokenizer_open_memory(const void *bytes, size_t size, const char *name,
                                   vg_tokenizer **tokenizer, vg_err *err)
{
    vg_tokenizer *t = calloc(1, sizeof *t);

    if (!t)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
    vg_status status = load_model(t, bytes, size, name, err);
    if (status == VG_OK)
        status = start_model(t, name, err);
    if (status == VG_OK)
        status = add_from_model(t, name, 0, err);
    int end = vg_added_tokens_find(&t->added, "</s>");
    t->eos = end >= 0 ? end : t->eos;
    if (status != VG_OK) {
        vg_tokenizer_close(t);
        return status;
    }
    *tokenizer = t;
    return VG_OK;
}

static vg_status open_folder(const char *dir, bool start, vg_tokenizer **tokenizer, vg_err *err)
{
    folder f = {0};
    vg_tokenizer *t = calloc(1, sizeof *t);

    if (!t)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
    vg_status status = load_folder(t, dir, &f, err);
    if (status == VG_OK && start)
        status = start_model(t, f.model_path ? f.model_path : f.whole_path, err);
    folder_deinit(&f);
    if (status != VG_OK) {
        vg_tokenizer_close(t);
        return status;
    }
    *tokenizer = t;
    return VG_OK;
}

vg_status vg_tokenizer_open(const char *dir, vg_tokenizer **tokenizer, vg_err *err)
{
    return open_folder(dir, true, tokenizer, err);
}

vg_status vg_tokenizer_check(const char *dir, int *vocab, vg_err *err)
{
    vg_tokenizer *t;

    VG_TRY(open_folder(dir, false, &t, err));
    *vocab = vg_tokenizer_vocab(t);
    vg_tokenizer_close(t);
    return VG_OK;
}

void vg_tokenizer_close(vg_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    vg_added_tokens_deinit(&tokenizer->added);
    vg_spiece_free(tokenizer->sp);
    vg_spiece_model_deinit(&tokenizer->model);
    free(tokenizer);
}

int vg_tokenizer_vocab(const vg_tokenizer *tokenizer)
{
    return tokenizer->added.end > tokenizer->model.count ? tokenizer->added.end
                                                         : tokenizer->model.count;
}
