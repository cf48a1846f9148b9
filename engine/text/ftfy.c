/* ftfy.c: ftfy.fix_text with its default configuration, because prompt_clean of the reference pipelines runs it and token ids must
 * be equal. Written after ftfy 6.3 (Robyn Speer, Apache-2.0, https://github.com/rspeer/python-ftfy): the same steps in the same
 * order; its regular expressions and tables come from tests/oracle/make_ftfy_tables.py.
 *
 * All of fix_text is covered. Differences that remain: character data (NFC, letters, digits) is that of libutf8proc's Unicode
 * version instead of Python's, and loops that ftfy runs "until nothing changes" stop after ROUNDS_MAX rounds. */
#include "engine/text/text32.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define ROUNDS_MAX 64
#define DEPTH_MAX  16

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- tables ---- */

static const uint32_t class_ranges[][2] = {
#define FTFY_RANGE(first, last) {first, last},
#include "engine/text/ftfy_tables.def"
#undef FTFY_RANGE
};

enum { CLASS_NEGATED = 1, CLASS_WORD = 2 };

static const struct char_class {
    uint16_t first, count;
    uint8_t flags;
} classes[] = {
#define FTFY_CLASS(first, count, flags) {first, count, flags},
#include "engine/text/ftfy_tables.def"
#undef FTFY_CLASS
};

/* A row of an alternation: so many characters, each of a class. */
typedef struct sequence {
    uint8_t at_beginning, count, classes[7];
} sequence;

static const sequence bad_sequences[] = {
#define FTFY_BAD(begin, n, ...) {begin, n, {__VA_ARGS__}},
#include "engine/text/ftfy_tables.def"
#undef FTFY_BAD
};

static const sequence altered_sequences[] = {
#define FTFY_ALTERED(n, ...) {0, n, {__VA_ARGS__}},
#include "engine/text/ftfy_tables.def"
#undef FTFY_ALTERED
};

static const sequence lossy_sequences[] = {
#define FTFY_LOSSY(n, ...) {0, n, {__VA_ARGS__}},
#include "engine/text/ftfy_tables.def"
#undef FTFY_LOSSY
};

enum {
#define FTFY_CLUE(name, id) CLUE_##name = id,
#include "engine/text/ftfy_tables.def"
#undef FTFY_CLUE
};

static const struct charmap {
    const char *name;
    bool sloppy; /* byte 1A stands for U+FFFD */
    uint16_t codes[128];
} charmaps[] = {
#define FTFY_CHARMAP(name, sloppy, ...) {name, sloppy, {__VA_ARGS__}},
#include "engine/text/ftfy_tables.def"
#undef FTFY_CHARMAP
};

typedef struct replacement {
    uint32_t code, to[3];
} replacement;

static const replacement widths[] = {
#define FTFY_WIDTH(code, first, second) {code, {first, second, 0}},
#include "engine/text/ftfy_tables.def"
#undef FTFY_WIDTH
};

static const replacement ligatures[] = {
#define FTFY_LIGATURE(code, first, second, third) {code, {first, second, third}},
#include "engine/text/ftfy_tables.def"
#undef FTFY_LIGATURE
};

static const uint32_t controls[][2] = {
#define FTFY_CONTROL(first, last) {first, last},
#include "engine/text/ftfy_tables.def"
#undef FTFY_CONTROL
};

static const struct upper_entity {
    const char *name;
    uint32_t codes[3];
} upper_entities[] = {
#define FTFY_UPPER_ENTITY(name, first, second, third) {name, {first, second, third}},
#include "engine/text/ftfy_tables.def"
#undef FTFY_UPPER_ENTITY
};

/* ---- matching ---- */

static bool in_ranges(const uint32_t (*ranges)[2], size_t count, uint32_t code)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code < ranges[middle][0])
            high = middle;
        else if (code > ranges[middle][1])
            low = middle + 1;
        else
            return true;
    }
    return false;
}

/* \w: str.isalnum() or '_'. */
static bool is_word(uint32_t code)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)code);

    return code == '_' || (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO) ||
           (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO);
}

static bool in_class(int id, uint32_t code)
{
    const struct char_class *c = &classes[id];
    bool in = in_ranges(&class_ranges[c->first], c->count, code) ||
              ((c->flags & CLASS_WORD) && is_word(code));

    return in != !!(c->flags & CLASS_NEGATED);
}

