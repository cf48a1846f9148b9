/* scratch.h: a temporary folder per test, and small file helpers. */
#ifndef VG_TESTS_SCRATCH_H
#define VG_TESTS_SCRATCH_H

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernels/base/fileio.h"
#include "tests/check.h"

/* cmocka set-up and tear-down: *state is the folder's path. */
static inline int scratch_open(void **state)
{
    const char *base = getenv("TMPDIR");
    char *dir = vg_strf("%s/vgen-test-XXXXXX", base && base[0] ? base : "/tmp");

    if (!dir || !mkdtemp(dir))
        return -1;
    *state = dir;
    return 0;
}

static inline int scratch_close(void **state)
{
    vg_status status = vg_file_remove_tree(*state, NULL);

    free(*state);
    return status == VG_OK ? 0 : -1;
}

/* The same for a group of tests whose helpers want the folder without their state. */
static inline char *scratch_group(void)
{
    static char dir[64] = "/tmp/vgen-test-XXXXXX";

    return dir;
}

static inline int scratch_group_open(void **state)
{
    (void)state;
    return mkdtemp(scratch_group()) ? 0 : -1;
}

static inline int scratch_group_close(void **state)
{
    (void)state;
    return vg_file_remove_tree(scratch_group(), NULL) == VG_OK ? 0 : -1;
}

/* Between begin and end a file cannot grow beyond `bytes`: writing fails as on a full disk (EFBIG, "File too large"). */
typedef struct scratch_full {
    struct rlimit before;
    void (*handler)(int);
} scratch_full;

static inline scratch_full scratch_full_begin(rlim_t bytes)
{
    scratch_full full;
    struct rlimit tight;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &full.before), 0);
    tight = full.before;
    tight.rlim_cur = bytes;
    full.handler = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    return full;
}

static inline void scratch_full_end(const scratch_full *full)
{
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full->before), 0);
    signal(SIGXFSZ, full->handler);
}

/* A path inside the folder; valid until eight more calls. */
static inline const char *scratch_path(void **state, const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof paths[0], "%s/%s", (const char *)*state, name);
    return path;
}

static inline const char *scratch_write(void **state, const char *name, const void *bytes,
                                        size_t size)
{
    const char *path = scratch_path(state, name);
    char dir[512];
    vg_err err;

    snprintf(dir, sizeof dir, "%s", path);
    *strrchr(dir, '/') = '\0';
    CHECK_OK(vg_file_make_dirs(dir, &err), err);
    CHECK_OK(vg_file_write_atomic(path, bytes, size, &err), err);
    return path;
}

static inline const char *scratch_text(void **state, const char *name, const char *text)
{
    return scratch_write(state, name, text, strlen(text));
}
#endif
