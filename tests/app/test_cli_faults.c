/* test_cli_faults.c: every file call of a worker fails once, the n-th, over all n. It ends with one clear line or with all that was asked
 * for, never with a damaged file that is taken for good; what it did is kept, and the job resumes to the same bytes.
 *
 * Calls on the job's folder, the outputs, the calibration cache and the device's lock are counted; those that load libraries and the
 * checkpoint are not (tests/fault_io.c). All n take minutes: by default each kind of call on each kind of file fails once;
 * (under sanitizers every third of them); VG_TEST_ALL=1 takes all. */
#include "tests/app/test_cli.h"

#include <dirent.h>
#include <time.h>
#include "kernels/base/text.h"

#define TINY                                                                                       \
    "--preset", "demo", "--height", "32", "--width", "32", "--num-frames", "1",                    \
        "--num-inference-steps", "2"
#define CALLS_MAX 4096

static char job_dir[700];

/* What a finished job leaves, in its folder and beside it. */
static const char *const kept[] = {"variants/bf16/latents.safetensors",
                                   "variants/bf16/clip.mp4",
                                   "variants/fp8/latents.safetensors",
                                   "variants/fp8/clip.mp4",
                                   "variants/fp8/metrics.csv",
                                   "conditions.safetensors",
                                   "calibration.json",
                                   "comparison.mp4"};
static const char *const outputs[] = {"out.mp4",
                                      "out-bf16.mp4",
                                      "out-fp8.mp4",
                                      "out-bf16.safetensors",
                                      "out-fp8.safetensors",
                                      "frames-bf16.safetensors",
                                      "frames-fp8.safetensors"};
#define KEPT    (sizeof kept / sizeof *kept)
#define OUTPUTS (sizeof outputs / sizeof *outputs)

static char *in_dir(const char *name)
{
    static char paths[8][900];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", cli_dir, name);
    return path;
}

static char *in_job(const char *name)
{
    static char paths[8][900];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", job_dir, name);
    return path;
}

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
    char line[2000];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (system(line) != 0)
        fail_msg("%s", line);
}

/* The job's folder as it is when the job was made, without outputs and without a cache. */
static void reset(void)
{
    shell("cd '%s' && rm -rf out.mp4 out-* frames-* cache/vgen && rm -rf '%s' && cp -a fresh '%s'",
          cli_dir, job_dir, job_dir);
}

/* A job that ran, for comparison, in cli_dir/reference; and one that never ran, in cli_dir/fresh. */
static void prepare(void)
{
    char id[300] = "";
    CLI_EXPECT(0, "compare", TINY, "-q", "--jobs-dir", in_dir("jobs"), "--output",
               in_dir("out.mp4"), "--save-latents", in_dir("out.safetensors"), "--save-frames",
               in_dir("frames.safetensors"));
    DIR *dir = opendir(in_dir("jobs"));
    for (struct dirent *item; (item = readdir(dir));)
        if (item->d_name[0] != '.')
            snprintf(id, sizeof id, "%s", item->d_name);
    closedir(dir);
    snprintf(job_dir, sizeof job_dir, "%s/jobs/%s", cli_dir, id);
    shell("cd '%s' && mkdir fresh fresh/variants reference && cp '%s/job.json' fresh/ && "
          "cp -a '%s/.' out.mp4 out-* frames-* reference/ && : > fresh/events.jsonl",
          cli_dir, job_dir, job_dir);
}

/* FILE of the job as the reference has it. */
static void expect_all(const char *what)
{
    char reference[900];
    for (size_t i = 0; i < KEPT + OUTPUTS; i++) {
        const char *name = i < KEPT ? kept[i] : outputs[i - KEPT];
        snprintf(reference, sizeof reference, "%s/reference/%s", cli_dir, name);
        if (!cli_same_file(reference, i < KEPT ? in_job(name) : in_dir(name)))
            fail_msg("%s: %s is not what it is without a failure", what, name);
    }
}

/* No file that is a writer's only. */
static void expect_no_litter(const char *what)
{
    char line[1200];
    snprintf(line, sizeof line, "find '%s' -name '.vgen-*' | head -1", cli_dir);
    FILE *find = popen(line, "r");
    char found[900] = "";
    assert_non_null(find);
    if (fgets(found, sizeof found, find))
        fail_msg("%s: left behind: %s", what, found);
    pclose(find);
}

