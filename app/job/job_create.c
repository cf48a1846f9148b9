/* job_create.c: from what a person asks to a job's folder. See job.h. */
#include "app/job/job_create.h"
#include "app/job/kind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "app/settings/paths.h"
#include "kernels/base/newfile.h"

/* ---- names ---- */

static void slug_of(const char *prompt, char *slug, size_t size)
{
    size_t n = 0;
    for (const char *c = prompt; *c && n + 1 < size && n < 32; c++) {
        if ((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9'))
            slug[n++] = *c;
        else if (*c >= 'A' && *c <= 'Z')
            slug[n++] = (char)(*c + 'a' - 'A');
        else if (n && slug[n - 1] != '-')
            slug[n++] = '-';
    }
    /* Whole words only, when the cut fell into one. */
    if (n == 32) {
        size_t cut = n;
        while (cut > 8 && slug[cut - 1] != '-')
            cut--;
        n = cut > 8 ? cut : n;
    }
    while (n && slug[n - 1] == '-')
        n--;
    slug[n] = 0;
    if (!n)
        snprintf(slug, size, "clip");
}

static char *new_id(const char *prompt)
{
    char slug[40], date[32] = "00000000-000000";
    unsigned short tail = 0;
    struct tm tm;
    time_t now = time(NULL);
    slug_of(prompt, slug, sizeof slug);
    if (localtime_r(&now, &tm))
        strftime(date, sizeof date, "%Y%m%d-%H%M%S", &tm);
    if (getrandom(&tail, sizeof tail, 0) != (ssize_t)sizeof tail)
        tail = (unsigned short)(vg_now_monotonic_ms() ^ getpid());
    return vg_xstrf("%s-%s-%04x", date, slug, tail);
}

/* ---- the folder ---- */

/* Fill a folder under a hidden name, then give it its name: a job folder always has a whole job.json. */
static vg_status make_folder(const char *jobs_dir, vg_job *job, const vg_job_media *media,
                             vg_err *err)
{
    const vg_job_event created = vg_job_event_of(VG_JOB_EVENT_created);
    vg_status status = VG_OK;
    for (int attempt = 0; attempt < 8; attempt++) {
        char *id =
            new_id(job->kind == vg_job_kinds[0] ? vg_settings_get(&job->settings, VG_OPT_prompt)
                                                : job->kind->name);
        char *hidden = vg_xstrf("%s/.new-%s", jobs_dir, id),
             *final = vg_xstrf("%s/%s", jobs_dir, id);
        char *file = vg_xstrf("%s/%s", hidden, VG_JOB_FILE),
             *variants = vg_xstrf("%s/variants", hidden);
        const char *init = vg_settings_get(&job->settings, VG_OPT_init_latents);
        cJSON *root = vg_job_to_json(job);
        vg_event_writer events = {.fd = -1};
        status = vg_file_make_private_dirs(variants, err);
        if (status == VG_OK && *init)
            status = vg_job_init_latents_copy(init, hidden, err);
        if (status == VG_OK)
            status = vg_job_media_keep(media, hidden, err);
        if (status == VG_OK)
            status = vg_json_save(file, root, err);
        if (status == VG_OK)
            status = vg_event_writer_open(hidden, &events, err);
        if (status == VG_OK)
            status = vg_event_write(&events, &created, err);
        vg_event_writer_close(&events);
        bool taken = vg_file_exists(final);
        if (status == VG_OK && !taken && rename(hidden, final) != 0)
            status = VG_FAIL(err, VG_E_IO, "%s: cannot make the job's folder: %s", final,
                             strerror(errno));
        if (status != VG_OK || taken)
            (void)vg_file_remove_tree(hidden, NULL);
        else if ((status = vg_folder_sync(jobs_dir, err)) != VG_OK)
            (void)vg_file_remove_tree(final, NULL);
        cJSON_Delete(root);
        free(hidden);
        free(file);
        free(variants);
        if (status == VG_OK && !taken) {
            job->id = id;
            job->dir = final;
            return VG_OK;
        }
        free(id);
        free(final);
        if (status != VG_OK)
            return status;
    }
    return VG_FAIL(err, VG_E_BUSY, "%s: no free name for a job", jobs_dir);
}

/* Where the pictures lay, from any folder. */
static vg_status take_paths(vg_settings *settings, const vg_job_media *media, vg_err *err)
{
    for (int i = 0; i < media->count; i++)
        if (media->nth[i] == 0)
            VG_TRY(vg_settings_whole_paths(settings, media->option[i], err));
    return VG_OK;
}

static void take_variants(vg_job *job, const vg_variants *asked)
{
    job->variants = vg_xcalloc((size_t)asked->count, sizeof *job->variants);
    job->variants_count = asked->count;
    for (int i = 0; i < asked->count; i++) {
        const vg_variant *v = &asked->items[i];
        job->variants[i].id = vg_xstrdup(v->id);
        job->variants[i].label = vg_xstrdup(v->label);
        vg_settings_copy(&job->variants[i].overlay, &v->overlay);
    }
}

/* What job.json will hold, and what is printed of it as JSON, is UTF-8. */
static vg_status check_texts(const vg_job *job, const char *dir, vg_err *err)
{
    VG_TRY(vg_job_check_name("jobs folder", dir, err));
    for (int i = 0; i < job->variants_count; i++) {
        const vg_job_outputs *o = &job->variants[i].outputs;
        VG_TRY(vg_job_check_name("model", job->variants[i].model_dir, err));
        if (o->output)
            VG_TRY(vg_job_check_name("output", o->output, err));
        if (o->save_latents)
            VG_TRY(vg_job_check_name("save_latents", o->save_latents, err));
        if (o->save_frames)
            VG_TRY(vg_job_check_name("save_frames", o->save_frames, err));
    }
    return job->comparison_output ? vg_job_check_name("output", job->comparison_output, err)
                                  : VG_OK;
}

vg_status vg_job_create(const char *jobs_dir, const vg_job_kind *kind, const vg_settings *settings,
                        const vg_variants *variants, int batch, vg_job *job, vg_err *err)
{
    vg_job made = {0};
    vg_variants of_schemes = {0};
    vg_job_media media = {0};
    vg_status status;
    char *dir = NULL, *real = NULL;
    made.kind = kind;
    made.created = vg_now_unix();
    made.code_version = vg_xstrdup(VG_VERSION);
    vg_settings_copy(&made.settings, settings);
    if (!variants || !variants->count)
        VG_TRY_GOTO(status, vg_variants_make(settings, NULL, 0, &of_schemes, err), done);
    take_variants(&made, of_schemes.count ? &of_schemes : variants);
    const char *device = vg_settings_get(settings, VG_OPT_device);
    made.device = vg_xstrdup(*device ? device : vg_device_default());
    if (*device)
        VG_TRY_GOTO(status, vg_device_check(device, err), done);
    VG_TRY_GOTO(status, vg_job_media_read(&made.settings, &media, err), done);
    VG_TRY_GOTO(status, take_paths(&made.settings, &media, err), done);
    VG_TRY_GOTO(status, kind->create(&made, &media, batch, err), done);
    dir = vg_paths_jobs(jobs_dir);
    VG_TRY_GOTO(status, check_texts(&made, dir, err), done);
    VG_TRY_GOTO(status, vg_file_make_private_dirs(dir, err), done);
    real = realpath(dir, NULL);
    vg_job_sweep(real ? real : dir);
    VG_TRY_GOTO(status, make_folder(real ? real : dir, &made, &media, err), done);
    *job = made;
    made = (vg_job){0};
done:
    vg_job_media_deinit(&media);
    vg_job_deinit(&made);
    vg_variants_deinit(&of_schemes);
    free(dir);
    free(real);
    return status;
}
