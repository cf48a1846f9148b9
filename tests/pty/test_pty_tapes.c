/* test_pty_tapes.c: the screens on a real pseudo terminal over recorded jobs: what is written, how fast, and that the terminal is given
 * back as it was whatever happens. */
#include "tests/pty/pty.h"
#include "tests/ui/ui_tape_host.h"
#include "app/media/clip.h"
#include "ui/host/run.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct how {
    int rows, cols;
    const char *term, *colorterm;
    bool history, fast;
    const char *crash; /* "segv": when the job starts; "exit": a library that calls exit */
    const char *colors, *no_color;
    char root[60]; /* of the jobs */
} how;

static char roots[40]; /* folder of theirs */

static bool crash_start(void *self, char *id, size_t id_size, const char **key, char *message,
                        size_t size)
{
    (void)self, (void)id, (void)id_size, (void)key, (void)message, (void)size;
    fprintf(stderr, "a library said this\n\xc2\x9b"
                    "5n\x7f \xe2\x80\x9b\n"); /* a C1 control, DEL, a quotation mark */
    raise(SIGSEGV);
    return false;
}

static bool exit_start(void *self, char *id, size_t id_size, const char **key, char *message,
                       size_t size)
{
    (void)self, (void)id, (void)id_size, (void)key, (void)message, (void)size;
    fprintf(stderr, "a library said this\n\xc2\x9b"
                    "5n\x7f \xe2\x80\x9b\n"); /* a C1 control, DEL, a quotation mark */
    exit(3);
}

static void child(const how *h)
{
    static const int caught[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}; /* by cmocka */
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
        signal(caught[i], SIG_DFL);
    tape_host *f = tape_host_new(h->root);
    char message[512] = "";
    f->started_at = vg_now_unix();
    f->real_clock = true;
    f->speed = h->fast ? 5 : 1;
    if (h->history)
        tape_host_history(f);
    if (h->crash)
        f->host.form.start = strcmp(h->crash, "segv") == 0 ? crash_start : exit_start;
    if (h->no_color)
        setenv("NO_COLOR", h->no_color, 1);
    vg_ui_options options = {
        .mouse = true, .pictures = "auto", .colors = h->colors ? h->colors : "auto"};
    int rc = vg_ui_run(&f->host, &options, message, sizeof message);
    if (message[0])
        fprintf(stderr, "%s\n", message);
    tape_host_free(f);
    fflush(NULL);
    _exit(rc);
}

static void make_root(how *h)
{
    snprintf(h->root, sizeof h->root, "%s/XXXXXX", roots);
    assert_non_null(mkdtemp(h->root));
}

static void start(pty *p, const how *wanted)
{
    how own = *wanted, *h = &own;
    make_root(h);
    pid_t pid = pty_fork(p, h->rows ? h->rows : 24, h->cols ? h->cols : 80,
                         h->term ? h->term : "xterm-256color", h->colorterm);
    assert_true(pid >= 0);
    if (pid == 0)
        child(h);
}

static void expect(pty *p, const char *text, double seconds)
{
    if (!pty_wait(p, text, seconds)) {
        pty_print_screen(p);
        fail_msg("the screen does not show \"%s\"", text);
    }
}

/* Of the second variant: "frame  5". */
static const char *worst_frame(void)
{
    static char line[32];
    char *text = tape_read("two", "metrics-fp8.json");
    cJSON *json = cJSON_Parse(text);
    const cJSON *one = cJSON_GetObjectItem(json, vg_metrics[0]->name);
    snprintf(line, sizeof line, "frame %2d", cJSON_GetObjectItem(one, "worst_frame")->valueint);
    cJSON_Delete(json);
    free(text);
    return line;
}