/* vgen work on the job, with call `at` failing. */
static cli_result work(long at, const char *number, const char *log)
{
    char text[32];
    snprintf(text, sizeof text, "%ld", at);
    setenv("FAULT_UNDER", cli_dir, 1);
    setenv("FAULT_ERRNO", number, 1);
    setenv("FAULT_COMMAND", "work", 1);
    if (log)
        setenv("FAULT_LOG", log, 1);
    cli_preload("FAULT_AT", text);
    cli_result r = CLI("work", job_dir);
    cli_preload("FAULT_AT", NULL);
    unsetenv("FAULT_LOG");
    return r;
}

/* Put `to` in place of `from` and of what is random behind it. */
static void replace(char *text, const char *from, size_t random, const char *to)
{
    char *at = strstr(text, from);
    if (!at)
        return;
    size_t skip = strlen(from) + random, rest = strlen(at) >= skip ? strlen(at + skip) + 1 : 0;
    if (rest)
        memmove(at + strlen(to), at + skip, rest);
    memcpy(at, to, strlen(to));
}

/* The calls of a whole run: "NAME PATH", without what differs from run to run, and between variants. */
static int list_calls(char **calls)
{
    char *log = in_dir("calls"), line[5000];
    reset();
    cli_result r = work(-1, "5", log);
    if (r.status != 0)
        fail_msg("without a failure: exit %d: %s", r.status, r.err);
    cli_result_free(&r);
    expect_all("without a failure");
    FILE *f = fopen(log, "r");
    int n = 0;
    assert_non_null(f);
    while (n < CALLS_MAX && fgets(line, sizeof line, f)) {
        char *name = strchr(line, ' ');
        assert_non_null(name);
        replace(name, "/bf16/", 0, "/v/");
        replace(name, "/fp8/", 0, "/v/");
        replace(name, "/.vgen-", 16, "/");
        for (char *c = name; *c;
             c++) /* unnamed files have an inode for a name, some names a process */
            *c = isdigit((unsigned char)*c) ? '0' : *c;
        calls[n++] = strdup(name + 1);
    }
    fclose(f);
    return n;
}

/* Whether a finished step was lost: the file is the same one still. */
typedef struct finished {
    bool there;
    ino_t inode;
} finished;

static finished look(const char *name)
{
    struct stat st;
    finished f = {stat(in_job(name), &st) == 0, 0};
    f.inode = f.there ? st.st_ino : 0;
    return f;
}

static void one_call(int at, const char *call, const char *number, int *told)
{
    char what[1200];
    snprintf(what, sizeof what, "call %d, %.*s (errno %s)", at, (int)strcspn(call, "\n"), call,
             number);
    reset();
    cli_result r = work(at, number, NULL);
    if (r.status != 0 && (r.status != 1 || cli_lines(r.err) != 1 || !cli_is_clean(r.err)))
        fail_msg("%s: exit %d:\n%s", what, r.status, r.err);
    *told += r.status != 0;
    if (r.status == 0)
        expect_all(what);
    cli_result_free(&r);
    finished before = look("variants/bf16/latents.safetensors");
    r = CLI("work", job_dir);
    if (r.status != 0)
        fail_msg("%s: resumed: exit %d:\n%s", what, r.status, r.err);
    cli_result_free(&r);
    expect_all(what);
    expect_no_litter(what);
    if (before.there && look("variants/bf16/latents.safetensors").inode != before.inode)
        fail_msg("%s: finished steps were made again", what);
}

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void test_cli_faults_every_call_fails_once(void **state)
{
    static char *calls[CALLS_MAX];
    bool all = getenv("VG_TEST_ALL") != NULL;
    int told = 0, tried = 0, kinds = 0;
    double begin = seconds();
    (void)state;
    prepare();
    int n = list_calls(calls);
    assert_true(n > 100);
    for (int i = 0; i < n; i++) {
        bool seen = false;
        for (int k = 0; k < i && !seen; k++)
            seen = !strcmp(calls[k], calls[i]);
        if (seen && !all)
            continue;
        if (CLI_SANITIZED && !all && kinds++ % 3)
            continue;
        one_call(i, calls[i], i % 2 ? "5" : "28", &told); /* EIO, ENOSPC */
        tried++;
    }
    print_message("%d calls, %d made to fail, %d told, %.0f s\n", n, tried, told,
                  seconds() - begin);
    /* Most calls matter: a worker that looked at none would tell none. */
    assert_true(told > tried / 3);
    for (int i = 0; i < n; i++)
        free(calls[i]);
}

