/* job_folder.c: the folder of a job as a thing: whose it is, what may lie in it, what it is called, and how it goes. See job.h. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "app/job/job.h"
#include "app/job/lock.h"
#include "kernels/base/hash.h"

#define NEW_BEGIN    ".new-" /* being made */
#define GONE_BEGIN   ".rm-"  /* being removed */
#define NEW_SECONDS  3600    /* making takes that long at most */
#define FOLDER_DEPTH 3       /* JOB/variants/VARIANT */

/* ---- names ---- */

char *vg_job_id_of(const char *dir)
{
    const char *slash = strrchr(dir, '/'), *name = slash ? slash + 1 : dir;
    char *clean = vg_text_clean(name);
    if (!strcmp(clean, name))
        return clean;
    /* Two names may look the same when what cannot be shown is left out of both. */
    char *id = vg_xstrf("%s~%08x", clean, (unsigned)vg_fnv1a(VG_FNV1A_BEGIN, name, strlen(name)));
    free(clean);
    return id;
}

vg_status vg_job_check_name(const char *key, const char *path, vg_err *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *folder = vg_xstrf("%.*s", slash > path ? (int)(slash - path) : 1, slash ? path : ".");
    long most = pathconf(folder, _PC_NAME_MAX);
    free(folder);
    if (!vg_text_is_utf8(path))
        return VG_FAIL(err, VG_E_ARG,
                       "%s: %s is not UTF-8 text, and job.json can hold nothing else; give it "
                       "another name or place",
                       key, path);
    most = most > 0 ? most : NAME_MAX;
    if (strlen(name) > (size_t)most || strlen(path) >= PATH_MAX)
        return VG_FAIL(err, VG_E_ARG, "%s: %.80s... is too long a name: at most %ld bytes", key,
                       name, strlen(name) > (size_t)most ? most : PATH_MAX - 1);
    return VG_OK;
}

/* ---- whose it is ---- */

static vg_status check_entries(const char *dir, int depth, vg_err *err)
{
    vg_status status = VG_OK;
    DIR *folder = opendir(dir);
    if (!folder)
        return VG_FAIL(err, VG_E_IO, "%s: cannot be read: %s", dir, strerror(errno));
    for (struct dirent *item; status == VG_OK && (item = readdir(folder));) {
        struct stat st;
        if (!strcmp(item->d_name, ".") || !strcmp(item->d_name, ".."))
            continue;
        char *path = vg_xstrf("%s/%s", dir, item->d_name);
        if (lstat(path, &st) != 0) {
            /* gone meanwhile: temporary files do */
        } else if (S_ISDIR(st.st_mode)) {
            if (depth < FOLDER_DEPTH)
                status = check_entries(path, depth + 1, err);
        } else if (!S_ISREG(st.st_mode)) {
            status = VG_FAIL(err, VG_E_FORMAT,
                             "%s: neither a file nor a folder; a job's folder holds nothing else. "
                             "Remove it, then resume",
                             path);
        }
        free(path);
    }
    closedir(folder);
    return status;
}

vg_status vg_job_check_folder(const char *dir, vg_err *err)
{
    struct stat st;
    if (stat(dir, &st) != 0)
        return VG_FAIL(err, VG_E_MISSING, "job %s: %s", dir, strerror(errno));
    if (st.st_uid != geteuid())
        return VG_FAIL(err, VG_E_IO,
                       "%s: the folder belongs to another user; it can be looked at, not written",
                       dir);
    return check_entries(dir, 1, err);
}

/* ---- removing ---- */

static vg_status rename_away(const char *real, char **gone, vg_err *err)
{
    const char *slash = strrchr(real, '/');
    uint32_t tail = 0;
    if (getrandom(&tail, sizeof tail, 0) != (ssize_t)sizeof tail)
        tail = (uint32_t)getpid();
    /* Not longer than the name it has: that may be as long as names can be. */
    *gone =
        vg_xstrf("%.*s/" GONE_BEGIN "%08x-%ld", (int)(slash - real), real, tail, (long)getpid());
    if (rename(real, *gone) == 0)
        return VG_OK;
    vg_status status = VG_FAIL(err, VG_E_IO, "%s: cannot be removed: %s", real, strerror(errno));
    free(*gone);
    *gone = NULL;
    return status;
}

vg_status vg_job_remove(const char *dir, vg_err *err)
{
    struct stat st;
    char *real = NULL, *gone = NULL, *lock_path = NULL;
    int lock = -1;
    vg_status status = VG_OK;
    bool link = lstat(dir, &st) == 0 && S_ISLNK(st.st_mode);
    real = realpath(dir, NULL);
    if (!real && link) { /* to nowhere */
        status = unlink(dir) == 0
                     ? VG_OK
                     : VG_FAIL(err, VG_E_IO, "%s: cannot be removed: %s", dir, strerror(errno));
        goto done;
    }
    if (!real || stat(real, &st) != 0) {
        status = VG_FAIL(err, VG_E_MISSING, "job %s: %s", dir, strerror(errno));
        goto done;
    }
    if (st.st_uid != geteuid()) {
        status = VG_FAIL(err, VG_E_IO, "%s: the folder belongs to another user", real);
        goto done;
    }
    /* Nobody begins to work on it from here on. */
    lock_path = vg_xstrf("%s/%s", real, VG_JOB_LOCK);
    status = vg_lock_take(lock_path, "", &lock, err);
    if (status == VG_E_BUSY) {
        status = VG_FAIL(err, VG_E_BUSY, "%s: a worker is on it", real);
        goto done;
    }
    status = rename_away(real, &gone, err); /* a lock that cannot be made: a full disk, a trap */
    if (status == VG_OK && link && unlink(dir) != 0)
        status = VG_FAIL(err, VG_E_IO, "%s: cannot be removed: %s", dir, strerror(errno));
    if (gone) {
        vg_status removed = vg_file_remove_tree(gone, status == VG_OK ? err : NULL);
        status = status == VG_OK ? removed : status;
    }
done:
    vg_lock_release(lock);
    free(lock_path);
    free(real);
    free(gone);
    return status;
}

void vg_job_sweep(const char *jobs_dir)
{
    DIR *dir = opendir(jobs_dir);
    for (struct dirent *item; dir && (item = readdir(dir));) {
        struct stat st;
        bool gone = !strncmp(item->d_name, GONE_BEGIN, strlen(GONE_BEGIN)),
             made = !strncmp(item->d_name, NEW_BEGIN, strlen(NEW_BEGIN));
        if (!gone && !made)
            continue;
        char *path = vg_xstrf("%s/%s", jobs_dir, item->d_name);
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
            (gone || time(NULL) - st.st_mtime > NEW_SECONDS))
            (void)vg_file_remove_tree(path, NULL);
        free(path);
    }
    if (dir)
        closedir(dir);
}