/* The first row that matches at t[at]: its length, else 0. */
static size_t match_sequences(const sequence *rows, size_t count, const vg_text32 *t, size_t at)
{
    for (size_t i = 0; i < count; i++) {
        const sequence *s = &rows[i];
        if (s->count > t->count - at || (s->at_beginning && at > 0))
            continue;
        size_t k = 0;
        while (k < s->count && in_class(s->classes[k], t->at[at + k]))
            k++;
        if (k == s->count)
            return k;
    }
    return 0;
}

static bool is_ascii(const vg_text32 *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->at[i] >= 0x80)
            return false;
    }
    return true;
}

static bool is_bad(const vg_text32 *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if (match_sequences(bad_sequences, COUNT(bad_sequences), t, i) > 0)
            return true;
    }
    return false;
}

/* ---- encodings ---- */

/* Text to bytes (as vg_text32 of 0..255); false when some character is not in the encoding. */
static bool encode(const vg_text32 *t, const struct charmap *map, vg_text32 *bytes)
{
    for (size_t i = 0; i < t->count; i++) {
        uint32_t code = t->at[i], byte = 0x100;
        if (map->sloppy && (code == 0xfffd || code == 0x1a))
            byte = code == 0xfffd ? 0x1a : 0x100;
        else if (code < 0x80)
            byte = code;
        else
            for (uint32_t k = 0; k < 128 && byte == 0x100; k++)
                byte = map->codes[k] == code ? 0x80 + k : 0x100;
        if (byte == 0x100)
            return false;
        vg_text32_add(bytes, byte);
    }
    return !bytes->failed;
}

/* Length of the well-formed UTF-8 sequence at bytes[at], 0 when it is malformed. */
static size_t utf8_at(const vg_text32 *bytes, size_t at, uint32_t *code)
{
    utf8proc_uint8_t some[4];
    utf8proc_int32_t decoded;
    size_t n = bytes->count - at < 4 ? bytes->count - at : 4;

    for (size_t i = 0; i < n; i++)
        some[i] = (utf8proc_uint8_t)bytes->at[at + i];
    utf8proc_ssize_t length = utf8proc_iterate(some, (utf8proc_ssize_t)n, &decoded);
    if (length <= 0)
        return 0;
    *code = (uint32_t)decoded;
    return (size_t)length;
}

static bool between(uint32_t value, uint32_t low, uint32_t high)
{
    return value >= low && value <= high;
}

/* "utf-8-variants": also C0 80 for NUL, and CESU-8 pairs. A newline that ends the text can take the place of the last byte, since
 * '$' of the regular expressions behind it matches before one. */
static size_t variant_at(const vg_text32 *bytes, size_t at, uint32_t *code)
{
    const uint32_t *b = bytes->at + at;
    const size_t left = bytes->count - at;

    if (b[0] == 0xc0 && left >= 2 && (b[1] == 0x80 || (b[1] == '\n' && left == 2))) {
        *code = 0;
        return 2;
    }
    if (b[0] == 0xed && left >= 6 && between(b[1], 0xa0, 0xaf) && between(b[2], 0x80, 0xbf) &&
        b[3] == 0xed && between(b[4], 0xb0, 0xbf) &&
        (between(b[5], 0x80, 0xbf) || (b[5] == '\n' && left == 6))) {
        *code = ((b[1] & 0x0f) << 16) + ((b[2] & 0x3f) << 10) + ((b[4] & 0x0f) << 6) +
                (b[5] & 0x3f) + 0x10000;
        return 6;
    }
    return utf8_at(bytes, at, code);
}

static bool decode_utf8(const vg_text32 *bytes, vg_text32 *out)
{
    bool variants = false;
    uint32_t code = 0;

    for (size_t i = 0; i < bytes->count; i++)
        variants = variants || bytes->at[i] == 0xed || bytes->at[i] == 0xc0;
    for (size_t at = 0; at < bytes->count;) {
        size_t length = variants ? variant_at(bytes, at, &code) : utf8_at(bytes, at, &code);
        if (length == 0)
            return false;
        vg_text32_add(out, code);
        at += length;
    }
    return !out->failed;
}

static bool bytes_begin(const vg_text32 *bytes, size_t at, const char *with)
{
    for (size_t i = 0; with[i]; i++) {
        if (at + i >= bytes->count || bytes->at[at + i] != (unsigned char)with[i])
            return false;
    }
    return true;
}

