/* html_unescape.c: character references as Python's html.unescape reads them (HTML5: legacy names without a semicolon by longest
 * prefix, numeric references with the Windows-1252 corrections). The tables are generated: tests/oracle/make_html_entities.py. */
#include "engine/text/text32.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_CHARS 33

static const struct entity {
    const char *name;
    uint32_t codes[2];
} entities[] = {
#define HTML_ENTITY(name, first, second) {name, {first, second}},
#include "engine/text/html_entities.def"
#undef HTML_ENTITY
};

static const uint32_t charrefs[][2] = {
#define HTML_CHARREF(number, code) {number, code},
#include "engine/text/html_entities.def"
#undef HTML_CHARREF
};

static const uint32_t invalid[][2] = {
#define HTML_INVALID(first, last) {first, last},
#include "engine/text/html_entities.def"
#undef HTML_INVALID
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

int vg_html_entity(const char *name, size_t length, uint32_t codes[2])
{
    size_t low = 0, high = COUNT(entities);

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strncmp(name, entities[middle].name, length);
        if (order == 0 && entities[middle].name[length] != '\0')
            order = -1;
        if (order == 0) {
            codes[0] = entities[middle].codes[0];
            codes[1] = entities[middle].codes[1];
            return codes[1] ? 2 : 1;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return 0;
}

int32_t vg_html_number(uint64_t number)
{
    for (size_t i = 0; i < COUNT(charrefs); i++) {
        if (charrefs[i][0] == number)
            return (int32_t)charrefs[i][1];
    }
    if ((number >= 0xd800 && number <= 0xdfff) || number > 0x10ffff)
        return 0xfffd;
    for (size_t i = 0; i < COUNT(invalid); i++) {
        if (number >= invalid[i][0] && number <= invalid[i][1])
            return -1;
    }
    return (int32_t)number;
}

static int digit(uint32_t c, unsigned base)
{
    unsigned value = c >= '0' && c <= '9'   ? c - '0'
                     : c >= 'a' && c <= 'f' ? c - 'a' + 10
                     : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                            : 99;

    return value < base ? (int)value : -1;
}

/* "&#123;" or "&#x1F;" at `at` (which holds '&'); the length, 0 when it is none. */
static size_t numeric(const vg_text32 *t, size_t at, vg_text32 *out)
{
    uint64_t number = 0;
    size_t i = at + 2;
    unsigned base = 10;

    if (i < t->count && (t->at[i] == 'x' || t->at[i] == 'X')) {
        base = 16;
        i++;
    }
    size_t first = i;
    for (; i < t->count && digit(t->at[i], base) >= 0; i++) {
        if (number <= 0x10ffff) /* beyond, only "too large" matters */
            number = number * base + (unsigned)digit(t->at[i], base);
    }
    if (i == first)
        return 0;
    if (i < t->count && t->at[i] == ';')
        i++;
    int32_t code = vg_html_number(number);
    if (code >= 0)
        vg_text32_add(out, (uint32_t)code);
    return i - at;
}

static bool name_char(uint32_t c)
{
    return c != '\t' && c != '\n' && c != '\f' && c != ' ' && c != '<' && c != '&' && c != '#' &&
           c != ';';
}

/* A named reference at `at`; the length of all that was consumed (also when it stays as it is), 0 when there is none. */
static size_t named(const vg_text32 *t, size_t at, vg_text32 *out)
{
    char name[NAME_MAX_CHARS + 1];
    uint32_t codes[2];
    size_t length = 0;

    while (at + 1 + length < t->count && length < 32 && name_char(t->at[at + 1 + length]))
        length++;
    if (length == 0)
        return 0;
    if (at + 1 + length < t->count && t->at[at + 1 + length] == ';')
        length++;
    for (size_t i = 0; i < length; i++) /* a character beyond ASCII matches no name */
        name[i] = t->at[at + 1 + i] < 0x80 ? (char)t->at[at + 1 + i] : '\x01';
    /* All of it, then ever shorter beginnings of at least two characters. */
    for (size_t n = length; n == length || n > 1; n--) {
        int count = vg_html_entity(name, n, codes);
        if (count > 0) {
            vg_text32_append(out, codes, (size_t)count);
            vg_text32_append(out, t->at + at + 1 + n, length - n);
            return 1 + length;
        }
        if (n == 1)
            break;
    }
    vg_text32_append(out, t->at + at, 1 + length);
    return 1 + length;
}

void vg_html_unescape(vg_text32 *t)
{
    vg_text32 out = {0};

    for (size_t at = 0; at < t->count;) {
        size_t length = 0;
        if (t->at[at] == '&')
            length = at + 1 < t->count && t->at[at + 1] == '#' ? numeric(t, at, &out)
                                                               : named(t, at, &out);
        if (length == 0)
            vg_text32_add(&out, t->at[at++]);
        else
            at += length;
    }
    vg_text32_take(t, &out);
}
