/* test_device_lock.c: one lock per device for everyone, and nothing that lies in its place is followed. */
#include "tests/app/test_cli.h"

#include <errno.h>
#include "app/job/device.h"
#include "app/job/device_lock.h"

#define NOBODY 54321

/* The lock's path as a process with these variables finds it. */
static char *path_with(const char *const *variables)
{
    vg_err err = {0};
    for (int i = 0; variables[i]; i += 2)
        setenv(variables[i], variables[i + 1], 1);
    char *path = vg_device_lock_path("cpu", &err);
    if (!path)
        fail_msg("%s", err.message);
    return path;
}

static void test_device_lock_is_the_same_for_every_login(void **state)
{
    (void)state;
    unsetenv("VGEN_LOCK_DIR");
    static const char *const one[] = {"CUDA_VISIBLE_DEVICES", "0",           "XDG_RUNTIME_DIR",
                                      "/run/user/1",          "HOME",        "/proc",
                                      "XDG_STATE_HOME",       "/proc/state", NULL},
                             *const two[] = {"CUDA_VISIBLE_DEVICES",
                                             "GPU-1",
                                             "XDG_RUNTIME_DIR",
                                             "/nowhere",
                                             "HOME",
                                             "/",
                                             NULL};
    char *a = path_with(one), *b = path_with(two);
    assert_string_equal(a, b);
    /* Not in a place that goes with a login. */
    assert_null(strstr(a, "/run/user"));
    free(a);
    free(b);
}

/* Take it as another user with a strict umask, tell, and wait to be killed. */
static pid_t other_user(const char *path, int *status)
{
    int ready[2], fd = -1;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        umask(077);
        vg_status taken = setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY)
                              ? VG_E_IO
                              : vg_lock_take(path, "process 1", &fd, NULL);
        if (write(ready[1], &taken, sizeof taken) == sizeof taken)
            pause();
        _exit(0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], status, sizeof *status), sizeof *status);
    close(ready[0]);
    return pid;
}

static void test_device_lock_is_shared_by_users(void **state)
{
    char path[300];
    int fd = -1, status = 0;
    vg_err err;
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(cli_dir, 01777), 0);
    snprintf(path, sizeof path, "%s/shared.lock", cli_dir);
    /* Whoever makes the file, with whichever umask: the other one can take it afterwards, and not before. */
    for (int first = 0; first < 2; first++) {
        pid_t pid;
        unlink(path);
        if (first) {
            umask(077);
            CHECK_OK(vg_lock_take(path, "process 2", &fd, &err), err);
            pid = other_user(path, &status);
            assert_int_equal(status, VG_E_BUSY);
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
            vg_lock_release(fd);
        }
        pid = other_user(path, &status);
        assert_int_equal(status, VG_OK);
        assert_true(vg_lock_held(path, NULL, 0));
        CHECK_FAILS(vg_lock_take(path, "process 2", &fd, &err), VG_E_BUSY, err);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        CHECK_OK(vg_lock_take(path, "process 2", &fd, &err), err);
        vg_lock_release(fd);
    }
    umask(022);
    assert_int_equal(chmod(cli_dir, 0700), 0);
}

static void test_device_lock_follows_nothing(void **state)
{
    char path[300], victim[300];
    int fd = -1;
    vg_err err;
    (void)state;
    snprintf(path, sizeof path, "%s/trap.lock", cli_dir);
    snprintf(victim, sizeof victim, "%s/victim", cli_dir);
    assert_int_equal(vg_file_write_atomic(victim, "precious", 8, NULL), VG_OK);
    for (int kind = 0; kind < 4; kind++) {
        assert_int_equal(kind == 0   ? symlink("victim", path)
                         : kind == 1 ? link(victim, path)
                         : kind == 2 ? mkfifo(path, 0666)
                                     : mkdir(path, 0700),
                         0);
        CHECK_FAILS(vg_lock_take(path, "me", &fd, &err), VG_E_IO, err);
        assert_false(vg_lock_held(path, NULL, 0));
        assert_int_equal(remove(path), 0);
        char *text = cli_read(victim);
        assert_string_equal(text, "precious");
        free(text);
    }
}

