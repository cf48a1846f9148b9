/* test_cli_heal.c: files of a job that are lost, damaged or of other settings: made again with the same bytes, or refused in one line. */
#include "tests/app/test_cli_small.h"

#include <dirent.h>
#include "kernels/base/json.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/run/conditions.h"

#define TINY                                                                                       \
    "--preset", "demo", "--height", "32", "--width", "32", "--num-frames", "5",                    \
        "--num-inference-steps", "3"

/* FILE in the only job under cli_dir/NAME; valid until eight more calls. */
static const char *job_file(const char *name, const char *file)
{
    static char paths[8][900];
    static int next;
    char *path = paths[next++ % 8], jobs[300];
    snprintf(jobs, sizeof jobs, "%s/%s", cli_dir, name);
    DIR *dir = opendir(jobs);
    struct dirent *item;
    assert_non_null(dir);
    path[0] = 0;
    while ((item = readdir(dir))) {
        if (item->d_name[0] != '.')
            snprintf(path, sizeof paths[0], "%s/%s/%s", jobs, item->d_name, file);
    }
    closedir(dir);
    assert_true(path[0]);
    return path;
}

static const char *jobs_of(const char *name)
{
    static char paths[8][300];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", cli_dir, name);
    return path;
}

static void write_text(const char *path, const char *text)
{
    assert_int_equal(vg_file_write_atomic(path, text, strlen(text), NULL), VG_OK);
}

static void copy(const char *from, const char *to)
{
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(vg_file_read(from, 256u << 20, &bytes, &size, NULL), VG_OK);
    assert_int_equal(vg_file_write_atomic(to, bytes, size, NULL), VG_OK);
    free(bytes);
}

static void halve(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size / 2), 0);
}

/* root.object.key = number, in a JSON file. */
static void edit(const char *path, const char *object, const char *key, cJSON *value)
{
    cJSON *root = NULL;
    vg_err err;
    CHECK_OK(vg_json_load(path, &root, &err), err);
    cJSON *o = object ? cJSON_GetObjectItem(root, object) : root;
    cJSON_DeleteItemFromObject(o, key);
    cJSON_AddItemToObject(o, key, value);
    CHECK_OK(vg_json_save(path, root, &err), err);
    cJSON_Delete(root);
}

static const char *const pieces[] = {"variants/bf16/latents.safetensors",
                                     "variants/bf16/frames.mkv",
                                     "variants/bf16/clip.mp4",
                                     "variants/fp8/latents.safetensors",
                                     "variants/fp8/frames.mkv",
                                     "variants/fp8/clip.mp4",
                                     "variants/fp8/metrics.json",
                                     "conditions.safetensors",
                                     "calibration.json",
                                     "comparison.mp4"};
#define PIECES (sizeof pieces / sizeof *pieces)

/* A finished compare to compare with: cli_dir/whole. */
static void whole(void)
{
    if (!vg_file_exists(jobs_of("whole")))
        CLI_EXPECT(0, "compare", TINY, "--jobs-dir", jobs_of("whole"), "-q");
}

/* but: a file that need not be there, or NULL. */
static void expect_whole_but(const char *name, const char *but, const char *what)
{
    for (size_t i = 0; i < PIECES; i++) {
        if (but && !strcmp(pieces[i], but))
            continue;
        if (vg_file_exists(job_file("whole", pieces[i])) &&
            !cli_same_file(job_file("whole", pieces[i]), job_file(name, pieces[i])))
            fail_msg("%s: %s is not what it was", what, pieces[i]);
    }
}

static void expect_whole(const char *name, const char *what)
{
    expect_whole_but(name, NULL, what);
}

