/* process.c: see process.h. */
#include "app/job/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "kernels/base/fileio.h"
#include "kernels/base/text.h"

#define COMMAND_BYTES_MAX (1u << 20)

/* Does its descriptor `fd` hold a lock to write? What the kernel tells of it has a line "lock: 1: OFDLCK ADVISORY WRITE ...". */
static bool locks(pid_t pid, const char *fd)
{
    char path[64], line[256];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%ld/fdinfo/%.16s", (long)pid, fd);
    FILE *f = fopen(path, "re");
    while (f && !found && fgets(line, sizeof line, f))
        found = !strncmp(line, "lock:", 5) && strstr(line, "OFDLCK") && strstr(line, "WRITE");
    if (f)
        fclose(f);
    return found;
}

static bool holds(pid_t pid, const char *lock_path)
{
    char path[32];
    struct stat lock, st;
    bool found = false;
    if (stat(lock_path, &lock) != 0)
        return false;
    snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
    if (stat(path, &st) != 0 || st.st_uid != geteuid())
        return false;
    DIR *dir = opendir(path); /* of our processes only */
    for (struct dirent *item; dir && !found && (item = readdir(dir));)
        found = fstatat(dirfd(dir), item->d_name, &st, 0) == 0 && st.st_dev == lock.st_dev &&
                st.st_ino == lock.st_ino && locks(pid, item->d_name);
    if (dir)
        closedir(dir);
    return found;
}

vg_status vg_process_signal(pid_t pid, const char *lock_path, int number, vg_err *err)
{
    vg_status status = VG_OK;
    /* Opened before it is looked at: from here on the number may be given to another process, and this still means the one. */
    int process = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (pid <= 1 || (process < 0 && errno == ESRCH) || !holds(pid, lock_path))
        status = VG_FAIL(err, VG_E_MISSING,
                         "process %ld is not this job's worker, or not one of this machine and "
                         "user; it is left alone",
                         (long)pid);
    else if ((process >= 0 ? (int)syscall(SYS_pidfd_send_signal, process, number, NULL, 0)
                           : kill(pid, number)) != 0 &&
             errno != ESRCH)
        status = VG_FAIL(err, VG_E_IO, "cannot signal the worker (process %ld): %s", (long)pid,
                         strerror(errno));
    if (process >= 0)
        close(process);
    return status;
}

bool vg_process_job(pid_t pid, char *name, size_t size)
{
    char path[32], *words = NULL;
    size_t n = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%ld/cmdline", (long)pid);
    if (vg_file_read(path, COMMAND_BYTES_MAX, &words, &n, NULL) != VG_OK)
        return false;
    /* Words end in NUL; there is one more behind the last. */
    const char *end = words + n, *command = words + strlen(words) + 1;
    const char *dir = command < end ? command + strlen(command) + 1 : end;
    if (dir < end && !strcmp(command, "work")) {
        const char *slash = strrchr(dir, '/');
        vg_text_clean_to(name, size, slash ? slash + 1 : dir);
        found = *name != 0;
    }
    free(words);
    return found;
}
