/* test_cli_folders.c: job folders as strangers, kills and odd file systems leave them: nothing outside is touched, nothing is shown to a
 * terminal that it would act on, nothing hangs, nothing else is lost. */
#include "tests/app/test_cli.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <time.h>
#include "app/job/job.h"
#include "app/job/lock.h"
#include "app/job/process.h"

#define TINY                                                                                       \
    "--preset", "demo", "--height", "32", "--width", "32", "--num-frames", "1",                    \
        "--num-inference-steps", "2"
#define NOBODY 54321

static char *in_dir(const char *name)
{
    static char paths[16][900];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", cli_dir, name);
    return path;
}

static void write_text(const char *path, const char *text)
{
    assert_int_equal(vg_file_write_atomic(path, text, strlen(text), NULL), VG_OK);
}

static int jobs_in(const char *jobs, char *last, size_t size)
{
    DIR *dir = opendir(jobs);
    int n = 0;
    for (struct dirent *item; dir && (item = readdir(dir));) {
        if (item->d_name[0] == '.')
            continue;
        n++;
        if (last)
            snprintf(last, size, "%s/%s", jobs, item->d_name);
    }
    if (dir)
        closedir(dir);
    return n;
}

/* A job that is not done yet: its folder. */
static const char *make_job(const char *jobs)
{
    static char dirs[8][1200];
    static int next;
    char *dir = dirs[next++ % 8];
    CLI_EXPECT(0, "generate", TINY, "-q", "--jobs-dir", jobs, "--max-steps-run", "1");
    assert_true(jobs_in(jobs, dir, sizeof dirs[0]) >= 1);
    return dir;
}

static char *file_of(const char *dir, const char *name)
{
    static char paths[16][1400];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

/* Ends within a minute with this status and, on failure, one clean line that says `says`. */
static void expect(const char *what, const char *says, int status, const char *const *argv)
{
    static int serial = 7000;
    int mine = serial++, end = 0;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        cli_exec(argv, mine);
    }
    assert_int_equal(waitpid(pid, &end, 0), pid);
    cli_result r = cli_result_of(end, mine);
    if (r.status != status || !cli_is_clean(r.err) || !cli_is_clean(r.out) ||
        (says && !strstr(r.err, says)) || (says && cli_lines(r.err) != 1))
        fail_msg("%s: exit %d instead of %d with \"%s\":\n%s%s", what, r.status, status,
                 says ? says : "", r.out, r.err);
    cli_result_free(&r);
}
#define EXPECT(what, says, status, ...)                                                            \
    expect(what, says, status, (const char *const[]){__VA_ARGS__, NULL})

/* ---- strangers ---- */

static void test_cli_folders_with_traps_are_refused(void **state)
{
    static const char *const places[] = {"events.jsonl",
                                         "worker.log",
                                         "lock",
                                         "conditions.safetensors",
                                         "calibration.json",
                                         "variants/bf16/state.safetensors",
                                         "variants/bf16/frames.mkv",
                                         "variants/bf16/clip.mp4",
                                         "variants/bf16/latents.safetensors"};
    (void)state;
    const char *dir = make_job(in_dir("traps"));
    write_text(in_dir("victim"), "precious");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        for (int kind = 0; kind < 2; kind++) {
            char what[100];
            char *path = file_of(dir, places[i]), *kept = in_dir("kept");
            bool there = rename(path, kept) == 0;
            snprintf(what, sizeof what, "%s as a %s", places[i], kind ? "pipe" : "link");
            assert_int_equal(kind ? mkfifo(path, 0600) : symlink(in_dir("victim"), path), 0);
            EXPECT(what, places[i], 1, "resume", dir, "-q");
            EXPECT(what, NULL, 1, "work", dir);
            assert_int_equal(unlink(path), 0);
            if (there)
                assert_int_equal(rename(kept, path), 0);
        }
    }
    /* A folder that is elsewhere. */
    assert_int_equal(rename(file_of(dir, "variants"), in_dir("elsewhere")), 0);
    assert_int_equal(symlink(in_dir("elsewhere"), file_of(dir, "variants")), 0);
    EXPECT("variants as a link", "variants", 1, "resume", dir, "-q");
    assert_int_equal(unlink(file_of(dir, "variants")), 0);
    assert_int_equal(rename(in_dir("elsewhere"), file_of(dir, "variants")), 0);
    char *text = cli_read(in_dir("victim"));
    assert_string_equal(text, "precious");
    free(text);
    EXPECT("as it was", NULL, 0, "resume", dir, "-q");
}

