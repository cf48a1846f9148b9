/* text.h: UTF-8 in, columns out. Everything that reaches a cell goes through here, so no control character can. */
#ifndef VG_UI_TERM_TEXT_H
#define VG_UI_TERM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernels/base/text.h"
#include "kernels/base/utf8.h"

/* Bytes of the code point that ends before offset `at` (0 at the start), and of the one that begins there. Combining marks
 * belong to their base: one press of an arrow key moves over both. */
size_t vg_utf8_before(const char *s, size_t at);
/* s has `length` bytes; 0 at its end. */
size_t vg_utf8_after(const char *s, size_t length, size_t at);

/* Columns of a code point: 0 combining, 1, 2 wide. Control and unassigned characters count 1 (they are drawn as '?'). */
int vg_cp_width(uint32_t cp);

/* True when the code point may be drawn as it is (no control, bidi override, private line separator). */
bool vg_cp_safe(uint32_t cp);

/* Columns of a string, of its first `bytes` bytes. */
int vg_text_width(const char *s);
/* Of the first `bytes` bytes. */
int vg_text_width_n(const char *s, size_t bytes);

/* Bytes of s that fit in `columns`. */
size_t vg_text_fit(const char *s, int columns);

/* One line of a soft wrap: from s (at `at` of `length` bytes), the bytes of the line; *next is where the next begins.
 * Breaks at '\n', else at the last space that fits, else inside the word. Always makes progress. */
size_t vg_text_wrap(const char *s, size_t length, size_t at, int columns, size_t *next);

/* Rows of a text wrapped so. */
int vg_text_rows(const char *s, int columns);

/* "1.21 GiB", "312 MiB", "0 B"; "N/A" for UINT64_MAX. */
void vg_format_bytes(char *out, size_t size, uint64_t bytes);
/* "7.4 s", "1:05", "2:03:10"; "--" for NaN. */
void vg_format_seconds(char *out, size_t size, double seconds);
/* Seconds per step: "0.713 s/it", "12.4 s/it"; "-- s/it" for NaN. */
void vg_format_rate(char *out, size_t size, double seconds);
/* A metric: "34.12", "identical" for +inf, "N/A" for NaN. */
void vg_format_metric(char *out, size_t size, double value);
/* How long ago: "now", "5 min", "3 h", "2 d". */
void vg_format_age(char *out, size_t size, double seconds);

#endif
