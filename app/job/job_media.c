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
        vg_media_file_deinit(&m->files[i]);
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
        vg_lines paths = {0};
        int count = vg_settings_paths(settings, (vg_option_id)option, &paths);
        for (int i = 0; i < count && m->count < VG_JOB_MEDIA_MAX; i++) {
            m->option[m->count] = (vg_option_id)option;
            m->nth[m->count] = i;
            m->list[m->count++].role = (vg_role)role;
        }
        vg_lines_free(&paths);
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

/* What a role's file may be. */
static unsigned kinds_of(vg_role role)
{
    return role == VG_ROLE_VIDEO  ? VG_MEDIA_CLIP
           : role == VG_ROLE_MASK ? VG_MEDIA_CLIP | VG_MEDIA_PICTURE
                                  : VG_MEDIA_PICTURE;
}

unsigned vg_job_media_kinds(const char *key)
{
    int option = vg_option_find(key);
    for (int role = 0; role < VG_ROLE_COUNT; role++)
        if (option >= 0 && vg_job_media_option((vg_role)role) == option)
            return kinds_of((vg_role)role);
    return VG_MEDIA_PICTURE;
}

static vg_status read_one(vg_job_media *m, int i, const char *path, vg_err *err)
{
    VG_TRY(vg_media_file_read(path, kinds_of(m->list[i].role), &m->files[i], &m->bytes[i],
                              &m->size[i], err));
    name_of(m->bytes[i], m->size[i], m->files[i].kind, m->name[i]);
    m->list[i].frames = m->files[i].frames;
    return VG_OK;
}

/* The path that settings give for number i, malloc'd. */
static char *path_of(const vg_settings *settings, const vg_job_media *m, int i)
{
    vg_lines paths = {0};
    char *path = NULL;
    if (vg_settings_paths(settings, m->option[i], &paths) > m->nth[i])
        path = vg_xstrdup(paths.items[m->nth[i]]);
    vg_lines_free(&paths);
    return path ? path : vg_xstrdup("");
}

vg_status vg_job_media_read(const vg_settings *settings, vg_job_media *m, vg_err *err)
{
    vg_err inner = {0};
    vg_job_media_roles(settings, m);
    for (int i = 0; i < m->count; i++) {
        char *path = path_of(settings, m, i);
        const char *key = vg_options[m->option[i]].key;
        vg_status status = vg_text_is_utf8(path)
                               ? read_one(m, i, path, &inner)
                               : VG_FAIL(&inner, VG_E_ARG, "%s: the path is not UTF-8", path);
        free(path);
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
    vg_status status = VG_OK;
    for (int i = 0, next; i < m->count && status == VG_OK; i = next) {
        vg_lines names = {0};
        for (next = i; next < m->count && m->option[next] == m->option[i]; next++)
            vg_lines_add(&names, vg_xstrdup(m->name[next]));
        status = vg_settings_set_paths(resolved, m->option[i], &names, err);
        vg_lines_free(&names);
    }
    return status;
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
        const char *key = vg_options[m->option[i]].key;
        char *name = path_of(resolved, m, i), *path = copy_of(dir, name);
        status = path ? read_one(m, i, path, err)
                      : VG_FAIL(err, VG_E_FORMAT, "resolved.%s is not the name of a file in %s",
                                key, VG_JOB_INPUTS);
        if (status == VG_OK && strcmp(name, m->name[i]) != 0)
            status = VG_FAIL(err, VG_E_FORMAT,
                             "%s is not the file that the job was given; put it back, or start a "
                             "new job",
                             path);
        free(path);
        free(name);
        free(m->bytes[i]);
        m->bytes[i] = NULL;
    }
    if (status != VG_OK)
        vg_job_media_deinit(m);
    return status;
}

/* A path, or that of the copy where the file is gone. */
static char *mended(const char *dir, const char *name, const char *path)
{
    char *copy = copy_of(dir, name);
    if (copy && !vg_file_exists(path) && vg_file_exists(copy))
        return copy;
    free(copy);
    return vg_xstrdup(path);
}

void vg_job_media_mend(const char *dir, const vg_settings *resolved, vg_settings *settings)
{
    vg_job_media given;
    vg_job_media_roles(settings, &given);
    for (int i = 0, next; i < given.count; i = next) {
        vg_lines paths = {0};
        for (next = i; next < given.count && given.option[next] == given.option[i]; next++) {
            char *name = path_of(resolved, &given, next), *path = path_of(settings, &given, next);
            vg_lines_add(&paths, mended(dir, name, path));
            free(name);
            free(path);
        }
        (void)vg_settings_set_paths(settings, given.option[i], &paths, NULL);
        vg_lines_free(&paths);
    }
}