static void test_cli_folders_of_another_user_are_only_looked_at(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    const char *dir = make_job(in_dir("foreign"));
    assert_int_equal(chown(dir, NOBODY, NOBODY), 0);
    EXPECT("resume", "another user", 1, "resume", dir, "-q");
    EXPECT("work", "another user", 1, "work", dir);
    EXPECT("rm", "another user", 1, "rm", dir);
    EXPECT("show", NULL, 0, "show", dir);
    assert_int_equal(chown(dir, 0, 0), 0);
    EXPECT("resume", NULL, 0, "resume", dir, "-q");
}

/* Fields of job.json that a terminal would act on, and outputs of the wrong kind. */
static void test_cli_folders_job_json_is_not_trusted(void **state)
{
    static const struct {
        const char *from, *to;
        int status;
    } changes[] = {
        {"\"code_version\":\t\"", "\"code_version\":\t\"\\u001b]0;x\\u0007", 0},
        {"\"family\":\t\"", "\"family\":\t\"\\u001b[31m", 0},
        {"\"weights_identity\":\t\"", "\"weights_identity\":\t\"\\u009b2J", 0},
        {"\"id\":\t\"bf16\"", "\"id\":\t\"bf16\", \"output\":\t\"/tmp/.bashrc\"", 1},
        {"\"id\":\t\"bf16\"", "\"id\":\t\"bf16\", \"output\":\t\"/tmp/.mp4\"", 1},
        {"\"id\":\t\"bf16\"", "\"id\":\t\"bf16\", \"save_latents\":\t\"/tmp/x.mp4\"", 1},
        {"\"id\":\t\"bf16\"", "\"id\":\t\"bf16\", \"save_frames\":\t\"x.safetensors\"", 1},
    };
    (void)state;
    const char *dir = make_job(in_dir("json")), *path = file_of(dir, "job.json");
    char *text = cli_read(path);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char *at = strstr(text, changes[i].from);
        if (!at)
            fail_msg("job.json has no %s", changes[i].from);
        char *changed = vg_strf("%.*s%s%s", (int)(at - text), text, changes[i].to,
                                at + strlen(changes[i].from));
        write_text(path, changed);
        free(changed);
        EXPECT(changes[i].to, changes[i].status ? "job.json" : NULL, changes[i].status, "show",
               dir);
        EXPECT(changes[i].to, NULL, changes[i].status, "show", dir, "--json");
        if (changes[i].status)
            EXPECT(changes[i].to, "job.json", 1, "work", dir);
    }
    write_text(path, text);
    free(text);
    /* The place of an output that is gone by now is told before the work. */
    assert_int_equal(mkdir(in_dir("out"), 0700), 0);
    CLI_EXPECT(0, "generate", TINY, "-q", "--jobs-dir", in_dir("gone"), "--max-steps-run", "1",
               "--output", in_dir("out/a.mp4"));
    assert_int_equal(rmdir(in_dir("out")), 0);
    EXPECT("gone", "there is no folder", 1, "resume", "last", "--jobs-dir", in_dir("gone"), "-q");
}

/* A lock that names a process which is not the job's worker: it is left alone. */
static void test_cli_folders_only_their_worker_is_signalled(void **state)
{
    (void)state;
    const char *dir = make_job(in_dir("pids")), *lock = file_of(dir, "lock");
    char note[32];
    int fd = -1;
    vg_err err;
    pid_t victim = fork();
    if (victim == 0) {
        (void)open(lock, O_RDWR); /* it has the file open, and does not hold the lock */
        pause();
        _exit(0);
    }
    snprintf(note, sizeof note, "%ld", (long)victim);
    usleep(50000);
    CHECK_OK(vg_lock_take(lock, note, &fd, &err), err);
    CHECK_FAILS(vg_process_signal(victim, lock, SIGKILL, &err), VG_E_MISSING, err);
    assert_int_equal(vg_process_signal(getpid(), lock, 0, &err), VG_OK); /* this one holds it */
    CHECK_FAILS(vg_process_signal(1, lock, 0, &err), VG_E_MISSING, err);
    CHECK_FAILS(vg_process_signal(-1, lock, 0, &err), VG_E_MISSING, err);
    CHECK_FAILS(vg_process_signal(getpid(), in_dir("none"), 0, &err), VG_E_MISSING, err);
    EXPECT("rm --force", "left alone", 1, "rm", "--force", dir);
    assert_int_equal(waitpid(victim, NULL, WNOHANG), 0);
    kill(victim, SIGKILL);
    waitpid(victim, NULL, 0);
    vg_lock_release(fd);
}

