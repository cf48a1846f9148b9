/* byt5.c: see byt5.h. */
#include "engine/text/byt5.h"

#include "engine/text/added_tokens.h"
#include "kernels/base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define BYTE_OFFSET   3 /* ids in front of those of bytes */
#define EXTRA_IDS     125
#define EXTRA_IDS_MAX 10000
#define MAX_BYTES     (1 << 20)

struct vg_byt5 {
    vg_added_tokens added;
    int eos;
};

/* ---- loading ---- */

/* What a ByT5Tokenizer has without files that say otherwise. */
static vg_status add_defaults(vg_byt5 *t, const cJSON *config, const char *name, vg_err *err)
{
    static const char *const first[BYTE_OFFSET] = {"<pad>", "</s>", "<unk>"};
    int64_t extra_ids = EXTRA_IDS;
    for (int i = 0; i < BYTE_OFFSET; i++) {
        VG_TRY(vg_added_tokens_add(&t->added, name, first[i], i, NULL, err));
        t->added.tokens[i].lstrip = t->added.tokens[i].rstrip = true;
    }
    VG_TRY(vg_json_get_int(config, name, "extra_ids", 0, EXTRA_IDS_MAX, &extra_ids, err));
    for (int64_t i = 0; i < extra_ids; i++) {
        char text[40];
        snprintf(text, sizeof text, "<extra_id_%lld>", (long long)i);
        VG_TRY(vg_added_tokens_add(&t->added, name, text, BYTE_OFFSET + 256 + i, NULL, err));
    }
    return VG_OK;
}

static vg_status read_config(vg_byt5 *t, const cJSON *config, const char *name, vg_err *err)
{
    const char *class = "ByT5Tokenizer";
    VG_TRY(vg_json_get_string(config, name, "tokenizer_class", &class, err));
    if (strncmp(class, "ByT5Tokenizer", strlen("ByT5Tokenizer")) != 0)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "%s: tokenizer_class is \"%s\"; only ByT5Tokenizer is supported", name,
                       class);
    VG_TRY(vg_added_tokens_add_decoder(&t->added, name, config, err));
    return t->added.count > 0 ? VG_OK : add_defaults(t, config, name, err);
}

static vg_status read_folder(vg_byt5 *t, const char *dir, vg_err *err)
{
    char *config_path = NULL, *map_path = NULL;
    cJSON *config = NULL, *map = NULL;
    vg_status status;
    VG_TRY_GOTO(status, vg_json_load_if(dir, "tokenizer_config.json", &config_path, &config, err),
                done);
    VG_TRY_GOTO(status, vg_json_load_if(dir, "added_tokens.json", &map_path, &map, err), done);
    if (!config && !map) {
        status = VG_FAIL(err, VG_E_MISSING, "%s: no tokenizer_config.json of a ByT5Tokenizer", dir);
        goto done;
    }
    VG_TRY_GOTO(status, read_config(t, config, config_path, err), done);
    status = vg_added_tokens_add_map(&t->added, map_path, map, err);
done:
    cJSON_Delete(config);
    cJSON_Delete(map);
    free(config_path);
    free(map_path);
    return status;
}

vg_status vg_byt5_open(const char *dir, vg_byt5 **tokenizer, vg_err *err)
{
    vg_byt5 *t = calloc(1, sizeof *t);
    if (!t)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", dir);
    vg_status status = read_folder(t, dir, err);
    if (status == VG_OK && (t->eos = vg_added_tokens_find(&t->added, "</s>")) < 0)
        status =
            VG_FAIL(err, VG_E_FORMAT, "%s: the end token \"</s>\" is not among the tokens", dir);
    if (status != VG_OK) {
        vg_byt5_close(t);
        return status;
    }
    *tokenizer = t;
    return VG_OK;
}

void vg_byt5_close(vg_byt5 *t)
{
    if (!t)
        return;
    vg_added_tokens_deinit(&t->added);
    free(t);
}

int vg_byt5_vocab(const vg_byt5 *t)
{
    return t->added.end > BYTE_OFFSET + 256 ? t->added.end : BYTE_OFFSET + 256;
}

/* ---- encoding ---- */

typedef struct id_list {
    int32_t *ids;
    int room, count;
    int32_t last;
} id_list;

static void push(id_list *list, int32_t id)
{
    if (list->count < list->room)
        list->ids[list->count] = id;
    list->count++;
    list->last = id;
}

static void push_bytes(id_list *list, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        push(list, (unsigned char)text[i] + BYTE_OFFSET);
}

static void encode(const vg_byt5 *t, const char *text, size_t size, id_list *list)
{
    size_t begin = 0;
    vg_added_hit hit;
    while (
        vg_added_tokens_next(&t->added, VG_ADDED_ALL | VG_ADDED_PYTHON, text, size, begin, &hit)) {
        push_bytes(list, text + begin, hit.begin - begin);
        push(list, hit.id);
        begin = hit.end;
    }
    push_bytes(list, text + begin, size - begin);
}

vg_status vg_byt5_encode(const vg_byt5 *t, const char *text, size_t size, int max_length,
                         int32_t *ids, int *count, int *whole, vg_err *err)
{
    id_list list = {ids, max_length - 1, 0, -1};
    size_t repaired_size;
    if (max_length < 1)
        return VG_FAIL(err, VG_E_ARG, "max_length is %d, must be at least 1", max_length);
    if (size > MAX_BYTES)
        return VG_FAIL(err, VG_E_ARG, "the text has %zu bytes, at most %d", size, MAX_BYTES);
    char *repaired = vg_utf8_repair(text, size, &repaired_size);
    if (!repaired)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu bytes of text", size);
    encode(t, repaired, repaired_size, &list);
    free(repaired);
    if (whole)
        *whole = list.count + (list.last != t->eos);
    int kept = list.count < list.room ? list.count : list.room;
    if (kept == 0 || ids[kept - 1] != t->eos) /* the text's own end is enough */
        ids[kept++] = t->eos;
    *count = kept;
    return VG_OK;
}
