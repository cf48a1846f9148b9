/* tokenizer.c: T5/UMT5 text to ids as HuggingFace's tokenizers runs the published tokenizer.json:
 *   1. added tokens (`</s>`, `<extra_id_0>`, ...) are cut out of the raw text, leftmost and longest first;
 *   2. each stretch between them: character map, white space stripped on the right, runs of spaces to one U+2581;
 *   3. spaces to U+2581, one put in front if it is not there, cut before every U+2581;
 *   4. each cut: Unigram segmentation (libsentencepiece), adjacent unknown characters fused;
 *   5. `</s>` appended; when there are more than max_length ids, the last is replaced by it.
 * Not covered: added tokens with "normalized": true are matched in the raw text like the others; the pre-tokeniser of files that
 * transformers 5 rebuilt (it also splits at other white space, which prompt cleaning has removed already).
 * Scores are summed in FP32 by libsentencepiece and in FP64 by tokenizers: only exact near-ties could differ. */
#include "engine/text/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

#include "engine/text/prompt.h"
#include "kernels/base/utf8.h"

static const char METASPACE[3] = {'\xe2', '\x96', '\x81'}; /* U+2581; no string: no NUL */
#define METASPACE_BYTES sizeof METASPACE

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
        size_t last = vg_added_back_one(normal, normal_size);
        if (!vg_added_is_space(vg_added_code_at(normal + last, normal_size - last, &length)))
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
    size_t begin = 0;
    vg_added_hit hit;

    while (vg_added_tokens_next(&t->added, VG_ADDED_ALL, text, size, begin, &hit)) {
        if (hit.begin > begin)
            VG_TRY(encode_stretch(t, text + begin, hit.begin - begin, list, err));
        push(list, hit.id);
        begin = hit.end;
    }
    return begin < size ? encode_stretch(t, text + begin, size - begin, list, err) : VG_OK;
}

static vg_status check_text(const char *text, size_t size, vg_err *err)
{
    size_t bad;

    if (size > VG_PROMPT_MAX_BYTES)
        return VG_FAIL(err, VG_E_ARG, "the text has %zu bytes, at most %d", size,
                       VG_PROMPT_MAX_BYTES);
    if (!vg_utf8_valid(text, size, &bad))
        return VG_FAIL(err, VG_E_ARG, "the text is not valid UTF-8 at byte %zu", bad);
    return VG_OK;
}

vg_status vg_tokenizer_encode(const vg_tokenizer *tokenizer, const char *text, int max_length,
                              int32_t *ids, int *count, vg_err *err)
{
    const size_t size = strlen(text);

    if (max_length < 1)
        return VG_FAIL(err, VG_E_ARG, "max_length is %d, must be at least 1", max_length);
    VG_TRY(check_text(text, size, err));
    id_list list = {ids, (size_t)max_length - 1, 0};
    VG_TRY(encode_all(tokenizer, text, size, &list, err));
    int kept = (int)(list.count < list.room ? list.count : list.room);
    ids[kept] = tokenizer->eos;
    *count = kept + 1;
    return VG_OK;
}

vg_status vg_tokenizer_count(const vg_tokenizer *tokenizer, const char *text, int *count,
                             vg_err *err)
{
    const size_t size = strlen(text);
    id_list list = {0};

    VG_TRY(check_text(text, size, err));
    VG_TRY(encode_all(tokenizer, text, size, &list, err));
    *count = (int)list.count + 1;
    return VG_OK;
}
