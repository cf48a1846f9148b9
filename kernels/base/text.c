/* text.c: see text.h. */
#include "kernels/base/text.h"
#include "kernels/base/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void out_of_memory(void)
{
    fputs("vgen: out of memory\n", stderr);
    exit(1);
}

void *vg_xcalloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *vg_xrealloc(void *memory, size_t size)
{
    void *p = realloc(memory, size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

char *vg_xstrdup(const char *text)
{
    if (!text)
        return NULL;
    char *copy = strdup(text);
    if (!copy)
        out_of_memory();
    return copy;
}

char *vg_xstrf(const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        out_of_memory();
    return text;
}

void vg_lines_add(vg_lines *lines, char *owned)
{
    lines->items = vg_xrealloc(lines->items, (size_t)(lines->count + 1) * sizeof *lines->items);
    lines->items[lines->count++] = owned;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void vg_lines_sort(vg_lines *lines)
{
    if (lines->count > 1)
        qsort(lines->items, (size_t)lines->count, sizeof *lines->items, compare_lines);
}

void vg_lines_free(vg_lines *lines)
{
    for (int i = 0; i < lines->count; i++)
        free(lines->items[i]);
    free(lines->items);
    *lines = (vg_lines){0};
}

/* The code point at s, which ends with NUL; 0: the bytes are not UTF-8. */
static int decode(const unsigned char *s, uint32_t *code)
{
    return vg_utf8_next((const char *)s, strnlen((const char *)s, 4), code);
}

char *vg_text_clean_to(char *buf, size_t size, const char *text)
{
    size_t n = 0;
    const unsigned char *s = (const unsigned char *)(text ? text : "");
    while (*s && size) {
        uint32_t c = 0;
        int length = decode(s, &c);
        if (length && !vg_cp_unsafe(c)) {
            if (n + (size_t)length >= size)
                break;
            memcpy(buf + n, s, (size_t)length);
            n += (size_t)length;
        } else {
            if (n + 1 >= size)
                break;
            buf[n++] = *s == '\n' || *s == '\t' || *s == '\r' ? ' ' : '?';
        }
        s += length ? length : 1;
    }
    if (size)
        buf[n] = 0;
    return buf;
}

char *vg_text_clean(const char *text)
{
    size_t size = strlen(text ? text : "") + 1;
    return vg_text_clean_to(vg_xcalloc(size, 1), size, text);
}

static int code_columns(uint32_t c)
{
    int w = vg_cp_columns(c);
    if (w >= 0)
        return w;
    return c >= 0x1100 ? 2 : 1; /* no locale: better too wide than wrapped */
}

int vg_text_columns(const char *text)
{
    int columns = 0;
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        uint32_t c = 0;
        int length = decode(s, &c);
        columns += length ? code_columns(c) : 1;
        s += length ? length : 1;
    }
    return columns;
}

void vg_text_cut(char *text, int columns)
{
    if (columns < 0 || vg_text_columns(text) <= columns)
        return;
    int dots = columns < 3 ? columns : 3, used = 0;
    unsigned char *s = (unsigned char *)text;
    while (*s) {
        uint32_t c = 0;
        int length = decode(s, &c);
        int w = length ? code_columns(c) : 1;
        if (used + w > columns - dots)
            break;
        used += w;
        s += length ? length : 1;
    }
    /* The rest held more columns than the dots, so at least as many bytes; the terminator fits. */
    size_t rest = strlen((char *)s);
    if ((size_t)dots > rest)
        dots = (int)rest;
    memset(s, '.', (size_t)dots);
    s[dots] = 0;
}

bool vg_text_is_utf8(const char *text)
{
    return vg_utf8_valid(text, strlen(text), NULL);
}

#define WORD_MAX_BYTES 63

int vg_text_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > WORD_MAX_BYTES || m > WORD_MAX_BYTES)
        return 1000;
    int d[WORD_MAX_BYTES + 1][WORD_MAX_BYTES + 1];
    for (size_t i = 0; i <= n; i++)
        d[i][0] = (int)i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            int cost = a[i - 1] != b[j - 1];
            int best = d[i - 1][j - 1] + cost;
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *vg_text_nearest(const char *word, const char *const *candidates, int count)
{
    const char *best = NULL;
    int best_distance = 1000;
    size_t n = strlen(word);
    for (int i = 0; i < count; i++) {
        int distance = vg_text_distance(word, candidates[i]);
        /* A word that is the beginning or the end of a longer one ("steps") was probably meant so. */
        size_t m = strlen(candidates[i]);
        if (n >= 3 && m > n &&
            (!strncmp(candidates[i], word, n) || !strcmp(candidates[i] + m - n, word)) &&
            distance > 2)
            distance = 2;
        if (distance < best_distance) {
            best_distance = distance;
            best = candidates[i];
        }
    }
    int limit = n <= 3 ? 1 : n <= 6 ? 2 : (int)(n / 3) + 1;
    return best && best_distance <= limit ? best : NULL;
}

const char *vg_bytes_unit(uint64_t bytes, double *scale)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    int unit = 0;
    for (*scale = 1; (double)bytes / *scale >= 999.5 && unit < 5; unit++)
        *scale *= 1024;
    return units[unit];
}

const char *vg_text_bytes(uint64_t bytes, char *buf, size_t size)
{
    double scale;
    const char *unit = vg_bytes_unit(bytes, &scale);
    double value = (double)bytes / scale;
    snprintf(buf, size,
             scale == 1 || value >= 99.95 ? "%.0f %s"
             : value >= 9.995             ? "%.1f %s"
                                          : "%.2f %s",
             value, unit);
    return buf;
}

bool vg_ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

const char *vg_text_work(int64_t tokens, double tflop, char *buf, size_t size)
{
    snprintf(buf, size,
             tflop >= 100 ? "%lld tokens, %.0f TFLOP a step" : "%lld tokens, %.3g TFLOP a step",
             (long long)tokens, tflop);
    return buf;
}

const char *vg_text_duration(double seconds, char *buf, size_t size)
{
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e9) {
        snprintf(buf, size, "-");
        return buf;
    }
    long s = (long)(seconds + 0.5);
    if (s >= 3600)
        snprintf(buf, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(buf, size, "%ld:%02ld", s / 60, s % 60);
    return buf;
}

const char *vg_text_date(double unix_seconds, char *buf, size_t size)
{
    struct tm tm;
    if (!(unix_seconds > 0 && unix_seconds < 2e11)) {
        snprintf(buf, size, "-");
        return buf;
    }
    time_t t = (time_t)unix_seconds;
    if (!localtime_r(&t, &tm) || !strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm))
        snprintf(buf, size, "-");
    return buf;
}

void vg_text_print(FILE *out, const char *text)
{
    char *clean = vg_text_clean(text);
    fputs(clean, out);
    free(clean);
}

char *vg_text_real(double v)
{
    char buf[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, v);
        if (strtod(buf, NULL) == v)
            break;
    }
    return vg_xstrdup(buf);
}