static void test_cli_heal_a_damaged_calibration_is_measured_again(void **state)
{
    (void)state;
    static const char *const damage[] = {
        "{}", "",
        "{\"format\": \"vgen-input-scales\", \"version\": 1, \"identity\": \"\", \"transformer\": {}}",
        NULL};
    whole();
    char cached[600] = "", line[600];
    snprintf(line, sizeof line, "ls -d %s/cache/vgen/calibration/*.json", cli_dir);
    FILE *ls = popen(line, "r");
    assert_true(ls && fgets(cached, sizeof cached, ls));
    pclose(ls);
    cached[strcspn(cached, "\n")] = 0;
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        char name[16];
        snprintf(name, sizeof name, "cal%zu", i);
        if (damage[i])
            write_text(cached, damage[i]);
        else
            edit(cached, "transformer", "blocks.0.attn1.to_q",
                 cJSON_CreateNumber(0.5)); /* whole, but another value */
        CLI_EXPECT(0, "compare", TINY, "--jobs-dir", jobs_of(name), "-q");
        expect_whole(name, name);
    }
    /* The job's own copy. */
    write_text(job_file("cal0", "calibration.json"), "{}");
    write_text(cached, "{}");
    unlink(job_file("cal0", "variants/fp8/latents.safetensors"));
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs_of("cal0"), "-q");
    expect_whole("cal0", "calibration of the job");
}

static void test_cli_heal_restores_what_is_missing_or_damaged(void **state)
{
    (void)state;
    whole();
    CLI_EXPECT(0, "compare", TINY, "--jobs-dir", jobs_of("heal"), "-q");
    const char *const reports[] = {"variants/bf16/variant.json", "variants/fp8/variant.json"};
    /* One at a time is lost; then all are damaged. */
    for (size_t i = 0; i < PIECES - 3; i++) {
        assert_int_equal(unlink(job_file("heal", pieces[i])), 0);
        CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs_of("heal"), "-q");
        expect_whole("heal", pieces[i]);
    }
    for (size_t i = 0; i < PIECES - 3; i++)
        halve(job_file("heal", pieces[i]));
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs_of("heal"), "-q");
    expect_whole("heal", "all pieces damaged");
    for (int i = 0; i < 2; i++) {
        write_text(job_file("heal", reports[i]), i ? "garbage" : "");
        unlink(job_file("heal", "variants/bf16/frames.mkv"));
        CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs_of("heal"), "-q");
        expect_whole("heal", reports[i]);
        cJSON *root = NULL;
        assert_int_equal(vg_json_load(job_file("heal", reports[i]), &root, NULL), VG_OK);
        assert_true(cJSON_GetObjectItem(root, "peak_bytes")->valuedouble > 0);
        cJSON_Delete(root);
    }
    CLI_EXPECT(0, "export", "last", "--jobs-dir", jobs_of("heal"));
}

static void test_cli_heal_wrong_latents_and_states_are_made_again(void **state)
{
    (void)state;
    vg_err err;
    whole();
    CLI_EXPECT(0, "compare", TINY, "--jobs-dir", jobs_of("part"), "--max-steps-run", "2", "-q");
    /* Latents of another size, as a stranger would put them there; a state that is half of one; text without its second half. */
    float values[16 * 16] = {0};
    vg_safetensors_entry entry = {"latents", vg_tensor_make(values, VG_F32, 4, 16, 1, 4, 4)};
    CHECK_OK(vg_safetensors_write(job_file("part", "variants/bf16/latents.safetensors"), &entry, 1,
                                  NULL, &err),
             err);
    halve(job_file("part", "variants/fp8/state.safetensors"));
    halve(job_file("part", "conditions.safetensors"));
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs_of("part"), "-q");
    expect_whole("part", "wrong latents");
    /* Steps so far, named like the result. */
    CLI_EXPECT(0, "generate", TINY, "--jobs-dir", jobs_of("early"), "--max-steps-run", "1", "-q",
               "--save-latents", job_file("whole", "early.safetensors"));
    copy(job_file("whole", "early.safetensors"),
         job_file("early", "variants/bf16/latents.safetensors"));
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs_of("early"), "-q");
    assert_true(cli_same_file(job_file("whole", pieces[0]), job_file("early", pieces[0])));
}

