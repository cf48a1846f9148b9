/* test_cli_jobs.c: real jobs on the bundled demo model: the same bytes twice, stop and resume, cancel, exit codes, results. */
#include "tests/app/test_cli_small.h"

static void test_cli_the_same_job_twice_gives_the_same_bytes(void **state)
{
    (void)state;
    run_reference();
    /* Without the calibration of the first run as well. */
    char cache[320];
    snprintf(cache, sizeof cache, "%s/cache/vgen", cli_dir);
    assert_int_equal(vg_file_remove_tree(cache, NULL), VG_OK);
    outputs o = outputs_of("again");
    CLI_EXPECT(0, "compare", SMALL, "--quantization", "bf16,fp8,fp8-block", "--output", o.clip,
               "--save-latents", o.latents, "--save-frames", o.frames, "-q");
    expect_same("reference", "again");
    outputs first = outputs_of("reference");
    assert_true(cli_same_file(
        first.clip, o.clip)); /* the comparison: no figure in it that differs from run to run */
}

static void test_cli_a_stopped_job_goes_on_with_the_same_result(void **state)
{
    (void)state;
    run_reference();
    char jobs[300];
    snprintf(jobs, sizeof jobs, "%s/stopped", cli_dir);
    outputs o = outputs_of("steps");
    CLI_EXPECT(0, "compare", SMALL, "--quantization", "bf16,fp8,fp8-block", "--output", o.clip,
               "--save-latents", o.latents, "--save-frames", o.frames, "--jobs-dir", jobs,
               "--max-steps-run", "2", "-q");
    assert_false(vg_file_exists(o.clip));
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs, "--max-steps-run", "3", "-q");
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs, "-q");
    expect_same("reference", "steps");
    assert_true(vg_file_exists(o.clip));
}

static void test_cli_resume_writes_lost_outputs_again(void **state)
{
    (void)state;
    char jobs[300];
    snprintf(jobs, sizeof jobs, "%s/lost", cli_dir);
    outputs o = outputs_of("lost");
    CLI_EXPECT(0, "generate", SMALL, "--output", o.clip, "--save-latents", o.latents, "--jobs-dir",
               jobs, "-q");
    assert_true(vg_file_exists(o.clip));
    assert_int_equal(unlink(o.clip), 0);
    assert_int_equal(unlink(o.latents), 0);
    CLI_EXPECT(0, "resume", "last", "--jobs-dir", jobs, "-q");
    assert_true(vg_file_exists(o.clip) && vg_file_exists(o.latents));
}

/* Wait until the journal holds this text. */
static bool journal_says(const char *jobs, const char *id, const char *text)
{
    char path[500];
    snprintf(path, sizeof path, "%s/%s/events.jsonl", jobs, id);
    for (int i = 0; i < 1200; i++) {
        char *events = vg_file_exists(path) ? cli_read(path) : NULL;
        bool there = events && strstr(events, text);
        free(events);
        if (there)
            return true;
        usleep(25000);
    }
    return false;
}

static void test_cli_cancel_and_resume(void **state)
{
    (void)state;
    char jobs[300], id[100] = "";
    snprintf(jobs, sizeof jobs, "%s/cancelled", cli_dir);
    cli_result r = CLI("generate", "--preset", "demo", "--num-inference-steps", "300", "--jobs-dir",
                       jobs, "--detach");
    assert_int_equal(r.status, 0);
    assert_int_equal(sscanf(r.out, "%99s", id), 1);
    cli_result_free(&r);
    assert_true(journal_says(jobs, id, "\"type\":\"step\""));
    CLI_EXPECT(1, "rm", id, "--jobs-dir", jobs); /* running */
    double begin = now_s();
    CLI_EXPECT(0, "cancel", id, "--jobs-dir", jobs);
    assert_true(
        now_s() - begin <
        20); /* a step of this size takes well under a second; a loaded machine much longer */
    CLI_EXPECT(1, "cancel", id, "--jobs-dir", jobs); /* no longer running */
    CLI_EXPECT(130, "wait", id, "--jobs-dir", jobs);
    r = CLI("jobs", "--json", "--jobs-dir", jobs);
    assert_non_null(strstr(r.out, "\"state\":\"cancelled\""));
    cli_result_free(&r);
    CLI_EXPECT(0, "resume", id, "--jobs-dir", jobs, "--max-steps-run", "1", "-q");
    assert_true(journal_says(jobs, id, "going on after step"));
    r = CLI("resume", id, "--jobs-dir", jobs, "--max-steps-run", "1", "--detach", "--json");
    cJSON *root = cJSON_Parse(r.out);
    assert_string_equal(cJSON_GetObjectItem(root, "job")->valuestring, id);
    cJSON_Delete(root);
    cli_result_free(&r);
    CLI_EXPECT(0, "wait", id, "--jobs-dir", jobs);
    CLI_EXPECT(0, "rm", id, "--jobs-dir", jobs);
    r = CLI("jobs", "--json", "--jobs-dir", jobs);
    assert_string_equal(r.out, "{\"jobs\":[]}\n");
    cli_result_free(&r);
}