/* ---- a worker that hangs ---- */

static void test_cli_folders_a_stuck_worker_is_ended(void **state)
{
    (void)state;
    const char *jobs = in_dir("stuck");
    char id[300] = "", dir[900];
    CLI_EXPECT(0, "generate", TINY, "-q", "--jobs-dir", in_dir("right"), "--save-latents",
               in_dir("right.safetensors"));
    setenv("FAULT_COMMAND", "work", 1);
    setenv("FAULT_UNDER", in_dir("stuck"), 1);
    setenv("FAULT_HANG", "60", 1);
    cli_preload("FAULT_AT", "-1");
    cli_result r = CLI("generate", TINY, "--jobs-dir", jobs, "--detach", "--save-latents",
                       in_dir("stuck.safetensors"));
    cli_preload("FAULT_AT", NULL);
    unsetenv("FAULT_HANG");
    assert_int_equal(sscanf(r.out, "%299s", id), 1);
    cli_result_free(&r);
    snprintf(dir, sizeof dir, "%s/%s", jobs, id);
    for (int i = 0; i < 600 && !vg_job_running(dir, NULL); i++)
        usleep(20000);
    usleep(1500000); /* by now it hangs */
    assert_true(vg_job_running(dir, NULL));
    EXPECT("--grace", "--grace", 2, "cancel", id, "--jobs-dir", jobs, "--grace", "soon");
    r = CLI("cancel", id, "--jobs-dir", jobs, "--grace", "0.5");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "cancelled (it did not answer and was killed)"));
    cli_result_free(&r);
    assert_false(vg_job_running(dir, NULL));
    /* Its slot is free, and what it did is kept. */
    EXPECT("another job", NULL, 0, "generate", TINY, "-q", "--jobs-dir", in_dir("next"));
    EXPECT("resume", NULL, 0, "resume", id, "--jobs-dir", jobs, "-q");
    assert_true(cli_same_file(in_dir("right.safetensors"), in_dir("stuck.safetensors")));
}

/* A worker keeps neither descriptors nor the folder of who started it. */
static void test_cli_folders_workers_are_detached(void **state)
{
    (void)state;
    char path[64], link[900], id[300] = "", dir[900];
    pid_t pid = 0;
    int ends[2];
    assert_int_equal(mkdir(in_dir("cwd"), 0700), 0);
    assert_int_equal(pipe(ends), 0);
    setenv("FAULT_COMMAND", "work", 1);
    setenv("FAULT_UNDER", in_dir("detached"), 1);
    setenv("FAULT_HANG", "60", 1);
    cli_preload("FAULT_AT", "-1");
    assert_int_equal(chdir(in_dir("cwd")), 0);
    cli_result r = CLI("generate", TINY, "--jobs-dir", in_dir("detached"), "--detach");
    assert_int_equal(chdir("/"), 0);
    cli_preload("FAULT_AT", NULL);
    unsetenv("FAULT_HANG");
    assert_int_equal(sscanf(r.out, "%299s", id), 1);
    cli_result_free(&r);
    snprintf(dir, sizeof dir, "%s/%s", in_dir("detached"), id);
    for (int i = 0; i < 600 && (!vg_job_running(dir, &pid) || pid <= 1); i++)
        usleep(20000);
    assert_true(pid > 1);
    /* The pipe's reader sees the end although the worker lives. */
    close(ends[1]);
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
    snprintf(path, sizeof path, "/proc/%ld/cwd", (long)pid);
    ssize_t n = readlink(path, link, sizeof link - 1);
    assert_int_equal(n, 1);
    EXPECT("cancel", NULL, 0, "cancel", id, "--jobs-dir", in_dir("detached"), "--grace", "0.1");
}

/* ---- removing ---- */

