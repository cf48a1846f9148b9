/* utf8.c: see utf8.h. */
#include "kernels/base/utf8.h"

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
