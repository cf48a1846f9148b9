/* test_pty_tui.c: the real vgen-tui on a pseudo terminal with the demo model: setup, run, a lost worker, detach, attach, compare, export,
 * at 80x24 and 200x60, and the terminal given back after each way out. */
#include "tests/pty/pty.h"
#include "kernels/base/fileio.h"

#include <dirent.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

typedef struct home {
    char root[64], jobs[96];
} home;

static void home_make(home *h)
{
    snprintf(h->root, sizeof h->root, "/tmp/vgen-pty-XXXXXX");
    assert_non_null(mkdtemp(h->root));
    snprintf(h->jobs, sizeof h->jobs, "%s/jobs", h->root);
    mkdir(h->jobs, 0700);
}

static void home_remove(const home *h)
{
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'", h->root);
    if (system(command) != 0)
        fprintf(stderr, "%s is left behind\n", h->root);
}

static void start(pty *p, const home *h, int rows, int cols, const char *steps)
{
    pid_t pid = pty_fork(p, rows, cols, "xterm-256color", "truecolor");
    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("XDG_STATE_HOME", h->root, 1);
        setenv("XDG_CONFIG_HOME", h->root, 1);
        setenv("XDG_CACHE_HOME", h->root, 1);
        setenv("VGEN_LOCK_DIR", h->root, 1);
        if (steps)
            execl(VG_TUI_PROGRAM, "vgen-tui", "--jobs-dir", h->jobs, "--num-inference-steps", steps,
                  (char *)NULL);
        else
            execl(VG_TUI_PROGRAM, "vgen-tui", "--jobs-dir", h->jobs, (char *)NULL);
        _exit(126);
    }
}

static void expect(pty *p, const char *text, double seconds)
{
    if (!pty_wait(p, text, seconds)) {
        pty_print_screen(p);
        fail_msg("the screen does not show \"%s\"", text);
    }
}

static void quit(pty *p)
{
    pty_send(p, "q");
    assert_true(pty_end(p, 10));
    assert_true(WIFEXITED(p->status) && WEXITSTATUS(p->status) == 0);
    assert_true(pty_restored(p));
    pty_close(p);
}

/* The one job's folder. */
static void job_dir(const home *h, char *out, size_t size)
{
    DIR *d = opendir(h->jobs);
    struct dirent *e;
    out[0] = 0;
    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            snprintf(out, size, "%s/%s", h->jobs, e->d_name);
    closedir(d);
    assert_true(out[0]);
}

/* Processes whose command line names the job's folder: its worker. */
static pid_t worker_of(const char *dir)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    pid_t found = 0;
    assert_non_null(d);
    while (!found && (e = readdir(d)) != NULL) {
        char path[300], line[4096];
        snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
        FILE *f = atoi(e->d_name) > 0 ? fopen(path, "r") : NULL;
        if (!f)
            continue;
        size_t n = fread(line, 1, sizeof line - 1, f);
        fclose(f);
        line[n] = 0;
        for (size_t i = 0; i < n; i++)
            if (line[i] == 0)
                line[i] = ' ';
        if (strstr(line, " work ") && strstr(line, dir))
            found = (pid_t)atoi(e->d_name);
    }
    closedir(d);
    return found;
}

static void flow(int rows, int cols)
{
    home h;
    pty p;
    char dir[512], clip[600];
    struct stat st;
    home_make(&h);
    start(&p, &h, rows, cols, "8");
    expect(&p, "Start", 20);
    expect(&p, "big red ball", 5); /* the demo is ready: one key */
    pty_send(&p, "\r");
    expect(&p, "s/it", 30);
    quit(&p); /* detach: the job goes on */
    assert_non_null(strstr(p.after, "goes on"));
    start(&p, &h, rows, cols, NULL); /* attach */
    expect(&p, "FP8", 20);
    expect(&p, "done", 240);
    pty_send(&p, "3");
    expect(&p, "frame  1", 10);
    expect(&p, "PSNR", 10);
    pty_send(&p, "..");
    expect(&p, "frame  3", 5);
    pty_send(&p, "d");
    expect(&p, "difference x8", 5);
    pty_send(&p, "e");
    expect(&p, "comparison", 60);
    pty_send(&p, "4");
    expect(&p, "done", 5);
    quit(&p);
    job_dir(&h, dir, sizeof dir);
    snprintf(clip, sizeof clip, "%s/comparison.mp4", dir);
    assert_int_equal(stat(clip, &st), 0);
    assert_true(st.st_size > 1000);
    home_remove(&h);
}

/* The screen says "loading" nowhere any more, soon after `text` came, with no key pressed. */
static void expect_pictures(pty *p, const char *text, double wait)
{
    expect(p, text, wait);
    double end = pty_now() + 2 * PTY_PATIENCE;
    while (pty_shows(p, " loading ") && pty_now() < end)
        pty_read(p, 0.1, 0.05);
    if (pty_shows(p, " loading ")) {
        pty_print_screen(p);
        fail_msg("the frames are still loading, without a key");
    }
}