static void test_cli_folders_rm_takes_damaged_jobs_and_links(void **state)
{
    static const char *const damage[] = {"", "{", "{}", "\xff\xfe", NULL};
    (void)state;
    const char *jobs = in_dir("rm");
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        const char *dir = make_job(jobs), *id = strrchr(dir, '/') + 1;
        if (damage[i])
            write_text(file_of(dir, "job.json"), damage[i]);
        else
            assert_int_equal(unlink(file_of(dir, "job.json")), 0);
        EXPECT("rm", NULL, 0, "rm", id, "--jobs-dir", jobs);
        assert_int_equal(jobs_in(jobs, NULL, 0), 0);
    }
    /* By a link: both are gone. */
    const char *dir = make_job(in_dir("target"));
    assert_int_equal(symlink(dir, in_dir("rm/linked")), 0);
    EXPECT("rm", NULL, 0, "rm", "linked", "--jobs-dir", jobs);
    assert_int_equal(jobs_in(jobs, NULL, 0), 0);
    assert_int_equal(jobs_in(in_dir("target"), NULL, 0), 0);
    /* What never was a job stays. */
    assert_int_equal(mkdir(in_dir("rm/other"), 0700), 0);
    write_text(in_dir("rm/other/file"), "x");
    EXPECT("rm", "other", 1, "rm", "other", "--jobs-dir", jobs);
    EXPECT("rm", "not a job", 1, "rm", in_dir("rm/other"));
    assert_true(vg_file_exists(in_dir("rm/other/file")));
    /* What a kill left of a removal goes with the next job. */
    assert_int_equal(mkdir(in_dir("rm/.rm-12345678-1"), 0700), 0);
    write_text(in_dir("rm/.rm-12345678-1/file"), "x");
    dir = make_job(jobs);
    assert_false(vg_file_exists(in_dir("rm/.rm-12345678-1")));
    /* A worker is on it: refused; ended with --force. */
    int fd = -1;
    vg_err err;
    CHECK_OK(vg_lock_take(file_of(dir, "lock"), "1", &fd, &err), err);
    EXPECT("rm", "running", 1, "rm", dir);
    vg_lock_release(fd);
    EXPECT("rm", NULL, 0, "rm", dir);
}

static void test_cli_folders_names_that_look_the_same_are_told_apart(void **state)
{
    (void)state;
    const char *jobs = in_dir("twins"), *dir = make_job(jobs);
    char *a = strdup(in_dir("twins/a\xfe")), *b = strdup(in_dir("twins/a\xff"));
    assert_int_equal(rename(dir, a), 0);
    dir = NULL;
    char copy[2400];
    snprintf(copy, sizeof copy, "cp -a '%s' '%s'", a, b);
    assert_int_equal(system(copy), 0);
    char *id_a = vg_job_id_of(a), *id_b = vg_job_id_of(b);
    assert_string_not_equal(id_a, id_b);
    assert_true(vg_text_is_utf8(id_a) && cli_is_clean(id_a));
    EXPECT("both", "2 jobs fit", 2, "rm", "a", "--jobs-dir", jobs);
    EXPECT("one", NULL, 0, "rm", id_a, "--jobs-dir", jobs);
    assert_false(vg_file_exists(a));
    assert_true(vg_file_exists(b));
    EXPECT("the other, by its bytes", NULL, 0, "rm", "a\xff", "--jobs-dir", jobs);
    assert_false(vg_file_exists(b));
    free(a);
    free(b);
    free(id_a);
    free(id_b);
}

static void test_cli_folders_a_damaged_job_does_not_block_last(void **state)
{
    (void)state;
    const char *jobs = in_dir("last"), *dir = make_job(jobs);
    assert_int_equal(mkdir(in_dir("last/99999999-newest"), 0700), 0);
    write_text(in_dir("last/99999999-newest/job.json"), "{\"vgen_job\": 1, \"created\": 9e9");
    cli_result r = CLI("show", "last", "--jobs-dir", jobs);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, strrchr(dir, '/') + 1));
    cli_result_free(&r);
    EXPECT("resume last", NULL, 0, "resume", "last", "--jobs-dir", jobs, "-q");
}

/* ---- places ---- */

static void test_cli_folders_names_that_are_not_text_are_refused_before(void **state)
{
    (void)state;
    const char *odd = in_dir("odd\xff");
    char *output = vg_path_join(odd, "a.mp4");
    assert_int_equal(mkdir(odd, 0700), 0);
    EXPECT("output", "UTF-8", 2, "generate", TINY, "-q", "--jobs-dir", in_dir("none"), "--output",
           output);
    free(output);
    EXPECT("jobs folder", "UTF-8", 2, "generate", TINY, "-q", "--jobs-dir", odd);
    assert_int_equal(chdir(odd), 0);
    EXPECT("working directory", "UTF-8", 2, "generate", TINY, "-q", "--jobs-dir", in_dir("none"),
           "--output", "a.mp4");
    /* A model that a link leads to. */
    assert_int_equal(chdir("/"), 0);
    char *line = vg_strf("cp -a '%s/tests/golden/tiny-a' '%s/real' && ln -s '%s/real' '%s/linked'",
                         VG_SOURCE_DIR, odd, odd, cli_dir);
    assert_int_equal(system(line), 0);
    free(line);
    EXPECT("model", "UTF-8", 2, "generate", "--model", in_dir("linked"), "--prompt", "fox",
           "--height", "32", "--width", "48", "--num-frames", "5", "--num-inference-steps", "1",
           "-q", "--jobs-dir", in_dir("none"));
    assert_int_equal(jobs_in(in_dir("none"), NULL, 0), 0);
}