static void test_cli_heal_refuses_a_changed_job(void **state)
{
    (void)state;
    static const struct {
        const char *key, *text;
        double number;
    } changes[] = {{"num_inference_steps", NULL, 5}, {"num_inference_steps", NULL, 2},
                   {"flow_shift", NULL, 7},          {"scheduler", "euler", 0},
                   {"prompt", "something else", 0},  {"seed", NULL, 43},
                   {"guidance_scale", NULL, 2}};
    CLI_EXPECT(0, "generate", TINY, "--jobs-dir", jobs_of("changed"), "--max-steps-run", "2", "-q");
    const char *job = job_file("changed", "job.json"), *kept = job_file("changed", "kept.json");
    copy(job, kept);
    for (int finished = 0; finished < 2; finished++) {
        for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
            edit(job, "resolved", changes[i].key,
                 changes[i].text ? cJSON_CreateString(changes[i].text)
                                 : cJSON_CreateNumber(changes[i].number));
            cli_result r = CLI("resume", "last", "--jobs-dir", jobs_of("changed"), "-q");
            if (r.status != 1 || !strstr(r.err, "made with other settings") ||
                cli_lines(r.err) != 1)
                fail_msg("%s: exit %d\n%s", changes[i].key, r.status, r.err);
            cli_result_free(&r);
            copy(kept, job);
        }
        CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs_of("changed"), "-q");
    }
    whole();
    assert_true(cli_same_file(job_file("whole", pieces[0]), job_file("changed", pieces[0])));
}

static void test_cli_heal_an_older_file_of_the_outputs_name_is_replaced(void **state)
{
    (void)state;
    outputs o = outputs_of("stale");
    CLI_EXPECT(0, "compare", TINY, "--jobs-dir", jobs_of("stale"), "--output", o.clip, "-q");
    /* As if killed before the last word. */
    char *events = cli_read(job_file("stale", "events.jsonl")),
         *done = strstr(events, "\"type\":\"done\"");
    assert_non_null(done);
    while (done > events && done[-1] != '\n')
        done--;
    *done = 0;
    write_text(job_file("stale", "events.jsonl"), events);
    free(events);
    write_text(o.clip, "OLD");
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs_of("stale"), "-q");
    assert_true(cli_same_file(o.clip, job_file("stale", "comparison.mp4")));
}

static void test_cli_heal_sweeps_what_a_kill_left(void **state)
{
    (void)state;
    char clip[400];
    static const char *const left[] = {"variants/bf16/.vgen-00000000000000a0.tmp",
                                       ".vgen-00000000000000a0.tmp"};
    char beside[400], mine[400];
    snprintf(beside, sizeof beside, "%s/.vgen-00000000000000a0.tmp", cli_dir);
    snprintf(mine, sizeof mine, "%s/.vgen-00000000000000a1.tmp", cli_dir);
    snprintf(clip, sizeof clip, "%s/sweep.mp4", cli_dir);
    CLI_EXPECT(0, "generate", TINY, "--jobs-dir", jobs_of("sweep"), "--max-steps-run", "1", "-q",
               "--output", clip);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        write_text(job_file("sweep", left[i]), "x");
    write_text(beside, "x");
    write_text(mine, "x");
    /* Its writer lives: it holds a lock. */
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(mine, O_RDWR | O_CLOEXEC);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &fl), 0);
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs_of("sweep"), "--max-steps-run", "1", "-q");
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        assert_false(vg_file_exists(job_file("sweep", left[i])));
    assert_false(vg_file_exists(beside));
    assert_true(vg_file_exists(mine));
    close(fd);
    unlink(mine);
}

/* ---- every file of a job, damaged in every way ---- */

enum { GONE, EMPTY, CUT, ONE_BIT, ZEROED, DAMAGES };
static const char *const damages[DAMAGES] = {"gone", "empty", "cut", "one bit", "zeroed"};