static void test_pty_tui_pictures_come_without_a_key(void **state)
{
    home h;
    pty p;
    (void)state;
    home_make(&h);
    start(&p, &h, 24, 80, "2");
    expect(&p, "Start", 20);
    pty_send(&p, "\r");
    expect_pictures(&p, "frame  1", 400); /* the switch after the run */
    expect(&p, "comparison: ", 20);
    expect(&p, "comparison.mp4", 5); /* the end of the path stays */
    quit(&p);
    start(&p, &h, 24, 80, NULL);
    expect(&p, "Start", 20);
    pty_send(&p, "3");
    expect_pictures(&p, "frame  1", 10);
    quit(&p);
    start(&p, &h, 24, 80, NULL);
    expect(&p, "Start", 20);
    pty_send(&p, "4");
    expect(&p, "progress", 5);
    pty_send(&p, "\r"); /* opened from the list */
    expect_pictures(&p, "frame  1", 10);
    quit(&p);
    start(&p, &h, 24, 80, NULL);
    expect(&p, "Start", 20);
    pty_send(&p, "3");
    for (int i = 0; i < 40; i++) { /* a window dragged about while the frames load */
        pty_resize(&p, 20 + i % 30, 62 + i * 3 % 90);
        usleep(15000);
    }
    pty_resize(&p, 40, 120);
    pty_read(&p, 3, 0.3);
    expect_pictures(&p, "frame  1", 10);
    quit(&p);
    home_remove(&h);
}

/* Half of the frames' file is gone: the screen says so, beside the clip that is whole. */
static void test_pty_tui_broken_frames_are_named(void **state)
{
    home h;
    pty p;
    char dir[512], frames[600];
    struct stat st;
    (void)state;
    home_make(&h);
    start(&p, &h, 24, 80, "2");
    expect(&p, "Start", 20);
    pty_send(&p, "\r");
    expect_pictures(&p, "frame  1", 400);
    quit(&p);
    job_dir(&h, dir, sizeof dir);
    snprintf(frames, sizeof frames, "%s/variants/fp8/frames.mkv", dir);
    assert_int_equal(stat(frames, &st), 0);
    assert_int_equal(truncate(frames, st.st_size / 2), 0);
    start(&p, &h, 24, 80, NULL);
    expect(&p, "Start", 20);
    pty_send(&p, "3");
    expect(&p, "Frames cannot be read", 10);
    expect_pictures(&p, "frames.mkv", 5);
    quit(&p);
    home_remove(&h);
}

static void test_pty_tui_flow_at_80x24(void **state)
{
    (void)state;
    flow(24, 80);
}

static void test_pty_tui_flow_at_200x60(void **state)
{
    (void)state;
    flow(60, 200);
}

/* A step is in the job's journal. The screen may never show "1/60": on a busy machine many steps end between two looks at it. */
static void expect_a_step(pty *p, const char *dir, double seconds)
{
    char path[600];
    bool found = false;
    snprintf(path, sizeof path, "%s/events.jsonl", dir);
    for (double end = pty_now() + seconds * PTY_PATIENCE; !found && pty_now() < end;) {
        char *text = NULL;
        pty_read(p, 0.05, 0.03);
        if (vg_file_read(path, 16u << 20, &text, NULL, NULL) == VG_OK)
            found = strstr(text, "\"type\":\"step\"") != NULL;
        free(text);
    }
    assert_true(found);
}

static void test_pty_tui_survives_its_worker_and_resumes(void **state)
{
    home h;
    pty p;
    char dir[512];
    (void)state;
    home_make(&h);
    start(&p, &h, 24, 80, "60"); /* not done before it is killed */
    expect(&p, "Start", 20);
    pty_send(&p, "\r");
    expect(&p, "s/it", 30);
    job_dir(&h, dir, sizeof dir);
    expect_a_step(&p, dir, 120);
    pid_t worker = 0;
    for (int i = 0; i < 100 && !(worker = worker_of(dir)); i++)
        pty_read(&p, 0.1, 0.05);
    assert_true(worker > 0);
    kill(worker, SIGKILL);
    expect(&p, "interrupted", 1.5); /* a lock that is looked at twice a second */
    pty_send(&p, "r");
    expect(&p, "running", 20);
    pty_send(&p, "c");
    expect(&p, "Cancel the job?", 5);
    pty_send(&p, "\r");
    expect(&p, "cancelled", 60);
    quit(&p);
    home_remove(&h);
}

static void test_pty_tui_gives_the_terminal_back(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGSEGV, SIGABRT};
    (void)state;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        home h;
        pty p;
        home_make(&h);
        start(&p, &h, 24, 80, "8");
        expect(&p, "Start", 20);
        kill(p.pid, signals[i]);
        assert_true(pty_end(&p, 10));
        assert_true(pty_restored(&p));
        pty_close(&p);
        home_remove(&h);
    }
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pty_tui_gives_the_terminal_back),
        cmocka_unit_test(test_pty_tui_pictures_come_without_a_key),
        cmocka_unit_test(test_pty_tui_broken_frames_are_named),
        cmocka_unit_test(test_pty_tui_flow_at_80x24),
        cmocka_unit_test(test_pty_tui_flow_at_200x60),
        cmocka_unit_test(test_pty_tui_survives_its_worker_and_resumes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
