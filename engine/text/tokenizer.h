/* tokenizer.h: T5/UMT5 SentencePiece tokenizer through libsentencepiece, as transformers' T5TokenizerFast behaves
 * for Wan: special tokens matched first, adjacent unknowns fused, </s> appended, cut to max_length. */
#ifndef VG_ENGINE_TEXT_TOKENIZER_H
#define VG_ENGINE_TEXT_TOKENIZER_H

#include "kernels/base/status.h"
#include <stddef.h>
#include <stdint.h>

typedef struct vg_tokenizer vg_tokenizer;

/* DIR holds spiece.model (sentencepiece.model, tokenizer.model are accepted too) or a tokenizer.json with the vocabulary, and, optionally,
 * tokenizer_config.json / special_tokens_map.json / tokenizer.json with the special tokens. Both give the same ids.
 * Errors: VG_E_MISSING, VG_E_FORMAT naming file and key, VG_E_UNSUPPORTED (another kind of tokenizer), VG_E_NOMEM. */
vg_status vg_tokenizer_open(const char *dir, vg_tokenizer **tokenizer, vg_err *err);
/* Can DIR be opened? All its files are read and checked, but libsentencepiece, which takes most of the time, is not started.
 * *vocab: vg_tokenizer_vocab. Errors as vg_tokenizer_open. */
vg_status vg_tokenizer_check(const char *dir, int *vocab, vg_err *err);
/* From the bytes of a model file alone; the special tokens are its control pieces. For fuzzing. */
vg_status vg_tokenizer_open_memory(const void *bytes, size_t size, const char *name,
                                   vg_tokenizer **tokenizer, vg_err *err);
/* NULL is a no-op. */
void vg_tokenizer_close(vg_tokenizer *tokenizer);
int vg_tokenizer_vocab(
    const vg_tokenizer *tokenizer); /* pieces plus added tokens: ids are below this */

/* Token ids of a *cleaned* prompt (engine/text/prompt.h), the end token included: at most max_length, the last one kept is </s>.
 * ids: caller's array of max_length; *count says how many. "" gives exactly [</s>]. */
vg_status vg_tokenizer_encode(const vg_tokenizer *tokenizer, const char *text, int max_length,
                              int32_t *ids, int *count, vg_err *err);
/* How many the whole text has, </s> included: more than max_length when _encode cut it. */
vg_status vg_tokenizer_count(const vg_tokenizer *tokenizer, const char *text, int *count,
                             vg_err *err);
#endif
