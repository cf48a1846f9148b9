/* test_job.c: job folders: making, reading, finding, locks, and the state that is derived from journal and lock. */
#include "tests/app/test_cli.h"

#include "app/job/fold.h"
#include "app/job/job.h"
#include "app/job/kind.h"
#include "app/job/lock.h"
#include "app/job/snapshot.h"

static char jobs_dir[300];

static int setup(void **state)
{
    cli_setup(state);
    snprintf(jobs_dir, sizeof jobs_dir, "%s/jobs", cli_dir);
    return 0;
}

static void make(vg_job *job, const char *prompt, const char *quantization)
{
    vg_settings s = {{0}};
    vg_err err;
    CHECK_OK(vg_settings_set(&s, VG_OPT_prompt, prompt, &err), err);
    CHECK_OK(vg_settings_set(&s, VG_OPT_quantization, quantization, &err), err);
    CHECK_OK(vg_settings_set(&s, VG_OPT_height, "32", &err), err);
    CHECK_OK(vg_settings_set(&s, VG_OPT_width, "32", &err), err);
    CHECK_OK(vg_settings_set(&s, VG_OPT_num_frames, "6", &err), err);
    CHECK_OK(vg_settings_set(&s, VG_OPT_num_inference_steps, "3", &err), err);
    CHECK_OK(vg_settings_set(&s, VG_OPT_seed, "18446744073709551615", &err), err);
    CHECK_OK(vg_settings_set(&s, VG_OPT_output, "/tmp/some.clip.mp4", &err), err);
    CHECK_OK(vg_job_create(jobs_dir, &vg_job_kind_generate, &s, NULL, 2, job, &err), err);
    vg_settings_deinit(&s);
}

static void test_job_reads_back_as_it_was_made(void **state)
{
    (void)state;
    vg_job a, b = {0};
    vg_err err;
    make(&a, "A \x1b[31mred/../ BALL; rm -rf", "bf16,fp8");
    const char *slug = a.id + 16;
    assert_true(strspn(slug, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(slug));
    CHECK_OK(vg_job_open(a.dir, &b, &err), err);
    assert_string_equal(a.id, b.id);
    assert_string_equal(a.model_dir, b.model_dir);
    assert_string_equal(a.identity, b.identity);
    assert_ptr_equal(b.kind, &vg_job_kind_generate);
    assert_int_equal(b.variants_count, 2);
    assert_string_equal(b.variants[1].outputs.output, "/tmp/some.clip-2-fp8.mp4");
    assert_string_equal(b.comparison_output, "/tmp/some.clip-2.mp4");
    assert_string_equal(vg_settings_get(&b.resolved, VG_OPT_seed), "18446744073709551615");
    assert_string_equal(vg_settings_get(&b.settings, VG_OPT_num_frames), "6");
    assert_int_equal((vg_settings_int(&b.resolved, VG_OPT_num_frames) - 1) % 4, 0);
    for (int i = 0; i < VG_OPT_COUNT; i++) {
        assert_int_equal(a.resolved.text[i] == NULL, b.resolved.text[i] == NULL);
        if (a.resolved.text[i])
            assert_string_equal(a.resolved.text[i], b.resolved.text[i]);
    }
    vg_job_deinit(&a);
    vg_job_deinit(&b);
}

static void test_job_is_found_by_name_prefix_end_last_and_path(void **state)
{
    (void)state;
    vg_job a, b;
    vg_err err;
    char *dir = NULL, prefix[64];
    make(&a, "first of two", "bf16");
    usleep(5000);
    make(&b, "second of two", "bf16");
    const char *const names[] = {b.id, "last", b.dir, b.id + strlen(b.id) - 4};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        CHECK_OK(vg_job_find(jobs_dir, names[i], &dir, &err), err);
        assert_string_equal(dir, b.dir);
        free(dir);
    }
    snprintf(prefix, sizeof prefix, "%.*s", (int)(strlen(a.id) - 5), a.id);
    CHECK_OK(vg_job_find(jobs_dir, prefix, &dir, &err), err);
    assert_string_equal(dir, a.dir);
    free(dir);
    CHECK_FAILS(vg_job_find(jobs_dir, "20", &dir, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_job_find(jobs_dir, "nothing", &dir, &err), VG_E_MISSING, err);
    CHECK_FAILS(vg_job_find(jobs_dir, "..", &dir, &err), VG_E_MISSING, err);
    CHECK_FAILS(vg_job_find(jobs_dir, "/tmp", &dir, &err), VG_E_MISSING, err);
    CHECK_FAILS(vg_job_find(jobs_dir, "", &dir, &err), VG_E_MISSING, err);
    vg_job_deinit(&a);
    vg_job_deinit(&b);
}

static void test_lock_ends_with_its_holder(void **state)
{
    (void)state;
    char path[320], note[64];
    vg_err err;
    int fd = -1, ready[2];
    snprintf(path, sizeof path, "%s/a.lock", cli_dir);
    assert_false(vg_lock_held(path, note, sizeof note));
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        int mine = -1;
        bool good =
            vg_lock_take(path, "child\x1b", &mine, NULL) == VG_OK && write(ready[1], "x", 1) == 1;
        pause();
        _exit(good ? 0 : 1);
    }
    char c;
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_true(vg_lock_held(path, note, sizeof note));
    assert_string_equal(note, "child?");
    CHECK_FAILS(vg_lock_take(path, "me", &fd, &err), VG_E_BUSY, err);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_false(vg_lock_held(path, note, sizeof note));
    CHECK_OK(vg_lock_take(path, "me", &fd, &err), err);
    vg_lock_release(fd);
    close(ready[0]);
    close(ready[1]);
}

