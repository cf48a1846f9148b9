/* fault_io.c: a library to be preloaded (LD_PRELOAD) that lets one file call fail: the n-th, counted over all calls on files below
 * some folders, so that libraries and configuration that a program loads are left out.
 *
 *   FAULT_UNDER     folders, ':' between them; without it nothing is counted
 *   FAULT_AT        which call fails, from 0; -1 none
 *   FAULT_HANG      which call never returns, whatever signals come
 *   FAULT_ERRNO     with what (a number); EIO
 *   FAULT_COMMAND   only in a process whose first argument is this one
 *   FAULT_LOG       each call is written there: "NUMBER NAME PATH"
 *   FAULT_ENCODERS  encoders that libavcodec refuses, "libx264,ffv1"
 *   FAULT_PLAIN     set: the file system has no unnamed files (O_TMPFILE)
 *
 * A close that fails has closed. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static const char *under = "", *log_path;
static long fail_at = -1, hang_at = -1;
static int fail_errno = EIO;
static atomic_long calls;

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("FAULT_COMMAND");
    char line[4096];
    if (text) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0);
        ssize_t n = syscall(SYS_read, fd, line, sizeof line - 1);
        syscall(SYS_close, fd);
        line[n > 0 ? n : 0] = 0;
        size_t first = strlen(line) + 1;
        if (n <= 0 || (size_t)n <= first || strcmp(line + first, text) != 0)
            return;
    }
    if ((text = getenv("FAULT_AT")))
        fail_at = atol(text);
    if ((text = getenv("FAULT_HANG")))
        hang_at = atol(text);
    if ((text = getenv("FAULT_ERRNO")))
        fail_errno = atoi(text);
    log_path = getenv("FAULT_LOG");
    if ((text = getenv("FAULT_UNDER")))
        under = text;
}

static bool counted(const char *path)
{
    for (const char *at = under; *at;) {
        size_t n = strcspn(at, ":");
        if (n && !strncmp(path, at, n) && (path[n] == '/' || path[n] == '\0'))
            return true;
        at += n + (at[n] == ':');
    }
    return false;
}

/* Whether this call is the one. */
static bool fails(const char *name, const char *path)
{
    char line[PATH_MAX + 64];
    int saved = errno;
    if (!*under || !counted(path)) {
        errno = saved;
        return false;
    }
    long mine = atomic_fetch_add(&calls, 1);
    while (mine == hang_at)
        pause();
    if (log_path) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, log_path,
                              O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        int n = snprintf(line, sizeof line, "%ld %s %s\n", mine, name, path);
        syscall(SYS_write, fd, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
        syscall(SYS_close, fd);
    }
    errno = mine == fail_at ? fail_errno : saved;
    return mine == fail_at;
}

static bool fails_fd(const char *name, int fd)
{
    char link[64], path[PATH_MAX];
    int saved = errno;
    if (!*under)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    errno = saved;
    return fails(name, path);
}

static bool fails_at(const char *name, int folder, const char *path)
{
    char link[64], whole[2 * PATH_MAX] = "";
    if (*path == '/' || !*under)
        return *under && fails(name, path);
    snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, whole, PATH_MAX);
    snprintf(whole + (n > 0 ? n : 0), PATH_MAX, "/%s", path);
    return fails(name, whole);
}

static int open_it(int folder, const char *path, int flags, mode_t mode)
{
    if ((flags & O_TMPFILE) == O_TMPFILE && getenv("FAULT_PLAIN")) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return fails_at("open", folder, path) ? -1
                                          : (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define OPEN_MODE(flags)                                                                           \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                         \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode = va_arg(args, mode_t);                                                               \
        va_end(args);                                                                              \
    }

int open(const char *path, int flags, ...)
{
    OPEN_MODE(flags)
    return open_it(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    OPEN_MODE(flags)
    return open_it(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    OPEN_MODE(flags)
    return open_it(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    OPEN_MODE(flags)
    return open_it(folder, path, flags, mode);
}

ssize_t read(int fd, void *bytes, size_t size)
{
    return fails_fd("read", fd) ? -1 : (ssize_t)syscall(SYS_read, fd, bytes, size);
}

ssize_t pread(int fd, void *bytes, size_t size, off_t at)
{
    return fails_fd("pread", fd) ? -1 : (ssize_t)syscall(SYS_pread64, fd, bytes, size, at);
}

ssize_t pread64(int fd, void *bytes, size_t size, off64_t at)
{
    return pread(fd, bytes, size, at);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    return fails_fd("write", fd) ? -1 : (ssize_t)syscall(SYS_write, fd, bytes, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    return fails_fd("pwrite", fd) ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, bytes, size, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
    return pwrite(fd, bytes, size, at);
}

off_t lseek(int fd, off_t at, int whence)
{
    return fails_fd("lseek", fd) ? -1 : (off_t)syscall(SYS_lseek, fd, at, whence);
}

off64_t lseek64(int fd, off64_t at, int whence)
{
    return lseek(fd, at, whence);
}

int fsync(int fd)
{
    return fails_fd("fsync", fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return fails_fd("fdatasync", fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t size)
{
    return fails_fd("ftruncate", fd) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

int close(int fd)
{
    bool lost = fails_fd("close", fd);
    int reason = errno, rc = (int)syscall(SYS_close, fd);
    if (lost)
        errno = reason;
    return lost ? -1 : rc;
}

int rename(const char *from, const char *to)
{
    return fails_at("rename", AT_FDCWD, to)
               ? -1
               : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_folder, const char *from, int folder, const char *to)
{
    return fails_at("rename", folder, to)
               ? -1
               : (int)syscall(SYS_renameat2, from_folder, from, folder, to, 0);
}

int linkat(int from_folder, const char *from, int folder, const char *to, int flags)
{
    return fails_at("link", folder, to)
               ? -1
               : (int)syscall(SYS_linkat, from_folder, from, folder, to, flags);
}

int unlink(const char *path)
{
    return fails_at("unlink", AT_FDCWD, path) ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int mkdir(const char *path, mode_t mode)
{
    return fails_at("mkdir", AT_FDCWD, path) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

void *mmap(void *at, size_t size, int rights, int flags, int fd, off_t offset)
{
    if (fd >= 0 && fails_fd("mmap", fd))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, size, rights, flags, fd, offset);
}

void *mmap64(void *at, size_t size, int rights, int flags, int fd, off64_t offset)
{
    return mmap(at, size, rights, flags, fd, offset);
}

/* An AVCodec begins with its name. */
int avcodec_open2(void *context, const void *codec, void **options)
{
    static int (*real)(void *, const void *, void **);
    const char *refused = getenv("FAULT_ENCODERS"),
               *name = codec ? *(const char *const *)codec : NULL;
    size_t n = name ? strlen(name) : 0;
    for (const char *at = refused; n && at && *at;) {
        size_t m = strcspn(at, ",");
        if (m == n && !strncmp(at, name, n))
            return -EINVAL;
        at += m + (at[m] == ',');
    }
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "avcodec_open2");
    return real ? real(context, codec, options) : -ENOSYS;
}