static void test_cli_interrupt_cancels_with_130(void **state)
{
    (void)state;
    char err_path[320];
    const char *const argv[] = {"generate", "--preset", "demo", "--num-inference-steps",
                                "300",      NULL};
    pid_t pid = cli_start(argv, 1);
    snprintf(err_path, sizeof err_path, "%s/err.1", cli_dir);
    bool begun = false;
    for (int i = 0; i < 1200 && !begun; i++) {
        char *text = cli_read(err_path);
        begun = text && strstr(text, "bf16: step 1/300");
        free(text);
        usleep(25000);
    }
    assert_true(begun);
    kill(pid, SIGINT);
    cli_result r = cli_finish(pid, 1);
    if (r.status != 130)
        fail_msg("exit %d\n%s", r.status, r.err);
    assert_non_null(strstr(r.out, ": cancelled: resume goes on")); /* the word once */
    cli_result_free(&r);
}

/* ^\\ leaves the job to itself; sent to the worker, it is a wish to end like any other, and no core. */
static void test_cli_quit_detaches_and_ends_a_worker(void **state)
{
    (void)state;
    char err_path[320], jobs[300], line[700];
    snprintf(jobs, sizeof jobs, "%s/quit", cli_dir);
    const char *const argv[] = {"generate", "--preset",   "demo", "--num-inference-steps",
                                "300",      "--jobs-dir", jobs,   NULL};
    pid_t pid = cli_start(argv, 2), worker = 0;
    snprintf(err_path, sizeof err_path, "%s/err.2", cli_dir);
    bool begun = false;
    for (int i = 0; i < 1200 && !begun; i++) {
        char *text = cli_read(err_path);
        begun = text && strstr(text, "bf16: step 1/300");
        free(text);
        usleep(25000);
    }
    assert_true(begun);
    kill(pid, SIGQUIT);
    cli_result r = cli_finish(pid, 2);
    if (r.status >= 1000)
        fail_msg("signal %d", r.status - 1000);
    cli_result_free(&r);
    snprintf(line, sizeof line, "cat '%s'/*/lock", jobs);
    FILE *lock = popen(line, "r");
    assert_true(lock && fscanf(lock, "%d", &worker) == 1 && worker > 1);
    pclose(lock);
    assert_int_equal(kill(worker, 0), 0);
    assert_int_equal(kill(worker, SIGQUIT), 0);
    CLI_EXPECT(130, "wait", "last", "--jobs-dir", jobs);
    r = CLI("jobs", "--json", "--jobs-dir", jobs);
    assert_non_null(strstr(r.out, "\"state\":\"cancelled\""));
    cli_result_free(&r);
}

/* When the job's worker had the device, seconds since 1970. */
static double started_at(const char *jobs, const char *id)
{
    char path[512];
    double t = 0;
    snprintf(path, sizeof path, "%s/%s/events.jsonl", jobs, id);
    char *events = cli_read(path);
    for (char *line = events ? strtok(events, "\n") : NULL; line && !t; line = strtok(NULL, "\n")) {
        cJSON *event = cJSON_Parse(line);
        if (strstr(line, "\"type\":\"started\""))
            t = cJSON_GetObjectItem(event, "t")->valuedouble;
        cJSON_Delete(event);
    }
    free(events);
    return t;
}

