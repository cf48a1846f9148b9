/* fileio.c: small files in, small files out, and the folder operations around them. No caching, no global state. */
#include "kernels/base/fileio.h"
#include "kernels/base/newfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_FIRST_BYTES (64u << 10)
#define TREE_DEPTH_MAX   128 /* one descriptor is held per level */

vg_status vg_file_check_pointer(const char *path, const void *bytes, size_t size, vg_err *err)
{
    static const char begin[] = "version https://git-lfs.github.com/spec/v1\n";

    if (size < sizeof begin - 1 || memcmp(bytes, begin, sizeof begin - 1) != 0)
        return VG_OK;
    return VG_FAIL(err, VG_E_FORMAT,
                   "%s: a Git LFS pointer, not the file itself; `git lfs pull` in that folder "
                   "fetches it",
                   path);
}

vg_status vg_file_read(const char *path, size_t limit_bytes, char **text, size_t *size, vg_err *err)
{
    vg_status status = VG_OK;
    struct stat info;
    char *buffer = NULL;
    size_t used = 0, room = 0;

    /* O_NONBLOCK: opening a pipe that nobody writes must not hang; it has no effect on a regular file. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return VG_FAIL(err, VG_E_IO, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(fd, &info) != 0) {
        status = VG_FAIL(err, VG_E_IO, "%s: cannot stat: %s", path, strerror(errno));
        goto done;
    }
    if (!S_ISREG(info.st_mode)) {
        status = VG_FAIL(err, VG_E_IO, "%s: not a regular file", path);
        goto done;
    }
    if (info.st_size > 0 && (uint64_t)info.st_size > limit_bytes) {
        status = VG_FAIL(err, VG_E_FORMAT, "%s: more than %zu bytes", path, limit_bytes);
        goto done;
    }
    /* The size is a hint only: the file may grow while it is read, and some files of /proc and /sys say 0. */
    room = info.st_size > 0 ? (size_t)info.st_size + 1 : READ_FIRST_BYTES;
    for (;;) {
        char *grown = realloc(buffer, room + 1);
        if (!grown) {
            status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory reading %zu bytes", path, room);
            goto done;
        }
        buffer = grown;
        while (used < room) {
            ssize_t got = read(fd, buffer + used, room - used);
            if (got < 0 && errno == EINTR)
                continue;
            if (got < 0) {
                status = VG_FAIL(err, VG_E_IO, "%s: cannot read: %s", path, strerror(errno));
                goto done;
            }
            if (got == 0)
                break;
            used += (size_t)got;
        }
        if (used > limit_bytes) {
            status = VG_FAIL(err, VG_E_FORMAT, "%s: more than %zu bytes", path, limit_bytes);
            goto done;
        }
        if (used < room)
            break;
        room = room > SIZE_MAX / 4 ? SIZE_MAX / 2 : room * 2;
    }
    VG_TRY_GOTO(status, vg_file_check_pointer(path, buffer, used, err), done);
    buffer[used] = '\0';
    *text = buffer;
    buffer = NULL;
    if (size)
        *size = used;
done:
    free(buffer);
    close(fd);
    return status;
}

static vg_status write_parts(const char *path, const vg_file_part *parts, int count, bool durable,
                             vg_err *err)
{
    vg_newfile file;

    VG_TRY(vg_newfile_open(path, &file, err));
    for (int i = 0; i < count; i++) {
        vg_status status = vg_newfile_write(&file, parts[i].bytes, parts[i].size, err);
        if (status != VG_OK) {
            vg_newfile_abort(&file);
            return status;
        }
    }
    return vg_newfile_commit(&file, durable, err);
}

vg_status vg_file_write_atomic_parts(const char *path, const vg_file_part *parts, int count,
                                     vg_err *err)
{
    return write_parts(path, parts, count, true, err);
}

vg_status vg_file_write_atomic(const char *path, const void *bytes, size_t size, vg_err *err)
{
    vg_file_part part = {bytes, size};

    return write_parts(path, &part, 1, true, err);
}

