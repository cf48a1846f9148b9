/* lock.c: open-file-description locks: unlike flock they can be looked at (F_OFD_GETLK) without being taken. See lock.h. */
#include "app/job/lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "kernels/base/text.h"

#define OPEN_TRIES 20

static struct flock whole_file(short type)
{
    struct flock fl;
    memset(&fl, 0, sizeof fl);
    fl.l_type = type;
    fl.l_whence = SEEK_SET;
    return fl;
}

/* Does it lie where everyone can write? */
static bool is_everyones(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = vg_xstrf("%.*s", slash > path ? (int)(slash - path) : 1, slash ? path : ".");
    struct stat st;
    bool open_to_all = stat(folder, &st) == 0 && (st.st_mode & S_IWOTH);
    free(folder);
    return open_to_all;
}

/* Others may lie in wait where everyone can write: no link is followed, no pipe waited for, and a file with a second name is not written
 * to. A file that another user made is opened without O_CREAT: the kernel refuses that in such folders (fs.protected_regular). */
static int open_lock(const char *path, int flags)
{
    const int always = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    struct stat st;
    for (int i = 0; i < OPEN_TRIES; i++) {
        int fd = open(path, flags | always);
        if (fd < 0 && errno == ENOENT && flags == O_RDWR) {
            fd = open(path, flags | O_CREAT | O_EXCL | always, 0600);
            if (fd >= 0 && is_everyones(path))
                (void)fchmod(fd, 0666); /* the lock of a device, whatever the umask is */
        }
        if (fd < 0 && (errno == EEXIST || (errno == ENOENT && flags == O_RDWR)))
            continue; /* made, or removed, between the two calls */
        if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink > 1)) {
            close(fd);
            errno = EINVAL;
            return -1;
        }
        return fd;
    }
    return -1;
}

/* Whether the file is still the one of that name: whoever held the lock before may have removed it. */
static bool is_current(int fd, const char *path)
{
    struct stat held, there;
    return fstat(fd, &held) == 0 && lstat(path, &there) == 0 && held.st_dev == there.st_dev &&
           held.st_ino == there.st_ino;
}

static vg_status fail(const char *path, const char *what, int number, vg_err *err)
{
    return VG_FAIL(err, VG_E_IO, "%s: %s: %s", path, what,
                   number == EINVAL ? "something that is not a lock lies there" : strerror(number));
}

vg_status vg_lock_take(const char *path, const char *note, int *fd, vg_err *err)
{
    struct flock fl = whole_file(F_WRLCK);
    size_t n = strlen(note);
    for (int i = 0; i < OPEN_TRIES; i++) {
        int file = open_lock(path, O_RDWR);
        if (file < 0)
            return fail(path, "cannot open the lock", errno, err);
        if (fcntl(file, F_OFD_SETLK, &fl) != 0) {
            int reason = errno;
            close(file);
            return reason == EAGAIN || reason == EACCES
                       ? VG_FAIL(err, VG_E_BUSY, "%s: held by another process", path)
                       : VG_FAIL(err, VG_E_IO, "%s: cannot lock: %s", path, strerror(reason));
        }
        if (!is_current(file, path)) {
            close(file);
            continue;
        }
        errno = ENOSPC; /* of a write that is short */
        if (ftruncate(file, 0) != 0 || pwrite(file, note, n, 0) != (ssize_t)n) {
            int reason = errno;
            close(file);
            return VG_FAIL(err, VG_E_IO, "%s: cannot write: %s", path, strerror(reason));
        }
        *fd = file;
        return VG_OK;
    }
    return VG_FAIL(err, VG_E_BUSY, "%s: removed and made again all the time", path);
}

void vg_lock_release(int fd)
{
    if (fd >= 0)
        close(fd);
}

bool vg_lock_held(const char *path, char *note, size_t note_size)
{
    int file = open_lock(path, O_RDONLY);
    if (note && note_size)
        note[0] = 0;
    if (file < 0)
        return false;
    struct flock fl = whole_file(F_RDLCK);
    bool held = fcntl(file, F_OFD_GETLK, &fl) == 0 && fl.l_type != F_UNLCK;
    if (held && note && note_size) {
        char raw[256];
        ssize_t n = pread(file, raw, sizeof raw - 1, 0);
        raw[n > 0 ? n : 0] = 0;
        vg_text_clean_to(note, note_size, raw);
    }
    close(file);
    return held;
}

vg_status vg_lock_queue(const char *path, char **place, int *fd, vg_err *err)
{
    *place = vg_xstrf("%s.%020lld-%ld", path, (long long)vg_now_monotonic_ms(), (long)getpid());
    vg_status status = vg_lock_take(*place, "", fd, err);
    if (status != VG_OK) {
        free(*place);
        *place = NULL;
    }
    return status;
}

bool vg_lock_first(const char *path, const char *place)
{
    const char *name = strrchr(path, '/') + 1, *own = place + (name - path);
    char *folder = vg_xstrf("%.*s", (int)(name - path), path);
    size_t n = strlen(name);
    bool first = true;
    DIR *dir = opendir(folder);
    struct dirent *item;
    while (first && dir && (item = readdir(dir))) {
        if (strncmp(item->d_name, name, n) || item->d_name[n] != '.' ||
            strcmp(item->d_name, own) >= 0)
            continue;
        char *before = vg_xstrf("%s%s", folder, item->d_name);
        if (vg_lock_held(before, NULL, 0))
            first = false;
        else
            (void)unlink(before); /* of one that was killed while it waited */
        free(before);
    }
    if (dir)
        closedir(dir);
    free(folder);
    return first;
}

void vg_lock_leave(char *place, int fd)
{
    if (place)
        (void)unlink(place);
    vg_lock_release(fd);
    free(place);
}
