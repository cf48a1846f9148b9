/* newfile.c: unnamed files, and the one place where a file gets its name. See newfile.h. */
#include "kernels/base/newfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY_BEGIN ".vgen-"
#define TEMPORARY_END   ".tmp"
#define NAME_TRIES      100

static vg_status fail(const vg_newfile *f, const char *what, int number, vg_err *err)
{
    return VG_FAIL(err, number == ENOMEM ? VG_E_NOMEM : VG_E_IO, "%s: %s: %s", f->path, what,
                   strerror(number));
}

static struct flock whole_file(short type)
{
    struct flock fl = {.l_type = type, .l_whence = SEEK_SET};
    return fl;
}

/* A name that nothing has: 64 random bits; the caller tries again where one is taken all the same. */
static void draw_name(vg_newfile *f)
{
    uint64_t bits = 0;
    if (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        bits ^= (uint64_t)getpid() << 32 ^ (uint64_t)(uintptr_t)f;
    snprintf(f->temporary, sizeof f->temporary, TEMPORARY_BEGIN "%016llx" TEMPORARY_END,
             (unsigned long long)bits);
}

/* The folder that holds `path`, open; its errors are those of the file. A folder that may be written and not read can still be
 * named (O_PATH), only not synced. */
static int open_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = !slash          ? strdup(".")
                   : slash == path ? strdup("/")
                                   : strndup(path, (size_t)(slash - path));
    if (!folder) {
        errno = ENOMEM;
        return -1;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == EACCES)
        fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int saved = errno;
    free(folder);
    errno = saved;
    return fd;
}

static const char *name_of(const vg_newfile *f)
{
    const char *slash = strrchr(f->path, '/');
    return slash ? slash + 1 : f->path;
}

/* Unnamed files get their name through /proc. */
static int open_unnamed(int folder, mode_t mode)
{
    if (access("/proc/self/fd", X_OK) != 0)
        return -1;
    return openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
}

static int open_named(vg_newfile *f, mode_t mode)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        struct stat st;
        draw_name(f);
        int fd = openat(f->folder, f->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                        mode);
        if (fd < 0 && errno == EEXIST)
            continue;
        if (fd < 0)
            return -1;
        struct flock fl = whole_file(F_WRLCK);
        (void)fcntl(fd, F_OFD_SETLK, &fl); /* where there are no locks, nobody sweeps either */
        /* Swept between the two calls: it looked dead. */
        if (fstat(fd, &st) == 0 && st.st_nlink > 0) {
            f->named = true;
            return fd;
        }
        close(fd);
    }
    errno = EEXIST;
    return -1;
}

vg_status vg_newfile_open(const char *path, vg_newfile *file, vg_err *err)
{
    vg_newfile f = {.fd = -1, .folder = open_folder(path), .path = strdup(path)};
    struct stat st;
    vg_status status = VG_OK;
    if (!f.path) {
        status = VG_FAIL(err, VG_E_NOMEM, "%s: out of memory for writing", path);
        goto fail;
    }
    if (f.folder < 0 || fstat(f.folder, &st) != 0) {
        status = fail(&f, "cannot be written there", errno, err);
        goto fail;
    }
    mode_t mode = st.st_mode & (S_IRWXG | S_IRWXO) ? 0666 : 0600;
    f.fd = open_unnamed(f.folder, mode);
    if (f.fd < 0)
        f.fd = open_named(&f, mode);
    if (f.fd < 0) {
        status = fail(&f, "cannot be written there", errno, err);
        goto fail;
    }
    *file = f;
    return VG_OK;
fail:
    if (f.folder >= 0)
        close(f.folder);
    free(f.path);
    return status;
}

vg_status vg_newfile_write(vg_newfile *file, const void *bytes, size_t size, vg_err *err)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t put = write(file->fd, at, size < (1u << 30) ? size : (1u << 30));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return fail(file, "cannot write", put < 0 ? errno : ENOSPC, err);
        at += put;
        size -= (size_t)put;
    }
    return VG_OK;
}

