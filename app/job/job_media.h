/* job_media.h: the pictures and clips that a job is given.
 *
 * Settings hold their paths. A job's folder keeps copies of the files, inputs/<digest>.<kind>, and its resolved settings hold these
 * names: so a job goes on when the originals are gone, and its fingerprint, the key of its input scales and the recipe in its clips are
 * of what was given, not of where it lay. A role is given by the setting of its name (engine/run/roles.def). */
#ifndef VG_APP_JOB_JOB_MEDIA_H
#define VG_APP_JOB_JOB_MEDIA_H

#include "app/media/media_file.h"
#include "app/settings/settings.h"
#include "engine/run/limits.h"

#define VG_JOB_INPUTS "inputs"

#define VG_JOB_MEDIA_MAX (VG_ROLE_COUNT - 1 + VG_REFERENCES_MAX)

typedef struct vg_job_media {
    vg_media list[VG_JOB_MEDIA_MAX]; /* for vg_inputs */
    int count;
    vg_option_id option[VG_JOB_MEDIA_MAX]; /* what gave each */
    int nth[VG_JOB_MEDIA_MAX];             /* of that option's paths */
    vg_media_file files[VG_JOB_MEDIA_MAX]; /* owner of the pixels */
    char *bytes[VG_JOB_MEDIA_MAX];         /* of the file, until it is kept; else NULL */
    size_t size[VG_JOB_MEDIA_MAX];
    char name[VG_JOB_MEDIA_MAX][48]; /* in the job's folder */
} vg_job_media;                      /* all zero = nothing given */
/* Free files and pixels; all zero afterwards. */
void vg_job_media_deinit(vg_job_media *m);

/* The setting that gives a role; -1: there is none. */
int vg_job_media_option(vg_role role);
/* What the files of a setting may be: bits of VG_MEDIA_PICTURE and VG_MEDIA_CLIP. */
unsigned vg_job_media_kinds(const char *key);
/* Which roles are given, without a look at the files: enough for defaults and plans. */
void vg_job_media_roles(const vg_settings *settings, vg_job_media *m);
/* Read and decode what `settings` name. VG_E_ARG: "image: PATH: what is wrong with it"; VG_E_NOMEM. */
vg_status vg_job_media_read(const vg_settings *settings, vg_job_media *m, vg_err *err);
/* Copies of what _read has read, in `dir`, and their names in place of the paths in `resolved`. VG_E_IO. */
vg_status vg_job_media_keep(const vg_job_media *m, const char *dir, vg_err *err);
/* The names alone. Errors: those of vg_settings_set. */
vg_status vg_job_media_name(const vg_job_media *m, vg_settings *resolved, vg_err *err);
/* Read and decode a job's own copies. A copy that is gone or was changed is VG_E_FORMAT. */
vg_status vg_job_media_open(const char *dir, const vg_settings *resolved, vg_job_media *m,
                            vg_err *err);
/* Paths in `settings` of files that are gone become those of the job's copies. */
void vg_job_media_mend(const char *dir, const vg_settings *resolved, vg_settings *settings);
/* Give them to a run; borrowed. */
static inline void vg_job_media_give(const vg_job_media *m, vg_generate_params *params)
{
    params->inputs.media = m->list;
    params->inputs.media_count = m->count;
}
#endif
