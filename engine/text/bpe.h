/* bpe.h: byte-level BPE tokenizers as HuggingFace's tokenizers library runs them, for Qwen2: added tokens first, NFC, the pre-tokenizer's
 * regular expression (PCRE2), then merges by rank. Source: hunyuanvideo15 4.1. */
#ifndef VG_ENGINE_TEXT_BPE_H
#define VG_ENGINE_TEXT_BPE_H

#include "kernels/base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct vg_bpe vg_bpe;

/* DIR holds tokenizer.json, or vocab.json with merges.txt (then Qwen2's expression and NFC are taken), and, optionally,
 * tokenizer_config.json and added_tokens.json with more added tokens. Both give the same ids.
 * Errors: VG_E_MISSING, VG_E_FORMAT naming file and key, VG_E_UNSUPPORTED (another kind of tokenizer, by the name of what differs),
 * VG_E_NOMEM. Tests: test_hunyuan_tokens. */
vg_status vg_bpe_open(const char *dir, vg_bpe **tokenizer, vg_err *err);
/* From the text of a tokenizer.json alone. name: in messages. For fuzzing. */
vg_status vg_bpe_open_memory(const char *json, size_t size, const char *name, vg_bpe **tokenizer,
                             vg_err *err);
/* NULL is a no-op. */
void vg_bpe_close(vg_bpe *tokenizer);
int vg_bpe_vocab(const vg_bpe *tokenizer); /* ids are below this */

/* Ids of text[0..size), no special token added: the first `room` of them in ids, *count says how many there are, more than room when they
 * did not all fit. Broken UTF-8 is read as Python's errors="replace" reads it (vg_utf8_repair). ids may be NULL with room 0.
 * Not for two threads at once with the same tokenizer. Errors: VG_E_ARG (more than VG_BPE_MAX_BYTES), VG_E_NOMEM. */
#define VG_BPE_MAX_BYTES (1 << 20)
vg_status vg_bpe_encode(const vg_bpe *tokenizer, const char *text, size_t size, int32_t *ids,
                        int room, int *count, vg_err *err);
#endif