static void damage(const char *path, int how)
{
    char *bytes = NULL;
    size_t size = 0;
    if (how == GONE) {
        assert_int_equal(unlink(path), 0);
        return;
    }
    if (vg_file_read(path, 256u << 20, &bytes, &size, NULL) != VG_OK || !size)
        fail_msg("%s cannot be damaged", path);
    if (how == EMPTY)
        size = 0;
    else if (how == CUT)
        size -= size / 3;
    else if (how == ONE_BIT)
        bytes[size * 5 / 8] ^= 4;
    else
        memset(bytes, 0, size);
    assert_int_equal(vg_file_write_atomic(path, bytes, size, NULL), VG_OK);
    free(bytes);
}

/* Files of the only job under cli_dir/NAME, below its folder; the caller frees both. */
static size_t list_job(const char *name, char ***list)
{
    char line[700], found[900];
    size_t n = 0;
    *list = calloc(64, sizeof **list);
    snprintf(line, sizeof line, "cd '%s'/* && find . -type f | sort | cut -c3-", jobs_of(name));
    FILE *find = popen(line, "r");
    while (find && n < 64 && fgets(found, sizeof found, find)) {
        found[strcspn(found, "\n")] = 0;
        (*list)[n++] = strdup(found);
    }
    pclose(find);
    return n;
}

__attribute__((format(printf, 1, 2))) static void shell(const char *format, ...)
{
    char line[1400];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (system(line) != 0)
        fail_msg("%s", line);
}

/* Every file that a job leaves is what it is after a run without damage; of the report only what does not tell a time. What only the way to
 * finished latents needs is not made again. */
static void expect_healed(const char *file, bool finished, const char *what)
{
    bool behind =
        finished && (!strcmp(file, "conditions.safetensors") || !strcmp(file, "calibration.json"));
    expect_whole_but("hurt", behind ? file : NULL, what);
    static const char *const more[] = {"variants/fp8/metrics.csv", "variants/fp8/metrics.json",
                                       "files.json"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (!cli_same_file(job_file("whole", more[i]), job_file("hurt", more[i])))
            fail_msg("%s: %s is not what it was", what, more[i]);
    static const char *const reports[] = {"variants/bf16/variant.json",
                                          "variants/fp8/variant.json"};
    for (size_t i = 0; i < 2; i++) {
        cJSON *a = NULL, *b = NULL;
        vg_err err;
        CHECK_OK(vg_json_load(job_file("whole", reports[i]), &a, &err), err);
        CHECK_OK(vg_json_load(job_file("hurt", reports[i]), &b, &err), err);
        if (strcmp(cJSON_GetObjectItem(a, "made_with")->valuestring,
                   cJSON_GetObjectItem(b, "made_with")->valuestring) != 0)
            fail_msg("%s: %s is of other settings", what, reports[i]);
        cJSON_Delete(a);
        cJSON_Delete(b);
    }
}

static void restore(void)
{
    shell("cd '%s' && rm -rf hurt && cp -a '%s/kept' hurt", cli_dir, cli_dir);
}

static void test_cli_heal_every_file_damaged_in_every_way(void **state)
{
    (void)state;
    static const struct {
        const char *steps; /* it was stopped behind, or NULL */
        size_t files;      /* at least */
    } jobs[] = {{NULL, 15}, {"2", 9}};
    int tried = 0;
    whole();
    for (size_t k = 0; k < 2; k++) {
        char **files;
        int refused = 0;
        shell("rm -rf '%s' '%s'", jobs_of("hurt"), jobs_of("kept"));
        CLI_EXPECT(0, "compare", TINY, "--jobs-dir", jobs_of("hurt"), "-q",
                   jobs[k].steps ? "--max-steps-run" : NULL, jobs[k].steps);
        shell("cp -a '%s' '%s'", jobs_of("hurt"), jobs_of("kept"));
        size_t count = list_job("hurt", &files);
        assert_true(count >= jobs[k].files);
        for (size_t i = 0; i < count; i++) {
            struct stat st;
            if (stat(job_file("kept", files[i]), &st) != 0 || !st.st_size)
                continue; /* a log without words */
            for (int how = CLI_SANITIZED ? CUT : GONE; how < (CLI_SANITIZED ? ZEROED : DAMAGES);
                 how++) {
                char what[300];
                snprintf(what, sizeof what, "%s job, %s %s", k ? "stopped" : "finished", files[i],
                         damages[how]);
                restore();
                damage(job_file("hurt", files[i]), how);
                cli_result r = CLI("resume", "last", "--jobs-dir", jobs_of("hurt"), "-q");
                tried++;
                /* What was asked cannot be made again. */
                if (!strcmp(files[i], "job.json") && r.status == 1 && cli_lines(r.err) == 1)
                    refused++;
                else if (r.status != 0)
                    fail_msg("%s: exit %d\n%s", what, r.status, r.err);
                else
                    expect_healed(files[i], !jobs[k].steps, what);
                cli_result_free(&r);
            }
        }
        assert_true(refused >= (CLI_SANITIZED ? 1 : 4)); /* a bit may be one that decides nothing */
        for (size_t i = 0; i < count; i++)
            free(files[i]);
        free(files);
    }
    print_message("%d damages\n", tried);
}

/* As a version that did not look would have kept it: whole, of these settings, and of no use. */
static void test_cli_heal_conditions_that_hold_nan_are_made_again(void **state)
{
    (void)state;
    vg_conditions c;
    vg_safetensors *st;
    vg_err err;
    CLI_EXPECT(0, "compare", TINY, "--jobs-dir", jobs_of("nan"), "--max-steps-run", "1", "-q");
    const char *path = job_file("nan", "conditions.safetensors");
    CHECK_OK(vg_conditions_read(path, &c, &err), err);
    CHECK_OK(vg_safetensors_open(path, &st, &err), err);
    const char *const metadata[] = {VG_SAFETENSORS_CHECKSUM, VG_SAFETENSORS_UNKNOWN, "made_with",
                                    vg_safetensors_metadata(st, "made_with"), NULL};
    c.list[0].values[3] = NAN;
    unlink(path); /* mapped, and replaced */
    CHECK_OK(vg_conditions_write(path, &c, metadata, &err), err);
    vg_safetensors_close(st);
    vg_conditions_deinit(&c);
    whole();
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs_of("nan"), "-q");
    expect_whole("nan", "conditions with NaN");
}

