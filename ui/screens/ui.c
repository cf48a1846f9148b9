/* ui.c: the loop. One poll() waits for keys, signals, the host and the next timer; then everything that happened is taken in, and the
 * screen is drawn once if anything changed. */
#include "ui/screens/ui.h"
#include "ui/host/run.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double clock_now(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void take_time(vg_ui *ui)
{
    ui->now = clock_now(CLOCK_MONOTONIC);
    ui->unix_now = clock_now(CLOCK_REALTIME);
}

static void sink(void *user, const vg_key *key)
{
    vg_ui_key(user, key);
}

static void suspend(vg_ui *ui)
{
    ui->suspend = false;
    vg_term_suspend(&ui->term);
    take_time(ui);
    vg_ui_resized(ui);
}

static void handle_signals(vg_ui *ui)
{
    int number;
    while ((number = vg_guard_take()) != 0) {
        switch (number) {
        case SIGWINCH:
            if (vg_term_update_size(&ui->term))
                vg_ui_resized(ui);
            break;
        case SIGTSTP:
            ui->suspend = true;
            break;
        case SIGCONT: /* stopped by SIGSTOP, say: somebody else may have written on the screen */
            ui->redraw_all = true;
            break;
        default:
            ui->quit = true;
            ui->status = 128 + number;
            break;
        }
    }
}

/* One round: wait, take in, draw. */
static void round_trip(vg_ui *ui, vg_input *input, double *last_refresh)
{
    enum { IN, SIGNALS, HOST };
    int wake = ui->host->wake_fd(ui->host->self);
    struct pollfd fds[3] = {{.fd = STDIN_FILENO, .events = POLLIN},
                            {.fd = ui->term.signal_fd, .events = POLLIN},
                            {.fd = wake, .events = POLLIN}};
    double wait = vg_ui_tick(ui);
    /* Without a descriptor the host is asked four times a second; with one, every two, for what inotify cannot see. */
    double poll_every = wake < 0 ? 0.25 : 2.0;
    double until_refresh = *last_refresh + poll_every - ui->now;
    if (wait < 0 || until_refresh < wait)
        wait = until_refresh;
    if (vg_input_waiting(input) && wait > (input->pasting ? 1.0 : 0.03))
        wait = input->pasting ? 1.0 : 0.03;
    if (ui->dirty)
        vg_ui_show(ui);
    int ms = wait <= 0 ? 0 : (int)(wait * 1000) + 1;
    int ready = poll(fds, wake >= 0 ? 3 : 2, ms);
    take_time(ui);
    if (ready > 0 && (fds[IN].revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL))) {
        char bytes[4096];
        int n = vg_term_read(&ui->term, bytes, sizeof bytes);
        if (n < 0) { /* the terminal is gone; jobs have their own processes */
            ui->quit = true;
            ui->status = 128 + SIGHUP;
            return;
        }
        vg_input_feed(input, bytes, (size_t)n, sink, ui);
    } else if (vg_input_waiting(input) && ready == 0) {
        vg_input_flush(input, sink, ui);
    }
    if (ready > 0 && (fds[SIGNALS].revents & POLLIN))
        handle_signals(ui);
    bool host_ready = ready > 0 && wake >= 0 && fds[HOST].revents;
    if (host_ready || ui->now - *last_refresh >= poll_every) {
        *last_refresh = ui->now;
        /* A wake-up without a new snapshot may be a frame that was loaded; drawing the same cells again writes nothing. */
        if (ui->host->refresh(ui->host->self) || host_ready)
            ui->dirty = true;
    }
    if (ui->suspend && !ui->quit)
        suspend(ui);
    if (ui->redraw_all) {
        ui->redraw_all = false;
        ui->term.force = true;
        ui->dirty = true;
    }
}

int vg_ui_run(const vg_ui_host *host, const vg_ui_options *options, char *message,
              size_t message_size)
{
    vg_ui ui;
    vg_input input;
    memset(&ui, 0, sizeof ui);
    memset(&input, 0, sizeof input);
    if (message_size)
        message[0] = 0;
    if (!vg_term_open(&ui.term, options, message, message_size))
        return 1;
    take_time(&ui);
    double last_refresh = ui.now;
    if (vg_ui_init(&ui, host, options)) {
        while (!ui.quit)
            round_trip(&ui, &input, &last_refresh);
    } else {
        ui.status = 1;
        snprintf(message, message_size, "not enough memory for the screens");
    }
    vg_ui_deinit(&ui);
    vg_input_deinit(&input);
    vg_term_close(&ui.term);
    if (ui.farewell[0] && ui.status == 0) {
        fprintf(stdout, "%s\n", ui.farewell);
        fflush(stdout);
    }
    return ui.status;
}