void vg_newfile_name(const vg_newfile *file, char name[32])
{
    snprintf(name, 32, "/proc/self/fd/%d", file->fd);
}

static void done(vg_newfile *f)
{
    if (f->named)
        (void)unlinkat(f->folder, f->temporary, 0);
    if (f->fd >= 0)
        close(f->fd);
    if (f->folder >= 0)
        close(f->folder);
    free(f->path);
    *f = (vg_newfile){.fd = -1, .folder = -1};
}

void vg_newfile_abort(vg_newfile *file)
{
    if (file->fd >= 0)
        done(file);
}

/* File systems that cannot sync say one of these: there is nothing more to be had there. */
static bool cannot_sync(int number)
{
    return number == EINVAL || number == ENOSYS || number == EOPNOTSUPP || number == EROFS;
}

/* From no name to a temporary one. */
static int give_temporary_name(vg_newfile *f)
{
    char self[32];
    vg_newfile_name(f, self);
    struct flock fl = whole_file(F_WRLCK);
    (void)fcntl(f->fd, F_OFD_SETLK, &fl);
    for (int i = 0; i < NAME_TRIES; i++) {
        draw_name(f);
        if (linkat(AT_FDCWD, self, f->folder, f->temporary, AT_SYMLINK_FOLLOW) == 0) {
            f->named = true;
            return 0;
        }
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

vg_status vg_newfile_commit(vg_newfile *file, bool durable, vg_err *err)
{
    vg_status status = VG_OK;
    int keep = -1;
    if (durable && fsync(file->fd) != 0 && !cannot_sync(errno)) {
        status = fail(file, "cannot sync", errno, err);
        goto done;
    }
    if (!file->named && give_temporary_name(file) != 0) {
        status = fail(file, "cannot be given a name", errno, err);
        goto done;
    }
    /* Some file systems tell of a lost write only here; so the name comes after it. The lock lives on in the copy. */
    keep = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
    int rc = close(file->fd);
    file->fd = -1;
    if (rc != 0 && errno != EINTR) {
        status = fail(file, "cannot write", errno, err);
        goto done;
    }
    if (renameat(file->folder, file->temporary, file->folder, name_of(file)) != 0) {
        status = fail(file, "cannot be put in place", errno, err);
        goto done;
    }
    file->named = false;
    if (durable && fsync(file->folder) != 0 && !cannot_sync(errno) && errno != EBADF) /* O_PATH */
        status = fail(file, "cannot sync its folder", errno, err);
done:
    if (keep >= 0)
        close(keep);
    done(file);
    return status;
}

vg_status vg_folder_sync(const char *folder, vg_err *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && (fsync(fd) == 0 || cannot_sync(errno));
    int reason = errno;
    if (fd >= 0)
        close(fd);
    return synced
               ? VG_OK
               : VG_FAIL(err, VG_E_IO, "%s: cannot sync the folder: %s", folder, strerror(reason));
}

static bool is_temporary(const char *name)
{
    size_t begin = strlen(TEMPORARY_BEGIN);
    return strlen(name) == begin + 16 + strlen(TEMPORARY_END) &&
           !strncmp(name, TEMPORARY_BEGIN, begin) &&
           strspn(name + begin, "0123456789abcdef") == 16 &&
           !strcmp(name + begin + 16, TEMPORARY_END);
}

void vg_newfile_sweep(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *item;
    while (dir && (item = readdir(dir))) {
        struct stat st;
        if (!is_temporary(item->d_name))
            continue;
        int fd = openat(dirfd(dir), item->d_name,
                        O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        /* Taken, not only looked at: a writer that has just made it sees that it is gone (open_named). */
        struct flock fl = whole_file(F_WRLCK);
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
            fcntl(fd, F_OFD_SETLK, &fl) == 0)
            (void)unlinkat(dirfd(dir), item->d_name, 0);
        if (fd >= 0)
            close(fd);
    }
    if (dir)
        closedir(dir);
}