/* Put back bytes A0 that something turned into spaces. */
static void restore_byte_a0(vg_text32 *bytes)
{
    vg_text32 grave = {0}, out = {0};

    for (size_t at = 0; at < bytes->count;) {
        /* "Ã la": the a-grave of a word of its own keeps the space behind it; Portuguese contractions do not. */
        if (bytes_begin(bytes, at, "\xc3 ") && !bytes_begin(bytes, at + 2, " ") &&
            !bytes_begin(bytes, at + 2, "quele") && !bytes_begin(bytes, at + 2, "quela") &&
            !bytes_begin(bytes, at + 2, "quilo") && !bytes_begin(bytes, at + 2, "s ")) {
            vg_text32_append(&grave, (const uint32_t[]){0xc3, 0xa0, ' '}, 3);
            at += 2;
        } else {
            vg_text32_add(&grave, bytes->at[at++]);
        }
    }
    for (size_t at = 0; at < grave.count;) {
        size_t length = match_sequences(altered_sequences, COUNT(altered_sequences), &grave, at);
        for (size_t end = at + (length ? length : 1); at < end; at++)
            vg_text32_add(&out, length && grave.at[at] == ' ' ? 0xa0 : grave.at[at]);
    }
    out.failed = out.failed || grave.failed;
    vg_text32_deinit(&grave);
    vg_text32_take(bytes, &out);
}

/* UTF-8 sequences that lost bytes become U+FFFD. */
static void replace_lossy_sequences(vg_text32 *bytes)
{
    vg_text32 out = {0};

    for (size_t at = 0; at < bytes->count;) {
        size_t length = match_sequences(lossy_sequences, COUNT(lossy_sequences), bytes, at);
        if (length > 0)
            vg_text32_append(&out, (const uint32_t[]){0xef, 0xbf, 0xbd}, 3);
        else
            vg_text32_add(&out, bytes->at[at]);
        at += length > 0 ? length : 1;
    }
    vg_text32_take(bytes, &out);
}

static bool any_altered(const vg_text32 *bytes)
{
    for (size_t at = 0; at < bytes->count; at++) {
        if (match_sequences(altered_sequences, COUNT(altered_sequences), bytes, at) > 0)
            return true;
    }
    return false;
}

/* Windows-1252 of a byte 80..9F; the five unassigned ones stay. */
static uint32_t windows_1252(uint32_t byte)
{
    return charmaps[1].codes[byte - 0x80];
}

/* ---- repairing mojibake ---- */

static void fix_encoding(vg_text32 *t, int depth);

/* Length of the run of UTF-8-looking character groups at t[at]. */
static size_t detect_utf8(const vg_text32 *t, size_t at)
{
    static const struct {
        int first, more;
    } groups[] = {{CLUE_utf8_first_of_2, 1}, {CLUE_utf8_first_of_3, 2}, {CLUE_utf8_first_of_4, 3}};
    size_t end = at;

    if (at > 0 && in_class(CLUE_utf8_continuation_strict, t->at[at - 1]))
        return 0;
    for (bool found = true; found;) {
        found = false;
        for (int g = 0; g < 3 && !found; g++) {
            size_t more = (size_t)groups[g].more;
            if (t->count - end <= more || !in_class(groups[g].first, t->at[end]))
                continue;
            size_t k = 1;
            while (k <= more && in_class(CLUE_utf8_continuation, t->at[end + k]))
                k++;
            if (k > more) {
                end += k;
                found = true;
            }
        }
    }
    return end - at;
}

/* Fix runs of mojibake inside other text, each by itself. True when something was changed. */
static bool decode_inconsistent_utf8(vg_text32 *t, int depth)
{
    vg_text32 out = {0};

    for (size_t at = 0; at < t->count;) {
        size_t length = detect_utf8(t, at);
        if (length == 0) {
            vg_text32_add(&out, t->at[at++]);
            continue;
        }
        vg_text32 part = {0};
        vg_text32_append(&part, t->at + at, length);
        if (length < t->count && depth < DEPTH_MAX && is_bad(&part))
            fix_encoding(&part, depth + 1);
        vg_text32_append(&out, part.at, part.count);
        out.failed = out.failed || part.failed;
        vg_text32_deinit(&part);
        at += length;
    }
    bool changed = !vg_text32_equal(t, &out);
    vg_text32_take(t, &out);
    return changed;
}

