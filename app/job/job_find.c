/* job_find.c: the jobs of a folder, and the one of a name. See job.h. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app/job/job.h"
#include "kernels/base/text.h"
#include "app/settings/paths.h"

typedef struct listed {
    char *dir;
    double created;
} listed;

static int newest_first(const void *a, const void *b)
{
    const listed *x = a, *y = b;
    if (x->created != y->created)
        return x->created < y->created ? 1 : -1;
    return strcmp(y->dir, x->dir);
}

/* What the program writes first says it, so that a list of thousands need not parse each file. */
static bool created_in_head(const char *path, double *created)
{
    char head[256];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, head, sizeof head - 1) : -1;
    if (fd >= 0)
        close(fd);
    head[n > 0 ? n : 0] = 0;
    double value;
    if (sscanf(head, " { \"vgen_job\" : %*d , \"created\" : %lf", &value) != 1 || !(value >= 0) ||
        value > 1e11)
        return false;
    *created = value;
    return true;
}

/* When it was made; the folder's own time when job.json does not say. */
static double created_of(const char *path, const struct stat *st)
{
    char *text = NULL;
    size_t size = 0;
    double created = (double)st->st_mtime;
    cJSON *root = NULL;
    if (created_in_head(path, &created))
        return created;
    if (vg_file_read(path, VG_JOB_FILE_BYTES_MAX, &text, &size, NULL) == VG_OK &&
        vg_json_parse(text, size, path, &root, NULL) == VG_OK)
        (void)vg_json_get_double(root, path, "created", 0, 1e11, &created, NULL);
    cJSON_Delete(root);
    free(text);
    return created;
}

/* Something that this program made, whatever is left of it. */
static bool was_a_job(const char *dir)
{
    static const char *const files[] = {VG_JOB_FILE, VG_EVENTS_FILE, VG_JOB_LOCK, "variants"};
    bool found = false;
    for (size_t i = 0; i < sizeof files / sizeof *files && !found; i++) {
        struct stat st;
        char *path = vg_xstrf("%s/%s", dir, files[i]);
        found = lstat(path, &st) == 0;
        free(path);
    }
    return found;
}

/* any: job.json need not be there. */
static void list_jobs(const char *jobs_dir, bool any, vg_lines *dirs)
{
    listed *list = NULL;
    size_t n = 0;
    DIR *dir = opendir(jobs_dir);
    struct dirent *item;
    while (dir && (item = readdir(dir))) {
        struct stat st;
        if (item->d_name[0] == '.')
            continue;
        char *path = vg_xstrf("%s/%s", jobs_dir, item->d_name),
             *file = vg_xstrf("%s/%s", path, VG_JOB_FILE);
        bool good = stat(file, &st) == 0 && S_ISREG(st.st_mode);
        if (good || (any && was_a_job(path) && lstat(path, &st) == 0)) {
            list = vg_xrealloc(list, (n + 1) * sizeof *list);
            list[n++] = (listed){path, created_of(file, &st)};
        } else {
            free(path);
        }
        free(file);
    }
    if (dir)
        closedir(dir);
    if (n > 1)
        qsort(list, n, sizeof *list, newest_first);
    for (size_t i = 0; i < n; i++)
        vg_lines_add(dirs, list[i].dir);
    free(list);
}

void vg_job_list(const char *jobs_dir, vg_lines *dirs)
{
    list_jobs(jobs_dir, false, dirs);
}

/* The newest that can be opened: one that is damaged must not stand before the others. */
static const char *newest(const vg_lines *dirs)
{
    for (int i = 0; i < dirs->count; i++) {
        vg_job job = {0};
        if (vg_job_open(dirs->items[i], &job, NULL) == VG_OK) {
            vg_job_deinit(&job);
            return dirs->items[i];
        }
    }
    return dirs->count ? dirs->items[0] : NULL;
}

static vg_status find(const char *jobs_dir, const char *name, bool any, char **dir, vg_err *err)
{
    vg_lines dirs = {0};
    const char *found = NULL;
    int matches = 0;
    vg_status status = VG_OK;
    if (strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..")) {
        char *file = vg_xstrf("%s/%s", name, VG_JOB_FILE);
        bool good = vg_file_exists(file) || (any && was_a_job(name));
        free(file);
        if (!good)
            return VG_FAIL(err, VG_E_MISSING, "%s: there is no %s, so this is not a job", name,
                           VG_JOB_FILE);
        char *real = any ? NULL : realpath(name, NULL); /* a link is removed as well */
        *dir = real ? real : vg_paths_absolute(name);
        for (size_t n = strlen(*dir); n > 1 && (*dir)[n - 1] == '/'; n--)
            (*dir)[n - 1] = 0;
        return VG_OK;
    }
    list_jobs(jobs_dir, any, &dirs);
    size_t n = strlen(name);
    for (int pass = 0; pass < 3 && !matches; pass++) {
        for (int i = 0; i < dirs.count; i++) {
            /* As it is on the disk, or as it is shown. */
            const char *raw = strrchr(dirs.items[i], '/') + 1;
            char *id = vg_job_id_of(dirs.items[i]);
            if (pass == 0   ? !strcmp(id, name) || !strcmp(raw, name)
                : pass == 1 ? n && (!strncmp(id, name, n) || !strncmp(raw, name, n))
                            : n >= 4 && vg_ends_with(id, name)) {
                matches++;
                found = dirs.items[i];
            }
            free(id);
        }
    }
    if (!matches && !strcmp(name, "last") && dirs.count) {
        matches = 1;
        found = newest(&dirs);
    }
    if (matches == 1)
        *dir = vg_xstrdup(found);
    else if (matches > 1)
        status =
            VG_FAIL(err, VG_E_ARG, "job %s: %d jobs fit, write more of the name", name, matches);
    else if (!dirs.count)
        status = VG_FAIL(err, VG_E_MISSING, "job %s: there are no jobs in %s", name, jobs_dir);
    else
        status = VG_FAIL(err, VG_E_MISSING, "job %s: not found in %s; `vgen jobs` lists them", name,
                         jobs_dir);
    vg_lines_free(&dirs);
    return status;
}

vg_status vg_job_find(const char *jobs_dir, const char *name, char **dir, vg_err *err)
{
    return find(jobs_dir, name, false, dir, err);
}

vg_status vg_job_find_any(const char *jobs_dir, const char *name, char **dir, vg_err *err)
{
    return find(jobs_dir, name, true, dir, err);
}
