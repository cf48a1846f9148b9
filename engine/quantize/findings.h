/* findings.h: what a check found, line by line: failures, warnings, and notes that are neither. */
#ifndef VG_ENGINE_QUANTIZE_FINDINGS_H
#define VG_ENGINE_QUANTIZE_FINDINGS_H

#include "kernels/base/status.h"

typedef enum vg_finding_level {
    VG_FINDING_NOTE,
    VG_FINDING_WARNING,
    VG_FINDING_FAILURE
} vg_finding_level;
const char *vg_finding_level_name(vg_finding_level level); /* "note", "warning", "failure" */

typedef struct vg_finding {
    vg_finding_level level;
    char component[64]; /* folder it is about, "" for the checkpoint as a whole */
    char text[VG_ERR_MESSAGE_MAX];
} vg_finding;

/* All zero is empty. */
typedef struct vg_findings {
    vg_finding *items; /* in the order they were found */
    int count, capacity;
} vg_findings;

/* One more, as of printf; control characters become '?'. Errors: VG_E_NOMEM. */
vg_status vg_findings_add(vg_findings *findings, vg_finding_level level, const char *component,
                          vg_err *err, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The worst level there is; NOTE when there is nothing. */
vg_finding_level vg_findings_worst(const vg_findings *findings);
/* How many of a level. */
int vg_findings_count(const vg_findings *findings, vg_finding_level level);
/* Free all; empty afterwards. */
void vg_findings_deinit(vg_findings *findings);
#endif
