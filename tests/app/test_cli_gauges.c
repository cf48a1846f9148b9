/* test_cli_gauges.c: a job whose worker reads the fake gauges (fake_nvml.c) beside the CPU device: events, variant.json, show; and none
 * of it where there is no library or nobody asked. */
#include "tests/app/test_cli_small.h"

#define PCI "0000:17:00.0"

static int setup(void **state)
{
    cli_setup(state);
    setenv("VGEN_NVML_LIBRARY", VG_FAKE_NVML, 1);
    return 0;
}

/* The whole text of a file of the newest job in cli_dir/<jobs>. */
static char *job_text(const char *jobs, const char *file)
{
    char folder[320], path[600];
    snprintf(folder, sizeof folder, "%s/%s", cli_dir, jobs);
    cli_result r = CLI("show", "last", "--jobs-dir", folder, "--json");
    assert_int_equal(r.status, 0);
    cJSON *root = cJSON_Parse(r.out);
    snprintf(path, sizeof path, "%s/%s", cJSON_GetObjectItem(root, "dir")->valuestring, file);
    char *text = cli_read(path);
    assert_non_null(text);
    cJSON_Delete(root);
    cli_result_free(&r);
    return text;
}

static void make_job(const char *jobs)
{
    char folder[320];
    snprintf(folder, sizeof folder, "%s/%s", cli_dir, jobs);
    CLI_EXPECT(0, "compare", SMALL, "--quantization", "bf16,fp8", "--jobs-dir", folder, "-q");
}

static int count_of(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        n++;
    return n;
}

static double figure(const cJSON *gpu, const char *metric, const char *what)
{
    const cJSON *item = cJSON_GetObjectItem(cJSON_GetObjectItem(gpu, metric), what);
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static void test_cli_gauges_reach_events_report_and_show(void **state)
{
    (void)state;
    char folder[320];
    setenv("VGEN_GAUGE_PCI", PCI, 1);
    setenv("FAKE_NVML_POWER", "500000,700000", 1);
    make_job("asked");
    char *events = job_text("asked", "events.jsonl");
    int gpu = count_of(events, "\"type\":\"gpu\""), begun = count_of(events, "\"planned_bytes\":");
    assert_true(gpu >= 2); /* each variant is read at least once, however short it is */
    assert_int_equal(begun, 2);
    assert_non_null(strstr(events, "\"memory_ours_bytes\":25769803776"));
    free(events);
    snprintf(folder, sizeof folder, "%s/asked", cli_dir);
    cli_result r = CLI("show", "last", "--jobs-dir", folder, "--json");
    cJSON *root = cJSON_Parse(r.out);
    const cJSON *variant;
    cJSON_ArrayForEach(variant, cJSON_GetObjectItem(root, "variants"))
    {
        const cJSON *one = cJSON_GetObjectItem(variant, "gpu");
        assert_true(figure(one, "power_w", "peak") >= 500 && figure(one, "power_w", "peak") <= 700);
        assert_true(figure(one, "power_w", "mean") >= 500 && figure(one, "power_w", "mean") <= 700);
        assert_true(figure(one, "memory_used_bytes", "peak") == 30.0 * (1 << 30));
        double watts = cJSON_GetObjectItem(variant, "joules_per_step")->valuedouble /
                       cJSON_GetObjectItem(variant, "denoise_s_per_it")->valuedouble;
        assert_true(watts > 450 && watts < 750);
    }
    cJSON_Delete(root);
    cli_result_free(&r);
    r = CLI("show", "last", "--jobs-dir", folder);
    assert_non_null(strstr(r.out, "SM clock"));
    assert_non_null(strstr(r.out, "Energy of a step: BF16 "));
    assert_true(cli_is_clean(r.out));
    cli_result_free(&r);
    char *report = job_text("asked", "variants/bf16/variant.json");
    assert_non_null(strstr(report, "\"gpu\":"));
    free(report);
}

static void expect_no_gauges(const char *jobs)
{
    make_job(jobs);
    char *events = job_text(jobs, "events.jsonl"), *log = job_text(jobs, "worker.log"),
         *report = job_text(jobs, "variants/bf16/variant.json");
    assert_int_equal(count_of(events, "\"type\":\"gpu\""), 0);
    assert_non_null(strstr(report, "\"gpu\":\tnull"));
    assert_string_equal(log, "");
    free(events);
    free(log);
    free(report);
}

static void test_cli_gauges_are_silent_without_a_gpu(void **state)
{
    (void)state;
    unsetenv("VGEN_GAUGE_PCI");
    expect_no_gauges("not-asked");
    setenv("VGEN_GAUGE_PCI", "0000:99:00.0", 1);
    expect_no_gauges("another");
    setenv("VGEN_GAUGE_PCI", PCI, 1);
    setenv("VGEN_NVML_LIBRARY", "/nowhere/libnvidia-ml.so.1", 1);
    expect_no_gauges("no-library");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_gauges_reach_events_report_and_show),
        cmocka_unit_test(test_cli_gauges_are_silent_without_a_gpu),
    };
    return cmocka_run_group_tests(tests, setup, cli_teardown);
}
