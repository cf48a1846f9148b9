/* text32.h: text as code points, for the steps of prompt cleaning, which are defined on characters. Private to engine/text. A failed allocation marks the text as failed; later calls do nothing, the end checks once. */
#ifndef VG_ENGINE_TEXT_TEXT32_H
#define VG_ENGINE_TEXT_TEXT32_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct vg_text32 {
    uint32_t *at; /* code points, or bytes 0..255 where a function says so */
    size_t count, room;
    bool failed;
} vg_text32;

/* All zero is empty. */
void vg_text32_deinit(vg_text32 *t);
/* One more; a failed allocation is remembered in `failed`. */
void vg_text32_add(vg_text32 *t, uint32_t code);
/* The same for several. */
void vg_text32_append(vg_text32 *t, const uint32_t *codes, size_t count);
void vg_text32_from_utf8(vg_text32 *t, const char *text); /* valid UTF-8; appends */
char *vg_text32_to_utf8(
    const vg_text32 *t); /* malloc'd; NUL characters left out; NULL when out of memory */
/* The same code points? */
bool vg_text32_equal(const vg_text32 *a, const vg_text32 *b);
/* Replace *t by *by (moved). */
void vg_text32_take(vg_text32 *t, vg_text32 *by);

/* str.isspace() of Python: Unicode white space and U+001C..U+001F. */
bool vg_text32_is_space(uint32_t code);

/* Python's html.unescape, all of it. */
void vg_html_unescape(vg_text32 *t);
/* The character(s) of "name;" or "name" without '&', exactly as written in HTML5; 0 when unknown, else how many (1 or 2). */
int vg_html_entity(const char *name, size_t length, uint32_t codes[2]);
/* What &#number; stands for: code, or -1 for nothing. */
int32_t vg_html_number(uint64_t number);

/* ftfy.fix_text with its default configuration. */
void vg_ftfy_fix_text(vg_text32 *t);
#endif
