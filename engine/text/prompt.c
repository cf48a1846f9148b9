/* prompt.c: prompt_clean of diffusers' Wan pipelines: ftfy.fix_text, html.unescape twice, strip; then every run of white space to
 * one space, strip. ftfy is always applied, as the image and VACE pipelines demand (the text pipeline skips it when the package is
 * not installed). See ftfy.c for what is covered: all of it, mojibake repair included. Tests: test_prompt, against ftfy itself. */
#include "engine/text/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/json.h"
#include "engine/text/text32.h"
#include "kernels/base/utf8.h"

/* ---- text32 ---- */

void vg_text32_deinit(vg_text32 *t)
{
    free(t->at);
    memset(t, 0, sizeof *t);
}

void vg_text32_append(vg_text32 *t, const uint32_t *codes, size_t count)
{
    if (t->failed || count == 0)
        return;
    if (t->room - t->count < count) {
        size_t room = 2 * (t->count + count) + 32;
        uint32_t *grown = realloc(t->at, room * sizeof *grown);
        if (!grown) {
            t->failed = true;
            return;
        }
        t->at = grown;
        t->room = room;
    }
    memcpy(t->at + t->count, codes, count * sizeof *codes);
    t->count += count;
}

void vg_text32_add(vg_text32 *t, uint32_t code)
{
    if (t->count < t->room)
        t->at[t->count++] = code;
    else
        vg_text32_append(t, &code, 1);
}

void vg_text32_from_utf8(vg_text32 *t, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;

    while (*s) {
        int more = *s < 0x80 ? 0 : *s < 0xe0 ? 1 : *s < 0xf0 ? 2 : 3;
        uint32_t code = more == 0 ? *s : *s & (0x3fu >> more);
        for (s++; more > 0 && (*s & 0xc0) == 0x80; more--)
            code = code << 6 | (*s++ & 0x3fu);
        vg_text32_add(t, code);
    }
}

char *vg_text32_to_utf8(const vg_text32 *t)
{
    char *text = t->failed ? NULL : malloc(4 * t->count + 1), *to = text;

    for (size_t i = 0; text && i < t->count; i++) {
        uint32_t c = t->at[i];
        if (c == 0)
            continue;
        if (c < 0x80) {
            *to++ = (char)c;
            continue;
        }
        int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        *to++ = (char)(c >> (6 * more) | (0xff00u >> (more + 1) & 0xffu));
        while (more-- > 0)
            *to++ = (char)(0x80 | (c >> (6 * more) & 0x3fu));
    }
    if (text)
        *to = '\0';
    return text;
}

bool vg_text32_equal(const vg_text32 *a, const vg_text32 *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->at, b->at, a->count * sizeof *a->at) == 0);
}

void vg_text32_take(vg_text32 *t, vg_text32 *by)
{
    bool failed = t->failed || by->failed;

    free(t->at);
    *t = *by;
    t->failed = failed;
    memset(by, 0, sizeof *by);
}

bool vg_text32_is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

/* ---- cleaning ---- */

/* Strip, and runs of white space to one space. */
static void clean_space(vg_text32 *t)
{
    size_t used = 0;
    bool pending = false;

    for (size_t i = 0; i < t->count; i++) {
        if (vg_text32_is_space(t->at[i])) {
            pending = used > 0;
            continue;
        }
        /* `used` stays behind `i`: a space is only put where one was read. */
        if (pending)
            t->at[used++] = ' ';
        pending = false;
        t->at[used++] = t->at[i];
    }
    t->count = used;
}

vg_status vg_prompt_clean(const char *text, char **clean, vg_err *err)
{
    const size_t size = strlen(text);
    size_t bad;
    vg_text32 t = {0};

    if (size > VG_PROMPT_MAX_BYTES)
        return VG_FAIL(err, VG_E_ARG, "the prompt has %zu bytes, at most %d", size,
                       VG_PROMPT_MAX_BYTES);
    if (!vg_utf8_valid(text, size, &bad))
        return VG_FAIL(err, VG_E_ARG, "the prompt is not valid UTF-8 at byte %zu", bad);
    vg_text32_from_utf8(&t, text);
    vg_ftfy_fix_text(&t);
    vg_html_unescape(&t);
    vg_html_unescape(&t);
    clean_space(&t);
    char *result = vg_text32_to_utf8(&t);
    vg_text32_deinit(&t);
    if (!result)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory cleaning the prompt");
    *clean = result;
    return VG_OK;
}