static void flow(const how *h)
{
    pty p;
    start(&p, h);
    expect(&p, "Start", 5);
    assert_true(p.alternate || h->term); /* the old ones have one screen only */
    pty_send(&p, "\r");
    expect(&p, "s/it", 5);
    pty_send(&p, "?");
    expect(&p, "Everywhere", 2);
    pty_send(&p, "?");
    expect(&p, "left", 5);
    expect(&p, "frame  1", 20); /* it went on to the comparison by itself */
    pty_send(&p, "d");
    expect(&p, "difference x8", 2);
    pty_send(&p, " ");
    pty_read(&p, 0.5, 1);
    pty_send(&p, " ");
    pty_send(&p, "w");
    expect(&p, worst_frame(), 2);
    pty_send(&p, "e");
    expect(&p, vg_clip_available() ? "comparison-diff.mp4" : "no .mp4", 10);
    pty_send(&p, "4");
    expect(&p, "demo-1", 2);
    pty_send(&p, "q");
    assert_true(pty_end(&p, 3));
    assert_true(WIFEXITED(p.status) && WEXITSTATUS(p.status) == 0);
    assert_true(pty_restored(&p));
    pty_close(&p);
}

static void test_pty_flow_in_all_kinds_of_terminal(void **state)
{
    (void)state;
    flow(&(how){.fast = true, .colorterm = "truecolor"});
    flow(&(how){.fast = true, .rows = 60, .cols = 200});
    flow(&(how){.fast = true, .term = "screen-256color"});
    flow(&(how){.fast = true, .term = "linux"});
    flow(&(how){.fast = true, .term = "vt100"});
    flow(&(how){.fast = true, .no_color = "1"});
}

static void test_pty_quit_says_that_the_job_goes_on(void **state)
{
    pty p;
    (void)state;
    start(&p, &(how){0});
    expect(&p, "Start", 5);
    pty_send(&p, "\r");
    expect(&p, "/20", 10);
    pty_send(&p, "q");
    assert_true(pty_end(&p, 3));
    assert_non_null(strstr(p.after, "The job goes on: demo-1"));
    assert_true(pty_restored(&p));
    pty_close(&p);
}

static void test_pty_terminal_is_given_back_after_signals(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
            pty p;
            start(&p, &(how){.colorterm = k ? "truecolor" : NULL});
            expect(&p, "Start", 5);
            kill(p.pid, signals[i]);
            assert_true(pty_end(&p, 3));
            assert_true(WIFEXITED(p.status));
            assert_int_equal(WEXITSTATUS(p.status), 128 + signals[i]);
            assert_true(pty_restored(&p));
            pty_close(&p);
        }
}

static void test_pty_terminal_is_given_back_after_a_crash(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        pty p;
        start(&p,
              &(how){.crash = k & 1 ? "exit" : "segv", .colorterm = k & 2 ? "truecolor" : NULL});
        expect(&p, "Start", 5);
        pty_send(&p, "\r");
        assert_true(pty_end(&p, 10));
        if (k & 1)
            assert_true(WIFEXITED(p.status) &&
                        WEXITSTATUS(p.status) != 0); /* 3, or what a leak checker makes of it */
        else
            assert_true((WIFSIGNALED(p.status) && WTERMSIG(p.status) == SIGSEGV) ||
                        WIFEXITED(p.status)); /* sanitizers exit */
        assert_true(pty_restored(&p));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        assert_non_null(
            strstr(p.after, "a library said this")); /* held back while the screen was on */
        assert_non_null(strstr(p.after, "5n? \xe2\x80\x9b"));
        assert_null(strchr(p.after, '\x7f'));
        assert_null(strstr(p.after, "\xc2\x9b"));
#endif
        pty_close(&p);
    }
}

/* What a shell does for a foreground job: only so can it be stopped (the kernel does not stop an orphan). */
static void as_shell(const how *h)
{
    signal(SIGTTOU, SIG_IGN);
    pid_t job = fork();
    if (job == 0) {
        setpgid(0, 0);
        tcsetpgrp(0, getpgrp());
        signal(SIGTTOU, SIG_DFL);
        child(h);
    }
    int status = 0;
    while (waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status)) {
        tcsetpgrp(0, getpgrp());
        if (write(1, "[1]+ Stopped", 12) < 0)
            break;
        char line[8];
        if (read(0, line, sizeof line) < 0) /* Enter brings it back */
            break;
        tcsetpgrp(0, job);
        kill(job, SIGCONT);
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
}

