/* tui_wake.c: see tui_wake.h. */
#include "app/tui/tui_wake.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "kernels/base/text.h"

void vg_tui_wake_add(vg_tui_wake *w, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (fd >= 0)
        epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

void vg_tui_wake_init(vg_tui_wake *w)
{
    *w = (vg_tui_wake){.epoll_fd = epoll_create1(EPOLL_CLOEXEC),
                       .inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
                       .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                       .timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
    vg_tui_wake_add(w, w->inotify_fd);
    vg_tui_wake_add(w, w->event_fd);
    vg_tui_wake_add(w, w->timer_fd);
}

void vg_tui_wake_deinit(vg_tui_wake *w)
{
    const int fds[] = {w->inotify_fd, w->event_fd, w->timer_fd, w->epoll_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    for (int i = 0; i < w->children_count; i++)
        free(w->children[i].dir);
    *w = (vg_tui_wake){.epoll_fd = -1, .inotify_fd = -1, .event_fd = -1, .timer_fd = -1};
}

void vg_tui_wake_now(vg_tui_wake *w)
{
    uint64_t one = 1;
    if (write(w->event_fd, &one, sizeof one) != (ssize_t)sizeof one)
        return; /* polling finds it too */
}

int vg_tui_wake_watch(vg_tui_wake *w, const char *dir)
{
    return w->inotify_fd >= 0
               ? inotify_add_watch(w->inotify_fd, dir,
                                   IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)
               : -1;
}

void vg_tui_wake_unwatch(vg_tui_wake *w, int watch)
{
    if (watch >= 0)
        inotify_rm_watch(w->inotify_fd, watch);
}

void vg_tui_wake_child(vg_tui_wake *w, pid_t pid, const char *dir)
{
    if (w->children_count < VG_TUI_CHILDREN_MAX) {
        w->children[w->children_count].dir = vg_xstrdup(dir);
        w->children[w->children_count++].pid = pid;
    }
}

void vg_tui_wake_every(vg_tui_wake *w, int ms)
{
    struct timespec every = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    struct itimerspec spec = {every, every};
    if (w->timer_fd >= 0 && w->ticking != (ms > 0) &&
        timerfd_settime(w->timer_fd, 0, &spec, NULL) == 0)
        w->ticking = ms > 0;
}

static void take_changes(vg_tui_wake *w, const vg_tui_wake_taker *taker)
{
    _Alignas(struct inotify_event) char buffer[16384];
    ssize_t n;
    while (w->inotify_fd >= 0 && (n = read(w->inotify_fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const struct inotify_event *)(buffer + at);
            at += (ssize_t)(sizeof *event + event->len);
            if (taker->changed)
                taker->changed(taker->user, event->mask & IN_Q_OVERFLOW ? -1 : event->wd);
        }
    }
}

static void reap(vg_tui_wake *w, const vg_tui_wake_taker *taker)
{
    for (int i = 0; i < w->children_count;) {
        if (waitpid(w->children[i].pid, NULL, WNOHANG) == 0) {
            i++;
            continue;
        }
        char *dir = w->children[i].dir;
        w->children[i] = w->children[--w->children_count];
        if (taker->ended)
            taker->ended(taker->user, dir);
        free(dir);
    }
}

bool vg_tui_wake_take(vg_tui_wake *w, const vg_tui_wake_taker *taker)
{
    uint64_t count;
    bool called = read(w->event_fd, &count, sizeof count) == (ssize_t)sizeof count;
    if (w->timer_fd >= 0 && read(w->timer_fd, &count, sizeof count) < 0)
        count = 0;
    take_changes(w, taker);
    reap(w, taker);
    return called;
}
