/* job_media.c: see job_media.h. */
#include "app/job/job_media.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "app/settings/paths.h"
#include "kernels/base/hash.h"

void vg_job_media_deinit(vg_job_media *m)
{
    for (int i = 0; i < m->count; i++) {
        vg_picture_deinit(&m->pictures[i]);
        free(m->bytes[i]);
    }
    *m = (vg_job_media){0};
}

int vg_job_media_option(vg_role role)
{
    return vg_option_find(vg_role_name(role));
}

void vg_job_media_roles(const vg_settings *settings, vg_job_media *m)
{
    *m = (vg_job_media){0};
    for (int role = 0; role < VG_ROLE_COUNT; role++) {
        int option = vg_job_media_option((vg_role)role);
        if (option < 0 || !vg_settings_is_set(settings, (vg_option_id)option))
            continue;
        m->option[m->count] = (vg_option_id)option;
        m->list[m->count++].role = (vg_role)role;
    }
}

/* "3f9c21b07a44d1e0.png": what is in it, and its kind, by which frames in .safetensors are told. */
static void name_of(const char *bytes, size_t size, const char *kind, char name[48])
{
    uint64_t digest = vg_fnv1a(VG_FNV1A_BEGIN, bytes, size);
    int n = snprintf(name, 48, "%016llx.%s", (unsigned long long)digest, kind);
    for (int i = 0; i < n && i < 47; i++)
        name[i] = (char)tolower((unsigned char)name[i]);
}

static vg_status read_one(vg_job_media *m, int i, const char *path, vg_err *err)
{
    if (!vg_file_exists(path))
        return VG_FAIL(err, VG_E_MISSING, "%s: there is no such file", path);
    VG_TRY(vg_file_read(path, VG_PICTURE_FILE_MAX, &m->bytes[i], &m->size[i], err));
    VG_TRY(vg_picture_decode(path, m->bytes[i], m->size[i], &m->pictures[i], err));
    name_of(m->bytes[i], m->size[i], m->pictures[i].kind, m->name[i]);
    m->list[i].frames = m->pictures[i].frames;
    return VG_OK;
}

vg_status vg_job_media_read(const vg_settings *settings, vg_job_media *m, vg_err *err)
{
    vg_err inner = {0};
    vg_job_media_roles(settings, m);
    for (int i = 0; i < m->count; i++) {
        const char *path = vg_settings_get(settings, m->option[i]),
                   *key = vg_options[m->option[i]].key;
        vg_status status = vg_text_is_utf8(path)
                               ? read_one(m, i, path, &inner)
                               : VG_FAIL(&inner, VG_E_ARG, "%s: the path is not UTF-8", path);
        if (status == VG_OK)
            continue;
        vg_job_media_deinit(m);
        return VG_FAIL(err, status == VG_E_NOMEM ? status : VG_E_ARG, "%s: %s", key, inner.message);
    }
    return VG_OK;
}

vg_status vg_job_media_keep(const vg_job_media *m, const char *dir, vg_err *err)
{
    char *folder = vg_xstrf("%s/%s", dir, VG_JOB_INPUTS);
    vg_status status = m->count ? vg_file_make_private_dirs(folder, err) : VG_OK;
    for (int i = 0; i < m->count && status == VG_OK; i++) {
        char *path = vg_xstrf("%s/%s", folder, m->name[i]);
        status = vg_file_write_atomic(path, m->bytes[i], m->size[i], err);
        free(path);
    }
    free(folder);
    return status;
}

vg_status vg_job_media_name(const vg_job_media *m, vg_settings *resolved, vg_err *err)
{
    for (int i = 0; i < m->count; i++)
        VG_TRY(vg_settings_set(resolved, m->option[i], m->name[i], err));
    return VG_OK;
}

/* job.json may say anything: a name of ours, or nothing. malloc'd. */
static char *copy_of(const char *dir, const char *name)
{
    return strchr(name, '/') || name[0] == '.' ? NULL
                                               : vg_xstrf("%s/%s/%s", dir, VG_JOB_INPUTS, name);
}

vg_status vg_job_media_open(const char *dir, const vg_settings *resolved, vg_job_media *m,
                            vg_err *err)
{
    vg_status status = VG_OK;
    vg_job_media_roles(resolved, m);
    for (int i = 0; i < m->count && status == VG_OK; i++) {
        const char *name = vg_settings_get(resolved, m->option[i]),
                   *key = vg_options[m->option[i]].key;
        char *path = copy_of(dir, name);
        status = path ? read_one(m, i, path, err)
                      : VG_FAIL(err, VG_E_FORMAT, "resolved.%s is not the name of a file in %s",
                                key, VG_JOB_INPUTS);
        if (status == VG_OK && strcmp(name, m->name[i]) != 0)
            status = VG_FAIL(err, VG_E_FORMAT,
                             "%s is not the file that the job was given; put it back, or start a "
                             "new job",
                             path);
        free(path);
        free(m->bytes[i]);
        m->bytes[i] = NULL;
    }
    if (status != VG_OK)
        vg_job_media_deinit(m);
    return status;
}

void vg_job_media_mend(const char *dir, const vg_settings *resolved, vg_settings *settings)
{
    vg_job_media given;
    vg_job_media_roles(settings, &given);
    for (int i = 0; i < given.count; i++) {
        char *copy = copy_of(dir, vg_settings_get(resolved, given.option[i]));
        if (copy && !vg_file_exists(vg_settings_get(settings, given.option[i])) &&
            vg_file_exists(copy))
            (void)vg_settings_set(settings, given.option[i], copy, NULL);
        free(copy);
    }
}
