/* input.c: the decoder. Knows the sequences of xterm and its descendants, tmux, screen, rxvt, the Linux console and VT100
 * (CSI, SS3, "CSI [ A" of the console, tilde codes, modifiers), SGR mouse reports, bracketed paste, and the answers to
 * the two questions that term.c asks. */
#include "ui/term/input.h"

#include "ui/term/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void emit(vg_key_sink sink, void *user, vg_key_code code, unsigned mods)
{
    vg_key key = {.code = code, .mods = mods};
    if (code != VG_K_NONE)
        sink(user, &key);
}

static void emit_char(vg_key_sink sink, void *user, uint32_t cp, unsigned mods)
{
    vg_key key = {.code = VG_K_CHAR, .cp = cp, .mods = mods};
    sink(user, &key);
}

static void emit_control(vg_key_sink sink, void *user, unsigned char c, unsigned mods)
{
    switch (c) {
    case '\r':
        emit(sink, user, VG_K_ENTER, mods);
        break;
    case '\t':
        emit(sink, user, VG_K_TAB, mods);
        break;
    case 0x7f:
    case '\b':
        emit(sink, user, VG_K_BACKSPACE, mods);
        break;
    case 0:
        emit_char(sink, user, ' ', mods | VG_MOD_CTRL);
        break;
    default:
        if (c <= 26)
            emit_char(sink, user, 'a' + c - 1u, mods | VG_MOD_CTRL);
        break;
    }
}

static vg_key_code tilde_code(int n)
{
    static const vg_key_code codes[] = {
        [1] = VG_K_HOME,    [2] = VG_K_INSERT,    [3] = VG_K_DELETE, [4] = VG_K_END,
        [5] = VG_K_PAGE_UP, [6] = VG_K_PAGE_DOWN, [7] = VG_K_HOME,   [8] = VG_K_END,
        [11] = VG_K_F1,     [12] = VG_K_F2,       [13] = VG_K_F3,    [14] = VG_K_F4,
        [15] = VG_K_F5,     [17] = VG_K_F6,       [18] = VG_K_F7,    [19] = VG_K_F8,
        [20] = VG_K_F9,     [21] = VG_K_F10,      [23] = VG_K_F11,   [24] = VG_K_F12,
    };
    return n >= 0 && n < (int)(sizeof codes / sizeof codes[0]) ? codes[n] : VG_K_NONE;
}

static vg_key_code letter_code(char c)
{
    switch (c) {
    case 'A':
        return VG_K_UP;
    case 'B':
        return VG_K_DOWN;
    case 'C':
        return VG_K_RIGHT;
    case 'D':
        return VG_K_LEFT;
    case 'H':
        return VG_K_HOME;
    case 'F':
        return VG_K_END;
    case 'M':
        return VG_K_ENTER; /* keypad */
    case 'P':
        return VG_K_F1;
    case 'Q':
        return VG_K_F2;
    case 'R':
        return VG_K_F3;
    case 'S':
        return VG_K_F4;
    case 'Z':
        return VG_K_BACKTAB;
    default:
        return VG_K_NONE;
    }
}

static unsigned csi_mods(int n)
{
    if (n < 2 || n > 16)
        return 0;
    n--;
    return (n & 1 ? VG_MOD_SHIFT : 0u) | (n & 2 ? VG_MOD_ALT : 0u) | (n & 4 ? VG_MOD_CTRL : 0u);
}

/* SGR mouse: CSI < button ; col ; row M|m */
static void mouse(const int *p, char final, vg_key_sink sink, void *user)
{
    vg_key key = {.row = p[2] - 1, .col = p[1] - 1};
    if (key.row < 0 || key.col < 0)
        return;
    int button = p[0];
    if (button & 64) {
        key.code = VG_K_WHEEL;
        key.step = button & 1 ? 1 : -1;
    } else if (final == 'M' && (button & 3) == 0) {
        key.code = VG_K_CLICK;
        key.mods = button & 32 ? VG_MOD_DRAG : 0;
    } else {
        return;
    }
    sink(user, &key);
}

