/* quantize_output.c: see quantize_output.h. */
#include "app/worker/quantize_output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "kernels/base/fileio.h"
#include "kernels/base/newfile.h"
#include "kernels/base/text.h"

#define COPY_BYTES ((size_t)8 << 20)
#define DEPTH_MOST 16
#define MARGIN     (64u << 20) /* bytes that are left free */

static bool is_checkpoint(const char *path)
{
    char *index = vg_xstrf("%s/model_index.json", path);
    bool is = vg_file_exists(index);
    free(index);
    return is;
}

static bool is_empty(const char *path)
{
    DIR *folder = opendir(path);
    int entries = 0;
    while (folder && readdir(folder))
        entries++;
    if (folder)
        closedir(folder);
    return folder && entries <= 2;
}

/* Is a the folder b, or in it? Both absolute and without links. */
static bool is_within(const char *a, const char *b)
{
    size_t n = strlen(b);
    return !strncmp(a, b, n) && (a[n] == '/' || a[n] == 0);
}

static vg_status check_place(const char *path, bool overwrite, vg_err *err)
{
    if (!vg_file_exists(path) || (vg_file_is_dir(path) && is_empty(path)))
        return VG_OK;
    if (!vg_file_is_dir(path) || !is_checkpoint(path))
        return VG_FAIL(err, VG_E_ARG,
                       "output: %s is there and is no checkpoint; it is not replaced", path);
    if (!overwrite)
        return VG_FAIL(err, VG_E_ARG, "output: %s is there already; --overwrite replaces it", path);
    return VG_OK;
}

static vg_status check_room(const char *parent, uint64_t bytes, vg_err *err)
{
    struct statvfs fs;
    char need[32], have[32];
    if (statvfs(parent, &fs) != 0)
        return VG_FAIL(err, VG_E_ARG, "output: %s: %s", parent, strerror(errno));
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (room < bytes + MARGIN)
        return VG_FAIL(err, VG_E_ARG, "output: %s has %s free, the checkpoint takes %s", parent,
                       vg_text_bytes(room, have, sizeof have),
                       vg_text_bytes(bytes, need, sizeof need));
    return VG_OK;
}

vg_status vg_quantize_output_check(const char *path, const char *model_dir, bool overwrite,
                                   uint64_t bytes, vg_err *err)
{
    const char *slash = strrchr(path, '/');
    char *parent = vg_xstrf("%.*s", slash > path ? (int)(slash - path) : 1, path);
    char *real = realpath(parent, NULL), *model = realpath(model_dir, NULL), *whole = NULL;
    vg_status status;
    if (!real || !vg_file_is_dir(real)) {
        status = VG_FAIL(err, VG_E_ARG, "output: %s is no folder", parent);
        goto done;
    }
    whole = vg_xstrf("%s/%s", strcmp(real, "/") ? real : "", slash + 1);
    if (!slash[1] || !strcmp(slash + 1, ".") || !strcmp(slash + 1, "..")) {
        status = VG_FAIL(err, VG_E_ARG, "output: %s is not the name of a folder", path);
        goto done;
    }
    if (model && (is_within(whole, model) || is_within(model, whole))) {
        status = VG_FAIL(err, VG_E_ARG, "output: %s and the model %s lie in one another", path,
                         model_dir);
        goto done;
    }
    VG_TRY_GOTO(status, check_place(path, overwrite, err), done);
    if (access(real, W_OK) != 0) {
        status =
            VG_FAIL(err, VG_E_ARG, "output: %s cannot be written: %s", parent, strerror(errno));
        goto done;
    }
    status = check_room(real, bytes, err);
done:
    free(whole);
    free(parent);
    free(real);
    free(model);
    return status;
}

/* ---- the rest of the model ---- */

static bool is_left_out(const char *name, const char *const *without)
{
    for (; without && *without; without++)
        if (!strcmp(name, *without))
            return true;
    return !strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, VG_QUANTIZE_REPORT);
}

static uint64_t rest_bytes(const char *dir, const char *const *without, int depth)
{
    DIR *folder = depth < DEPTH_MOST ? opendir(dir) : NULL;
    uint64_t bytes = 0;
    for (struct dirent *item; folder && (item = readdir(folder));) {
        struct stat st;
        if (is_left_out(item->d_name, without))
            continue;
        char *path = vg_xstrf("%s/%s", dir, item->d_name);
        if (stat(path, &st) == 0)
            bytes += S_ISDIR(st.st_mode)   ? rest_bytes(path, NULL, depth + 1)
                     : S_ISREG(st.st_mode) ? (uint64_t)st.st_size
                                           : 0;
        free(path);
    }
    if (folder)
        closedir(folder);
    return bytes;
}

uint64_t vg_quantize_output_rest(const char *model_dir, const char *const *without)
{
    return rest_bytes(model_dir, without, 0);
}

char *vg_quantize_output_hidden(const char *path, const char *job_id)
{
    const char *slash = strrchr(path, '/');
    return vg_xstrf("%.*s/.%.100s.%s.part", (int)(slash - path), path, slash + 1, job_id);
}

