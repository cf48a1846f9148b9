/* tui_wake.h: what wakes the screens: changed folders (inotify), threads that are done (eventfd), processes that ended, a timer. All of it
 * becomes one descriptor. Without inotify or a timer nothing wakes by itself, and the screens' own polling remains. */
#ifndef VG_APP_TUI_TUI_WAKE_H
#define VG_APP_TUI_TUI_WAKE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { VG_TUI_CHILDREN_MAX = 64 };

typedef struct vg_tui_wake {
    int epoll_fd; /* readable when something happened */
    int inotify_fd, event_fd, timer_fd;
    bool ticking;
    struct {
        pid_t pid;
        char *dir; /* of its job; "" of another child */
    } children[VG_TUI_CHILDREN_MAX];
    int children_count;
} vg_tui_wake;

/* Who wants to know: each may be NULL. */
typedef struct vg_tui_wake_taker {
    void *user;
    void (*changed)(void *user, int watch); /* a folder; -1: any, some news were lost */
    void (*ended)(void *user, const char *dir);
} vg_tui_wake_taker;

/* Descriptors that cannot be had are -1; what needs them then never wakes. */
void vg_tui_wake_init(vg_tui_wake *wake);
/* Closes its own descriptors; those that were added stay open, children are not waited for. */
void vg_tui_wake_deinit(vg_tui_wake *wake);
void vg_tui_wake_add(vg_tui_wake *wake, int fd); /* another descriptor, until it is closed */
void vg_tui_wake_now(vg_tui_wake *wake);         /* from any thread */
/* Files that appear or grow in a folder; -1 when it cannot be watched. */
int vg_tui_wake_watch(vg_tui_wake *wake, const char *dir);
/* watch: from vg_tui_wake_watch; -1 is a no-op. */
void vg_tui_wake_unwatch(vg_tui_wake *wake, int watch);
/* Reap this child when it ends and tell `ended` of dir (copied). Beyond VG_TUI_CHILDREN_MAX it is not followed. */
void vg_tui_wake_child(vg_tui_wake *wake, pid_t pid, const char *dir);
void vg_tui_wake_every(vg_tui_wake *wake, int ms); /* 0: no longer */
/* Hand out what happened since, and become unreadable. True when vg_tui_wake_now was called. */
bool vg_tui_wake_take(vg_tui_wake *wake, const vg_tui_wake_taker *taker);
#endif