static void test_device_lock_tells_why_there_is_none(void **state)
{
    vg_err err;
    char file[300];
    (void)state;
    snprintf(file, sizeof file, "%s/file", cli_dir);
    assert_int_equal(vg_file_write_atomic(file, "x", 1, NULL), VG_OK);
    setenv("VGEN_LOCK_DIR", file, 1);
    assert_null(vg_device_lock_path("cpu", &err));
    assert_non_null(strstr(err.message, strerror(ENOTDIR)));
    setenv("VGEN_LOCK_DIR", "/proc/none", 1);
    assert_null(vg_device_lock_path("cpu", &err));
    assert_non_null(strstr(err.message, strerror(ENOENT)));
    unsetenv("VGEN_LOCK_DIR");
    assert_null(vg_device_lock_path("tpu", &err));
    assert_int_equal(err.code, VG_E_ARG);
}

static void test_device_names(void **state)
{
    static const struct {
        const char *name;
        int kind, ordinal; /* kind -1: refused */
    } rows[] = {{"cpu", VG_DEVICE_CPU, 0},
                {"cuda", VG_DEVICE_CUDA, 0},
                {"cuda:0", VG_DEVICE_CUDA, 0},
                {"cuda:7", VG_DEVICE_CUDA, 7},
                {"cuda:15", VG_DEVICE_CUDA, 15},
                {"", -1, 0},
                {"cuda:", -1, 0},
                {"cuda:x", -1, 0},
                {"cuda:-1", -1, 0},
                {"cuda:1234", -1, 0},
                {"cpu:0", -1, 0},
                {"cuda:1:2", -1, 0},
                {":1", -1, 0},
                {"gpu", -1, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vg_device_kind kind = VG_DEVICE_KIND_COUNT;
        int ordinal = -1;
        bool known = vg_device_parse(rows[i].name, &kind, &ordinal);
        if (known != (rows[i].kind >= 0) ||
            (known && ((int)kind != rows[i].kind || ordinal != rows[i].ordinal)))
            fail_msg("%s: %d, kind %d, ordinal %d", rows[i].name, known, (int)kind, ordinal);
    }
}

/* A device that cannot be had is told with its reason; one that was not asked for, and is not there, as well. */
static void test_device_falling_back_is_said(void **state)
{
    (void)state;
    assert_true(!strcmp(vg_device_default(), "cuda") == !vg_device_default_reason());
    vg_device_learn(false, "no driver\x1b");
    assert_string_equal(vg_device_default_reason(), "no driver?");
    vg_device_learn(true, NULL);
    assert_null(vg_device_default_reason());
    setenv("CUDA_VISIBLE_DEVICES", "", 1);
    cli_result r = CLI("generate", "--preset", "demo", "--height", "32", "--width", "32",
                       "--num-frames", "1", "--num-inference-steps", "1");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "note: this runs on the CPU: "));
    assert_non_null(strstr(r.err, "CUDA"));
    cli_result_free(&r);
    r = CLI("generate", "--preset", "demo", "--device", "cuda:9", "-q");
    assert_int_equal(r.status, 1);
    assert_int_equal(cli_lines(r.err), 1);
    assert_non_null(strstr(r.err, "CUDA"));
    cli_result_free(&r);
    unsetenv("CUDA_VISIBLE_DEVICES");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device_names),
        cmocka_unit_test(test_device_falling_back_is_said),
        cmocka_unit_test(test_device_lock_is_shared_by_users),
        cmocka_unit_test(test_device_lock_follows_nothing),
        /* These change the environment. */
        cmocka_unit_test(test_device_lock_tells_why_there_is_none),
        cmocka_unit_test(test_device_lock_is_the_same_for_every_login),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