typedef struct copying {
    const atomic_int *cancel;
    void (*progress)(void *user, uint64_t bytes);
    void *user;
    char *buffer;
    uint64_t done;
} copying;

static vg_status copy_bytes(copying *c, int from, vg_newfile *to, const char *path, vg_err *err)
{
    for (;;) {
        ssize_t n = read(from, c->buffer, COPY_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return VG_FAIL(err, VG_E_IO, "%s: cannot be read: %s", path, strerror(errno));
        if (n == 0)
            return VG_OK;
        if (c->cancel && atomic_load(c->cancel))
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled");
        VG_TRY(vg_newfile_write(to, c->buffer, (size_t)n, err));
        c->done += (uint64_t)n;
        if (c->progress)
            c->progress(c->user, c->done);
    }
}

static vg_status copy_file(copying *c, const char *from, const char *to, const struct stat *st,
                           vg_err *err)
{
    struct stat there;
    vg_newfile file;
    if (stat(to, &there) == 0 && there.st_size == st->st_size) { /* files appear whole */
        c->done += (uint64_t)st->st_size;
        return VG_OK;
    }
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return VG_FAIL(err, VG_E_IO, "%s: %s", from, strerror(errno));
    vg_status status = vg_newfile_open(to, &file, err);
    if (status == VG_OK) {
        status = copy_bytes(c, fd, &file, from, err);
        if (status == VG_OK)
            status = vg_newfile_commit(&file, true, err);
        else
            vg_newfile_abort(&file);
    }
    close(fd);
    return status;
}

static vg_status copy_tree(copying *c, const char *from, const char *to, const char *const *without,
                           int depth, vg_err *err)
{
    vg_status status = vg_file_make_dirs(to, err);
    DIR *folder = status == VG_OK && depth < DEPTH_MOST ? opendir(from) : NULL;
    if (status == VG_OK && !folder)
        return VG_FAIL(err, VG_E_IO, "%s: cannot be read: %s", from,
                       depth < DEPTH_MOST ? strerror(errno) : "too deep");
    for (struct dirent *item; status == VG_OK && (item = readdir(folder));) {
        struct stat st;
        if (is_left_out(item->d_name, without))
            continue;
        char *a = vg_xstrf("%s/%s", from, item->d_name), *b = vg_xstrf("%s/%s", to, item->d_name);
        if (stat(a, &st) != 0)
            status = VG_FAIL(err, VG_E_IO, "%s: %s", a, strerror(errno));
        else if (S_ISDIR(st.st_mode))
            status = copy_tree(c, a, b, NULL, depth + 1, err);
        else if (S_ISREG(st.st_mode))
            status = copy_file(c, a, b, &st, err);
        free(a);
        free(b);
    }
    if (folder)
        closedir(folder);
    return status;
}

vg_status vg_quantize_output_copy(const char *model_dir, const char *const *without,
                                  const char *hidden, const atomic_int *cancel,
                                  void (*progress)(void *user, uint64_t bytes), void *user,
                                  vg_err *err)
{
    copying c = {
        .cancel = cancel, .progress = progress, .user = user, .buffer = vg_xcalloc(COPY_BYTES, 1)};
    vg_status status = copy_tree(&c, model_dir, hidden, without, 0, err);
    free(c.buffer);
    return status;
}

/* ---- its name ---- */

static vg_status move(const char *from, const char *to, vg_err *err)
{
    if (rename(from, to) == 0)
        return VG_OK;
    return VG_FAIL(err, VG_E_IO, "%s cannot be named %s: %s", from, to, strerror(errno));
}

static void sync_parent(const char *path)
{
    char *parent = vg_xstrf("%.*s", (int)(strrchr(path, '/') - path), path);
    int fd = open(*parent ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(parent);
}

vg_status vg_quantize_output_name(const char *hidden, const char *path, bool overwrite, vg_err *err)
{
    char *old = vg_xstrf("%s.old", hidden);
    vg_status status = check_place(path, overwrite, err);
    bool there = status == VG_OK && vg_file_exists(path) && !is_empty(path);
    if (there)
        status = move(path, old, err);
    if (status == VG_OK)
        status = move(hidden, path, err); /* an empty folder may be there */
    if (status != VG_OK && there && !vg_file_exists(path))
        (void)rename(old, path);
    sync_parent(path);
    if (status == VG_OK) /* also what a kill left here last time */
        (void)vg_file_remove_tree(old, NULL);
    free(old);
    return status;
}

bool vg_quantize_output_is_of(const char *path, const char *job_id)
{
    char *report = vg_xstrf("%s/%s", path, VG_QUANTIZE_REPORT);
    cJSON *root = NULL;
    const char *job = "";
    bool is = vg_file_exists(report) && vg_json_load(report, &root, NULL) == VG_OK &&
              vg_json_get_string(root, report, "job", &job, NULL) == VG_OK && !strcmp(job, job_id);
    cJSON_Delete(root);
    free(report);
    return is;
}
