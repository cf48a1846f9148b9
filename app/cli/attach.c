/* attach.c: see attach.h. The screen is one line at the bottom of stderr, redrawn in place and never wider than the terminal. */
#include "app/cli/attach.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "app/cli/cli.h"
#include "app/job/kind.h"
#include "app/worker/worker.h"

#define POLL_MS 100

static volatile sig_atomic_t interrupts;

static void on_interrupt(int number)
{
    interrupts += number == SIGQUIT ? 2 : 1; /* the second one leaves the job to itself */
}

typedef struct attach {
    vg_snapshot *snapshot;
    const vg_attach_options *options;
    bool tty;
    bool drawn; /* the line is on the screen */
    vg_job_state said;
    char said_message[VG_ERR_MESSAGE_MAX];
} attach;

static void clear_line(attach *a)
{
    if (a->drawn)
        fputs("\r\033[K", stderr);
    a->drawn = false;
}

/* ---- plain lines ---- */

static void print_clean(const char *text)
{
    vg_text_print(stderr, text);
}

/* "who: what detail" */
static void print_line(const char *who, const char *what, const char *detail)
{
    print_clean(who);
    fputs(": ", stderr);
    print_clean(what);
    fputs(*detail ? " " : "", stderr);
    print_clean(detail);
    fputc('\n', stderr);
}

static void tell(void *user, const vg_event_line *line)
{
    attach *a = user;
    const vg_job_event *e = line->event;
    if (a->options->quiet || !e)
        return;
    if (e->type == VG_JOB_EVENT_note) {
        clear_line(a);
        print_line(e->variant, e->text, "");
    }
    if (a->tty)
        return;
    bool ends = !strcmp(e->what, "end");
    if (e->type == VG_JOB_EVENT_step) {
        print_clean(e->variant);
        fprintf(stderr, ": step %d/%d, %.3f s\n", e->step, e->steps, e->seconds);
    } else if (e->type == VG_JOB_EVENT_stage && !ends) {
        print_line(e->variant, e->stage, e->detail);
    } else if (e->type == VG_JOB_EVENT_queued) {
        print_line("queued", "waiting for", e->waiting_for);
    } else if (e->type == VG_JOB_EVENT_variant && ends) {
        print_line(e->variant, "done", "");
    }
}

/* ---- the line ---- */

static int terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

static void bar(char *text, int width, double share)
{
    int full = (int)(share * width + 0.5);
    for (int i = 0; i < width; i++)
        text[i] = i < full ? '#' : '-';
    text[width] = 0;
}

