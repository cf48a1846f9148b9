/* input.h: bytes from the terminal into keys. Pure: no terminal, no clock; fuzzed on its own.
 *
 * curses could decode keys, but not pastes, and its get_wch waits; the decoder takes whatever bytes poll() found. */
#ifndef VG_UI_TERM_INPUT_H
#define VG_UI_TERM_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum vg_key_code {
    VG_K_NONE,
    VG_K_CHAR, /* cp, with VG_MOD_CTRL (cp is the lower-case letter) or VG_MOD_ALT */
    VG_K_ENTER,
    VG_K_TAB,
    VG_K_BACKTAB,
    VG_K_ESC,
    VG_K_BACKSPACE,
    VG_K_DELETE,
    VG_K_UP,
    VG_K_DOWN,
    VG_K_LEFT,
    VG_K_RIGHT,
    VG_K_HOME,
    VG_K_END,
    VG_K_PAGE_UP,
    VG_K_PAGE_DOWN,
    VG_K_INSERT,
    VG_K_F1,
    VG_K_F2,
    VG_K_F3,
    VG_K_F4,
    VG_K_F5,
    VG_K_F6,
    VG_K_F7,
    VG_K_F8,
    VG_K_F9,
    VG_K_F10,
    VG_K_F11,
    VG_K_F12,
    VG_K_PASTE,  /* text, text_size; line ends are '\n' */
    VG_K_CLICK,  /* row, col; button 1 pressed (or dragged: VG_MOD_DRAG) */
    VG_K_WHEEL,  /* row, col; step -1 up, 1 down */
    VG_K_REPORT, /* an answer of the terminal: report */
} vg_key_code;

enum { VG_MOD_SHIFT = 1, VG_MOD_ALT = 2, VG_MOD_CTRL = 4, VG_MOD_DRAG = 8 };

typedef enum vg_report_kind { VG_REPORT_CELL_SIZE, VG_REPORT_BACKGROUND } vg_report_kind;

typedef struct vg_key {
    vg_key_code code;
    uint32_t cp;
    unsigned mods;
    int row, col, step;
    const char *text; /* paste; borrowed for the call */
    size_t text_size;
    vg_report_kind report;
    int a, b, c; /* cell height and width in pixels; or red, green, blue 0..255 of the background */
} vg_key;

typedef void (*vg_key_sink)(void *user, const vg_key *key);

typedef struct vg_input {
    char pending[256]; /* an unfinished sequence */
    size_t pending_size;
    bool pasting, skipping; /* inside a paste; inside a string sequence that is too long */
    char *paste;
    size_t paste_size, paste_room;
} vg_input;

#define VG_PASTE_MAX (1u << 20) /* longer pastes are cut */

/* Take n bytes, send every complete key to sink. */
void vg_input_feed(vg_input *in, const char *bytes, size_t n, vg_key_sink sink, void *user);
/* Nothing came for a while: a lone ESC is the Esc key, an unfinished sequence is dropped. */
void vg_input_flush(vg_input *in, vg_key_sink sink, void *user);
/* True while vg_input_flush would do something. */
bool vg_input_waiting(const vg_input *in);
/* All zero is empty. */
void vg_input_deinit(vg_input *in);

#endif