static void csi(vg_input *in, const char *s, size_t n, vg_key_sink sink, void *user)
{
    char final = s[n - 1];
    int p[4] = {0}, count = 0;
    char lead = n > 1 && (s[0] == '<' || s[0] == '?' || s[0] == '>') ? s[0] : 0;
    for (size_t i = lead ? 1 : 0; i + 1 < n; i++) {
        if (s[i] >= '0' && s[i] <= '9') {
            if (count < 4 && p[count] < 100000)
                p[count] = p[count] * 10 + (s[i] - '0');
        } else if (s[i] == ';') {
            count++;
        }
    }
    if (lead == '<') {
        if (final == 'M' || final == 'm')
            mouse(p, final, sink, user);
        return;
    }
    if (lead)
        return;
    if (final == '~') {
        if (p[0] == 200) {
            in->pasting = true;
            in->paste_size = 0;
        } else if (p[0] != 201) {
            emit(sink, user, tilde_code(p[0]), csi_mods(p[1]));
        }
        return;
    }
    if (final == 't' && p[0] == 6 && count == 2) {
        vg_key key = {.code = VG_K_REPORT, .report = VG_REPORT_CELL_SIZE, .a = p[1], .b = p[2]};
        if (p[1] > 0 && p[2] > 0 && p[1] < 1000 && p[2] < 1000)
            sink(user, &key);
        return;
    }
    if (final == 'R' && count > 0)
        return; /* a cursor report, not F3 with modifiers */
    emit(sink, user, letter_code(final), csi_mods(count > 0 ? p[1] : 0));
}

/* OSC 11 ; rgb:RRRR/GGGG/BBBB */
static void osc(const char *s, size_t n, vg_key_sink sink, void *user)
{
    char line[64];
    unsigned r, g, b;
    if (n >= sizeof line)
        return;
    memcpy(line, s, n);
    line[n] = 0;
    if (sscanf(line, "11;rgb:%4x/%4x/%4x", &r, &g, &b) != 3)
        return;
    size_t digits = strcspn(line + 7, "/");
    int shift = digits >= 4 ? 8 : digits == 3 ? 4 : 0;
    vg_key key = {.code = VG_K_REPORT,
                  .report = VG_REPORT_BACKGROUND,
                  .a = (int)(r >> shift) & 255,
                  .b = (int)(g >> shift) & 255,
                  .c = (int)(b >> shift) & 255};
    sink(user, &key);
}

static void paste_add(vg_input *in, char c)
{
    if (in->paste_size >= VG_PASTE_MAX)
        return;
    if (in->paste_size + 1 >= in->paste_room) {
        size_t room = in->paste_room ? in->paste_room * 2 : 4096;
        char *bigger = realloc(in->paste, room);
        if (!bigger)
            return;
        in->paste = bigger;
        in->paste_room = room;
    }
    in->paste[in->paste_size++] = c;
}

static void paste_end(vg_input *in, vg_key_sink sink, void *user)
{
    in->pasting = false;
    size_t n = 0;
    for (size_t i = 0; i < in->paste_size;
         i++) { /* CR, LF and CRLF are one line end; other controls go */
        char c = in->paste[i];
        if (c == '\r') {
            in->paste[n++] = '\n';
            if (i + 1 < in->paste_size && in->paste[i + 1] == '\n')
                i++;
        } else if (c == '\t') {
            in->paste[n++] = ' ';
        } else if (c == '\n' || ((unsigned char)c >= 0x20 && c != 0x7f)) {
            in->paste[n++] = c;
        }
    }
    vg_key key = {.code = VG_K_PASTE, .text = in->paste, .text_size = n};
    if (n > 0)
        sink(user, &key);
    free(in->paste);
    in->paste = NULL;
    in->paste_size = in->paste_room = 0;
}