static void draw(attach *a)
{
    const vg_snapshot *snapshot = a->snapshot;
    char line[640] = "", left[160], part[8][64], bars[64];
    int parts = 0, columns = terminal_columns() - 1;
    if (columns > 200)
        columns = 200;
    if (snapshot->state == VG_JOB_QUEUED || snapshot->current < 0) {
        snprintf(line, sizeof line, "%s%s%s",
                 snapshot->state == VG_JOB_QUEUED ? "queued" : "starting",
                 *snapshot->message ? ": " : "", snapshot->message);
    } else {
        const vg_variant_snapshot *v = &snapshot->variants[snapshot->current];
        const char *name = v->id;
        bool denoise = !strcmp(v->stage, "denoise") || !v->stage[0];
        int done = denoise ? v->step : v->part, all = denoise ? v->steps : v->parts;
        double s = v->s_per_it, eta = vg_job_eta_s(snapshot);
        char text[40];
        snprintf(left, sizeof left, "%s %s ", name, v->stage[0] ? v->stage : "start");
        if (all > 0)
            snprintf(part[parts++], sizeof part[0], "%d/%d", done, all);
        if (denoise && isfinite(s))
            snprintf(part[parts++], sizeof part[0], "%.*f s/it", s < 10 ? 2 : 1, s);
        if (denoise && isfinite(eta))
            snprintf(part[parts++], sizeof part[0], "ETA %s",
                     vg_text_duration(eta, text, sizeof text));
        if (denoise && v->expert >= 0 &&
            *vg_settings_get(&snapshot->job->resolved, VG_OPT_boundary_ratio))
            snprintf(part[parts++], sizeof part[0], "%s", v->expert ? "low noise" : "high noise");
        vg_job_memory memory = vg_snapshot_memory(snapshot);
        if (memory.now)
            snprintf(part[parts++], sizeof part[0], "%s %s", memory.is_device ? "VRAM" : "RSS",
                     vg_text_bytes(memory.now, text, sizeof text));
        if (vg_gpu_has(&snapshot->gpu, VG_GPU_utilization_percent))
            snprintf(part[parts++], sizeof part[0], "GPU %.0f%%",
                     snapshot->gpu.value[VG_GPU_utilization_percent]);
        if (vg_gpu_has(&snapshot->gpu, VG_GPU_power_w))
            snprintf(part[parts++], sizeof part[0], "%.0f W", snapshot->gpu.value[VG_GPU_power_w]);
        int used = (int)strlen(left), width;
        /* Leave out from the right what does not fit beside a bar of at least 8. */
        for (;;) {
            int rest = 0;
            for (int i = 0; i < parts; i++)
                rest += 2 + (int)strlen(part[i]);
            width = columns - used - rest - 2;
            if (width >= 8 || parts == 0)
                break;
            parts--;
        }
        if (width > 30)
            width = 30;
        size_t n = (size_t)snprintf(line, sizeof line, "%s", left);
        if (width >= 8) {
            bar(bars, width, all > 0 ? (double)done / all : 0);
            n += (size_t)snprintf(line + n, sizeof line - n, "[%s]", bars);
        }
        for (int i = 0; i < parts; i++)
            n += (size_t)snprintf(line + n, sizeof line - n, "  %s", part[i]);
    }
    vg_text_cut(line, columns);
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
    a->drawn = true;
}

/* ---- watching ---- */

/* True while the worker that we started is alive; afterwards *status is how it ended. */
static bool child_alive(pid_t *worker, int *status)
{
    int how = 0;
    if (*worker <= 0)
        return false;
    pid_t r = waitpid(*worker, &how, WNOHANG);
    if (r == 0)
        return true;
    if (r == *worker)
        *status = how;
    *worker = 0;
    return false;
}

/* What this run left in worker.log, its last line; it could not write to the journal. */
static void last_log_line(vg_snapshot *snapshot)
{
    char *path = vg_job_path(snapshot->job, VG_JOB_LOG), *text = NULL,
         last[VG_ERR_MESSAGE_MAX - 40] = "", said[VG_ERR_MESSAGE_MAX];
    size_t size = 0;
    if (vg_file_read(path, VG_JOB_LOG_BYTES_MAX, &text, &size, NULL) == VG_OK &&
        size > snapshot->log_bytes) {
        char *at = text + snapshot->log_bytes;
        for (char *line = strtok_r(at, "\n", &at); line; line = strtok_r(NULL, "\n", &at))
            vg_text_clean_to(last, sizeof last, line);
    }
    if (*last)
        snprintf(said, sizeof said, "the worker ended early: %s",
                 strncmp(last, "vgen work: ", 11) ? last : last + 11);
    else
        snprintf(said, sizeof said,
                 "the worker ended without a word; worker.log in the job's folder may say why");
    vg_snapshot_say(snapshot, said);
    free(text);
    free(path);
}

/* A worker that ended without a last word: what is known of why. */
static void explain_end(vg_snapshot *snapshot, int status)
{
    char said[256];
    if (!WIFSIGNALED(status)) {
        last_log_line(snapshot);
        return;
    }
    snprintf(said, sizeof said,
             "the worker was ended by signal %d (%s)%s; resume goes on from the last finished step",
             WTERMSIG(status), strsignal(WTERMSIG(status)),
             WTERMSIG(status) == SIGKILL ? ", perhaps for lack of memory" : "");
    vg_snapshot_say(snapshot, said);
}

static bool handle_interrupt(attach *a, int *seen)
{
    int now = interrupts;
    if (now == *seen)
        return true;
    *seen = now;
    clear_line(a);
    if (!a->options->cancel || now > 1)
        return false;
    vg_err err = {0};
    fputs("cancelling (again to leave it to itself)\n", stderr);
    if (vg_worker_cancel(a->snapshot->job->dir, &err) != VG_OK &&
        !vg_job_state_is_final(a->snapshot->state)) {
        print_clean(err.message);
        fputc('\n', stderr);
    }
    return true;
}

