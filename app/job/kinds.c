/* kinds.c: see kind.h. */
#include "app/job/kind.h"

#include <string.h>

const vg_job_kind *const vg_job_kinds[] = {
#define VG_JOB_KIND(name) &vg_job_kind_##name,
#include "app/job/kinds.def"
#undef VG_JOB_KIND
    NULL,
};

const vg_job_kind *vg_job_kind_find(const char *name)
{
    for (int i = 0; vg_job_kinds[i]; i++) {
        if (!strcmp(vg_job_kinds[i]->name, name))
            return vg_job_kinds[i];
    }
    return NULL;
}
