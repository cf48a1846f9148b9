/* utf8.h: text as code points, and which of them may reach a terminal. Everything that is printed, drawn or checked goes through here. */
#ifndef VG_KERNELS_BASE_UTF8_H
#define VG_KERNELS_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The code point at s (n > 0 bytes are left): its bytes, 1 to 4; 0 when there is none: malformed, overlong, cut, a surrogate, beyond
 * U+10FFFF. *cp is set in the first case alone. */
int vg_utf8_next(const char *s, size_t n, uint32_t *cp);

/* The same for readers that go on: broken bytes give U+FFFD and take one byte each. Returns the bytes taken (>= 1). */
int vg_utf8_decode(const char *s, size_t n, uint32_t *cp);

/* Encode cp into out (4 bytes at most, no terminator); returns the length. */
int vg_utf8_encode(uint32_t cp, char *out);

/* A copy in which every broken stretch is one U+FFFD, as Python's bytes.decode("utf-8", "replace") and web browsers do: a stretch is the longest
 * beginning of a well-formed character, or one byte. malloc'd, ended by a NUL that *out_size does not count; NULL when out of memory. */
char *vg_utf8_repair(const char *text, size_t size, size_t *out_size);

/* Is all of it UTF-8? *bad (may be NULL): where the first wrong byte is. */
bool vg_utf8_valid(const char *text, size_t size, size_t *bad);

/* A control, or what changes the order of what stands beside it or cannot be seen: never to a terminal. */
bool vg_cp_unsafe(uint32_t cp);

/* Terminal columns of a code point: 0 combining, 1, 2 wide; -1 where the locale does not say. */
int vg_cp_columns(uint32_t cp);
#endif