static void test_cli_folders_output_names_up_to_the_limit(void **state)
{
    char name[NAME_MAX + 2];
    (void)state;
    memset(name, 'n', sizeof name);
    memcpy(name + NAME_MAX - 4, ".mp4", 5);
    EXPECT("255 bytes", NULL, 0, "generate", TINY, "-q", "--jobs-dir", in_dir("long"), "--output",
           in_dir(name));
    assert_true(vg_file_exists(in_dir(name)));
    /* With the variant's name in it, it is longer than a name may be. */
    EXPECT("255 bytes and a scheme", "too long", 2, "compare", TINY, "-q", "--jobs-dir",
           in_dir("none"), "--output", in_dir(name));
    assert_int_equal(jobs_in(in_dir("none"), NULL, 0), 0);
}

/* Everything of a job is its owner's only; what was asked for elsewhere is as the umask says. */
static void test_cli_folders_are_private(void **state)
{
    char line[2400], found[900] = "";
    struct stat st;
    (void)state;
    umask(022);
    assert_int_equal(chmod(cli_dir, 0755), 0);
    CLI_EXPECT(0, "compare", TINY, "-q", "--output", in_dir("public.mp4"), "--save-latents",
               in_dir("public.safetensors"));
    snprintf(line, sizeof line, "find '%s/state' '%s/cache' -mindepth 1 -perm /077 | head -1",
             cli_dir, cli_dir);
    FILE *find = popen(line, "r");
    assert_non_null(find);
    if (fgets(found, sizeof found, find))
        fail_msg("others can open %s", found);
    pclose(find);
    assert_true(stat(in_dir("public.mp4"), &st) == 0 && (st.st_mode & 0777) == 0644);
    assert_true(stat(in_dir("public-bf16.safetensors"), &st) == 0 && (st.st_mode & 0777) == 0644);
    assert_int_equal(chmod(cli_dir, 0700), 0);
    /* /tmp is nobody's home. */
    static const char *const places[] = {"HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME",
                                         "XDG_CONFIG_HOME"};
    char *kept[4];
    if (geteuid() != 0)
        return;
    for (int i = 0; i < 4; i++) {
        kept[i] = strdup(getenv(places[i]));
        unsetenv(places[i]);
    }
    pid_t pid = fork();
    int end = 0;
    if (pid == 0) {
        const char *const jobs[] = {"jobs", NULL};
        int out = open(in_dir("err.9999"), O_CREAT | O_WRONLY, 0666);
        close(out);
        (void)chown(in_dir("err.9999"), NOBODY, NOBODY);
        (void)chown(cli_dir, NOBODY, NOBODY);
        if (setresuid(NOBODY, NOBODY, NOBODY) != 0)
            _exit(126);
        cli_exec(jobs, 9999);
    }
    waitpid(pid, &end, 0);
    assert_int_equal(chown(cli_dir, 0, 0), 0);
    cli_result r = cli_result_of(end, 9999);
    if (r.status != 126 && r.status != 127) {
        assert_int_equal(r.status, 1);
        assert_non_null(strstr(r.err, "set HOME"));
    }
    cli_result_free(&r);
    for (int i = 0; i < 4; i++) {
        setenv(places[i], kept[i], 1);
        free(kept[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_folders_with_traps_are_refused),
        cmocka_unit_test(test_cli_folders_of_another_user_are_only_looked_at),
        cmocka_unit_test(test_cli_folders_job_json_is_not_trusted),
        cmocka_unit_test(test_cli_folders_only_their_worker_is_signalled),
        cmocka_unit_test(test_cli_folders_a_stuck_worker_is_ended),
        cmocka_unit_test(test_cli_folders_workers_are_detached),
        cmocka_unit_test(test_cli_folders_rm_takes_damaged_jobs_and_links),
        cmocka_unit_test(test_cli_folders_names_that_look_the_same_are_told_apart),
        cmocka_unit_test(test_cli_folders_a_damaged_job_does_not_block_last),
        cmocka_unit_test(test_cli_folders_names_that_are_not_text_are_refused_before),
        cmocka_unit_test(test_cli_folders_output_names_up_to_the_limit),
        cmocka_unit_test(test_cli_folders_are_private),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
