/* status.c: error records, and the one place where hostile bytes are kept out of messages. */
#include "kernels/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence at s (1..4), or 0 when it is malformed, overlong, a surrogate, beyond
 * U+10FFFF, or a C1 control (U+0080..U+009F). The terminating NUL stops every sequence early. */
static size_t utf8_length(const unsigned char *s)
{
    unsigned long code;
    size_t length;

    if (s[0] < 0x80)
        return s[0] >= 0x20 && s[0] != 0x7f;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        length = 2, code = s[0] & 0x1fu;
    else if (s[0] >= 0xe0 && s[0] <= 0xef)
        length = 3, code = s[0] & 0x0fu;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        length = 4, code = s[0] & 0x07u;
    else
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3fu);
    }
    if (code < 0xa0 || (length == 3 && code < 0x800) || (length == 4 && code < 0x10000) ||
        (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff)
        return 0;
    return length;
}

static void sanitise(char *text)
{
    unsigned char *s = (unsigned char *)text;

    while (*s) {
        size_t length = utf8_length(s);
        if (length == 0) {
            *s = '?';
            length = 1;
        }
        s += length;
    }
}

vg_status vg_err_set(vg_err *err, const char *file, int line, vg_status code, const char *format,
                     ...)
{
    /* Through a buffer of our own: an argument may be err->message itself. */
    char message[VG_ERR_MESSAGE_MAX];
    va_list args;

    if (!err)
        return code;
    va_start(args, format);
    if (vsnprintf(message, sizeof message, format, args) < 0)
        snprintf(message, sizeof message, "%s", "(message could not be formatted)");
    va_end(args);
    sanitise(message);
    memcpy(err->message, message, sizeof message);
    err->code = code;
    err->file = file;
    err->line = line;
    return code;
}

vg_status vg_err_prefix(vg_err *err, const char *format, ...)
{
    char prefix[VG_ERR_MESSAGE_MAX], message[2 * VG_ERR_MESSAGE_MAX + 4];
    va_list args;

    if (!err)
        return VG_OK;
    va_start(args, format);
    if (vsnprintf(prefix, sizeof prefix, format, args) < 0)
        prefix[0] = '\0';
    va_end(args);
    snprintf(message, sizeof message, "%s: %s", prefix, err->message);
    message[VG_ERR_MESSAGE_MAX - 1] = '\0';
    sanitise(message);
    memcpy(err->message, message, VG_ERR_MESSAGE_MAX);
    return err->code;
}

const char *vg_status_name(vg_status code)
{
    switch (code) {
    case VG_OK:
        return "ok";
    case VG_E_ARG:
        return "argument";
    case VG_E_SHAPE:
        return "shape";
    case VG_E_DTYPE:
        return "dtype";
    case VG_E_NOMEM:
        return "memory";
    case VG_E_IO:
        return "io";
    case VG_E_FORMAT:
        return "format";
    case VG_E_MISSING:
        return "missing";
    case VG_E_UNSUPPORTED:
        return "unsupported";
    case VG_E_DEVICE:
        return "device";
    case VG_E_CANCELLED:
        return "cancelled";
    case VG_E_BUSY:
        return "busy";
    }
    return "unknown";
}
