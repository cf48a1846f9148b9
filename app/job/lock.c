/* lock.c: open-file-description locks: unlike flock they can be looked at (F_OFD_GETLK) without being taken. See lock.h. */
#include "app/job/lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "app/settings/paths.h"
#include "kernels/base/text.h"

static struct flock whole_file(short type)
{
    struct flock fl;
    memset(&fl, 0, sizeof fl);
    fl.l_type = type;
    fl.l_whence = SEEK_SET;
    return fl;
}

vg_status vg_lock_take(const char *path, const char *note, int *fd, vg_err *err)
{
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (file < 0)
        return VG_FAIL(err, VG_E_IO, "%s: cannot open the lock: %s", path, strerror(errno));
    struct flock fl = whole_file(F_WRLCK);
    if (fcntl(file, F_OFD_SETLK, &fl) != 0) {
        vg_status status =
            errno == EAGAIN || errno == EACCES
                ? VG_FAIL(err, VG_E_BUSY, "%s: held by another process", path)
                : VG_FAIL(err, VG_E_IO, "%s: cannot lock: %s", path, strerror(errno));
        close(file);
        return status;
    }
    size_t n = strlen(note);
    if (ftruncate(file, 0) != 0 || pwrite(file, note, n, 0) != (ssize_t)n) {
        vg_status status = VG_FAIL(err, VG_E_IO, "%s: cannot write: %s", path, strerror(errno));
        close(file);
        return status;
    }
    *fd = file;
    return VG_OK;
}

void vg_lock_release(int fd)
{
    if (fd >= 0)
        close(fd);
}

bool vg_lock_held(const char *path, char *note, size_t note_size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
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

char *vg_lock_device_path(const char *device, vg_err *err)
{
    char *dir = vg_paths_runtime();
    char name[64] = "cpu";
    if (!strcmp(device, "cuda")) {
        const char *visible = getenv("CUDA_VISIBLE_DEVICES");
        size_t n = visible ? strcspn(visible, ",") : 0;
        snprintf(name, sizeof name, "gpu%.*s", (int)(n > 50 ? 50 : n), n ? visible : "");
        if (!n)
            snprintf(name, sizeof name, "gpu0");
        for (char *c = name; *c; c++) {
            if (*c == '/' || *c == '.')
                *c = '_';
        }
    }
    char *path = vg_xstrf("%s/slot-%s.lock", dir, name);
    vg_status status = vg_file_make_dirs(dir, err);
    free(dir);
    if (status == VG_OK)
        return path;
    free(path);
    return NULL;
}
