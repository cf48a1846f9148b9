/* spiece_model.h: reads a SentencePiece model file (protobuf) with all checks, so that libsentencepiece and the normaliser only
 * see data that is sound. Private to engine/tokenizer*.c. */
#ifndef VG_ENGINE_TEXT_SPIECE_MODEL_H
#define VG_ENGINE_TEXT_SPIECE_MODEL_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum vg_piece_type {
    VG_PIECE_NORMAL = 1,
    VG_PIECE_UNKNOWN = 2,
    VG_PIECE_CONTROL = 3,
    VG_PIECE_USER_DEFINED = 4,
    VG_PIECE_UNUSED = 5,
    VG_PIECE_BYTE = 6,
} vg_piece_type;

typedef struct vg_piece {
    char *text;
    float score;
    vg_piece_type type;
} vg_piece;

#define VG_PIECES_MAX (1 << 22)

typedef struct vg_spiece_model {
    vg_piece *pieces;
    int count;
    int unk;           /* index of the one unknown piece */
    uint8_t *charsmap; /* normalizer_spec.precompiled_charsmap, NULL when empty */
    size_t charsmap_size;
} vg_spiece_model;

/* Only Unigram models. Errors: VG_E_FORMAT, VG_E_UNSUPPORTED, VG_E_NOMEM. */
vg_status vg_spiece_model_parse(const void *bytes, size_t size, const char *name,
                                vg_spiece_model *model, vg_err *err);
/* All zero is empty. */
void vg_spiece_model_deinit(vg_spiece_model *model);
/* Built piece by piece from another format: room for `count` pieces, then each with the checks that _parse makes (text of 1 to 1024 bytes
 * of UTF-8, a usable score, one unknown piece). `model` begins as {.unk = -1}. name: the file, in messages. */
vg_status vg_spiece_model_reserve(vg_spiece_model *model, int count, const char *name, vg_err *err);
/* text: `length` bytes, copied. type: of SentencePiece's ModelProto. Errors: VG_E_FORMAT naming the piece, VG_E_NOMEM. */
vg_status vg_spiece_model_add(vg_spiece_model *model, const char *text, size_t length, float score,
                              uint64_t type, const char *name, vg_err *err);
/* The same pieces as a fresh ModelProto without any normalisation: text is segmented as it is. malloc'd. */
vg_status vg_spiece_model_serialise(const vg_spiece_model *model, void **bytes, size_t *size,
                                    vg_err *err);

/* The precompiled character map as HuggingFace's tokenizers applies it: a grapheme under 6 bytes is looked up as a whole, else
 * each of its characters; the *shortest* entry that matches a prefix replaces all of what was looked up. *normal is malloc'd. */
vg_status vg_charsmap_check(const uint8_t *charsmap, size_t size, const char *name, vg_err *err);
/* charsmap NULL: the text stays as it is. Errors: VG_E_ARG (no UTF-8), VG_E_NOMEM. */
vg_status vg_charsmap_apply(const uint8_t *charsmap, size_t size, const char *text,
                            size_t text_size, char **normal, size_t *normal_size, vg_err *err);
#endif
