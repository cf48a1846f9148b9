/* text.c: column widths, wrapping and the few number formats that all screens share. */
#include "ui/term/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Start of the code point that ends before `at`, marks not considered. */
static size_t step_back(const char *s, size_t at)
{
    size_t start = at - 1;
    while (start > 0 && at - start < 4 && ((unsigned char)s[start] & 0xc0) == 0x80)
        start--;
    uint32_t cp;
    if ((size_t)vg_utf8_decode(s + start, at - start, &cp) != at - start)
        return at - 1;
    return start;
}

size_t vg_utf8_before(const char *s, size_t at)
{
    size_t start = at;
    while (start > 0) {
        start = step_back(s, start);
        uint32_t cp;
        vg_utf8_decode(s + start, at - start, &cp);
        if (vg_cp_width(cp) != 0)
            break;
    }
    return at - start;
}

size_t vg_utf8_after(const char *s, size_t length, size_t at)
{
    size_t end = at;
    while (end < length) {
        uint32_t cp;
        int n = vg_utf8_decode(s + end, length - end, &cp);
        if (end > at && vg_cp_width(cp) != 0)
            break;
        end += (size_t)n;
    }
    return end - at;
}

int vg_cp_width(uint32_t cp)
{
    /* Without a UTF-8 locale only ASCII is drawn, and every mark is one '?'. */
    int width = vg_cp_columns(cp);
    return width < 0 ? 1 : width;
}

bool vg_cp_safe(uint32_t cp)
{
    /* Joiners are safe, but cells cannot show them. */
    return !vg_cp_unsafe(cp) && cp != 0x200c && cp != 0x200d && vg_cp_columns(cp) >= 0;
}

int vg_text_width_n(const char *s, size_t bytes)
{
    int width = 0;
    for (size_t i = 0; i < bytes;) {
        uint32_t cp;
        i += (size_t)vg_utf8_decode(s + i, bytes - i, &cp);
        width += vg_cp_width(cp);
    }
    return width;
}

int vg_text_width(const char *s)
{
    return vg_text_width_n(s, strlen(s));
}

size_t vg_text_fit(const char *s, int columns)
{
    size_t length = strlen(s), i = 0;
    int width = 0;
    while (i < length) {
        uint32_t cp;
        int n = vg_utf8_decode(s + i, length - i, &cp);
        if (width + vg_cp_width(cp) > columns)
            break;
        width += vg_cp_width(cp);
        i += (size_t)n;
    }
    return i;
}

size_t vg_text_wrap(const char *s, size_t length, size_t at, int columns, size_t *next)
{
    size_t i = at, space = 0;
    int width = 0;
    if (columns < 2)
        columns = 2; /* a wide character must fit */
    while (i < length) {
        if (s[i] == '\n') {
            *next = i + 1;
            return i - at;
        }
        uint32_t cp;
        int n = vg_utf8_decode(s + i, length - i, &cp);
        int w = vg_cp_width(cp);
        if (width + w > columns) {
            if (cp == ' ') {
                *next = i + 1;
                return i - at;
            }
            if (space > at) {
                *next = space;
                return space - at;
            }
            *next = i;
            return i - at;
        }
        width += w;
        i += (size_t)n;
        if (cp == ' ')
            space = i;
    }
    *next = length;
    return length - at;
}

int vg_text_rows(const char *s, int columns)
{
    size_t length = strlen(s), next = 0;
    int rows = 0;
    for (size_t at = 0; at < length; at = next, rows++)
        vg_text_wrap(s, length, at, columns, &next);
    return rows;
}

void vg_format_bytes(char *out, size_t size, uint64_t bytes)
{
    if (bytes == UINT64_MAX)
        snprintf(out, size, "N/A");
    else
        vg_text_bytes(bytes, out, size);
}

void vg_format_seconds(char *out, size_t size, double seconds)
{
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e9) {
        snprintf(out, size, "--");
        return;
    }
    if (seconds < 59.95) {
        snprintf(out, size, "%.1f s", seconds);
        return;
    }
    long whole = lround(seconds);
    if (whole < 3600)
        snprintf(out, size, "%ld:%02ld", whole / 60, whole % 60);
    else
        snprintf(out, size, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
}

void vg_format_rate(char *out, size_t size, double seconds)
{
    if (!isfinite(seconds) || seconds < 0)
        snprintf(out, size, "-- s/it");
    else
        snprintf(out, size,
                 seconds < 9.995   ? "%.3f s/it"
                 : seconds < 99.95 ? "%.2f s/it"
                                   : "%.1f s/it",
                 seconds);
}

void vg_format_metric(char *out, size_t size, double value)
{
    if (isnan(value))
        snprintf(out, size, "N/A");
    else if (isinf(value))
        snprintf(out, size, "identical");
    else if (fabs(value) >= 10 || value == 0)
        snprintf(out, size, "%.2f", value);
    else
        snprintf(out, size, fabs(value) >= 0.001 ? "%.4f" : "%.2e", value);
}

void vg_format_age(char *out, size_t size, double seconds)
{
    if (!isfinite(seconds) || seconds < 45)
        snprintf(out, size, "now");
    else if (seconds < 90 * 60)
        snprintf(out, size, "%.0f min", seconds / 60);
    else if (seconds < 36 * 3600)
        snprintf(out, size, "%.0f h", seconds / 3600);
    else
        snprintf(out, size, "%.0f d", fmin(seconds / 86400, 99999));
}
