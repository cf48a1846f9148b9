/* job_create.h: what the files that make a job share. For others there is job.h. */
#ifndef VG_APP_JOB_JOB_CREATE_H
#define VG_APP_JOB_JOB_CREATE_H

#include "app/job/job_media.h"
#include "app/job/job.h"

/* The object that job.json holds. Caller deletes. */
cJSON *vg_job_to_json(const vg_job *job);
/* Names of the outputs that the settings ask for, checked: ending, folder, one name for one file. VG_E_ARG. */
vg_status vg_job_plan_outputs(vg_job *job, int batch, vg_err *err);
/* Of a job that makes clips (vg_job_kind.create): open the checkpoints; fill in resolved settings, folders, identities, labels; check that the
 * clips can be written. Errors: VG_E_ARG for what was asked, else what the model said. */
vg_status vg_job_create_clips(vg_job *job, const vg_job_media *media, int batch, vg_err *err);
/* Into a job's folder, so that it resumes even when the file goes. */
vg_status vg_job_init_latents_copy(const char *from, const char *dir, vg_err *err);
#endif
