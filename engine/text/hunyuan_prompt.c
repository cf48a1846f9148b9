/* hunyuan_prompt.c: see hunyuan_prompt.h. */
#include "engine/text/hunyuan_prompt.h"

#include "kernels/base/fileio.h"

#include <stdlib.h>
#include <string.h>

/* Each aspect stands behind nine spaces: the reference's text goes over lines of its source, and their indentation is part of it. */
#define GAP "         "
#define CHAT_HEAD                                                                                         \
    "<|im_start|>system\n"                                                                                \
    "You are a helpful assistant. Describe the video by detailing the following aspects:" GAP             \
    "1. The main content and theme of the video." GAP                                                     \
    "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects." GAP   \
    "3. Actions, events, behaviors temporal relationships, physical movement changes of the objects." GAP \
    "4. background environment, light, style and atmosphere." GAP                                         \
    "5. camera angles, movements, and transitions used in the video."                                     \
    "<|im_end|>\n<|im_start|>user\n"
#define CHAT_TAIL "<|im_end|>\n<|im_start|>assistant\n"

vg_status vg_hunyuan_prompt_ids(const vg_bpe *tokenizer, const char *prompt, int most, int32_t *ids,
                                int *count, int *whole, vg_err *err)
{
    const int room = VG_HUNYUAN_CROP + most;
    int all;
    if (most < 1 || most > VG_HUNYUAN_TOKENS)
        return VG_FAIL(err, VG_E_ARG, "%d tokens of a prompt; 1 to %d are possible", most,
                       VG_HUNYUAN_TOKENS);
    char *chat = vg_strf(CHAT_HEAD "%s" CHAT_TAIL, prompt && *prompt ? prompt : " ");
    if (!chat)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the prompt");
    vg_status status = vg_bpe_encode(tokenizer, chat, strlen(chat), ids, room, &all, err);
    free(chat);
    VG_TRY(status);
    if (all <= VG_HUNYUAN_CROP)
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "the tokenizer makes %d tokens of a prompt and its frame; %d are the frame's", all,
            VG_HUNYUAN_CROP);
    *count = all < room ? all : room;
    if (whole)
        *whole = all - VG_HUNYUAN_CROP;
    return VG_OK;
}

/* ---- glyphs ---- */

typedef struct quote {
    const char *text;
    size_t length;
} quote;

/* The text between `open`, which `at` begins with, and the next `close` on the same line. */
static bool match_quote(const char *at, const char *open, const char *close, quote *q)
{
    if (strncmp(at, open, strlen(open)) != 0)
        return false;
    q->text = at + strlen(open);
    const char *end = strstr(q->text, close), *line = strchr(q->text, '\n');
    if (!end || (line && line < end))
        return false;
    q->length = (size_t)(end - q->text);
    return true;
}

/* The first quote at or behind `at`; *next: behind it. */
static bool next_quote(const char *at, quote *q, const char **next)
{
    static const char *const pairs[2][2] = {{"\"", "\""}, {"\xe2\x80\x9c", "\xe2\x80\x9d"}};
    for (at = strpbrk(at, "\"\xe2"); at; at = strpbrk(at + 1, "\"\xe2"))
        for (int i = 0; i < 2; i++)
            if (match_quote(at, pairs[i][0], pairs[i][1], q)) {
                *next = q->text + q->length + strlen(pairs[i][1]);
                return true;
            }
    return false;
}

static bool seen(const quote *quotes, size_t count, const quote *q)
{
    for (size_t i = 0; i < count; i++)
        if (quotes[i].length == q->length && memcmp(quotes[i].text, q->text, q->length) == 0)
            return true;
    return false;
}

/* Distinct quotes in order; *quotes has room for as many as there can be. */
static size_t find_quotes(const char *prompt, quote *quotes)
{
    size_t count = 0;
    for (const char *at = prompt; next_quote(at, &quotes[count], &at);)
        count += !seen(quotes, count, &quotes[count]);
    return count;
}

static char *append(char *to, const char *text, size_t length)
{
    memcpy(to, text, length);
    return to + length;
}

vg_status vg_hunyuan_glyph_text(const char *prompt, char **text, vg_err *err)
{
    static const char before[] = "Text \"", behind[] = "\". ";
    size_t room = 1;
    *text = NULL;
    prompt = prompt ? prompt : "";
    quote *quotes = malloc((strlen(prompt) / 2 + 1) * sizeof *quotes); /* a quote has two marks */
    if (!quotes)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory for the prompt");
    size_t count = find_quotes(prompt, quotes);
    for (size_t i = 0; i < count; i++)
        room += quotes[i].length + strlen(before) + strlen(behind);
    char *made = count ? malloc(room) : NULL, *to = made;
    for (size_t i = 0; made && i < count; i++) {
        to = append(to, before, strlen(before));
        to = append(to, quotes[i].text, quotes[i].length);
        to = append(to, behind, strlen(behind));
    }
    free(quotes);
    if (made)
        *to = '\0';
    *text = made;
    return made || !count ? VG_OK : VG_FAIL(err, VG_E_NOMEM, "out of memory for the prompt");
}

vg_status vg_hunyuan_glyph_ids(const vg_byt5 *tokenizer, const char *prompt, int32_t *ids,
                               int *count, int *whole, vg_err *err)
{
    char *text;
    VG_TRY(vg_hunyuan_glyph_text(prompt, &text, err));
    vg_status status = VG_OK;
    if (text) {
        status = vg_byt5_encode(tokenizer, text, strlen(text), VG_HUNYUAN_GLYPHS, ids, count, whole,
                                err);
    } else {
        *count = 0;
        if (whole)
            *whole = 0;
    }
    free(text);
    return status;
}
