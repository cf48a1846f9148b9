/* kind.h: what differs between kinds of jobs. Folder, journal, lock, queue, signals, resume, attach, lists and screens are common to all and
 * ask the kind through this struct alone. Kinds are rows of kinds.def. */
#ifndef VG_APP_JOB_KIND_H
#define VG_APP_JOB_KIND_H

#include "app/job/job_media.h"
#include "app/job/snapshot.h"

struct vg_worker; /* app/worker/worker_run.h */

struct vg_job_kind {
    const char *name, *help;
    /* Before there is a folder: fill in job->resolved, model_dir, identity and each variant, and check all that can be checked before a long
     * run. job holds settings, device and the variants asked for; media what they name.
     *   batch  0, or the number of the prompt in a batch: goes into the names of outputs
     * Errors: VG_E_ARG for what the person asked, else what the model said. */
    vg_status (*create)(vg_job *job, const vg_job_media *media, int batch, vg_err *err);
    /* In the worker, which holds lock and device and has told `started`: all the work, beginning where an earlier run stopped. w->stopped: it
     * ended early as asked. The first and the last word in the journal are the worker's. */
    vg_status (*run)(struct vg_worker *w, vg_err *err);
    /* An event of this kind of job into its snapshot, after what is common to all. variant: -1 of the job. Nothing in it is trusted. */
    void (*fold)(vg_snapshot *s, int variant, const vg_job_event *event);
    /* What --json shows beyond what all jobs have, added to `json`. */
    void (*report)(const vg_snapshot *s, cJSON *json);
    /* The figures, for reading; nothing while there are none. */
    void (*print)(const vg_snapshot *s, FILE *out, bool markdown);
};

#define VG_JOB_KIND(name) extern const vg_job_kind vg_job_kind_##name;
#include "app/job/kinds.def"
#undef VG_JOB_KIND

extern const vg_job_kind *const vg_job_kinds[]; /* NULL after the last */
/* NULL when there is none of this name. */
const vg_job_kind *vg_job_kind_find(const char *name);
#endif