/* Bytes of one complete item at the start of s, 0 when more are needed. */
static size_t take(vg_input *in, const char *s, size_t n, vg_key_sink sink, void *user)
{
    unsigned char c = (unsigned char)s[0];
    if (c != 0x1b) {
        if (c < 0x20 || c == 0x7f) {
            emit_control(sink, user, c, 0);
            return 1;
        }
        size_t need = c >= 0xf0 && c < 0xf5 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1;
        for (size_t i = 1; i < need && i < n; i++)
            if (((unsigned char)s[i] & 0xc0) != 0x80)
                need = i; /* broken: decode reports it */
        if (n < need)
            return 0;
        uint32_t cp;
        size_t used = (size_t)vg_utf8_decode(s, n, &cp);
        if (cp != 0xfffd && (cp < 0x80 || cp >= 0xa0))
            emit_char(sink, user, cp, 0);
        return used;
    }
    if (n < 2)
        return 0;
    if (s[1] == '[') {
        if (n < 3)
            return 0;
        if (s[2] == '[') { /* Linux console F1-F5 */
            if (n < 4)
                return 0;
            if (s[3] >= 'A' && s[3] <= 'E')
                emit(sink, user, (vg_key_code)(VG_K_F1 + (s[3] - 'A')), 0);
            return 4;
        }
        if (s[2] == 'M') /* old mouse report: three bytes we did not ask for */
            return n < 6 ? 0 : 6;
        for (size_t i = 2; i < n; i++) {
            unsigned char b = (unsigned char)s[i];
            if (b >= 0x40 && b <= 0x7e) {
                csi(in, s + 2, i - 1, sink, user);
                return i + 1;
            }
            if (b < 0x20 || b > 0x7e)
                return i; /* not a sequence: drop its head, read on */
        }
        return 0;
    }
    if (s[1] == 'O') {
        if (n < 3)
            return 0;
        emit(sink, user, letter_code(s[2]), 0);
        return 3;
    }
    if (s[1] == ']' || s[1] == 'P' || s[1] == '_' || s[1] == '^') {
        for (size_t i = 2; i < n; i++) {
            bool bel = s[i] == 0x07, st = s[i] == 0x1b && i + 1 < n && s[i + 1] == '\\';
            if (bel || st) {
                if (s[1] == ']')
                    osc(s + 2, i - 2, sink, user);
                return i + (bel ? 1 : 2);
            }
        }
        return 0;
    }
    if (s[1] == 0x1b) {
        emit(sink, user, VG_K_ESC, 0);
        return 1;
    }
    unsigned char next = (unsigned char)s[1];
    if (next < 0x20 || next == 0x7f) {
        emit_control(sink, user, next, VG_MOD_ALT);
        return 2;
    }
    if (next < 0x80) {
        emit_char(sink, user, next, VG_MOD_ALT);
        return 2;
    }
    emit(sink, user, VG_K_ESC, 0);
    return 1;
}

static bool ends_with(const char *s, size_t n, const char *tail)
{
    size_t k = strlen(tail);
    return n >= k && memcmp(s + n - k, tail, k) == 0;
}

void vg_input_feed(vg_input *in, const char *bytes, size_t n, vg_key_sink sink, void *user)
{
    for (size_t i = 0; i < n; i++) {
        if (in->pasting) {
            paste_add(in, bytes[i]);
            if (in->paste && ends_with(in->paste, in->paste_size, "\x1b[201~")) {
                in->paste_size -= 6;
                paste_end(in, sink, user);
            } else if (in->paste_size >= VG_PASTE_MAX) {
                paste_end(in, sink, user);
            }
            continue;
        }
        if (in->skipping) { /* until the end of the long string */
            if (bytes[i] == 0x07 || bytes[i] == '\\')
                in->skipping = false;
            continue;
        }
        in->pending[in->pending_size++] = bytes[i];
        while (in->pending_size > 0 && !in->pasting) {
            size_t used = take(in, in->pending, in->pending_size, sink, user);
            if (used == 0)
                break;
            in->pending_size -= used;
            memmove(in->pending, in->pending + used, in->pending_size);
        }
        if (in->pending_size == sizeof in->pending) {
            in->skipping = in->pending[0] == 0x1b && in->pending[1] != '[';
            in->pending_size = 0;
        }
    }
}

void vg_input_flush(vg_input *in, vg_key_sink sink, void *user)
{
    if (in->pasting) { /* the terminal never sent the end of its paste */
        paste_end(in, sink, user);
    } else if (in->pending_size == 1 && in->pending[0] == 0x1b) {
        emit(sink, user, VG_K_ESC, 0);
    } else if (in->pending_size == 2 && in->pending[0] == 0x1b) {
        emit_char(sink, user, (unsigned char)in->pending[1], VG_MOD_ALT);
    }
    in->pending_size = 0;
    in->skipping = false;
}

bool vg_input_waiting(const vg_input *in)
{
    return in->pending_size > 0 || in->skipping || in->pasting;
}

void vg_input_deinit(vg_input *in)
{
    free(in->paste);
    memset(in, 0, sizeof *in);
}