/* A line of the journal as anybody may have written it: what is in `json` behind time and type. */
static void tell(const vg_job *job, const char *type, const char *json)
{
    char *path = vg_job_path(job, VG_EVENTS_FILE);
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    fprintf(f, "{\"t\": %.3f, \"type\": \"%s\", %s\n", vg_now_unix(), type, json + 1);
    fclose(f);
    free(path);
}

static void test_snapshot_follows_the_journal_and_the_lock(void **state)
{
    (void)state;
    vg_job job;
    vg_snapshot v;
    vg_err err;
    int fd = -1;
    make(&job, "watched", "bf16,fp8");
    char *lock = vg_job_path(&job, VG_JOB_LOCK);
    vg_snapshot_init(&v, &job);
    vg_snapshot_refresh(&v, NULL, NULL);
    assert_int_equal(v.state, VG_JOB_QUEUED);
    tell(&job, "queued", "{\"waiting_for\": \"another\\u001b\"}");
    CHECK_OK(vg_lock_take(lock, "1", &fd, &err), err);
    vg_snapshot_refresh(&v, NULL, NULL);
    /* The lock is ours, and locks of one process do not hide from it. */
    assert_int_equal(v.state, VG_JOB_QUEUED);
    assert_string_equal(v.message, "waiting for another?");
    tell(&job, "started", "{\"device\": \"cpu: test\", \"memory_total\": 1000}");
    tell(&job, "variant", "{\"variant\": \"bf16\", \"what\": \"begin\", \"step\": 0}");
    tell(&job, "step",
         "{\"variant\": \"bf16\", \"step\": 1, \"steps\": 3, \"seconds\": 0.5, \"expert\": 0}");
    tell(&job, "step",
         "{\"variant\": \"bf16\", \"step\": 2, \"steps\": 3, \"seconds\": 1.5, \"expert\": 1}");
    vg_snapshot_refresh(&v, NULL, NULL);
    assert_int_equal(v.state, VG_JOB_RUNNING);
    assert_int_equal(v.current, 0);
    assert_int_equal(v.variants[0].step, 2);
    assert_int_equal(v.variants[0].boundary_step, 1);
    assert_true(v.variants[0].s_per_it == 1.0);
    assert_true(vg_variant_eta_s(&v, 0) == 1.0);
    vg_lock_release(fd);
    vg_snapshot_refresh(&v, NULL, NULL);
    assert_int_equal(v.state, VG_JOB_INTERRUPTED);
    assert_int_equal(v.variants[0].state, VG_JOB_INTERRUPTED);
    tell(&job, "failed", "{\"message\": \"no \\u001b]0;x\"}");
    vg_snapshot_refresh(&v, NULL, NULL);
    assert_int_equal(v.state, VG_JOB_FAILED);
    assert_string_equal(v.message, "no ?]0;x");
    /* Numbers in the journal are as hostile as any. */
    tell(&job, "step", "{\"variant\": \"bf16\", \"step\": 1e9, \"steps\": -5, \"seconds\": 1e308}");
    tell(&job, "step", "{\"variant\": \"fp8\", \"step\": \"x\"}");
    tell(&job, "stage",
         "{\"variant\": \"fp8\", \"what\": \"end\", \"stage\": \"decode\", \"seconds\": -1}");
    tell(&job, "memory", "{\"now\": -1, \"peak\": 1e300}");
    vg_snapshot_refresh(&v, NULL, NULL);
    assert_int_equal(v.variants[0].step, 2);
    cJSON *json = vg_snapshot_json(&v);
    assert_non_null(json);
    cJSON_Delete(json);
    vg_snapshot_deinit(&v);
    free(lock);
    vg_job_deinit(&job);
}

