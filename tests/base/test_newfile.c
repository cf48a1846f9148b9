/* test_newfile.c: a new file is whole or not there: any call may fail, any moment may be the last one. */
#include "tests/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "kernels/base/newfile.h"

/* The calls that a new file makes, each one the n-th that may fail. These definitions are the ones that the program's own calls find. */
static bool no_unnamed; /* a file system without O_TMPFILE */
static int calls, fail_at = -1;

static bool fails(void)
{
    if (calls++ != fail_at)
        return false;
    errno = EIO;
    return true;
}

int openat(int folder, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    if ((flags & O_TMPFILE) == O_TMPFILE && no_unnamed) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return fails() ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    return fails() ? -1 : (ssize_t)syscall(SYS_write, fd, bytes, size);
}

int fsync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int linkat(int from, const char *old, int to, const char *name, int flags)
{
    return fails() ? -1 : (int)syscall(SYS_linkat, from, old, to, name, flags);
}

int renameat(int from, const char *old, int to, const char *name)
{
    return fails() ? -1 : (int)syscall(SYS_renameat, from, old, to, name);
}

int close(int fd)
{
    int rc = (int)syscall(SYS_close, fd);
    return fails() ? -1 : rc;
}

static int entries(const char *folder)
{
    DIR *dir = opendir(folder);
    int n = 0;
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

static bool holds(const char *path, const char *text)
{
    char *found = NULL;
    bool same = vg_file_read(path, 1000, &found, NULL, NULL) == VG_OK && !strcmp(found, text);
    free(found);
    return same;
}

/* Replace "old" by "new" with call `at` failing. False when there are fewer calls. */
static bool one_failure(void **state, int at, int *told)
{
    const char *path = scratch_path(state, "f");
    vg_err err;
    CHECK_OK(vg_file_write_atomic(path, "old", 3, &err), err);
    calls = 0;
    fail_at = at;
    vg_status status = vg_file_write_atomic(path, "new", 3, &err);
    fail_at = -1;
    bool made = calls > at;
    assert_int_equal(entries(*state), 1);
    if (status == VG_OK)
        assert_true(holds(path, "new"));
    else
        assert_true(status == VG_E_IO && strstr(err.message, strerror(EIO)) &&
                    (holds(path, "old") || holds(path, "new")));
    *told += status != VG_OK;
    return made;
}

static void test_newfile_any_call_may_fail(void **state)
{
    for (int named = 0; named < 2; named++) {
        int told = 0, at = 0;
        no_unnamed = named;
        while (one_failure(state, at, &told))
            at++;
        /* Writing, syncing, naming, closing, renaming, syncing the folder: whichever is lost is told. */
        print_message("%d calls, %d failures told\n", at, told);
        assert_int_equal(told, 6);
    }
    no_unnamed = false;
}

static void test_newfile_any_name_that_a_folder_can_hold(void **state)
{
    char name[NAME_MAX + 2], *deep = strdup(*state);
    vg_err err;
    memset(name, 'n', NAME_MAX);
    name[NAME_MAX] = 0;
    for (int named = 0; named < 2; named++) {
        no_unnamed = named;
        char *path = vg_path_join(*state, name);
        CHECK_OK(vg_file_write_atomic(path, "x", 1, &err), err);
        assert_true(holds(path, "x"));
        free(path);
        path = vg_path_join(*state, "n\xff\n");
        CHECK_OK(vg_file_write_atomic(path, "x", 1, &err), err);
        free(path);
    }
    no_unnamed = false;
    name[NAME_MAX] = 'n';
    name[NAME_MAX + 1] = 0;
    char *path = vg_path_join(*state, name);
    CHECK_FAILS(vg_file_write_atomic(path, "x", 1, &err), VG_E_IO, err);
    free(path);
    /* A path as long as paths may be. */
    while (strlen(deep) + 102 < PATH_MAX - 2) {
        char *next = vg_strf("%s/%.100s", deep, name);
        free(deep);
        deep = next;
    }
    CHECK_OK(vg_file_make_dirs(deep, &err), err);
    path = vg_strf("%s/%.*s", deep, (int)(PATH_MAX - 2 - strlen(deep)), name);
    assert_int_equal(strlen(path), PATH_MAX - 1);
    CHECK_OK(vg_file_write_atomic(path, "x", 1, &err), err);
    assert_true(holds(path, "x"));
    free(path);
    free(deep);
}

/* A child that has begun a file and waits. */
static pid_t writer(const char *path)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        vg_newfile file;
        if (vg_newfile_open(path, &file, NULL) == VG_OK &&
            vg_newfile_write(&file, "half", 4, NULL) == VG_OK && write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void test_newfile_a_killed_writer_leaves_nothing(void **state)
{
    const char *path = scratch_path(state, "f");
    for (int named = 0; named < 2; named++) {
        no_unnamed = named;
        pid_t dead = writer(path), alive = writer(path);
        assert_int_equal(entries(*state), named ? 2 : 0);
        kill(dead, SIGKILL);
        /* As a zombie it is dead enough. */
        siginfo_t info;
        assert_int_equal(waitid(P_PID, (id_t)dead, &info, WEXITED | WNOWAIT), 0);
        vg_newfile_sweep(*state);
        assert_int_equal(entries(*state), named ? 1 : 0);
        waitpid(dead, NULL, 0);
        vg_newfile_sweep(*state);
        assert_int_equal(entries(*state), named ? 1 : 0);
        kill(alive, SIGKILL);
        waitpid(alive, NULL, 0);
        vg_newfile_sweep(*state);
        assert_int_equal(entries(*state), 0);
    }
    no_unnamed = false;
}

static void test_newfile_sweeps_nothing_else(void **state)
{
    static const char *const names[] = {"f",
                                        ".vgen-0123456789abcdef.tm",
                                        ".vgen-0123456789abcde.tmp",
                                        ".vgen-0123456789abcdeg.tmp",
                                        "vgen-0123456789abcdef.tmp",
                                        ".vgen-0123456789abcdef.tmp2"};
    int n = (int)(sizeof names / sizeof *names);
    for (int i = 0; i < n; i++)
        scratch_text(state, names[i], "x");
    assert_int_equal(symlink("f", scratch_path(state, ".vgen-0123456789abcdef.tmp")), 0);
    assert_int_equal(mkfifo(scratch_path(state, ".vgen-0123456789abcde0.tmp"), 0600), 0);
    assert_int_equal(mkdir(scratch_path(state, ".vgen-0123456789abcde1.tmp"), 0700), 0);
    vg_newfile_sweep(*state);
    assert_int_equal(entries(*state), n + 3);
    scratch_text(state, ".vgen-0123456789abcde2.tmp", "x");
    vg_newfile_sweep(*state);
    assert_int_equal(entries(*state), n + 3);
    vg_newfile_sweep("/no/such/folder");
}

static void test_newfile_tells_why_a_folder_cannot_be_made(void **state)
{
    vg_err err;
    struct stat st;
    const char *path = scratch_path(state, "private/deep/er");
    CHECK_FAILS(vg_file_make_dirs("/proc/no/such", &err), VG_E_IO, err);
    assert_non_null(strstr(err.message, strerror(ENOENT)));
    CHECK_FAILS(vg_file_make_dirs("/sys/kernel/none", &err), VG_E_IO, err);
    assert_true(strstr(err.message, strerror(EPERM)) || strstr(err.message, strerror(EROFS)) ||
                strstr(err.message, strerror(EACCES)));
    CHECK_OK(vg_file_make_private_dirs(path, &err), err);
    assert_true(stat(path, &st) == 0 && (st.st_mode & 0777) == 0700);
    assert_true(stat(scratch_path(state, "private"), &st) == 0 && (st.st_mode & 0777) == 0700);
}

int main(void)
{
#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_open, scratch_close)
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(test_newfile_any_call_may_fail),
        WITH_SCRATCH(test_newfile_any_name_that_a_folder_can_hold),
        WITH_SCRATCH(test_newfile_a_killed_writer_leaves_nothing),
        WITH_SCRATCH(test_newfile_sweeps_nothing_else),
        WITH_SCRATCH(test_newfile_tells_why_a_folder_cannot_be_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