static void test_pty_stops_and_comes_back(void **state)
{
    pty p;
    (void)state;
    pid_t pid = pty_fork(&p, 24, 80, "xterm-256color", NULL);
    assert_true(pid >= 0);
    how h = {0};
    make_root(&h);
    if (pid == 0)
        as_shell(&h);
    expect(&p, "Start", 5);
    pty_send(&p, "\x1a");
    expect(&p, "[1]+ Stopped", 5);
    assert_true(pty_restored(&p));
    pty_send(&p, "\r");
    expect(&p, "Start", 3);
    assert_true(p.alternate);
    pty_send(&p, "q");
    assert_true(pty_end(&p, 3));
    assert_true(pty_restored(&p));
    pty_close(&p);
}

static void test_pty_a_lost_terminal_ends_it(void **state)
{
    pty p;
    (void)state;
    start(&p, &(how){0});
    expect(&p, "Start", 5);
    close(p.slave);
    close(p.master);
    double end = pty_now() + 5;
    while (!p.ended && pty_now() < end) {
        pty_reap(&p, WNOHANG);
        usleep(10000);
    }
    assert_true(p.ended && WIFEXITED(p.status));
}

static void test_pty_unusable_terminals_get_one_line(void **state)
{
    (void)state;
    static const char *const terms[] = {"dumb", "no-such-terminal", ""};
    for (int i = 0; i < 3; i++) {
        pty p;
        start(&p, &(how){.term = terms[i]});
        assert_true(pty_end(&p, 5));
        assert_true(WIFEXITED(p.status) && WEXITSTATUS(p.status) == 1);
        assert_non_null(strstr(p.after, "vgen compare"));
        assert_true(pty_restored(&p));
        pty_close(&p);
    }
}

static void test_pty_resize_storm(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        pty p;
        uint32_t seed = 7;
        start(&p, &(how){.history = true, .colorterm = k ? "truecolor" : NULL});
        expect(&p, "Start", 5);
        pty_send(&p, "\r");
        static const char *const keys[] = {"1", "2", "3", "4", "5", " ", "d"};
        for (int i = 0; i < 150 && !p.ended; i++) {
            seed = seed * 1664525u + 1013904223u;
            pty_resize(&p, 1 + (int)(seed >> 8) % 100, 1 + (int)(seed >> 16) % 300);
            if (i % 4 == 0)
                pty_send(&p, keys[(seed >> 5) % 7]);
            pty_read(&p, 0.02, 0.01);
        }
        pty_resize(&p, 1, 1);
        pty_read(&p, 0.2, 0.1);
        pty_resize(&p, 300, 300);
        pty_read(&p, 0.2, 0.1);
        pty_resize(&p, 24, 80);
        pty_send(&p, "\x1b");
        pty_read(&p, 0.3, 0.2);
        pty_send(&p, "1");
        expect(&p, "Start", 3);
        pty_resize(&p, 5, 20);
        expect(&p, "60 x 16", 3);
        pty_send(&p, "q");
        assert_true(pty_end(&p, 3));
        assert_true(WIFEXITED(p.status) && WEXITSTATUS(p.status) == 0);
        assert_true(pty_restored(&p));
        pty_close(&p);
    }
}

static void test_pty_bytes_are_spent_on_changes_only(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        pty p;
        start(&p, &(how){.colorterm = k ? "truecolor" : NULL});
        expect(&p, "Start", 5);
        pty_read(&p, 0.5, 0.3);
        unsigned long long before = p.bytes;
        pty_read(
            &p, 2.5,
            5); /* nothing happens: nothing is written, past the two-second look at the host too */
        assert_int_equal(p.bytes - before, 0);
        pty_send(&p, "\x1b[B"); /* one key: two fields and two lines change */
        pty_read(&p, 0.3, 0.2);
        assert_in_range(p.bytes - before, 1, 2500);
        pty_send(&p, "\x1b"
                     "4"); /* Alt-4: a plain 4 would be typed into the prompt */
        pty_read(&p, 0.3, 0.2);
        before = p.bytes;
        pty_read(&p, 1.5, 5);
        assert_int_equal(p.bytes - before, 0);
        pty_send(&p, "q");
        assert_true(pty_end(&p, 3));
        pty_close(&p);
    }
}

