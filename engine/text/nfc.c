/* nfc.c: see nfc.h. libutf8proc does the work, with the tables of a later Unicode. What came after Unicode 9 and has a combining class or a
 * composition now had neither then: it stayed where it was, and nothing was moved past it. So the text is cut at such characters. The ranges
 * were found by comparing both libraries on every character (unchanged characters keep their properties for ever). */
#include "engine/text/nfc.h"

#include "kernels/base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static const uint32_t later[][2] = {
    {0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},
    {0xc3c, 0xc3c},     {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0xece, 0xece},
    {0x1715, 0x1715},   {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},   {0xa82c, 0xa82c},
    {0x10d24, 0x10d27}, {0x10eab, 0x10eac}, {0x10efd, 0x10eff}, {0x10f46, 0x10f50},
    {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b}, {0x1145e, 0x1145e},
    {0x11839, 0x1183a}, {0x11930, 0x11930}, {0x11938, 0x11938}, {0x1193d, 0x1193e},
    {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34}, {0x11a47, 0x11a47},
    {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45}, {0x11d97, 0x11d97},
    {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136},
    {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef},
};

static bool is_later(uint32_t code)
{
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (code <= later[i][1])
            return code >= later[i][0];
    return false;
}

typedef struct buffer {
    char *bytes;
    size_t size, room;
} buffer;

static bool append(buffer *b, const void *bytes, size_t size)
{
    if (b->size + size + 1 > b->room) {
        size_t room = 2 * (b->size + size + 1);
        char *grown = realloc(b->bytes, room);
        if (!grown)
            return false;
        b->bytes = grown;
        b->room = room;
    }
    memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
    b->bytes[b->size] = '\0';
    return true;
}

/* Text without later characters. */
static bool append_nfc(buffer *b, const char *text, size_t size)
{
    utf8proc_uint8_t *made = NULL;
    utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size,
                                           &made, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    bool done = length >= 0 && append(b, made, (size_t)length);
    free(made);
    return done;
}

vg_status vg_nfc(const char *text, size_t size, char **out, size_t *out_size, vg_err *err)
{
    buffer b = {0};
    size_t begin = 0;
    uint32_t code;
    bool done = append(&b, "", 0);
    for (size_t i = 0, length; done && i < size; i += length) {
        length = (size_t)vg_utf8_decode(text + i, size - i, &code);
        if (code < 0x7fd || !is_later(code))
            continue;
        done = append_nfc(&b, text + begin, i - begin) && append(&b, text + i, length);
        begin = i + length;
    }
    if (!done || !append_nfc(&b, text + begin, size - begin)) {
        free(b.bytes);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory normalising %zu bytes of text", size);
    }
    *out = b.bytes;
    *out_size = b.size;
    return VG_OK;
}
