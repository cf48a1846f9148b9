/* test_cli_limits.c: under limits on addresses, threads and file sizes every command ends: with its answer or with one line, never by
 * a signal and never spinning. */
#include "tests/app/test_cli.h"

#include <sys/resource.h>

#define TINY                                                                                       \
    "--preset", "demo", "--height", "32", "--width", "32", "--num-frames", "5",                    \
        "--num-inference-steps", "2"
#define SECONDS_MAX 60    /* a machine that is busy with other tests */
#define NOBODY      54321 /* the kernel does not count root's processes */

/* Run vgen under a limit. It is killed, and the test fails, when it does not end. */
static cli_result limited(int resource, rlim_t limit, const char *const *argv)
{
    static int serial = 5000;
    int mine = serial++, status = 0;
    pid_t outer = fork();
    assert_true(outer >= 0);
    if (outer == 0) {
        struct rlimit r = {limit, limit};
        if (resource == RLIMIT_NPROC && geteuid() == 0 &&
            (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0))
            _exit(126);
        if (setrlimit(resource, &r) != 0)
            _exit(126);
        alarm(SECONDS_MAX); /* survives exec */
        cli_exec(argv, mine);
    }
    assert_int_equal(waitpid(outer, &status, 0), outer);
    return cli_result_of(status, mine);
}

static void expect_an_end(const char *what, cli_result *r)
{
    if (r->status > 2 || !cli_is_clean(r->err) || (r->status != 0 && cli_lines(r->err) != 1))
        fail_msg("%s: exit %d%s:\n%s", what, r->status,
                 r->status == 1000 + SIGALRM ? " (it did not end)" : "", r->err);
}

static void test_cli_limits_of_addresses(void **state)
{
    static const char *const version[] = {"--version", NULL}, *const jobs[] = {"jobs", NULL},
                             *const models[] = {"models", NULL},
                             *const run[] = {"generate", TINY, "-q", NULL};
    static const char *const *const commands[] = {version, jobs, models, run};
    int done = 0, refused = 0;
    (void)state;
    if (CLI_SANITIZED)
        skip();
    for (size_t c = 0; c < sizeof commands / sizeof *commands; c++) {
        for (rlim_t mib = 100; mib <= 1600; mib = mib * 5 / 4) {
            char what[100];
            cli_result r = limited(RLIMIT_AS, mib << 20, commands[c]);
            snprintf(what, sizeof what, "%s in %llu MiB", commands[c][0], (unsigned long long)mib);
            if (r.status == 127) { /* too little for the loader */
                cli_result_free(&r);
                continue;
            }
            expect_an_end(what, &r);
            if (commands[c] == version && mib >= 200)
                assert_int_equal(r.status, 0);
            if (commands[c] == run) {
                done += r.status == 0;
                refused += r.status != 0;
            }
            cli_result_free(&r);
        }
    }
    print_message("jobs: %d done, %d refused\n", done, refused);
    assert_true(done > 0 && refused > 0);
}

static void test_cli_limits_of_processes(void **state)
{
    static const char *const run[] = {"generate", TINY, "-q", "--threads", "4", NULL};
    int done = 0, refused = 0;
    (void)state;
    if (CLI_SANITIZED) /* looking for leaks takes a process of its own at the end */
        skip();
    if (geteuid() == 0)
        assert_int_equal(cli_chown(NOBODY), 0);
    for (rlim_t n = 1; n <= 16; n++) {
        char what[100];
        cli_result r = limited(RLIMIT_NPROC, n, run);
        snprintf(what, sizeof what, "%llu processes", (unsigned long long)n);
        if (r.status == 126 || r.status == 127)
            skip(); /* the program cannot be run by another user here */
        expect_an_end(what, &r);
        done += r.status == 0;
        refused += r.status != 0;
        cli_result_free(&r);
    }
    print_message("jobs: %d done, %d refused\n", done, refused);
    assert_true(done > 0 && refused > 0);
}

/* The signal of a file that grows too large would end the worker without a word. */
static void test_cli_limits_of_file_size(void **state)
{
    static const char *const run[] = {"generate", TINY, "-q", NULL};
    int done = 0, refused = 0;
    (void)state;
    for (rlim_t bytes = 256; bytes <= 4 << 20; bytes *= 4) {
        char what[100];
        cli_result r = limited(RLIMIT_FSIZE, bytes, run);
        snprintf(what, sizeof what, "files of %llu bytes", (unsigned long long)bytes);
        expect_an_end(what, &r);
        done += r.status == 0;
        refused += r.status != 0;
        cli_result_free(&r);
    }
    assert_true(done > 0 && refused > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_limits_of_addresses),
        cmocka_unit_test(test_cli_limits_of_file_size),
        cmocka_unit_test(test_cli_limits_of_processes),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
