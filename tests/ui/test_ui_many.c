/* test_ui_many.c: thousands of finished jobs keep no one waiting: how long the first picture takes, how long a key may wait while the rest is
 * read, what it costs in memory, and what it costs to look again. VG_MANY_JOBS says how many. */
#include "tests/ui/ui_tape_host.h"
#include "ui/screens/ui.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

static char root[] = "/tmp/vgen-many-XXXXXX";

static double cpu_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double resident_mib(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &pages, &resident), 2);
    fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

/* One recorded job, and `count` others that share its files. */
static void make_jobs(int count)
{
    static const char *const files[] = {VG_JOB_FILE, VG_EVENTS_FILE, VG_JOB_SUMMARY};
    tape *t = tape_insert("three", root, "20260101-000000-the-first", 1767225600, NULL);
    tape_play(t, tape_length(t));
    for (int i = 1; i < count; i++) {
        char dir[200], from[400], to[400];
        snprintf(dir, sizeof dir, "%s/20260101-%06d-another", root, i);
        assert_int_equal(mkdir(dir, 0755), 0);
        for (int k = 0; k < 3; k++) {
            snprintf(from, sizeof from, "%s/%s", t->dir, files[k]);
            snprintf(to, sizeof to, "%s/%s", dir, files[k]);
            assert_int_equal(link(from, to), 0);
        }
    }
    tape_free(t);
}

static void test_ui_thousands_of_jobs_keep_no_one_waiting(void **state)
{
    (void)state;
    const char *asked = getenv("VG_MANY_JOBS");
    int count = asked ? atoi(asked) : 2000;
    const vg_settings none = {{0}};
    const vg_tui_host_options of_host = {
        .jobs_dir = root, .form = &none, .start = tape_host_no_worker};
    const vg_ui_options options = {.pictures = "none", .colors = "auto"};
    vg_tui_host *host = NULL;
    vg_ui ui = {.now = 100, .unix_now = 1767300000};
    vg_err err;
    make_jobs(count);
    double memory = resident_mib(), begun = cpu_s();
    CHECK_OK(vg_tui_host_open(&of_host, &host, &err), err);
    assert_true(
        vg_term_open_null(&ui.term, "xterm-256color", VG_DEPTH_256, VG_GLYPHS_FULL, 60, 200));
    assert_true(vg_ui_init(&ui, &host->table, &options));
    vg_ui_open(&ui, VG_SCREEN_jobs);
    vg_ui_tick(&ui);
    vg_ui_draw(&ui);
    vg_term_flush(&ui.term, &ui.grid);
    double first = cpu_s() - begun, longest = 0;
    assert_true(host->table.jobs.list(host->table.jobs.self).count > 0);
    while (host->table.jobs.list(host->table.jobs.self).unread > 0) {
        double before = cpu_s();
        host->table.refresh(host->table.self);
        vg_ui_tick(&ui);
        vg_ui_draw(&ui);
        vg_term_flush(&ui.term, &ui.grid);
        longest = fmax(longest, cpu_s() - before);
    }
    double all = cpu_s() - begun, grown = resident_mib() - memory;
    assert_int_equal(host->table.jobs.list(host->table.jobs.self).count, count);
    /* Nothing new: looking again is next to nothing. */
    double before = cpu_s();
    for (int i = 0; i < 100; i++)
        host->table.refresh(host->table.self);
    double again = (cpu_s() - before) / 100;
    /* From end to end of the list, and a filter. */
    before = cpu_s();
    for (int i = 0; i < 20; i++) {
        vg_ui_key(&ui, &(vg_key){.code = i % 2 ? VG_K_HOME : VG_K_END});
        vg_ui_tick(&ui);
        vg_ui_draw(&ui);
    }
    double key = (cpu_s() - before) / 20;
    print_message(
        "%d jobs: first picture %.0f ms, all of them %.0f ms, longest wait %.0f ms, %.1f MiB; "
        "nothing new %.2f ms, a key %.2f ms (CPU time)\n",
        count, first * 1e3, all * 1e3, longest * 1e3, grown, again * 1e3, key * 1e3);
    /* Processor time, which a busy machine does not stretch; several times what is measured, for sanitizers. */
    assert_true(first < 0.3 && longest < 0.3);
    assert_true(again < 0.02 && key < 0.1);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which keep what was freed */
    assert_true(grown < 60);
#endif
    vg_ui_deinit(&ui);
    vg_term_close(&ui.term);
    vg_tui_host_close(host);
}

static int make_root(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int drop_root(void **state)
{
    (void)state;
    return vg_file_remove_tree(root, NULL) == VG_OK ? 0 : -1;
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ui_thousands_of_jobs_keep_no_one_waiting),
    };
    return cmocka_run_group_tests(tests, make_root, drop_root);
}
