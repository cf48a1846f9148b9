/* fold.h: the one place where an event means something. Internal to app/job. */
#ifndef VG_APP_JOB_FOLD_H
#define VG_APP_JOB_FOLD_H

#include "app/job/snapshot.h"

/* Take one event in. Nothing in it is trusted; a variant that the job does not have is nobody's. Sums over steps and what lies in files are
 * settled once after many events (snapshot.c). */
void vg_fold(vg_snapshot *snapshot, const vg_job_event *event);
/* Of a job that makes clips: vg_job_kind.fold. */
void vg_fold_clips(vg_snapshot *snapshot, int variant, const vg_job_event *event);
/* A text of a snapshot becomes what was said, cleaned. */
void vg_fold_text(char **to, const char *said);
/* The same event as a line of the log, where it is one (fold_log.c). variant: -1 of the job. */
void vg_fold_log(vg_job_log *log, const vg_job_event *event, int variant);
/* Free all lines; the log is empty afterwards. */
void vg_job_log_deinit(vg_job_log *log);
/* A variant of which nothing is known yet. */
void vg_variant_snapshot_init(vg_variant_snapshot *v, const char *id, const char *label);
#endif