static void test_pty_keys_are_answered_at_once_while_a_job_runs(void **state)
{
    pty p;
    (void)state;
    start(&p, &(how){.colorterm = "truecolor"});
    expect(&p, "Start", 5);
    pty_send(&p, "\r");
    expect(&p, "/20", 10);
    double worst = 0;
    static const char *const keys[] = {"4", "2", "5", "2", "1", "2"}, *const answers[] = {
                                                                          "progress",   "s/it",
                                                                          "Everywhere", "s/it",
                                                                          "Sampling",   "s/it"};
    for (int i = 0; i < 6; i++) {
        double sent = pty_now();
        pty_send(&p, keys[i]);
        while (!pty_shows(&p, answers[i]) && pty_now() - sent < 1)
            pty_read(&p, 0.002, 0.001);
        worst = pty_now() - sent > worst ? pty_now() - sent : worst;
    }
    print_message("slowest key: %.1f ms\n", worst * 1e3);
    assert_true(worst < 0.25); /* 50 ms on a quiet machine; tests share theirs */
    pty_send(&p, "q");
    assert_true(pty_end(&p, 3));
    pty_close(&p);
}

static void test_pty_random_bytes_do_no_harm(void **state)
{
    pty p;
    uint32_t seed = 99;
    (void)state;
    start(&p, &(how){.history = true});
    expect(&p, "Start", 5);
    for (int i = 0; i < 400 && !p.ended; i++) {
        char bytes[24];
        int n = 0;
        for (; n < 20; n++) {
            seed = seed * 1664525u + 1013904223u;
            unsigned char c = (unsigned char)(seed >> 13);
            bytes[n] = (char)(c == 0 || c == 3 || c == 'q' || c == 26
                                  ? 'x'
                                  : c); /* quitting and stopping would end the test */
        }
        bytes[n] = 0;
        pty_send(&p, bytes);
        pty_read(&p, 0.01, 0.002);
    }
    kill(p.pid, SIGTERM);
    assert_true(pty_end(&p, 5));
    assert_true(WIFEXITED(p.status));
    assert_true(WEXITSTATUS(p.status) == 128 + SIGTERM || WEXITSTATUS(p.status) == 0);
    assert_true(pty_restored(&p));
    pty_close(&p);
}

static int open_roots(void **state)
{
    (void)state;
    snprintf(roots, sizeof roots, "/tmp/vgen-tapes-XXXXXX");
    return mkdtemp(roots) ? 0 : -1;
}

static int close_roots(void **state)
{
    (void)state;
    return vg_file_remove_tree(roots, NULL) == VG_OK ? 0 : -1;
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pty_flow_in_all_kinds_of_terminal),
        cmocka_unit_test(test_pty_quit_says_that_the_job_goes_on),
        cmocka_unit_test(test_pty_terminal_is_given_back_after_signals),
        cmocka_unit_test(test_pty_terminal_is_given_back_after_a_crash),
        cmocka_unit_test(test_pty_stops_and_comes_back),
        cmocka_unit_test(test_pty_a_lost_terminal_ends_it),
        cmocka_unit_test(test_pty_unusable_terminals_get_one_line),
        cmocka_unit_test(test_pty_resize_storm),
        cmocka_unit_test(test_pty_bytes_are_spent_on_changes_only),
        cmocka_unit_test(test_pty_keys_are_answered_at_once_while_a_job_runs),
        cmocka_unit_test(test_pty_random_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, open_roots, close_roots);
}
