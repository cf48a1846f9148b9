/* device_lock.c: see device_lock.h. */
#include "app/job/device_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app/job/device.h"
#include "app/job/process.h"
#include "app/settings/paths.h"

#define SHARED_BY_SYSTEM "/run/lock"
#define SHARED_BY_US     "/tmp/vgen-locks"

/* May everyone make files there, and nobody remove another's? One rule for all users, so that all come to the same answer. */
static bool is_shared(const char *dir)
{
    struct stat st;
    const mode_t all = S_ISVTX | 0777;
    return lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == all &&
           access(dir, W_OK | X_OK) == 0;
}

/* The first of all users makes it. */
static bool make_shared(const char *dir)
{
    if (mkdir(dir, 0700) == 0) {
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0) {
            (void)fchmod(fd, S_ISVTX | 0777); /* whatever the umask is */
            close(fd);
        }
    }
    return is_shared(dir);
}

/* malloc'd; NULL with err filled. */
static char *find_place(vg_err *err)
{
    const char *asked = getenv("VGEN_LOCK_DIR");
    if (asked && *asked) {
        char *dir = vg_paths_absolute(asked);
        if (vg_file_make_private_dirs(dir, err) == VG_OK)
            return dir;
        free(dir);
        return NULL;
    }
    if (is_shared(SHARED_BY_SYSTEM))
        return vg_xstrdup(SHARED_BY_SYSTEM);
    if (make_shared(SHARED_BY_US))
        return vg_xstrdup(SHARED_BY_US);
    char *state = vg_paths_state(), *dir = vg_xstrf("%s/locks", state);
    vg_err inner = {0};
    free(state);
    if (vg_file_make_private_dirs(dir, &inner) == VG_OK && access(dir, W_OK) == 0)
        return dir;
    VG_FAIL(err, VG_E_IO,
            "no place for the lock of the device: not every user may write to %s or %s, and %s; "
            "set VGEN_LOCK_DIR to a folder that can be written",
            SHARED_BY_SYSTEM, SHARED_BY_US,
            *inner.message ? inner.message : "not to the state folder");
    free(dir);
    return NULL;
}

char *vg_device_lock_path(const char *device, vg_err *err)
{
    char id[VG_DEVICE_ID_MAX];
    if (vg_device_identify(device, id, err) != VG_OK)
        return NULL;
    char *dir = find_place(err), *path = dir ? vg_xstrf("%s/vgen-%s.lock", dir, id) : NULL;
    free(dir);
    return path;
}

void vg_device_lock_holder(const char *path, char *text, size_t size)
{
    char note[64], job[160];
    long pid = 0;
    int end = 0;
    struct stat st;
    text[0] = 0;
    if (!vg_lock_held(path, note, sizeof note))
        return;
    if (sscanf(note, "process %ld%n", &pid, &end) != 1 || pid <= 1 || note[end])
        snprintf(text, size, "another program");
    else if (vg_process_job((pid_t)pid, job, sizeof job))
        snprintf(text, size, "%s", job);
    else {
        char process[32];
        snprintf(process, sizeof process, "/proc/%ld", pid);
        /* In a container the number may mean somebody else, or nobody. */
        snprintf(text, size,
                 stat(process, &st) == 0 ? "process %ld" : "a process of another container or user",
                 pid);
    }
}
