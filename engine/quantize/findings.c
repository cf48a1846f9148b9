/* findings.c: see findings.h. */
#include "engine/quantize/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *vg_finding_level_name(vg_finding_level level)
{
    static const char *const names[] = {"note", "warning", "failure"};
    return names[level];
}

vg_status vg_findings_add(vg_findings *f, vg_finding_level level, const char *component,
                          vg_err *err, const char *format, ...)
{
    char text[VG_ERR_MESSAGE_MAX];
    vg_err clean;
    va_list args;
    if (f->count == f->capacity) {
        int capacity = f->capacity ? 2 * f->capacity : 32;
        vg_finding *grown = realloc(f->items, (size_t)capacity * sizeof *grown);
        if (!grown)
            return VG_FAIL(err, VG_E_NOMEM, "out of memory for %d findings", capacity);
        f->items = grown;
        f->capacity = capacity;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vg_finding *item = &f->items[f->count++];
    item->level = level;
    snprintf(item->component, sizeof item->component, "%s", component);
    VG_FAIL(&clean, VG_E_FORMAT, "%s", text); /* names come from files */
    snprintf(item->text, sizeof item->text, "%s", clean.message);
    return VG_OK;
}

vg_finding_level vg_findings_worst(const vg_findings *f)
{
    vg_finding_level worst = VG_FINDING_NOTE;
    for (int i = 0; i < f->count; i++)
        worst = f->items[i].level > worst ? f->items[i].level : worst;
    return worst;
}

int vg_findings_count(const vg_findings *f, vg_finding_level level)
{
    int count = 0;
    for (int i = 0; i < f->count; i++)
        count += f->items[i].level == level;
    return count;
}

void vg_findings_deinit(vg_findings *f)
{
    free(f->items);
    *f = (vg_findings){0};
}