/* Read as UTF-8 what was read in `map`; false when the text is not in it, or its bytes are no UTF-8. */
static bool fix_one_charmap(vg_text32 *t, const struct charmap *map)
{
    vg_text32 bytes = {0}, fixed = {0};
    bool good = false;

    if (encode(t, map, &bytes)) {
        if (strcmp(map->name, "macroman") != 0 && any_altered(&bytes))
            restore_byte_a0(&bytes);
        if (map->sloppy)
            replace_lossy_sequences(&bytes);
        good = !bytes.failed && decode_utf8(&bytes, &fixed);
    }
    t->failed = t->failed || bytes.failed || fixed.failed;
    vg_text32_deinit(&bytes);
    if (good)
        vg_text32_take(t, &fixed);
    else
        vg_text32_deinit(&fixed);
    return good;
}

/* C1 controls as the Windows-1252 characters that they were most likely meant to be. */
static void fix_c1_controls(vg_text32 *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if (between(t->at[i], 0x80, 0x9f))
            t->at[i] = windows_1252(t->at[i]);
    }
}

static void fix_encoding_one_step(vg_text32 *t, int depth)
{
    if (is_ascii(t) || !is_bad(t))
        return;
    for (size_t i = 0; i < COUNT(charmaps); i++) {
        if (fix_one_charmap(t, &charmaps[i]))
            return;
    }
    if (decode_inconsistent_utf8(t, depth))
        return;
    /* ftfy first tries Latin-1 bytes as strict Windows-1252; where that works it gives the same as this. */
    fix_c1_controls(t);
}

static void fix_encoding(vg_text32 *t, int depth)
{
    for (int round = 0; round < ROUNDS_MAX && !t->failed; round++) {
        vg_text32 before = {0};
        vg_text32_append(&before, t->at, t->count);
        fix_encoding_one_step(t, depth);
        bool same = before.failed || vg_text32_equal(&before, t);
        t->failed = t->failed || before.failed;
        vg_text32_deinit(&before);
        if (same)
            return;
    }
}

/* ---- the other fixes ---- */

static int compare_upper(const void *key, const void *row)
{
    return strcmp(key, ((const struct upper_entity *)row)->name);
}

/* The replacement of "&...;" = t[at, at + length), appended to out; false when it stays. */
static bool entity(const vg_text32 *t, size_t at, size_t length, vg_text32 *out)
{
    char name[32];
    uint32_t codes[2];

    for (size_t i = 1; i < length; i++)
        name[i - 1] = (char)t->at[at + i];
    name[length - 1] = '\0';
    if (name[0] == '#') {
        bool hex = name[1] == 'x' || name[1] == 'X';
        char *end, *digits = name + (hex ? 2 : 1);
        /* Only "#", digits and ";": anything else is decoded in part at most, and then ftfy leaves it. */
        unsigned long long number = strtoull(digits, &end, hex ? 16 : 10);
        if (end == digits || strcmp(end, ";") != 0 ||
            (hex && (digits[1] == 'x' || digits[1] == 'X')))
            return false;
        int32_t code = vg_html_number(number);
        if (code == ';')
            return false;
        if (code >= 0)
            vg_text32_add(out, (uint32_t)code);
        return true;
    }
    int count = vg_html_entity(name, length - 1, codes);
    if (count > 0) {
        vg_text32_append(out, codes, (size_t)count);
        return true;
    }
    const struct upper_entity *upper =
        bsearch(name, upper_entities, COUNT(upper_entities), sizeof *upper_entities, compare_upper);
    for (int i = 0; upper && i < 3 && upper->codes[i]; i++)
        vg_text32_add(out, upper->codes[i]);
    return upper != NULL;
}

static bool is_alnum(uint32_t c)
{
    return between(c, '0', '9') || between(c, 'a', 'z') || between(c, 'A', 'Z');
}

/* &#?[0-9A-Za-z]{1,24}; */
static void unescape_html(vg_text32 *t)
{
    vg_text32 out = {0};

    for (size_t at = 0; at < t->count;) {
        size_t begin = at + 1, end;
        if (t->at[at] != '&') {
            vg_text32_add(&out, t->at[at++]);
            continue;
        }
        begin += begin < t->count && t->at[begin] == '#';
        for (end = begin; end < t->count && end - begin < 24 && is_alnum(t->at[end]);)
            end++;
        bool matches = end > begin && end < t->count && t->at[end] == ';';
        if (!matches) {
            vg_text32_add(&out, t->at[at++]);
            continue;
        }
        if (!entity(t, at, end + 1 - at, &out))
            vg_text32_append(&out, t->at + at, end + 1 - at);
        at = end + 1;
    }
    vg_text32_take(t, &out);
}