vg_status vg_file_write_volatile(const char *path, const void *bytes, size_t size, vg_err *err)
{
    vg_file_part part = {bytes, size};

    return write_parts(path, &part, 1, false, err);
}

static vg_status make_dirs(const char *path, mode_t mode, vg_err *err)
{
    vg_status status = VG_OK;
    char *copy = strdup(path);

    if (!copy)
        return VG_FAIL(err, VG_E_NOMEM, "%s: out of memory", path);
    for (char *at = copy; *at; at++) {
        /* At each end of a component: the prefix up to here must be a folder. */
        if (at[0] == '/' || (at[1] != '/' && at[1] != '\0'))
            continue;
        char keep = at[1];
        at[1] = '\0';
        int reason = mkdir(copy, mode) == 0 ? 0 : errno;
        if (reason && !vg_file_is_dir(copy)) {
            status = VG_FAIL(err, VG_E_IO, "%s: cannot make the folder: %s", copy,
                             strerror(reason == EEXIST ? ENOTDIR : reason));
            break;
        }
        at[1] = keep;
    }
    free(copy);
    return status;
}

vg_status vg_file_make_dirs(const char *path, vg_err *err)
{
    return make_dirs(path, 0777, err);
}

vg_status vg_file_make_private_dirs(const char *path, vg_err *err)
{
    return make_dirs(path, 0700, err);
}

static vg_status remove_at(int parent, const char *name, const char *shown, int depth, vg_err *err)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return VG_OK;
    if (errno != EISDIR && errno != EPERM)
        return VG_FAIL(err, VG_E_IO, "%s: cannot remove %s: %s", shown, name, strerror(errno));
    if (depth >= TREE_DEPTH_MAX)
        return VG_FAIL(err, VG_E_IO, "%s: more than %d folders deep, not removed", shown,
                       TREE_DEPTH_MAX);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int saved = errno;
        if (fd >= 0)
            close(fd);
        return VG_FAIL(err, VG_E_IO, "%s: cannot open %s: %s", shown, name, strerror(saved));
    }
    vg_status status = VG_OK;
    struct dirent *entry;
    while (status == VG_OK && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = remove_at(dirfd(dir), entry->d_name, shown, depth + 1, err);
    }
    closedir(dir);
    if (status == VG_OK && unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        status = VG_FAIL(err, VG_E_IO, "%s: cannot remove %s: %s", shown, name, strerror(errno));
    return status;
}

vg_status vg_file_remove_tree(const char *path, vg_err *err)
{
    return remove_at(AT_FDCWD, path, path, 0, err);
}

bool vg_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool vg_file_is_dir(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char *vg_path_join(const char *a, const char *b)
{
    size_t length = strlen(a);

    if (length == 0)
        return strdup(b);
    return vg_strf("%s%s%s", a, a[length - 1] == '/' ? "" : "/", b);
}

char *vg_strf(const char *format, ...)
{
    va_list args, again;
    char *text = NULL;

    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length >= 0 && (text = malloc((size_t)length + 1)) != NULL)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

uint64_t vg_proc_bytes(const char *file, const char *key)
{
    char line[256];
    uint64_t bytes = 0;
    size_t n = strlen(key);
    FILE *f = fopen(file, "re");

    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, key, n) == 0 && line[n] == ':') {
            bytes = strtoull(line + n + 1, NULL, 10) * 1024;
            break;
        }
    }
    if (f)
        fclose(f);
    return bytes;
}

size_t vg_memory_available(void)
{
    return (size_t)vg_proc_bytes("/proc/meminfo", "MemAvailable");
}

uint64_t vg_memory_total(void)
{
    uint64_t total = vg_proc_bytes("/proc/meminfo", "MemTotal");
    unsigned long long limit = 0;
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "re");

    if (f && fscanf(f, "%llu", &limit) == 1 && limit > 0 && (limit < total || total == 0))
        total = limit;
    if (f)
        fclose(f);
    return total;
}
