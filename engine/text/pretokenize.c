/* pretokenize.c: see pretokenize.h. PCRE2 is used without its compiler: prompts are short, and memory need not be executable. */
#include "engine/text/pretokenize.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define PATTERN_MAX_BYTES 4096
#define MATCH_LIMIT       50000000 /* steps of one match; Qwen2's expression takes a few per character */
/* Unicode White_Space, as it stands within a class. */
#define SPACES                                                                                     \
    "\\t-\\r\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

struct vg_pretokenizer {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *limits;
};

/* \s and \S spelled out. A class is what stands between [ and the next ] that is not escaped. */
static vg_status translate(const char *pattern, const char *name, char **out, vg_err *err)
{
    size_t used = 0, room = strlen(pattern) * (sizeof SPACES + 4) + 1;
    bool in_class = false;
    char *o = malloc(room);
    if (!o)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
    for (const char *p = pattern; *p; p++) {
        const char *piece = p;
        size_t length = 1;
        if (*p == '\\' && p[1]) {
            length = 2;
            p++;
            if (*p == 's')
                piece = in_class ? SPACES : "[" SPACES "]";
            else if (*p == 'S' && !in_class)
                piece = "[^" SPACES "]";
            if (*p == 's' || (*p == 'S' && !in_class))
                length = strlen(piece);
            else if (*p == 'S') {
                free(o);
                return VG_FAIL(err, VG_E_UNSUPPORTED,
                               "%s: \\S within a class of a pre-tokenizer is not supported", name);
            }
        } else if (*p == '[') {
            in_class = true;
        } else if (*p == ']') {
            in_class = false;
        }
        memcpy(o + used, piece, length);
        used += length;
    }
    o[used] = '\0';
    *out = o;
    return VG_OK;
}

static vg_status compile(vg_pretokenizer *p, const char *pattern, const char *name, vg_err *err)
{
    int code;
    PCRE2_SIZE at;
    uint32_t empty = 0;
    PCRE2_UCHAR why[160];
    p->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                            &code, &at, NULL);
    if (!p->code) {
        pcre2_get_error_message(code, why, sizeof why);
        return VG_FAIL(err, VG_E_FORMAT, "%s: the pre-tokenizer's expression: %s", name,
                       (const char *)why);
    }
    pcre2_pattern_info(p->code, PCRE2_INFO_MATCHEMPTY, &empty);
    if (empty)
        return VG_FAIL(err, VG_E_FORMAT,
                       "%s: the pre-tokenizer's expression matches without a character", name);
    p->match = pcre2_match_data_create_from_pattern(p->code, NULL);
    p->limits = pcre2_match_context_create(NULL);
    if (!p->match || !p->limits)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
    pcre2_set_match_limit(p->limits, MATCH_LIMIT);
    return VG_OK;
}

vg_status vg_pretokenizer_new(const char *pattern, const char *name, vg_pretokenizer **pretokenizer,
                              vg_err *err)
{
    char *translated = NULL;
    if (strlen(pattern) > PATTERN_MAX_BYTES)
        return VG_FAIL(err, VG_E_FORMAT,
                       "%s: the pre-tokenizer's expression has more than %d bytes", name,
                       PATTERN_MAX_BYTES);
    vg_pretokenizer *p = calloc(1, sizeof *p);
    if (!p)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", name);
    vg_status status = translate(pattern, name, &translated, err);
    if (status == VG_OK)
        status = compile(p, translated, name, err);
    free(translated);
    if (status != VG_OK) {
        vg_pretokenizer_free(p);
        return status;
    }
    *pretokenizer = p;
    return VG_OK;
}

void vg_pretokenizer_free(vg_pretokenizer *p)
{
    if (!p)
        return;
    pcre2_match_context_free(p->limits);
    pcre2_match_data_free(p->match);
    pcre2_code_free(p->code);
    free(p);
}

vg_status vg_pretokenizer_next(vg_pretokenizer *p, const char *text, size_t size, size_t from,
                               size_t *end, vg_err *err)
{
    int found =
        pcre2_match(p->code, (PCRE2_SPTR)text, size, from, PCRE2_NO_UTF_CHECK, p->match, p->limits);
    if (found == PCRE2_ERROR_NOMATCH) {
        *end = size;
        return VG_OK;
    }
    if (found < 0) {
        PCRE2_UCHAR why[160];
        pcre2_get_error_message(found, why, sizeof why);
        return VG_FAIL(err, VG_E_FORMAT, "the tokenizer's expression fails on the text: %s",
                       (const char *)why);
    }
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(p->match);
    *end = at[0] > from ? at[0] : at[1];
    if (*end <= from || *end > size) /* \K and lookbehind can put a match anywhere */
        return VG_FAIL(err, VG_E_FORMAT, "the tokenizer's expression cuts the text backwards");
    return VG_OK;
}
