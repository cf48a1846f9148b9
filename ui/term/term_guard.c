/* term_guard.c: what must happen whatever happens. Signals become bytes on a pipe; a crash restores the terminal and dies of the
 * same signal; stderr goes to a file while the screen is on and is replayed at the end. */
#include "ui/term/term.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

/* Sanitizers report on stderr and then _exit; captured, their report would be lost. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEP_STDERR 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(undefined_behavior_sanitizer)
#define KEEP_STDERR 1
#endif
#endif
#ifndef KEEP_STDERR
#define KEEP_STDERR 0
#endif

static const int loop_signals[] = {SIGWINCH, SIGTERM, SIGHUP,  SIGINT,
                                   SIGQUIT,  SIGTSTP, SIGCONT, SIGPIPE};
static const int crash_signals[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
enum {
    LOOP_COUNT = sizeof loop_signals / sizeof loop_signals[0],
    CRASH_COUNT = sizeof crash_signals / sizeof crash_signals[0]
};

static struct {
    volatile sig_atomic_t on;
    int pipe[2], tty, capture, saved_stderr;
    char restore[256];
    size_t restore_size;
    struct termios termios;
    bool have_termios;
    struct sigaction old_loop[LOOP_COUNT], old_crash[CRASH_COUNT];
    char *stack;
    stack_t old_stack;
} guard = {.pipe = {-1, -1}, .tty = -1, .capture = -1, .saved_stderr = -1};

static void on_signal(int number)
{
    int saved = errno;
    char byte = (char)number;
    if (number != SIGPIPE && write(guard.pipe[1], &byte, 1) < 0) {
        /* full: the loop has plenty to wake up for */
    }
    errno = saved;
}

/* Only async-signal-safe calls. */
/* No escape sequence of a library reaches the terminal: neither C0 controls nor C1, which are c2 80 to c2 9f in UTF-8 and single bytes to
 * terminals of another encoding. *before: the byte in front of these. */
static void hide_controls(unsigned char *s, size_t n, unsigned char *before)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = s[i];
        bool c1 = c >= 0x80 && c < 0xa0 && (*before == 0xc2 || *before < 0x80);
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f || c1)
            s[i] = '?';
        if (c1 && i > 0 && *before == 0xc2)
            s[i - 1] = '?';
        *before = c;
    }
}

static void replay_stderr(void)
{
    if (guard.capture < 0 || guard.saved_stderr < 0)
        return;
    char part[512];
    unsigned char before = 0;
    off_t size = lseek(guard.capture, 0, SEEK_END);
    off_t at = size > 65536 ? size - 65536 : 0;
    for (;;) {
        ssize_t n = pread(guard.capture, part, sizeof part, at);
        if (n <= 0)
            break;
        hide_controls((unsigned char *)part, (size_t)n, &before);
        if (write(guard.saved_stderr, part, (size_t)n) < 0)
            break;
        at += n;
    }
}

static void on_crash(int number)
{
    if (guard.on) {
        guard.on = 0;
        if (write(guard.tty, guard.restore, guard.restore_size) < 0) {
            /* nothing left to try */
        }
        if (guard.have_termios)
            tcsetattr(guard.tty, TCSANOW, &guard.termios);
        replay_stderr();
    }
    for (int i = 0; i < CRASH_COUNT; i++)
        if (crash_signals[i] == number)
            sigaction(number, &guard.old_crash[i], NULL);
    raise(number);
}

int vg_guard_begin(const char *restore, size_t restore_size, int tty)
{
    if (guard.on || restore_size > sizeof guard.restore)
        return -1;
    if (pipe2(guard.pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        return -1;
    memcpy(guard.restore, restore, restore_size);
    guard.restore_size = restore_size;
    guard.tty = tty;
    guard.have_termios = tty >= 0 && tcgetattr(tty, &guard.termios) == 0;
    guard.capture = guard.saved_stderr = -1;
    if (!KEEP_STDERR && isatty(2)) { /* a redirected stderr stays where the person sent it */
        guard.saved_stderr = fcntl(2, F_DUPFD_CLOEXEC, 3);
        guard.capture = memfd_create("vgen-stderr", MFD_CLOEXEC);
        if (guard.saved_stderr >= 0 && guard.capture >= 0)
            dup2(guard.capture, 2);
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < LOOP_COUNT; i++)
        sigaction(loop_signals[i], &action, &guard.old_loop[i]);
    enum { STACK = 64 * 1024 };
    guard.stack = malloc(STACK);
    stack_t stack = {.ss_sp = guard.stack, .ss_size = STACK};
    if (guard.stack)
        sigaltstack(&stack, &guard.old_stack);
    action.sa_handler = on_crash;
    action.sa_flags = SA_ONSTACK | SA_NODEFER;
    for (int i = 0; i < CRASH_COUNT; i++)
        sigaction(crash_signals[i], &action, &guard.old_crash[i]);
    guard.on = 1;
    return guard.pipe[0];
}

void vg_guard_end(void)
{
    if (!guard.on)
        return;
    guard.on = 0;
    for (int i = 0; i < CRASH_COUNT; i++)
        sigaction(crash_signals[i], &guard.old_crash[i], NULL);
    for (int i = 0; i < LOOP_COUNT; i++)
        sigaction(loop_signals[i], &guard.old_loop[i], NULL);
    if (guard.stack) {
        sigaltstack(&guard.old_stack, NULL);
        free(guard.stack);
        guard.stack = NULL;
    }
    if (guard.have_termios)
        tcsetattr(guard.tty, TCSANOW, &guard.termios);
    if (guard.saved_stderr >= 0) {
        dup2(guard.saved_stderr, 2);
        replay_stderr();
        close(guard.saved_stderr);
    }
    if (guard.capture >= 0)
        close(guard.capture);
    close(guard.pipe[0]);
    close(guard.pipe[1]);
    guard.pipe[0] = guard.pipe[1] = guard.capture = guard.saved_stderr = -1;
}

int vg_guard_take(void)
{
    unsigned char byte;
    if (guard.pipe[0] < 0)
        return 0;
    return read(guard.pipe[0], &byte, 1) == 1 ? byte : 0;
}

void vg_guard_stop(void)
{
    struct sigaction plain = {.sa_handler = SIG_DFL}, ours;
    sigemptyset(&plain.sa_mask);
    sigaction(SIGTSTP, &plain, &ours);
    if (guard.saved_stderr >= 0)
        dup2(guard.saved_stderr, 2);
    /* The whole foreground group stops, as the terminal driver would have done; a worker has its own session. */
    if (getpgrp() == getpid() || tcgetpgrp(guard.tty) == getpgrp())
        kill(0, SIGTSTP);
    else
        raise(SIGTSTP);
    sigaction(SIGTSTP, &ours, NULL);
    if (guard.capture >= 0)
        dup2(guard.capture, 2);
}
