/* tui_device.c: see tui_device.h. */
#include "app/tui/tui_device.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <unistd.h>
#include "kernels/base/json.h"
#include "kernels/base/text.h"

extern char **environ;

void vg_tui_device_init(vg_tui_device *device)
{
    *device = (vg_tui_device){.fd = -1};
}

void vg_tui_device_deinit(vg_tui_device *device)
{
    if (device->fd >= 0)
        close(device->fd);
    device->fd = -1;
}

bool vg_tui_device_ask(vg_tui_device *device, pid_t *pid)
{
    char *argv[] = {"vgen", "device", NULL};
    posix_spawn_file_actions_t files;
    int ends[2];
    if (device->fd >= 0 || pipe2(ends, O_CLOEXEC) != 0)
        return false;
    /* Before there is a child, which nobody would wait for after a failure. */
    int rc = fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0 ? errno : 0;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, ends[1], 1);
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    if (rc == 0)
        rc = posix_spawn(pid, "/proc/self/exe", &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    if (rc != 0) {
        close(ends[0]);
        return false;
    }
    device->fd = ends[0];
    device->used = 0;
    return true;
}

static void parse(vg_tui_device *device)
{
    cJSON *root = NULL;
    const char *name = NULL, *reason = NULL;
    double limit = 0;
    if (vg_json_parse(device->text, device->used, "vgen device", &root, NULL) == VG_OK &&
        vg_json_get_string(root, "vgen device", "device", &name, NULL) == VG_OK && name &&
        vg_json_get_double(root, "vgen device", "limit_bytes", 0, 1e18, &limit, NULL) == VG_OK) {
        device->is_cuda = !strcmp(name, "cuda");
        device->limit = device->is_cuda ? (uint64_t)limit : 0;
        (void)vg_json_get_string(root, "vgen device", "reason", &reason, NULL);
        vg_text_clean_to(device->reason, sizeof device->reason, reason ? reason : "");
    }
    cJSON_Delete(root);
}

bool vg_tui_device_take(vg_tui_device *device)
{
    while (device->fd >= 0) {
        size_t room = sizeof device->text - 1 - device->used;
        ssize_t n = read(device->fd, device->text + device->used, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n > 0) {
            device->used += (size_t)n;
            continue;
        }
        /* The end; also an answer that is too long to be one, or a pipe that broke. */
        device->text[device->used] = 0;
        close(device->fd);
        device->fd = -1;
        parse(device);
        return true;
    }
    return false;
}
