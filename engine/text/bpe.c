/* bpe.c: text to ids, in the order of HuggingFace's tokenizers:
 *   1. added tokens with "normalized": false are cut out of the raw text;
 *   2. each stretch between them: NFC, then added tokens with "normalized": true are cut out;
 *   3. each stretch between those: cut into pieces by the regular expression (pretokenize.h);
 *   4. each piece: its bytes as tokens, then of all neighbours that merge those of lowest rank, the leftmost first, until none is left. */
#include "engine/text/bpe_impl.h"

#include "engine/text/nfc.h"
#include "kernels/base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* One token of a piece on its way; a list in an array. */
typedef struct symbol {
    int32_t id, previous, next; /* indices, -1 at the ends; id -1: it is part of the one before */
} symbol;

typedef struct candidate {
    int32_t rank, at, id; /* the symbols `at` and behind it would become id */
} candidate;

/* What one call needs, used again for each piece. */
typedef struct work {
    const vg_bpe *t;
    int32_t *ids;
    int room, count;
    symbol *symbols;
    size_t symbols_room;
    candidate *heap; /* the lowest rank, then the leftmost, on top */
    size_t heap_count, heap_room;
} work;

static void push(work *w, int32_t id)
{
    if (w->count < w->room)
        w->ids[w->count] = id;
    w->count++;
}

static const vg_merge *find_merge(const vg_bpe *t, int32_t left, int32_t right)
{
    for (size_t at = vg_merge_place(left, right, t->merges_mask);; at = (at + 1) & t->merges_mask) {
        const vg_merge *m = &t->merges[at];
        if (m->left < 0)
            return NULL;
        if (m->left == left && m->right == right)
            return m;
    }
}

static bool before(const candidate *a, const candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

/* The pair that begins at symbol `at`, if it merges. The heap has room: pairs are n - 1, and two more for each of n - 1 merges. */
static void consider(work *w, int32_t at)
{
    int32_t next = w->symbols[at].next;
    const vg_merge *m = next < 0 ? NULL : find_merge(w->t, w->symbols[at].id, w->symbols[next].id);
    if (!m)
        return;
    candidate c = {m->rank, at, m->id};
    size_t i = w->heap_count++;
    for (; i > 0 && before(&c, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = c;
}

static candidate take_best(work *w)
{
    candidate best = w->heap[0], last = w->heap[--w->heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->heap_count; i = child) {
        if (child + 1 < w->heap_count && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return best;
}

/* Merge the best pair, unless one of its halves has become something else meanwhile. */
static void merge_one(work *w)
{
    candidate c = take_best(w);
    symbol *s = &w->symbols[c.at];
    if (s->id < 0 || s->next < 0)
        return;
    symbol *right = &w->symbols[s->next];
    const vg_merge *m = find_merge(w->t, s->id, right->id);
    if (!m || m->id != c.id)
        return;
    s->id = c.id;
    s->next = right->next;
    right->id = -1;
    if (s->next >= 0)
        w->symbols[s->next].previous = c.at;
    if (s->previous >= 0)
        consider(w, s->previous);
    consider(w, c.at);
}

static vg_status make_room(work *w, size_t size, vg_err *err)
{
    if (size <= w->symbols_room)
        return VG_OK;
    free(w->symbols);
    free(w->heap);
    w->symbols = malloc(size * sizeof *w->symbols);
    w->heap = malloc(3 * size * sizeof *w->heap);
    w->symbols_room = w->symbols && w->heap ? size : 0;
    return w->symbols_room ? VG_OK
                           : VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu bytes of text", size);
}

static vg_status encode_piece(work *w, const char *text, size_t size, vg_err *err)
{
    VG_TRY(make_room(w, size, err));
    for (size_t i = 0; i < size; i++)
        w->symbols[i] = (symbol){w->t->bytes[(unsigned char)text[i]], (int32_t)i - 1,
                                 i + 1 < size ? (int32_t)i + 1 : -1};
    w->heap_count = 0;
    for (size_t i = 0; i < size; i++)
        consider(w, (int32_t)i);
    while (w->heap_count > 0)
        merge_one(w);
    for (int32_t i = 0; i >= 0; i = w->symbols[i].next)
        push(w, w->symbols[i].id);
    return VG_OK;
}

static vg_status encode_pieces(work *w, const char *text, size_t size, vg_err *err)
{
    for (size_t begin = 0, end; begin < size; begin = end) {
        VG_TRY(vg_pretokenizer_next(w->t->pieces, text, size, begin, &end, err));
        VG_TRY(encode_piece(w, text + begin, end - begin, err));
    }
    return VG_OK;
}

typedef vg_status (*encode_fn)(work *w, const char *text, size_t size, vg_err *err);

/* Added tokens as they are, `rest` for what stands between them. */
static vg_status cut_out(work *w, unsigned which, const char *text, size_t size, encode_fn rest,
                         vg_err *err)
{
    size_t begin = 0;
    vg_added_hit hit;
    while (vg_added_tokens_next(&w->t->added, which, text, size, begin, &hit)) {
        if (hit.begin > begin)
            VG_TRY(rest(w, text + begin, hit.begin - begin, err));
        push(w, hit.id);
        begin = hit.end;
    }
    return begin < size ? rest(w, text + begin, size - begin, err) : VG_OK;
}

static vg_status encode_stretch(work *w, const char *text, size_t size, vg_err *err)
{
    char *normal = NULL;
    size_t normal_size;
    if (!w->t->nfc)
        return cut_out(w, VG_ADDED_NORMALIZED, text, size, encode_pieces, err);
    VG_TRY(vg_nfc(text, size, &normal, &normal_size, err));
    vg_status status = cut_out(w, VG_ADDED_NORMALIZED, normal, normal_size, encode_pieces, err);
    free(normal);
    return status;
}

vg_status vg_bpe_encode(const vg_bpe *tokenizer, const char *text, size_t size, int32_t *ids,
                        int room, int *count, vg_err *err)
{
    work w = {.t = tokenizer, .ids = ids, .room = room};
    size_t repaired_size;
    if (size > VG_BPE_MAX_BYTES)
        return VG_FAIL(err, VG_E_ARG, "the text has %zu bytes, at most %d", size, VG_BPE_MAX_BYTES);
    char *repaired = vg_utf8_repair(text, size, &repaired_size);
    if (!repaired)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %zu bytes of text", size);
    vg_status status = cut_out(&w, VG_ADDED_RAW, repaired, repaired_size, encode_stretch, err);
    free(repaired);
    free(w.symbols);
    free(w.heap);
    if (status == VG_OK)
        *count = w.count;
    return status;
}

int vg_bpe_vocab(const vg_bpe *t)
{
    return t->added.end > t->end ? t->added.end : t->end;
}

void vg_bpe_close(vg_bpe *t)
{
    if (!t)
        return;
    vg_added_tokens_deinit(&t->added);
    vg_pretokenizer_free(t->pieces);
    free(t->merges);
    free(t);
}
