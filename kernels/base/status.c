/* status.c: error records, and the one place where hostile bytes are kept out of messages. */
#include "kernels/base/status.h"
#include "kernels/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void sanitise(char *text)
{
    size_t left = strlen(text);
    for (char *s = text; left;) {
        uint32_t cp;
        size_t length = (size_t)vg_utf8_next(s, left, &cp);
        if (length == 0 || vg_cp_unsafe(cp)) {
            *s = '?';
            memmove(s + 1, s + (length ? length : 1), left - (length ? length : 1) + 1);
            left -= length ? length - 1 : 0;
            length = 1;
        }
        s += length;
        left -= length;
    }
}

/* A message that is too long loses its middle: where is at its beginning, why at its end. */
static void fit(const char *text, char message[VG_ERR_MESSAGE_MAX])
{
    static const char gap[] = " ... ";
    const size_t length = strlen(text), room = VG_ERR_MESSAGE_MAX - sizeof gap, end = room * 2 / 5;
    if (length < VG_ERR_MESSAGE_MAX)
        memcpy(message, text, length + 1);
    else
        snprintf(message, VG_ERR_MESSAGE_MAX, "%.*s%s%s", (int)(room - end), text, gap,
                 text + length - end);
    sanitise(message);
}

#define LONGEST 8192 /* of a message before it is made to fit: two paths */

vg_status vg_err_set(vg_err *err, const char *file, int line, vg_status code, const char *format,
                     ...)
{
    /* Through a buffer of our own: an argument may be err->message itself. */
    char message[LONGEST];
    va_list args;

    if (!err)
        return code;
    va_start(args, format);
    if (vsnprintf(message, sizeof message, format, args) < 0)
        snprintf(message, sizeof message, "%s", "(message could not be formatted)");
    va_end(args);
    fit(message, err->message);
    err->code = code;
    err->file = file;
    err->line = line;
    return code;
}

vg_status vg_err_prefix(vg_err *err, const char *format, ...)
{
    char prefix[LONGEST], message[LONGEST + VG_ERR_MESSAGE_MAX + 4];
    va_list args;

    if (!err)
        return VG_OK;
    va_start(args, format);
    if (vsnprintf(prefix, sizeof prefix, format, args) < 0)
        prefix[0] = '\0';
    va_end(args);
    snprintf(message, sizeof message, "%s: %s", prefix, err->message);
    fit(message, err->message);
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
