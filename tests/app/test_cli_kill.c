/* test_cli_kill.c: a worker killed at ten moments of a job, then resumed: the same bytes as a job that was left alone.
 * VG_TEST_KILLS=N kills N times at random moments instead, up to three times in the life of one job. */
#include "tests/app/test_cli_small.h"

/* Process id from the job's lock, once a worker holds it. */
static pid_t worker_of(const char *dir)
{
    char path[500];
    snprintf(path, sizeof path, "%s/lock", dir);
    for (int i = 0; i < 2000; i++) { /* at once, but for a busy machine */
        char *text = vg_file_exists(path) ? cli_read(path) : NULL;
        pid_t pid = text ? (pid_t)atoi(text) : 0;
        free(text);
        if (pid > 1)
            return pid;
        usleep(10000);
    }
    return 0;
}

typedef struct killed_job {
    char name[24], jobs[300], id[100], dir[420];
} killed_job;

static void begin_job(killed_job *j, int number)
{
    snprintf(j->name, sizeof j->name, "kill%d", number);
    snprintf(j->jobs, sizeof j->jobs, "%s/jobs%d", cli_dir, number);
    outputs o = outputs_of(j->name);
    cli_result r = CLI("compare", SMALL, "--quantization", "bf16,fp8,fp8-block", "--output", o.clip,
                       "--save-latents", o.latents, "--save-frames", o.frames, "--jobs-dir",
                       j->jobs, "--detach");
    assert_int_equal(r.status, 0);
    assert_int_equal(sscanf(r.out, "%99s", j->id), 1);
    cli_result_free(&r);
    snprintf(j->dir, sizeof j->dir, "%s/%s", j->jobs, j->id);
}

/* After so much of the time that a whole run takes. */
static void kill_worker(const killed_job *j, double moment)
{
    pid_t pid = worker_of(j->dir);
    assert_true(pid > 1);
    usleep((useconds_t)(reference_s * 1e6 * moment));
    kill(pid, SIGKILL);
}

static void end_job(const killed_job *j, const char *what)
{
    char line[700];
    cli_result r = CLI("resume", j->id, "--jobs-dir", j->jobs, "-q");
    if (r.status != 0)
        fail_msg("resume after %s: exit %d\n%s%s", what, r.status, r.out, r.err);
    cli_result_free(&r);
    expect_same("reference", j->name);
    snprintf(line, sizeof line, "rm -rf '%s' '%s/%s'*", j->jobs, cli_dir, j->name);
    assert_int_equal(system(line), 0);
}

static void test_cli_sigkill_at_ten_moments_then_resume(void **state)
{
    (void)state;
    run_reference();
    for (int i = 0; i < 10; i++) {
        char what[40];
        killed_job j;
        begin_job(&j, i);
        kill_worker(&j, (i + 0.3) / 10.5);
        snprintf(what, sizeof what, "kill %d", i);
        end_job(&j, what);
    }
}

static void test_cli_sigkill_at_random_moments(void **state)
{
    const char *asked = getenv("VG_TEST_KILLS");
    int left = asked ? atoi(asked) : 0, jobs = 0;
    unsigned seed = (unsigned)time(NULL);
    double begin = now_s();
    (void)state;
    if (left <= 0)
        skip();
    run_reference();
    print_message("seed %u, a run takes %.2f s\n", seed, reference_s);
    srand(seed);
    for (int done = 0; left > 0; jobs++) {
        char what[100];
        int times = 1 + rand() % 3;
        killed_job j;
        begin_job(&j, 100 + jobs);
        for (int k = 0; k < times && left > 0; k++, left--, done++) {
            if (k) {
                cli_result r = CLI("resume", j.id, "--jobs-dir", j.jobs, "--detach");
                assert_int_equal(r.status, 0);
                cli_result_free(&r);
            }
            kill_worker(&j, rand() / (double)RAND_MAX * 1.05);
        }
        snprintf(what, sizeof what, "kills up to number %d (seed %u)", done, seed);
        end_job(&j, what);
    }
    print_message("%s kills in %d jobs, all with the same bytes; %.0f s\n", asked, jobs,
                  now_s() - begin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_sigkill_at_ten_moments_then_resume),
        cmocka_unit_test(test_cli_sigkill_at_random_moments),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