static void test_cli_jobs_of_one_device_wait_for_each_other(void **state)
{
    (void)state;
    enum { MORE = 4 }; /* one after the other in the order they came, however many wait */
    char jobs[300], first[100] = "", second[100] = "", more[MORE][100];
    snprintf(jobs, sizeof jobs, "%s/queue", cli_dir);
    cli_result r = CLI("generate", "--preset", "demo", "--num-inference-steps", "300", "--jobs-dir",
                       jobs, "--detach");
    assert_int_equal(sscanf(r.out, "%99s", first), 1);
    cli_result_free(&r);
    assert_true(journal_says(jobs, first, "\"type\":\"started\""));
    r = CLI("generate", SMALL, "--jobs-dir", jobs, "--detach");
    assert_int_equal(sscanf(r.out, "%99s", second), 1);
    cli_result_free(&r);
    assert_true(journal_says(jobs, second, "\"type\":\"queued\""));
    r = CLI("jobs", "--json", "--jobs-dir", jobs);
    assert_non_null(strstr(r.out, "waiting for"));
    assert_non_null(strstr(r.out, "\"state\":\"queued\""));
    cli_result_free(&r);
    for (int i = 0; i < MORE; i++) {
        r = CLI("generate", SMALL, "--jobs-dir", jobs, "--detach");
        assert_int_equal(sscanf(r.out, "%99s", more[i]), 1);
        cli_result_free(&r);
        assert_true(journal_says(jobs, more[i], "\"type\":\"queued\""));
    }
    CLI_EXPECT(0, "cancel", first, "--jobs-dir", jobs);
    CLI_EXPECT(0, "wait", second, "--jobs-dir", jobs);
    double before = started_at(jobs, second);
    for (int i = 0; i < MORE; i++) {
        CLI_EXPECT(0, "wait", more[i], "--jobs-dir", jobs);
        double now = started_at(jobs, more[i]);
        assert_true(now > before);
        before = now;
    }
    CLI_EXPECT(0, "rm", first, second, "--jobs-dir", jobs);
}

static void test_cli_json_is_one_object_with_the_result(void **state)
{
    (void)state;
    cli_result r = CLI("compare", SMALL, "--json");
    assert_int_equal(r.status, 0);
    assert_int_equal(cli_lines(r.out), 1);
    cJSON *root = cJSON_Parse(r.out);
    assert_non_null(root);
    assert_string_equal(cJSON_GetObjectItem(root, "state")->valuestring, "done");
    const cJSON *variants = cJSON_GetObjectItem(root, "variants"),
                *fp8 = cJSON_GetArrayItem(variants, 1);
    assert_int_equal(cJSON_GetArraySize(variants), 2);
    assert_true(vg_file_exists(cJSON_GetObjectItem(fp8, "clip")->valuestring));
    assert_true(vg_file_exists(cJSON_GetObjectItem(root, "comparison_clip")->valuestring));
    assert_true(cJSON_GetObjectItem(fp8, "denoise_s_per_it")->valuedouble > 0);
    assert_true(cJSON_IsNumber(cJSON_GetObjectItem(
        cJSON_GetObjectItem(cJSON_GetObjectItem(fp8, "metrics"), "psnr"), "mean")));
    assert_true(cJSON_IsNumber(cJSON_GetObjectItem(
        cJSON_GetObjectItem(cJSON_GetObjectItem(fp8, "metrics"), "latent_rel_l2"), "mean")));
    char csv[600];
    snprintf(csv, sizeof csv, "%s/variants/fp8/metrics.csv",
             cJSON_GetObjectItem(root, "dir")->valuestring);
    char *table = cli_read(csv);
    assert_non_null(table);
    assert_int_equal(cli_lines(table), 6); /* a head and five frames */
    free(table);
    cJSON_Delete(root);
    cli_result_free(&r);
    static const char *const looks[][3] = {{"show", "last"},
                                           {"show", "last", "--json"},
                                           {"show", "last", "--markdown"},
                                           {"logs", "last"},
                                           {"attach", "last"},
                                           {"jobs"},
                                           {"ls"},
                                           {"models", "--json"},
                                           {"plan"},
                                           {"--version"},
                                           {"--help"},
                                           {"component", "--help"}};
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        const char *const argv[] = {looks[i][0], looks[i][1], looks[i][1] ? looks[i][2] : NULL,
                                    NULL};
        r = cli_run(argv);
        if (r.status != 0 || !*r.out || !cli_is_clean(r.out))
            fail_msg("vgen %s: exit %d\n%s%s", argv[0], r.status, r.out, r.err);
        cli_result_free(&r);
    }
    char out[320];
    snprintf(out, sizeof out, "%s/exported.mp4", cli_dir);
    CLI_EXPECT(0, "export", "last", "--diff", "4", "--output", out);
    assert_true(vg_file_exists(out));
}

