/* test_cli.h: what the tests of the programs share: a folder of their own with its own XDG places, and running vgen with its output caught. */
#ifndef VG_TESTS_APP_TEST_CLI_H
#define VG_TESTS_APP_TEST_CLI_H

#include "tests/check.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cjson/cJSON.h>
#include "kernels/base/fileio.h"

#define CLI_ARGS_MAX 64

/* Under sanitizers a program takes terabytes of addresses (shadow memory), and a start of it many times as long: campaigns of hundreds of starts
 * are thinned out there. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CLI_SANITIZED true
#else
#define CLI_SANITIZED false
#endif

typedef struct cli_result {
    int status; /* exit status, or 1000 + signal */
    char *out, *err;
} cli_result;

static char cli_dir[256];
static bool cli_preloading;

/* Set-up and tear-down of a group of tests: a fresh folder; every XDG place points into it. */
static inline int cli_setup(void **state)
{
    char path[300];
    (void)state;
    snprintf(cli_dir, sizeof cli_dir, "/tmp/vgen-test-XXXXXX");
    assert_non_null(mkdtemp(cli_dir));
    static const char *const places[][2] = {
        {"XDG_STATE_HOME", "state"}, {"XDG_CACHE_HOME", "cache"}, {"XDG_CONFIG_HOME", "config"},
        {"VGEN_LOCK_DIR", "locks"},  {"HF_HOME", "hf"},           {"HOME", "home"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s/%s", cli_dir, places[i][1]);
        assert_int_equal(mkdir(path, 0700), 0);
        setenv(places[i][0], path, 1);
    }
    unsetenv("HF_HUB_CACHE");
    unsetenv("VGEN_PRESETS_DIR");
    setenv("LC_ALL", "C.UTF-8", 1);
    return 0;
}

static inline int cli_teardown(void **state)
{
    (void)state;
    (void)vg_file_remove_tree(cli_dir, NULL);
    return 0;
}

static inline char *cli_read(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    if (vg_file_read(path, 256u << 20, &text, &size, NULL) != VG_OK)
        return NULL;
    return text;
}

static inline bool cli_same_file(const char *a, const char *b)
{
    char *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    bool same = vg_file_read(a, 256u << 20, &x, &n, NULL) == VG_OK &&
                vg_file_read(b, 256u << 20, &y, &m, NULL) == VG_OK && n == m && n > 0 &&
                !memcmp(x, y, n);
    free(x);
    free(y);
    return same;
}

/* Programs that are started from now on run with tests/fault_io.c, and this variable of it; value NULL: without. */
static inline void cli_preload(const char *variable, const char *value)
{
    if (value)
        setenv(variable, value, 1);
    else
        unsetenv(variable);
    cli_preloading = value != NULL;
}

/* In a child: become vgen; its output goes to files in cli_dir. */
static inline void cli_exec(const char *const *argv, int serial)
{
    char out[320], err[320];
    snprintf(out, sizeof out, "%s/out.%d", cli_dir, serial);
    snprintf(err, sizeof err, "%s/err.%d", cli_dir, serial);
    const char *args[CLI_ARGS_MAX + 2] = {VG_PROGRAM};
    int n = 0;
    while (argv[n] && n < CLI_ARGS_MAX) {
        args[n + 1] = argv[n];
        n++;
    }
    int in_fd = open("/dev/null", O_RDONLY), out_fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600),
        err_fd = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(in_fd, 0);
    dup2(out_fd, 1);
    dup2(err_fd, 2);
    if (cli_preloading) {
        setenv("LD_PRELOAD", VG_FAULT_IO, 1);
        setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
    }
    execv(VG_PROGRAM, (char *const *)(uintptr_t)args);
    _exit(127);
}

static inline pid_t cli_start(const char *const *argv, int serial)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        cli_exec(argv, serial);
    return pid;
}

/* What a child that was waited for said. */
static inline cli_result cli_result_of(int status, int serial)
{
    char out[320], err[320];
    cli_result r = {0};
    snprintf(out, sizeof out, "%s/out.%d", cli_dir, serial);
    snprintf(err, sizeof err, "%s/err.%d", cli_dir, serial);
    r.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    r.out = cli_read(out);
    r.err = cli_read(err);
    return r;
}

static inline cli_result cli_finish(pid_t pid, int serial)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return cli_result_of(status, serial);
}

/* Everything in cli_dir belongs to this user from now on. */
static inline int cli_chown(uid_t user)
{
    char line[400];
    snprintf(line, sizeof line, "chown -R %u:%u '%s'", (unsigned)user, (unsigned)user, cli_dir);
    return system(line);
}

static inline void cli_result_free(cli_result *r)
{
    free(r->out);
    free(r->err);
}

static inline cli_result cli_run(const char *const *argv)
{
    static int serial = 100;
    int mine = serial++;
    return cli_finish(cli_start(argv, mine), mine);
}

#define CLI(...) cli_run((const char *const[]){__VA_ARGS__, NULL})

/* Run and demand this exit status. */
static inline void cli_expect(const char *const *argv, int status)
{
    cli_result r = cli_run(argv);
    if (r.status != status)
        fail_msg("vgen %s %s: exit %d instead of %d\n%s%s", argv[0], argv[1] ? argv[1] : "",
                 r.status, status, r.out, r.err);
    cli_result_free(&r);
}
#define CLI_EXPECT(status, ...) cli_expect((const char *const[]){__VA_ARGS__, NULL}, status)

static inline int cli_lines(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* Nothing that a terminal would act on. */
static inline bool cli_is_clean(const char *text)
{
    for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
        if ((*s < 0x20 && *s != '\n' && *s != '\t') || *s == 0x7f ||
            (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0))
            return false;
    }
    return true;
}
#endif