static void test_snapshot_gives_readings_to_the_variant_at_work(void **state)
{
    (void)state;
    vg_job job;
    vg_snapshot v;
    make(&job, "gauged", "bf16,fp8");
    vg_snapshot_init(&v, &job);
    tell(&job, "started",
         "{\"device\": \"cuda: test\", \"memory_is_device\": true, \"memory_total\": 1000}");
    tell(&job, "memory", "{\"now\": 300, \"peak\": 500}");
    tell(&job, "variant",
         "{\"variant\": \"bf16\", \"what\": \"begin\", \"step\": 0, \"planned_bytes\": 450}");
    tell(&job, "stage", "{\"variant\": \"bf16\", \"what\": \"begin\", \"stage\": \"load\"}");
    tell(
        &job, "gpu",
        "{\"power_w\": 90, \"memory_ours_bytes\": 420, \"memory_used_bytes\": 600, \"memory_total_bytes\": 1000}");
    vg_snapshot_refresh(&v, NULL, NULL);
    assert_true(
        isnan(vg_gauges_mean(v.variants[0].gauges, VG_GPU_power_w))); /* not while loading */
    vg_job_memory m = vg_snapshot_memory(&v);
    assert_true(m.is_device && m.now == 420 && m.others == 180 && m.planned == 450 &&
                m.total == 1000);
    assert_int_equal(m.peak, 500); /* between two readings, the backend saw more */
    tell(&job, "stage", "{\"variant\": \"bf16\", \"what\": \"begin\", \"stage\": \"denoise\"}");
    tell(&job, "gpu", "{\"power_w\": 600, \"memory_ours_bytes\": 700}");
    tell(&job, "gpu", "{\"power_w\": 700, \"memory_ours_bytes\": 650}");
    tell(&job, "gpu", "{\"power_w\": \"hot\"}");
    tell(&job, "variant", "{\"variant\": \"bf16\", \"what\": \"end\"}");
    tell(&job, "gpu", "{\"power_w\": 100}"); /* of nobody */
    tell(&job, "variant", "{\"variant\": \"fp8\", \"what\": \"begin\", \"step\": 0}");
    tell(&job, "stage", "{\"variant\": \"fp8\", \"what\": \"begin\", \"stage\": \"denoise\"}");
    tell(&job, "gpu", "{\"power_w\": 500}");
    vg_snapshot_refresh(&v, NULL, NULL);
    assert_true(vg_gauges_mean(v.variants[0].gauges, VG_GPU_power_w) == 650);
    assert_true(vg_gauges_peak(v.variants[0].gauges, VG_GPU_power_w) == 700);
    assert_true(vg_gauges_mean(v.variants[1].gauges, VG_GPU_power_w) == 500);
    assert_true(v.gpu.value[VG_GPU_power_w] == 500);
    assert_int_equal(v.gauge_history->count, 5);
    /* The last reading did not say what is ours: the backend's count stands, and nothing of others is made up. */
    m = vg_snapshot_memory(&v);
    assert_true(m.now == 300 && m.peak == 700 && m.others == 0 && m.total == 1000);
    cJSON *json = vg_snapshot_json(&v);
    const cJSON *one = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "variants"), 0);
    const cJSON *power = cJSON_GetObjectItem(cJSON_GetObjectItem(one, "gpu"), "power_w");
    assert_true(cJSON_GetObjectItem(power, "mean")->valuedouble == 650);
    cJSON_Delete(json);
    vg_snapshot_deinit(&v);
    vg_job_deinit(&job);
}