static void test_cli_prompt_file_makes_one_job_a_line(void **state)
{
    (void)state;
    char path[320], clip[320], jobs[300];
    static const char text[] = "a small red ball\r\n\n   \na \x1b[31mblue square";
    snprintf(path, sizeof path, "%s/prompts.txt", cli_dir);
    snprintf(clip, sizeof clip, "%s/batch.mp4", cli_dir);
    snprintf(jobs, sizeof jobs, "%s/batch-jobs", cli_dir);
    assert_int_equal(vg_file_write_atomic(path, text, sizeof text - 1, NULL), VG_OK);
    cli_result r = CLI("generate", SMALL, "--num-inference-steps", "2", "--prompt-file", path,
                       "--output", clip, "--jobs-dir", jobs, "--json");
    assert_int_equal(r.status, 0);
    cJSON *root = cJSON_Parse(r.out);
    assert_non_null(root);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(root, "jobs")), 2);
    cJSON_Delete(root);
    assert_true(cli_is_clean(r.out) && cli_is_clean(r.err));
    cli_result_free(&r);
    snprintf(clip, sizeof clip, "%s/batch-1.mp4", cli_dir);
    assert_true(vg_file_exists(clip));
    snprintf(clip, sizeof clip, "%s/batch-2.mp4", cli_dir);
    assert_true(vg_file_exists(clip));
    r = CLI("jobs", "--jobs-dir", jobs);
    assert_int_equal(cli_lines(r.out), 3);
    assert_true(cli_is_clean(r.out));
    cli_result_free(&r);
}

static void test_cli_given_latents_start_the_clip(void **state)
{
    (void)state;
    outputs a = outputs_of("given-a"), b = outputs_of("given-b");
    CLI_EXPECT(0, "generate", SMALL, "--save-latents", a.latents, "--max-steps-run", "1", "-q");
    CLI_EXPECT(0, "generate", SMALL, "--init-latents", a.latents, "--seed", "1", "--save-latents",
               b.latents, "-q");
    outputs c = outputs_of("given-c");
    CLI_EXPECT(0, "generate", SMALL, "--init-latents", a.latents, "--seed", "2", "--save-latents",
               c.latents, "-q");
    assert_true(cli_same_file(b.latents, c.latents));
    /* Of another size: refused before there is a job. */
    CLI_EXPECT(2, "generate", SMALL, "--height", "48", "--init-latents", a.latents, "-q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_the_same_job_twice_gives_the_same_bytes),
        cmocka_unit_test(test_cli_a_stopped_job_goes_on_with_the_same_result),
        cmocka_unit_test(test_cli_resume_writes_lost_outputs_again),
        cmocka_unit_test(test_cli_cancel_and_resume),
        cmocka_unit_test(test_cli_interrupt_cancels_with_130),
        cmocka_unit_test(test_cli_quit_detaches_and_ends_a_worker),
        cmocka_unit_test(test_cli_jobs_of_one_device_wait_for_each_other),
        cmocka_unit_test(test_cli_json_is_one_object_with_the_result),
        cmocka_unit_test(test_cli_prompt_file_makes_one_job_a_line),
        cmocka_unit_test(test_cli_given_latents_start_the_clip),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
