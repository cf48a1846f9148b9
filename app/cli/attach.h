/* attach.h: watch a job from a terminal, or write it down line by line where there is none. Reads the job's folder only. */
#ifndef VG_APP_CLI_ATTACH_H
#define VG_APP_CLI_ATTACH_H

#include "app/job/snapshot.h"

typedef struct vg_attach_options {
    bool quiet; /* nothing but warnings */
    bool
        cancel; /* an interrupt cancels the job (the second one leaves it); else it only stops watching */
    pid_t worker; /* our child to wait for, or 0 */
} vg_attach_options;

/* Watch until the job ends. Progress goes to stderr. Returns true when it ended, false when the person went away (snapshot says how it stands). */
bool vg_attach(vg_snapshot *snapshot, const vg_attach_options *options);
/* Exit status for how a job ended. */
int vg_attach_exit(const vg_snapshot *snapshot);
/* The table, the paths, or the reason: on stdout, or as JSON. */
void vg_attach_print_result(const vg_snapshot *snapshot, bool json);
/* The table of figures alone, in Markdown. */
void vg_attach_print_markdown(const vg_snapshot *snapshot);
#endif
