/* spiece_model.c: the part of sentencepiece_model.proto that a Unigram tokenizer needs.
 *   ModelProto      { repeated SentencePiece pieces = 1; TrainerSpec trainer_spec = 2; NormalizerSpec normalizer_spec = 3; }
 *   SentencePiece   { string piece = 1; float score = 2; Type type = 3; }
 *   TrainerSpec     { ModelType model_type = 3 (1 = unigram); int32 vocab_size = 4; int32 unk_id = 40 .. pad_id = 43; }
 *   NormalizerSpec  { bytes precompiled_charsmap = 2; bool add_dummy_prefix = 3, remove_extra_whitespaces = 4,
 *                     escape_whitespaces = 5; } */
#include "engine/text/spiece_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/json.h"
#include "kernels/base/utf8.h"

#define PIECE_BYTES_MAX 1024

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

typedef struct wire {
    const uint8_t *at, *end;
} wire;

typedef struct field {
    unsigned number, type;
    uint64_t value; /* VARINT, 64, 32 */
    wire bytes;     /* BYTES */
} field;

static bool read_varint(wire *w, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64 && w->at < w->end; shift += 7) {
        uint8_t byte = *w->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static bool read_fixed(wire *w, size_t bytes, uint64_t *value)
{
    if ((size_t)(w->end - w->at) < bytes)
        return false;
    *value = 0;
    for (size_t i = 0; i < bytes; i++)
        *value |= (uint64_t)w->at[i] << (8 * i);
    w->at += bytes;
    return true;
}

/* The next field; false when the message is malformed. Groups (deprecated, types 3 and 4) count as malformed. */
static bool read_field(wire *w, field *f)
{
    uint64_t tag, length;

    if (!read_varint(w, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return false;
    f->number = (unsigned)(tag >> 3);
    f->type = (unsigned)(tag & 7);
    switch (f->type) {
    case WIRE_VARINT:
        return read_varint(w, &f->value);
    case WIRE_64:
        return read_fixed(w, 8, &f->value);
    case WIRE_32:
        return read_fixed(w, 4, &f->value);
    case WIRE_BYTES:
        if (!read_varint(w, &length) || length > (uint64_t)(w->end - w->at))
            return false;
        f->bytes = (wire){w->at, w->at + length};
        w->at += length;
        return true;
    default:
        return false;
    }
}

vg_status vg_spiece_model_reserve(vg_spiece_model *model, int count, const char *name, vg_err *err)
{
    model->pieces = calloc((size_t)count, sizeof *model->pieces);
    if (!model->pieces)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for %d pieces", name, count);
    return VG_OK;
}

vg_status vg_spiece_model_add(vg_spiece_model *model, const char *text, size_t length, float score,
                              uint64_t type, const char *name, vg_err *err)
{
    const int index = model->count;

    if (length == 0 || length > PIECE_BYTES_MAX || memchr(text, '\0', length) ||
        !vg_utf8_valid(text, length, NULL))
        return VG_FAIL(err, VG_E_FORMAT, "%s: the text of piece %d is empty, too long or not UTF-8",
                       name, index);
    if (!isfinite(score) || fabsf(score) > 1e6f)
        return VG_FAIL(err, VG_E_FORMAT, "%s: the score of piece %d is not a usable number", name,
                       index);
    if (type < VG_PIECE_NORMAL || type > VG_PIECE_BYTE)
        return VG_FAIL(err, VG_E_FORMAT, "%s: piece %d has the unknown type %llu", name, index,
                       (unsigned long long)type);
    if (type == VG_PIECE_BYTE)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "%s: byte pieces (byte_fallback) are not supported",
                       name);
    if (type == VG_PIECE_UNKNOWN) {
        if (model->unk >= 0)
            return VG_FAIL(err, VG_E_FORMAT, "%s: pieces %d and %d are both the unknown piece",
                           name, model->unk, index);
        model->unk = index;
    }
    char *copy = strndup(text, length);
    if (!copy)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
    model->pieces[model->count++] = (vg_piece){copy, score, (vg_piece_type)type};
    return VG_OK;
}

static vg_status parse_piece(wire w, const char *name, vg_spiece_model *model, vg_err *err)
{
    field f;
    const int index = model->count;
    wire text = {NULL, NULL};
    float score = 0.0f;
    uint64_t type = VG_PIECE_NORMAL;

    while (w.at < w.end) {
        if (!read_field(&w, &f))
            return VG_FAIL(err, VG_E_FORMAT, "%s: piece %d is damaged", name, index);
        if (f.number == 1 && f.type == WIRE_BYTES) {
            text = f.bytes;
        } else if (f.number == 2 && f.type == WIRE_32) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&score, &bits, sizeof score);
        } else if (f.number == 3 && f.type == WIRE_VARINT) {
            type = f.value;
        }
    }
    return vg_spiece_model_add(model, (const char *)text.at, (size_t)(text.end - text.at), score,
                               type, name, err);
}

static vg_status parse_trainer(wire w, const char *name, vg_err *err)
{
    field f;

    while (w.at < w.end) {
        if (!read_field(&w, &f))
            return VG_FAIL(err, VG_E_FORMAT, "%s: trainer_spec is damaged", name);
        if (f.number == 3 && f.type == WIRE_VARINT && f.value != 1)
            return VG_FAIL(err, VG_E_UNSUPPORTED,
                           "%s: only Unigram models are supported (model_type %llu)", name,
                           (unsigned long long)f.value);
    }
    return VG_OK;
}

