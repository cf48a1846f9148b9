/* utf8.c: see utf8.h. */
#include "kernels/base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include <wchar.h>

int vg_utf8_next(const char *s, size_t n, uint32_t *cp)
{
    utf8proc_int32_t code;
    utf8proc_ssize_t length =
        utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)(n < 4 ? n : 4), &code);
    if (length < 1)
        return 0;
    *cp = (uint32_t)code;
    return (int)length;
}

int vg_utf8_decode(const char *s, size_t n, uint32_t *cp)
{
    int length = vg_utf8_next(s, n, cp);
    if (length)
        return length;
    *cp = 0xfffd;
    return 1;
}

int vg_utf8_encode(uint32_t cp, char *out)
{
    return (int)utf8proc_encode_char((utf8proc_int32_t)cp, (utf8proc_uint8_t *)out);
}

/* Bytes at s, at least 1, that begin a well-formed character and are not one (Unicode 3.9, table 3-7). */
static size_t broken_length(const unsigned char *s, size_t n)
{
    static const struct {
        unsigned char first, last, low, high; /* lead bytes, and what may follow them at once */
        size_t length;
    } leads[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                 {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
                 {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
                 {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof leads / sizeof *leads; i++) {
        size_t taken = 1;
        if (s[0] < leads[i].first || s[0] > leads[i].last)
            continue;
        if (n > 1 && s[1] >= leads[i].low && s[1] <= leads[i].high)
            for (taken = 2; taken < leads[i].length && taken < n && (s[taken] & 0xc0) == 0x80;)
                taken++;
        return taken;
    }
    return 1;
}

char *vg_utf8_repair(const char *text, size_t size, size_t *out_size)
{
    uint32_t cp;
    size_t used = 0;
    char *out = size <= (SIZE_MAX - 1) / 3 ? malloc(3 * size + 1) : NULL;
    if (!out)
        return NULL;
    for (size_t i = 0; i < size;) {
        size_t length = (size_t)vg_utf8_next(text + i, size - i, &cp);
        if (length) {
            memcpy(out + used, text + i, length);
            used += length;
            i += length;
        } else {
            used += (size_t)vg_utf8_encode(0xfffd, out + used);
            i += broken_length((const unsigned char *)text + i, size - i);
        }
    }
    out[used] = '\0';
    *out_size = used;
    return out;
}

bool vg_utf8_valid(const char *text, size_t size, size_t *bad)
{
    uint32_t cp;
    for (size_t i = 0; i < size;) {
        int length = (unsigned char)text[i] < 0x80 ? 1 : vg_utf8_next(text + i, size - i, &cp);
        if (!length) {
            if (bad)
                *bad = i;
            return false;
        }
        i += (size_t)length;
    }
    return true;
}

bool vg_cp_unsafe(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x061c || c == 0x200b ||
           c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
           (c >= 0xe0000 && c <= 0xe0fff);
}

int vg_cp_columns(uint32_t cp)
{
    return cp < 0x300 ? 1 : wcwidth((wchar_t)cp);
}
