/* hunyuan_prompt.h: what HunyuanVideo-1.5 makes of a prompt before its two text encoders see it: a chat with Qwen2.5-VL about the video, and
 * the words within quotes, which are to be drawn. Source: hunyuanvideo15 4.1, 4.3; diffusers pipeline_hunyuan_video1_5.py. */
#ifndef VG_ENGINE_TEXT_HUNYUAN_PROMPT_H
#define VG_ENGINE_TEXT_HUNYUAN_PROMPT_H

#include "engine/text/bpe.h"
#include "engine/text/byt5.h"

#define VG_HUNYUAN_CROP                                                                            \
    108 /* tokens of the chat in front of the prompt, whose states are dropped */
#define VG_HUNYUAN_TOKENS 1000 /* most behind them */
#define VG_HUNYUAN_GLYPHS 256  /* most tokens of the words within quotes */

/* Ids of the whole chat, the first VG_HUNYUAN_CROP of them to be cropped: at most VG_HUNYUAN_CROP + most, cut on the right; most is 1 to
 * VG_HUNYUAN_TOKENS. Of "" and of NULL it is the chat about one space. Special tokens that are spelled in the prompt are special tokens there.
 *   ids     caller's [VG_HUNYUAN_CROP + most]; *count: how many are valid
 *   whole   how many the prompt has behind the crop, uncut (may be NULL): more than most, then its end was left out
 * Errors: those of vg_bpe_encode; VG_E_UNSUPPORTED when the tokenizer makes no more than VG_HUNYUAN_CROP tokens of the chat. Tests:
 * test_hunyuan_tokens. */
vg_status vg_hunyuan_prompt_ids(const vg_bpe *tokenizer, const char *prompt, int most, int32_t *ids,
                                int *count, int *whole, vg_err *err);

/* The text that ByT5 gets: for each distinct stretch within "straight" or U+201C curly U+201D quotes, in order, `Text "..."`, joined and ended
 * by ". ". *text is malloc'd, and NULL when the prompt has no quotes: the states are zeros then, their mask too. Quotes pair from left to
 * right, never over a newline. Errors: VG_E_NOMEM. */
vg_status vg_hunyuan_glyph_text(const char *prompt, char **text, vg_err *err);
/* Ids of it: at most VG_HUNYUAN_GLYPHS in ids; *count is 0 without quotes. whole: as in vg_byt5_encode. */
vg_status vg_hunyuan_glyph_ids(const vg_byt5 *tokenizer, const char *prompt, int32_t *ids,
                               int *count, int *whole, vg_err *err);
#endif