static vg_status parse_normalizer(wire w, const char *name, vg_spiece_model *model, vg_err *err)
{
    field f;

    while (w.at < w.end) {
        if (!read_field(&w, &f))
            return VG_FAIL(err, VG_E_FORMAT, "%s: normalizer_spec is damaged", name);
        if (f.number != 2 || f.type != WIRE_BYTES)
            continue;
        size_t size = (size_t)(f.bytes.end - f.bytes.at);
        free(model->charsmap);
        model->charsmap = NULL;
        model->charsmap_size = 0;
        if (size == 0)
            continue;
        VG_TRY(vg_charsmap_check(f.bytes.at, size, name, err));
        model->charsmap = malloc(size);
        if (!model->charsmap)
            return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
        memcpy(model->charsmap, f.bytes.at, size);
        model->charsmap_size = size;
    }
    return VG_OK;
}

static vg_status parse_model(wire w, const char *name, vg_spiece_model *model, vg_err *err)
{
    field f;
    int count = 0;

    for (wire first = w; first.at < first.end;) {
        if (!read_field(&first, &f))
            return VG_FAIL(err, VG_E_FORMAT,
                           "%s: not a SentencePiece model, or damaged at byte %zu", name,
                           (size_t)(first.at - w.at));
        count += f.number == 1 && f.type == WIRE_BYTES && count <= VG_PIECES_MAX;
    }
    if (count == 0 || count > VG_PIECES_MAX)
        return VG_FAIL(err, VG_E_FORMAT, "%s: %d pieces, must be 1..%d", name, count,
                       VG_PIECES_MAX);
    VG_TRY(vg_spiece_model_reserve(model, count, name, err));
    while (w.at < w.end && read_field(&w, &f)) {
        if (f.type != WIRE_BYTES)
            continue;
        if (f.number == 1)
            VG_TRY(parse_piece(f.bytes, name, model, err));
        else if (f.number == 2)
            VG_TRY(parse_trainer(f.bytes, name, err));
        else if (f.number == 3)
            VG_TRY(parse_normalizer(f.bytes, name, model, err));
    }
    if (model->unk < 0)
        return VG_FAIL(err, VG_E_FORMAT, "%s: no unknown piece", name);
    return VG_OK;
}

vg_status vg_spiece_model_parse(const void *bytes, size_t size, const char *name,
                                vg_spiece_model *model, vg_err *err)
{
    vg_spiece_model parsed = {.unk = -1};
    vg_status status =
        parse_model((wire){bytes, (const uint8_t *)bytes + size}, name, &parsed, err);

    if (status != VG_OK) {
        vg_spiece_model_deinit(&parsed);
        return status;
    }
    *model = parsed;
    return VG_OK;
}

void vg_spiece_model_deinit(vg_spiece_model *model)
{
    for (int i = 0; i < model->count; i++)
        free(model->pieces[i].text);
    free(model->pieces);
    free(model->charsmap);
    memset(model, 0, sizeof *model);
}

/* ---- writing ---- */

static uint8_t *put_varint(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

vg_status vg_spiece_model_serialise(const vg_spiece_model *model, void **bytes, size_t *size,
                                    vg_err *err)
{
    /* Per piece: 11 bytes of tag and length, 11 of the text's, 5 of score, 2 of type; 64 for the specs. */
    size_t room = 64;
    for (int i = 0; i < model->count; i++)
        room += strlen(model->pieces[i].text) + 32;
    uint8_t *buffer = malloc(room), *to = buffer;
    if (!buffer)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for %d pieces", model->count);
    for (int i = 0; i < model->count; i++) {
        const vg_piece *p = &model->pieces[i];
        size_t length = strlen(p->text);
        size_t inner = 1 + (length < 0x80 ? 1 : 2) + length + 5 + 2;
        uint32_t score;
        /* A plain Unigram vocabulary, as tokenizers sees it: whatever is not unknown or control is a normal piece. */
        vg_piece_type type =
            p->type == VG_PIECE_UNKNOWN || p->type == VG_PIECE_CONTROL ? p->type : VG_PIECE_NORMAL;
        memcpy(&score, &p->score, sizeof score);
        *to++ = 1 << 3 | WIRE_BYTES;
        to = put_varint(to, inner);
        *to++ = 1 << 3 | WIRE_BYTES;
        to = put_varint(to, length);
        memcpy(to, p->text, length);
        to += length;
        *to++ = 2 << 3 | WIRE_32;
        for (int b = 0; b < 4; b++)
            *to++ = (uint8_t)(score >> (8 * b));
        *to++ = 3 << 3 | WIRE_VARINT;
        *to++ = (uint8_t)type;
    }
    /* trainer_spec { model_type: UNIGRAM } */
    static const uint8_t trainer[] = {2 << 3 | WIRE_BYTES, 2, 3 << 3, 1};
    memcpy(to, trainer, sizeof trainer);
    to += sizeof trainer;
    /* normalizer_spec { precompiled_charsmap: "" add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces: false } */
    static const uint8_t normalizer[] = {
        3 << 3 | WIRE_BYTES, 8, 2 << 3 | WIRE_BYTES, 0, 3 << 3, 0, 4 << 3, 0, 5 << 3, 0};
    memcpy(to, normalizer, sizeof normalizer);
    to += sizeof normalizer;
    *bytes = buffer;
    *size = (size_t)(to - buffer);
    return VG_OK;
}
