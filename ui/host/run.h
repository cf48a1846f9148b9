/* run.h: the screens as a program calls them. */
#ifndef VG_UI_HOST_RUN_H
#define VG_UI_HOST_RUN_H

#include <stdio.h>
#include "ui/host/host.h"

typedef struct vg_ui_options {
    const char *job; /* open this job instead of deciding, or NULL */
    bool mouse;
    const char *pictures; /* "auto", "symbols", "sixel", "kitty", "none" */
    const char *colors;   /* "auto", "truecolor", "256", "16", "mono" */
    bool ascii;           /* no UTF-8 glyphs */
} vg_ui_options;

/* Run the screens until the person quits. Restores the terminal on every way out. Returns the exit status: 0; 1 when the terminal cannot
 * be used (the reason is in message); 128 + the signal that ended it (SIGHUP also for a terminal that went away). stderr is held back
 * while the screens are on and printed afterwards. Signal handlers are the screens' own for that time; a process that a host starts
 * gets the default ones by exec. The locale's LC_CTYPE is set from the environment when it still is "C". */
int vg_ui_run(const vg_ui_host *host, const vg_ui_options *options, char *message,
              size_t message_size);

/* Every key of every screen, from the tables they are dispatched by; each line begins with `indent`. */
void vg_ui_print_keys(FILE *out, const char *indent);
#endif
