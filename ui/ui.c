/* ui.c: the loop of the screens. (First linking form; the screens follow.) */
#include "ui/host.h"

#include <stdio.h>

int vg_ui_run(const vg_ui_host *host, const vg_ui_options *options, char *message, size_t message_size)
{
    (void)host;
    (void)options;
    snprintf(message, message_size, "the screens are not built yet");
    return 1;
}