/* Lines of a log of all calls of a command and of its worker. */
static char **log_of(const char *const *argv, int *n)
{
    char *log = in_dir("sync.log"), line[5000];
    char **lines = calloc(CALLS_MAX, sizeof *lines);
    *n = 0;
    unlink(log);
    setenv("FAULT_UNDER", cli_dir, 1);
    setenv("FAULT_LOG", log, 1);
    unsetenv("FAULT_COMMAND");
    cli_preload("FAULT_AT", "-1");
    cli_expect(argv, 0);
    cli_preload("FAULT_AT", NULL);
    unsetenv("FAULT_LOG");
    FILE *f = fopen(log, "r");
    assert_non_null(f);
    while (*n < CALLS_MAX && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        lines[(*n)++] = strdup(strchr(line, ' ') + 1);
    }
    fclose(f);
    return lines;
}

/* What must outlast a power cut is synced before it has its name, and so is the folder of a new job; a preview, which is replaced at the next
 * step, is not. */
static void test_cli_faults_syncs_what_must_last(void **state)
{
    const char *jobs = strdup(in_dir("sync"));
    const char *const argv[] = {"generate", TINY, "-q", "--jobs-dir", jobs, NULL};
    int n, states = 0, previews = 0;
    bool synced = false, born = false, folder = false;
    size_t below = strlen(jobs);
    (void)state;
    char **lines = log_of(argv, &n);
    for (int i = 0; i < n; i++) {
        const char *path = strchr(lines[i], ' ') + 1;
        bool unnamed = strstr(path, "/#") || strstr(path, "/.vgen-");
        if (!strncmp(lines[i], "fsync ", 6)) {
            synced = synced || unnamed;
            folder = folder || (born && !strcmp(path, jobs));
        } else if (!strncmp(lines[i], "rename ", 7)) {
            born = born || (!strncmp(path, jobs, below) && path[below] == '/' &&
                            !strchr(path + below + 1, '/'));
            if (vg_ends_with(path, "/preview.ppm") && previews++ >= 0 && synced)
                fail_msg("a preview is synced");
            if (vg_ends_with(path, "/state.safetensors") && states++ >= 0 && !synced)
                fail_msg("a state is not synced");
            synced = false;
        }
        free(lines[i]);
    }
    free(lines);
    assert_true(states == 2 && previews >= 1);
    if (!born || !folder)
        fail_msg("the folder of jobs is not synced");
    free((char *)(uintptr_t)jobs);
}

/* The worker's first write fails: whoever started it is told why. */
static void test_cli_faults_a_full_disk_before_the_lock_is_told(void **state)
{
    const char *jobs = in_dir("full");
    const char *const argv[] = {"generate", TINY, "-q", "--jobs-dir", jobs, NULL};
    char text[32];
    int n, at = -1;
    (void)state;
    char **lines = log_of(argv, &n);
    for (int i = 0; i < n; i++) {
        /* Numbers count anew in each process, and the worker's begin with its reading of job.json. */
        if (vg_ends_with(lines[i], "/lock") && !strncmp(lines[i], "pwrite ", 7) && at < 0)
            at = i;
    }
    assert_true(at > 0);
    int first = at;
    while (first > 0 &&
           !(vg_ends_with(lines[first], "/job.json") && !strncmp(lines[first], "open ", 5)))
        first--;
    for (int i = 0; i < n; i++)
        free(lines[i]);
    free(lines);
    snprintf(text, sizeof text, "%d", at - first);
    setenv("FAULT_COMMAND", "work", 1);
    setenv("FAULT_ERRNO", "28", 1);
    cli_preload("FAULT_AT", text);
    cli_result r = cli_run(argv);
    cli_preload("FAULT_AT", NULL);
    if (r.status != 1 || !strstr(r.err, "/lock: cannot write: No space left on device") ||
        cli_lines(r.err) != 1)
        fail_msg("exit %d: %s", r.status, r.err);
    cli_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_faults_syncs_what_must_last),
        cmocka_unit_test(test_cli_faults_a_full_disk_before_the_lock_is_told),
        cmocka_unit_test(test_cli_faults_every_call_fails_once),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