static int compare_replacement(const void *key, const void *row)
{
    uint32_t code = *(const uint32_t *)key, other = ((const replacement *)row)->code;

    return code < other ? -1 : code > other;
}

static void translate(vg_text32 *t, const replacement *table, size_t count)
{
    vg_text32 out = {0};

    for (size_t i = 0; i < t->count; i++) {
        const replacement *r =
            t->at[i] < table[0].code
                ? NULL
                : bsearch(&t->at[i], table, count, sizeof *table, compare_replacement);
        if (!r)
            vg_text32_add(&out, t->at[i]);
        for (int k = 0; r && k < 3 && r->to[k]; k++)
            vg_text32_add(&out, r->to[k]);
    }
    vg_text32_take(t, &out);
}

static void uncurl_quotes_and_breaks(vg_text32 *t)
{
    size_t used = 0;

    for (size_t i = 0; i < t->count; i++) {
        uint32_t c = t->at[i];
        if (between(c, 0x201c, 0x201f))
            c = '"';
        else if (c == 0x2bc || between(c, 0x2018, 0x201b))
            c = '\'';
        else if (c == '\r' || c == 0x2028 || c == 0x2029 || c == 0x85)
            c = '\n';
        if (t->at[i] == '\r' && i + 1 < t->count && t->at[i + 1] == '\n')
            continue; /* \r\n: the \n follows */
        t->at[used++] = c;
    }
    t->count = used;
}

/* ESC [ digits and semicolons, one letter. */
static void remove_terminal_escapes(vg_text32 *t)
{
    size_t used = 0;

    for (size_t i = 0; i < t->count;) {
        if (t->at[i] == 0x1b && i + 1 < t->count && t->at[i + 1] == '[') {
            size_t end = i + 2;
            while (end < t->count &&
                   (t->at[end] == ';' ||
                    utf8proc_category((utf8proc_int32_t)t->at[end]) == UTF8PROC_CATEGORY_ND))
                end++;
            if (end < t->count && t->at[end] < 0x80 && is_alnum(t->at[end]) &&
                !between(t->at[end], '0', '9')) {
                i = end + 1;
                continue;
            }
        }
        t->at[used++] = t->at[i++];
    }
    t->count = used;
}

static void remove_control_chars(vg_text32 *t)
{
    size_t used = 0;

    for (size_t i = 0; i < t->count; i++) {
        if (!in_ranges(controls, COUNT(controls), t->at[i]))
            t->at[used++] = t->at[i];
    }
    t->count = used;
}

static void normalise_nfc(vg_text32 *t)
{
    if (is_ascii(t))
        return;
    char *text = vg_text32_to_utf8(t);
    utf8proc_uint8_t *composed = text ? utf8proc_NFC((const utf8proc_uint8_t *)text) : NULL;
    vg_text32 out = {.failed = composed == NULL};
    if (composed)
        vg_text32_from_utf8(&out, (const char *)composed);
    free(composed);
    free(text);
    vg_text32_take(t, &out);
}

static void fix_segment(vg_text32 *t, bool html)
{
    for (int round = 0; round < ROUNDS_MAX && !t->failed; round++) {
        vg_text32 before = {0};
        vg_text32_append(&before, t->at, t->count);
        if (html)
            unescape_html(t);
        fix_encoding(t, 0);
        fix_c1_controls(t);
        translate(t, ligatures, COUNT(ligatures));
        translate(t, widths, COUNT(widths));
        uncurl_quotes_and_breaks(t);
        remove_terminal_escapes(t);
        remove_control_chars(t);
        normalise_nfc(t);
        t->failed = t->failed || before.failed;
        bool same = t->failed || vg_text32_equal(&before, t);
        vg_text32_deinit(&before);
        if (same)
            return;
    }
}

void vg_ftfy_fix_text(vg_text32 *t)
{
    vg_text32 out = {0};
    bool html = true; /* off from the first line with a '<' on: it may be HTML on purpose */

    for (size_t at = 0; at < t->count;) {
        vg_text32 segment = {0};
        size_t end = at;
        while (end < t->count && t->at[end] != '\n') {
            html = html && t->at[end] != '<';
            end++;
        }
        end += end < t->count;
        vg_text32_append(&segment, t->at + at, end - at);
        fix_segment(&segment, html);
        vg_text32_append(&out, segment.at, segment.count);
        out.failed = out.failed || segment.failed;
        vg_text32_deinit(&segment);
        at = end;
    }
    vg_text32_take(t, &out);
}
