/* charsmap.c: SentencePiece's precompiled character map: u32 size of a Darts double array, the array, then NUL-terminated
 * replacements that its leaves point to. Applied the way HuggingFace's tokenizers does it, quirks included, because token ids
 * must equal the reference's (spm_precompiled, src/lib.rs; tokenizers, src/normalizers/precompiled.rs).
 * Hostile maps: every array index is checked, and the result may not outgrow GROWTH_MAX. */
#include "engine/text/spiece_model.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define WHOLE_GRAPHEME_BYTES 6
#define GROWTH_MAX           32 /* bytes out per byte in; NFKC's longest is 11 (U+FDFA: 3 bytes to 33) */

typedef struct map {
    const uint8_t *array;
    size_t units;
    const char *texts;
    size_t texts_size;
} map;

static uint32_t load32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

vg_status vg_charsmap_check(const uint8_t *charsmap, size_t size, const char *name, vg_err *err)
{
    if (size < 8)
        return VG_FAIL(err, VG_E_FORMAT, "%s: the character map is too short", name);
    uint32_t array_bytes = load32(charsmap);
    if (array_bytes < 4 || array_bytes % 4 != 0 || array_bytes > size - 4)
        return VG_FAIL(err, VG_E_FORMAT, "%s: the character map's table of %u bytes does not fit",
                       name, array_bytes);
    return VG_OK;
}

static map map_of(const uint8_t *charsmap, size_t size)
{
    uint32_t array_bytes = load32(charsmap);

    return (map){charsmap + 4, array_bytes / 4, (const char *)charsmap + 4 + array_bytes,
                 size - 4 - array_bytes};
}

static size_t offset_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

/* The replacement for text[0..size): that of the shortest entry that is a prefix; NULL when there is none. */
static const char *lookup(const map *m, const char *text, size_t size, size_t *length)
{
    size_t node = 0;
    uint32_t unit = load32(m->array);

    node ^= offset_of(unit);
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte == 0)
            return NULL;
        node ^= byte;
        if (node >= m->units)
            return NULL;
        unit = load32(m->array + 4 * node);
        if ((unit & (1u << 31 | 0xffu)) != byte)
            return NULL;
        node ^= offset_of(unit);
        if (!(unit >> 8 & 1u))
            continue;
        if (node >= m->units)
            return NULL;
        size_t at = load32(m->array + 4 * node) & 0x7fffffffu;
        if (at >= m->texts_size)
            return NULL;
        *length = strnlen(m->texts + at, m->texts_size - at);
        return m->texts + at;
    }
    return NULL;
}

typedef struct output {
    char *text;
    size_t used, room, limit;
} output;

static vg_status append(output *out, const char *text, size_t size, vg_err *err)
{
    if (size > out->limit - out->used)
        return VG_FAIL(err, VG_E_FORMAT,
                       "the tokenizer's character map makes the text more than %d times longer",
                       GROWTH_MAX);
    if (size > out->room - out->used) {
        size_t room = 2 * (out->used + size);
        char *grown = realloc(out->text, room + 1);
        if (!grown)
            return VG_FAIL(err, VG_E_NOMEM, "out of memory normalising the prompt");
        out->text = grown;
        out->room = room;
    }
    memcpy(out->text + out->used, text, size);
    out->used += size;
    return VG_OK;
}

/* One character: its replacement or itself. */
static vg_status append_char(output *out, const map *m, const char *text, size_t size, vg_err *err)
{
    size_t length;
    const char *found = m ? lookup(m, text, size, &length) : NULL;

    return found ? append(out, found, length, err) : append(out, text, size, err);
}

static vg_status append_grapheme(output *out, const map *m, const char *text, size_t size,
                                 vg_err *err)
{
    size_t length;

    if (m && size < WHOLE_GRAPHEME_BYTES) {
        const char *found = lookup(m, text, size, &length);
        if (found)
            return append(out, found, length, err);
    }
    for (size_t i = 0; i < size;) {
        utf8proc_int32_t code;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + i,
                                              (utf8proc_ssize_t)(size - i), &code);
        if (n <= 0)
            return VG_FAIL(err, VG_E_ARG, "the text is not valid UTF-8");
        VG_TRY(append_char(out, m, text + i, (size_t)n, err));
        i += (size_t)n;
    }
    return VG_OK;
}

vg_status vg_charsmap_apply(const uint8_t *charsmap, size_t size, const char *text,
                            size_t text_size, char **normal, size_t *normal_size, vg_err *err)
{
    map parsed, *m = NULL;
    output out = {.limit = text_size * GROWTH_MAX + 64};
    utf8proc_int32_t code, before = -1, state = 0;
    size_t begin = 0, at = 0;
    vg_status status = VG_OK;

    if (charsmap) {
        parsed = map_of(charsmap, size);
        m = &parsed;
    }
    out.room = text_size + 64;
    out.text = malloc(out.room + 1);
    if (!out.text)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory normalising the prompt");
    while (status == VG_OK && at < text_size) {
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                              (utf8proc_ssize_t)(text_size - at), &code);
        if (n <= 0) {
            status = VG_FAIL(err, VG_E_ARG, "the text is not valid UTF-8 at byte %zu", at);
            break;
        }
        if (before >= 0 && utf8proc_grapheme_break_stateful(before, code, &state)) {
            status = append_grapheme(&out, m, text + begin, at - begin, err);
            begin = at;
        }
        before = code;
        at += (size_t)n;
    }
    if (status == VG_OK && begin < text_size)
        status = append_grapheme(&out, m, text + begin, text_size - begin, err);
    if (status != VG_OK) {
        free(out.text);
        return status;
    }
    out.text[out.used] = '\0';
    *normal = out.text;
    *normal_size = out.used;
    return VG_OK;
}
