/* tui_device.h: where a job would run and what it may take there, for the forecast of the setup form. Asked of a process of its own
 * (vgen device): opening a driver takes seconds, and what it holds of the device stays taken as long as its process lives. */
#ifndef VG_APP_TUI_TUI_DEVICE_H
#define VG_APP_TUI_TUI_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct vg_tui_device {
    bool is_cuda;     /* where a job runs that names no device; false until an answer came */
    uint64_t limit;   /* bytes that a job may take on the GPU, 0 unknown */
    int fd;           /* the answer on its way, -1 none */
    char reason[256]; /* why it is not a GPU, "" otherwise */
    char text[2048];
    size_t used;
} vg_tui_device;

/* Nothing is known and nothing was asked yet. */
void vg_tui_device_init(vg_tui_device *device);
/* Drops an answer that is on its way; the child is the caller's to reap. */
void vg_tui_device_deinit(vg_tui_device *device);
/* Ask, unless an answer is on its way. True: device->fd becomes readable when there is something to take, and *pid is a child to reap. */
bool vg_tui_device_ask(vg_tui_device *device, pid_t *pid);
/* Take what has come. True: the answer is complete, and fd is closed. */
bool vg_tui_device_take(vg_tui_device *device);
#endif
