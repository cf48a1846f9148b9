/* export.h: the comparison clip of a job, for the worker, `vgen export` and the screens. */
#ifndef VG_APP_JOB_EXPORT_H
#define VG_APP_JOB_EXPORT_H

#include "app/media/frames.h"
#include "app/job/snapshot.h"

/* Write all finished variants side by side (one variant: just its clip) to `path`, atomically. diff_gain > 0 adds the amplified difference.
 * The same job gives the same bytes at every run, unless timings asks for s/it in the captions.
 * snapshot: refreshed by the caller; for the captions. VG_E_MISSING when a variant has no frames yet. */
vg_status vg_job_export(const vg_job *job, const vg_snapshot *snapshot, const char *path,
                        double diff_gain, bool timings, vg_frames_progress progress,
                        void *progress_user, vg_err *err);
#endif
