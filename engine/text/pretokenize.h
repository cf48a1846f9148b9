/* pretokenize.h: text cut into the pieces that byte-level BPE works on, by the regular expression of a tokenizer.json, with PCRE2. Private to
 * engine/text. */
#ifndef VG_ENGINE_TEXT_PRETOKENIZE_H
#define VG_ENGINE_TEXT_PRETOKENIZE_H

#include "kernels/base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct vg_pretokenizer vg_pretokenizer;

/* pattern: as the tokenizers library takes it, for Oniguruma; \s and \S are given Oniguruma's meaning (Unicode White_Space), where PCRE2 counts
 * U+180E, too. Errors: VG_E_FORMAT (no regular expression, or one that matches nothing at all), VG_E_UNSUPPORTED (\S in a class),
 * VG_E_NOMEM. name: the file, in messages. */
vg_status vg_pretokenizer_new(const char *pattern, const char *name, vg_pretokenizer **pretokenizer,
                              vg_err *err);
/* NULL is a no-op. */
void vg_pretokenizer_free(vg_pretokenizer *pretokenizer);
/* The piece of text[0..size) that begins at `from` < size: a match, or what stands in front of the next one. text is valid UTF-8. *end: behind it. Errors:
 * VG_E_FORMAT when the expression takes forever. Not for two threads at once. */
vg_status vg_pretokenizer_next(vg_pretokenizer *pretokenizer, const char *text, size_t size,
                               size_t from, size_t *end, vg_err *err);
#endif
