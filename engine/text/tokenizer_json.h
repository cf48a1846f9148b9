/* tokenizer_json.h: the Unigram model inside a tokenizer.json, for folders without a SentencePiece model file: transformers 5 saves T5
 * tokenizers that way. Private to engine/text/tokenizer*.c. */
#ifndef VG_ENGINE_TEXT_TOKENIZER_JSON_H
#define VG_ENGINE_TEXT_TOKENIZER_JSON_H

#include "engine/text/spiece_model.h"
#include "kernels/base/json.h"

/* Pieces, scores, the unknown piece and the character map of `root`; the same ids follow from them as from the SentencePiece model that they
 * were made from. unknown: text of the unknown piece, which counts more than the file's unk_id: transformers 5 writes 2 there whatever the
 * vocabulary says. Added tokens with a place in the vocabulary become control pieces, which text cannot spell.
 * Errors: VG_E_UNSUPPORTED for another pipeline than T5's (naming what), VG_E_FORMAT, VG_E_NOMEM. name: the file, in messages. */
vg_status vg_tokenizer_json_model(const cJSON *root, const char *name, const char *unknown,
                                  vg_spiece_model *model, vg_err *err);
/* Does the file append this token, and nothing else? VG_E_UNSUPPORTED otherwise. */
vg_status vg_tokenizer_json_check_end(const cJSON *root, const char *name, const char *end,
                                      vg_err *err);
#endif
