/* text.h: strings between people and the program: what is safe to print, nearest match, sizes and times for reading, allocation that
 * ends the program with one line instead of returning NULL (small strings of the app only; the engine never uses it). */
#ifndef VG_KERNELS_BASE_TEXT_H
#define VG_KERNELS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "kernels/base/clock.h"

/* Zeroed. */
void *vg_xcalloc(size_t count, size_t size);
/* As realloc. */
void *vg_xrealloc(void *memory, size_t size);
char *vg_xstrdup(const char *text); /* NULL in, NULL out */
/* As asprintf; caller frees, never NULL. */
char *vg_xstrf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A growing list of lines (warnings, names). Zero is empty. */
typedef struct vg_lines {
    char **items;
    int count;
} vg_lines;
void vg_lines_add(vg_lines *lines, char *owned); /* takes the string */
/* By bytes. */
void vg_lines_sort(vg_lines *lines);
/* Empty afterwards. */
void vg_lines_free(vg_lines *lines);

/* One line without anything a terminal would act on: control characters (C0, DEL, C1) and bidirectional overrides become '?', line breaks and
 * tabs become spaces, bytes that are not UTF-8 become '?'. malloc'd. */
char *vg_text_clean(const char *text);
/* vg_text_clean(text), printed. */
void vg_text_print(FILE *out, const char *text);
/* The same into a buffer, cut at a character boundary; returns buf. */
char *vg_text_clean_to(char *buf, size_t size, const char *text);
/* Cut to at most `columns` terminal columns, "..." at the end when something is missing. In place. */
void vg_text_cut(char *text, int columns);
int vg_text_columns(const char *text); /* width on a terminal */
/* Valid from the first byte to the NUL? */
bool vg_text_is_utf8(const char *text);

/* Edits (insert, delete, replace, swap of neighbours) between two words. */
int vg_text_distance(const char *a, const char *b);
/* The candidate nearest to `word`, NULL when none is near enough to be what was meant. */
const char *vg_text_nearest(const char *word, const char *const *candidates, int count);

char *vg_text_real(double v); /* the shortest text that reads back as v; malloc'd */
/* Three digits: "1.21 GiB", "33.3 GiB", "312 MiB", "0 B". */
const char *vg_text_bytes(uint64_t bytes, char *buf, size_t size);
/* The unit that so many bytes are written in, e.g. "MiB", and the bytes of one. */
const char *vg_bytes_unit(uint64_t bytes, double *scale);
/* An empty end counts. */
bool vg_ends_with(const char *text, const char *end);
const char *vg_text_work(int64_t tokens, double tflop, char *buf,
                         size_t size); /* "75600 tokens, 13040 TFLOP a step" */
const char *vg_text_duration(double seconds, char *buf,
                             size_t size); /* "1:02:03", "0:07"; "-" when unknown */
const char *vg_text_date(double unix_seconds, char *buf,
                         size_t size); /* "2026-11-23 13:15:00", local time */

#endif