/* Given, not made: it cannot be made again, and another noise would be another clip. */
static void test_cli_heal_damaged_initial_latents_are_refused(void **state)
{
    (void)state;
    char given[400];
    whole();
    snprintf(given, sizeof given, "%s/given.safetensors", cli_dir);
    copy(job_file("whole", pieces[0]), given);
    CLI_EXPECT(0, "generate", TINY, "--jobs-dir", jobs_of("given"), "--max-steps-run", "1", "-q",
               "--init-latents", given);
    unlink(job_file("given", "variants/bf16/state.safetensors"));
    unlink(job_file("given", "conditions.safetensors"));
    damage(job_file("given", "init_latents.safetensors"), 3);
    cli_result r = CLI("resume", "last", "--jobs-dir", jobs_of("given"), "-q");
    if (r.status != 1 || !strstr(r.err, "init_latents.safetensors: damaged") ||
        cli_lines(r.err) != 1)
        fail_msg("exit %d\n%s", r.status, r.err);
    cli_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_heal_a_damaged_calibration_is_measured_again),
        cmocka_unit_test(test_cli_heal_restores_what_is_missing_or_damaged),
        cmocka_unit_test(test_cli_heal_wrong_latents_and_states_are_made_again),
        cmocka_unit_test(test_cli_heal_refuses_a_changed_job),
        cmocka_unit_test(test_cli_heal_an_older_file_of_the_outputs_name_is_replaced),
        cmocka_unit_test(test_cli_heal_sweeps_what_a_kill_left),
        cmocka_unit_test(test_cli_heal_every_file_damaged_in_every_way),
        cmocka_unit_test(test_cli_heal_conditions_that_hold_nan_are_made_again),
        cmocka_unit_test(test_cli_heal_damaged_initial_latents_are_refused),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
