/* tui_say.h: a message to the screens. */
#ifndef VG_APP_TUI_TUI_SAY_H
#define VG_APP_TUI_TUI_SAY_H

#include "kernels/base/text.h"

/* Cleaned, into a buffer of the screens; false, which is what one answers with it. */
static inline bool vg_tui_say(char *message, size_t size, const char *text)
{
    if (message && size)
        vg_text_clean_to(message, size, text);
    return false;
}
#endif