/* A line drawn over itself needs a terminal that knows how. */
static bool can_redraw(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb");
}

bool vg_attach(vg_snapshot *snapshot, const vg_attach_options *options)
{
    attach a = {.snapshot = snapshot, .options = options, .tty = !options->quiet && can_redraw()};
    struct sigaction on = {.sa_handler = on_interrupt}, old_int, old_term, old_quit;
    pid_t worker = options->worker;
    bool had_child = worker > 0, ended = false;
    int seen = 0, how = 0;
    interrupts = 0;
    sigemptyset(&on.sa_mask);
    sigaction(SIGINT, &on, &old_int);
    sigaction(SIGTERM, &on, &old_term);
    sigaction(SIGQUIT, &on, &old_quit);
    for (;;) {
        bool alive = child_alive(&worker, &how);
        vg_snapshot_refresh(snapshot, tell, &a);
        bool final = vg_job_state_is_final(snapshot->state);
        /* An ending that the journal states counts; "nobody is on it" does not while our child is still on its way to the lock. */
        if (final && !(alive && snapshot->state == VG_JOB_INTERRUPTED && !snapshot->stopped)) {
            if (snapshot->state == VG_JOB_INTERRUPTED && !snapshot->stopped && had_child)
                explain_end(snapshot, how);
            ended = true;
            break;
        }
        if (had_child && !alive && !vg_job_running(snapshot->job->dir, NULL)) {
            vg_snapshot_refresh(snapshot, tell, &a);
            if (!vg_job_state_is_final(snapshot->state)) {
                snapshot->state = VG_JOB_INTERRUPTED;
                explain_end(snapshot, how);
            }
            ended = true;
            break;
        }
        if (!handle_interrupt(&a, &seen))
            break;
        if (a.tty)
            draw(&a);
        usleep(POLL_MS * 1000);
    }
    clear_line(&a);
    /* Let the worker give its locks back, so that what the caller does next finds the job free. */
    for (int i = 0; ended && i < 200 &&
                    (child_alive(&worker, &how) || vg_job_running(snapshot->job->dir, NULL));
         i++)
        usleep(25 * 1000);
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    sigaction(SIGQUIT, &old_quit, NULL);
    return ended;
}

int vg_attach_exit(const vg_snapshot *snapshot)
{
    if (snapshot->state == VG_JOB_DONE || snapshot->stopped)
        return VG_EXIT_OK;
    return snapshot->state == VG_JOB_CANCELLED ? VG_EXIT_CANCELLED : VG_EXIT_FAILURE;
}

static void print_outputs(const vg_job *job)
{
    for (int i = 0; i < job->variants_count; i++) {
        const vg_job_outputs *o = &job->variants[i].outputs;
        const char *const paths[] = {o->output, o->save_latents, o->save_frames};
        for (int k = 0; k < 3; k++) {
            if (paths[k] && vg_file_exists(paths[k])) {
                vg_text_print(stdout, job->variants[i].label);
                fputs("  ", stdout);
                vg_text_print(stdout, paths[k]);
                putchar('\n');
            }
        }
    }
    if (job->comparison_output && vg_file_exists(job->comparison_output)) {
        fputs("comparison  ", stdout);
        vg_text_print(stdout, job->comparison_output);
        putchar('\n');
    }
}

void vg_attach_print_markdown(const vg_snapshot *snapshot)
{
    snapshot->job->kind->print(snapshot, stdout, true);
}

void vg_attach_print_result(const vg_snapshot *snapshot, bool json)
{
    if (json) {
        vg_json_print(stdout, vg_snapshot_json(snapshot), false);
        return;
    }
    printf("job %s: %s", snapshot->job->id,
           snapshot->stopped ? "stopped as asked, vgen resume goes on"
                             : vg_job_state_text(snapshot->state));
    if (*snapshot->message && !snapshot->stopped) {
        fputs(": ", stdout);
        vg_text_print(stdout, snapshot->message);
    }
    putchar('\n');
    snapshot->job->kind->print(snapshot, stdout, false);
    print_outputs(snapshot->job);
}