static void write_file(const char *path, const char *text)
{
    vg_err err;
    CHECK_OK(vg_file_write_atomic(path, text, strlen(text), &err), err);
}

/* What a glance says of the job in `dir`; *opened: it took more than the summary. */
static vg_job_state glance(const char *dir, bool *opened, double *mean)
{
    vg_job job;
    vg_snapshot s;
    vg_err err;
    CHECK_OK(vg_snapshot_glance(dir, &job, &s, &err), err);
    vg_job_state state = s.state;
    *opened = job.id != NULL;
    *mean = s.variants[1].means[0];
    assert_string_equal(s.card.id, strrchr(dir, '/') + 1);
    assert_string_equal(s.card.prompt, "summed up,\nin two lines");
    assert_int_equal(s.variants_count, 2);
    assert_string_equal(s.variants[1].id, "fp8");
    assert_string_equal(s.card.summary, "32x32x5, 3 steps, seed 18446744073709551615");
    vg_snapshot_deinit(&s);
    vg_job_deinit(&job);
    return state;
}

static void test_summary_is_believed_while_the_journal_stays(void **state)
{
    (void)state;
    vg_job job;
    vg_snapshot s;
    vg_err err;
    bool opened;
    double mean;
    make(&job, "summed up,\nin two lines", "bf16,fp8");
    char *path = vg_job_path(&job, VG_JOB_SUMMARY);
    tell(&job, "metrics", "{\"variant\": \"fp8\", \"psnr\": 31.5}");
    tell(&job, "failed", "{\"message\": \"no\"}");
    assert_int_equal(glance(job.dir, &opened, &mean), VG_JOB_FAILED);
    assert_true(opened);
    vg_snapshot_init(&s, &job);
    vg_snapshot_refresh(&s, NULL, NULL);
    CHECK_OK(vg_snapshot_summarise(&s, &err), err);
    vg_snapshot_deinit(&s);
    assert_int_equal(glance(job.dir, &opened, &mean), VG_JOB_FAILED);
    assert_false(opened);
    assert_true(mean == 31.5);
    tell(&job, "cancelled", "{\"message\": \"no\"}"); /* it is out of date */
    assert_int_equal(glance(job.dir, &opened, &mean), VG_JOB_CANCELLED);
    assert_true(opened);
    vg_snapshot_init(&s, &job);
    vg_snapshot_refresh(&s, NULL, NULL);
    CHECK_OK(vg_snapshot_summarise(&s, &err), err);
    vg_snapshot_deinit(&s);
    /* Damage of every kind: the journal is read. */
    char *text = NULL, *at;
    CHECK_OK(vg_file_read(path, 1u << 20, &text, NULL, &err), err);
    for (const char *const *key = (const char *const[]){"\"cancelled\"", "\"variants\"",
                                                        "\"steps\"", "\"vgen_summary\"", NULL};
         *key; key++) {
        char *damaged = vg_xstrdup(text);
        at = strstr(damaged, *key);
        assert_non_null(at);
        memcpy(at, "12345, \"", 3);
        write_file(path, damaged);
        assert_int_equal(glance(job.dir, &opened, &mean), VG_JOB_CANCELLED);
        assert_true(opened);
        free(damaged);
    }
    write_file(path, "");
    assert_int_equal(glance(job.dir, &opened, &mean), VG_JOB_CANCELLED);
    assert_true(opened);
    write_file(path, text);
    assert_int_equal(glance(job.dir, &opened, &mean), VG_JOB_CANCELLED);
    assert_false(opened);
    free(text);
    free(path);
    vg_job_deinit(&job);
}

