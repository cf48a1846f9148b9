/* byt5.h: ByT5's tokenizer as transformers' ByT5Tokenizer: the bytes of the text, each 3 higher, around added tokens, and </s> behind them.
 * Its encoder is a T5 encoder: umt5.h. Source: hunyuanvideo15 4.3. */
#ifndef VG_ENGINE_TEXT_BYT5_H
#define VG_ENGINE_TEXT_BYT5_H

#include "kernels/base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct vg_byt5 vg_byt5;

/* The added tokens come from DIR's tokenizer_config.json and added_tokens.json; <pad>, </s> and <unk> are 0, 1 and 2, and <extra_id_N>
 * 259 + N, where no file says otherwise. A folder without either file is VG_E_MISSING. Other errors: VG_E_FORMAT, VG_E_UNSUPPORTED
 * (another class of tokenizer), VG_E_NOMEM. Tests: test_hunyuan_tokens. */
vg_status vg_byt5_open(const char *dir, vg_byt5 **tokenizer, vg_err *err);
/* NULL is a no-op. */
void vg_byt5_close(vg_byt5 *tokenizer);
int vg_byt5_vocab(const vg_byt5 *tokenizer); /* ids are below this */

/* Ids of text[0..size), </s> behind them unless the text ends with it: at most max_length >= 1, and *count says how many. *whole (may be
 * NULL): how many the whole text has. Broken UTF-8 is read as Python's errors="replace" reads it. Errors: VG_E_ARG, VG_E_NOMEM. */
vg_status vg_byt5_encode(const vg_byt5 *tokenizer, const char *text, size_t size, int max_length,
                         int32_t *ids, int *count, int *whole, vg_err *err);
#endif
