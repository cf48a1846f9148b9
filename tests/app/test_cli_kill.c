/* test_cli_kill.c: a worker killed at ten moments of a job, then resumed: the same bytes as a job that was left alone. */
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

static void test_cli_sigkill_at_ten_moments_then_resume(void **state)
{
    (void)state;
    run_reference();
    for (int i = 0; i < 10; i++) {
        char name[16], jobs[300], dir[420], id[100] = "";
        snprintf(name, sizeof name, "kill%d", i);
        snprintf(jobs, sizeof jobs, "%s/jobs%d", cli_dir, i);
        outputs o = outputs_of(name);
        cli_result r = CLI("compare", SMALL, "--quantization", "bf16,fp8,fp8-block", "--output",
                           o.clip, "--save-latents", o.latents, "--save-frames", o.frames,
                           "--jobs-dir", jobs, "--detach");
        assert_int_equal(r.status, 0);
        assert_int_equal(sscanf(r.out, "%99s", id), 1);
        cli_result_free(&r);
        snprintf(dir, sizeof dir, "%s/%s", jobs, id);
        pid_t pid = worker_of(dir);
        assert_true(pid > 1);
        usleep((useconds_t)(reference_s * 1e6 * (i + 0.3) / 10.5));
        kill(pid, SIGKILL);
        r = CLI("resume", id, "--jobs-dir", jobs, "-q");
        if (r.status != 0)
            fail_msg("resume after kill %d: exit %d\n%s%s", i, r.status, r.out, r.err);
        cli_result_free(&r);
        expect_same("reference", name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_sigkill_at_ten_moments_then_resume),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