static void test_job_refuses_what_cannot_work_before_it_runs(void **state)
{
    (void)state;
    static const struct {
        vg_option_id id;
        const char *value, *word;
    } cases[] = {
        {VG_OPT_output, "/nonexistent-folder/x.mp4", "/nonexistent-folder"},
        {VG_OPT_output, "x.gif", ".mp4"},
        {VG_OPT_save_latents, "/tmp", ".safetensors"},
        {VG_OPT_height, "8192", "make it smaller"},
        {VG_OPT_height, "33", "multiple of"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vg_settings s = {{0}};
        vg_job job = {0};
        vg_err err;
        CHECK_OK(vg_settings_set(&s, VG_OPT_prompt, "x", &err), err);
        CHECK_OK(vg_settings_set(&s, VG_OPT_num_frames, "1025", &err), err);
        CHECK_OK(vg_settings_set(&s, VG_OPT_width, "8192", &err), err);
        CHECK_OK(vg_settings_set(&s, cases[i].id, cases[i].value, &err), err);
        CHECK_FAILS(vg_job_create(jobs_dir, &vg_job_kind_generate, &s, NULL, 0, &job, &err),
                    VG_E_ARG, err);
        if (!strstr(err.message, cases[i].word))
            fail_msg("%s", err.message);
        vg_settings_deinit(&s);
    }
}

static void test_job_kinds_are_whole(void **state)
{
    (void)state;
    int count = 0;
    for (; vg_job_kinds[count]; count++) {
        const vg_job_kind *k = vg_job_kinds[count];
        assert_true(k->name && *k->name && k->help && *k->help);
        assert_true(k->create && k->run && k->fold && k->report && k->print);
        assert_ptr_equal(vg_job_kind_find(k->name), k); /* so names are distinct, too */
    }
    assert_true(count >= 1);
    assert_null(vg_job_kind_find("no-such"));
    assert_null(vg_job_kind_find(""));
}

static int folded, folded_variant;

static void fold_other(vg_snapshot *s, int variant, const vg_job_event *e)
{
    (void)s;
    folded += e->type == VG_JOB_EVENT_frames || e->type == VG_JOB_EVENT_comparison;
    folded_variant = variant;
}

static void report_other(const vg_snapshot *s, cJSON *json)
{
    (void)s;
    cJSON_AddNumberToObject(json, "layers", 7);
}

/* What differs between kinds is asked of the kind, what is common is done for all. */
static void test_job_of_another_kind(void **state)
{
    (void)state;
    static const vg_job_kind other = {
        .name = "other", .help = "a test", .fold = fold_other, .report = report_other};
    vg_job job;
    vg_snapshot s;
    make(&job, "x", "bf16");
    assert_string_equal(job.kind->name, "generate");
    job.kind = &other;
    vg_snapshot_init(&s, &job);
    vg_job_event e = vg_job_event_of(VG_JOB_EVENT_frames);
    e.variant = "bf16";
    vg_fold(&s, &e);
    assert_int_equal(folded, 1);
    assert_int_equal(folded_variant, 0);
    assert_false(s.variants[0].frames_ready); /* of jobs that make clips */
    e = vg_job_event_of(VG_JOB_EVENT_comparison);
    vg_fold(&s, &e);
    assert_int_equal(folded, 2);
    assert_int_equal(folded_variant, -1);
    assert_false(s.comparison_ready);
    e = vg_job_event_of(VG_JOB_EVENT_step);
    e.variant = "bf16";
    e.step = 2;
    vg_fold(&s, &e);
    assert_int_equal(s.variants[0].step, 2); /* of all jobs */
    cJSON *json = vg_snapshot_json(&s);
    assert_string_equal(cJSON_GetObjectItem(json, "kind")->valuestring, "other");
    assert_true(cJSON_GetObjectItem(json, "layers")->valuedouble == 7);
    assert_non_null(cJSON_GetObjectItem(json, "state"));
    assert_null(cJSON_GetObjectItem(json, "comparison_clip"));
    cJSON_Delete(json);
    vg_snapshot_deinit(&s);
    vg_job_deinit(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job_reads_back_as_it_was_made),
        cmocka_unit_test(test_job_is_found_by_name_prefix_end_last_and_path),
        cmocka_unit_test(test_lock_ends_with_its_holder),
        cmocka_unit_test(test_snapshot_follows_the_journal_and_the_lock),
        cmocka_unit_test(test_snapshot_gives_readings_to_the_variant_at_work),
        cmocka_unit_test(test_summary_is_believed_while_the_journal_stays),
        cmocka_unit_test(test_job_kinds_are_whole),
        cmocka_unit_test(test_job_of_another_kind),
        cmocka_unit_test(test_job_refuses_what_cannot_work_before_it_runs),
    };
    return cmocka_run_group_tests(tests, setup, cli_teardown);
}
