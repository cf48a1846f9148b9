/* test_cli_bench.c: vgen bench on the bundled demo model: what it writes down, and what it says to mistakes. */
#include "tests/app/test_cli.h"

#include "app/bench/bench.h"
#include "app/job/device_lock.h"

#define SMALL "--device", "cpu", "--height", "48", "--width", "64", "--num-frames", "5"

static cJSON *json_of(const char *path)
{
    char *text = cli_read(path);
    cJSON *root = text ? cJSON_Parse(text) : NULL;
    if (!root)
        fail_msg("%s is not JSON", path);
    free(text);
    return root;
}

static const char *in_dir(const char *name)
{
    static char path[320];
    snprintf(path, sizeof path, "%s/%s", cli_dir, name);
    return path;
}

static double number(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItem(o, key);
    if (!cJSON_IsNumber(item))
        fail_msg("%s is not a number", key);
    return item->valuedouble;
}

static const char *text(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItem(o, key);
    if (!cJSON_IsString(item))
        fail_msg("%s is not a text", key);
    return item->valuestring;
}

/* The keys that other programs rely on. */
static void expect_result(const cJSON *o, const char *quantization, int steps)
{
    static const char *const walls[] = {"text", "encode", "denoise", "decode"};
    const cJSON *it = cJSON_GetObjectItem(o, "denoise_s_per_it"),
                *wall = cJSON_GetObjectItem(o, "wall_s"),
                *clocks = cJSON_GetObjectItem(o, "clocks");
    double sum = 0;
    assert_string_equal(text(o, "case"), "custom");
    assert_string_equal(text(o, "quantization"), quantization);
    assert_non_null(strstr(text(o, "device"), "CPU"));
    assert_int_equal(number(o, "tokens"), 2 * 3 * 4);
    assert_int_equal(number(o, "steps_measured"), steps);
    assert_true(number(it, "min") > 0);
    assert_true(number(it, "min") <= number(it, "median"));
    assert_true(number(it, "median") <= number(it, "max"));
    for (size_t i = 0; i < sizeof walls / sizeof *walls; i++)
        sum += number(wall, walls[i]);
    assert_int_equal(number(wall, "encode"), 0);
    assert_true(number(wall, "text") > 0 && number(wall, "decode") > 0);
    assert_true(number(wall, "denoise") >= number(it, "median") * steps * 0.5);
    assert_true(number(wall, "total") >= sum);
    assert_true(number(o, "peak_device_bytes") > 1e6);
    assert_true(*text(o, "peak_stage"));
    assert_true(number(o, "planned_peak_bytes") > 1e6);
    assert_int_equal(number(o, "streamed_blocks"), 0);
    assert_true(number(o, "tflops") > 0);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(o, "floor_s_per_it"))); /* no datasheet of a CPU */
    assert_true(cJSON_IsObject(clocks));
    assert_true(cJSON_HasObjectItem(o, "driver") && cJSON_HasObjectItem(o, "runtime"));
    assert_non_null(strstr(text(o, "library"), "OpenBLAS"));
}

static void test_cli_bench_one_scheme_is_one_object(void **state)
{
    (void)state;
    const char *path = in_dir("one.json");
    cli_result r = CLI("bench", SMALL, "--steps-run", "3", "--profile", "--json", path);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "denoise by operation"));
    cJSON *root = json_of(path);
    expect_result(root, "bf16", 3);
    /* The operations of a step take about as long as the step. */
    double ops_ms = 0, flops = 0;
    const cJSON *row, *ops = cJSON_GetObjectItem(root, "ops");
    cJSON_ArrayForEach(row, ops)
    {
        if (strcmp(text(row, "stage"), "denoise"))
            continue;
        ops_ms += number(row, "ms");
        flops += number(row, "flops");
        assert_true(*text(row, "op") && *text(row, "shape"));
        assert_true(number(row, "calls") > 0 && number(row, "bytes") > 0);
    }
    double step_ms = 1e3 * number(cJSON_GetObjectItem(root, "denoise_s_per_it"), "max");
    assert_true(ops_ms <= step_ms && ops_ms > 0.3 * step_ms);
    /* The plan's count leaves out what does not grow with the clip: embeddings of time and patches, the head. */
    double tflop = number(root, "tflop_per_it");
    assert_float_equal(tflop, flops * 1e-12, 1e-6 * tflop);
    cJSON_Delete(root);
    cli_result_free(&r);
}

static void test_cli_bench_several_schemes_are_a_list(void **state)
{
    (void)state;
    static const char *const schemes[] = {"bf16", "fp8", "fp8-block"};
    const char *path = in_dir("three.json");
    cli_result r = CLI("bench", SMALL, "--steps-run", "1", "--warm-up", "0", "--quantization",
                       "bf16,fp8,fp8-block", "--json", path);
    assert_int_equal(r.status, 0);
    cJSON *root = json_of(path), *results = cJSON_GetObjectItem(root, "results");
    assert_int_equal(cJSON_GetArraySize(results), 3);
    for (int i = 0; i < 3; i++)
        expect_result(cJSON_GetArrayItem(results, i), schemes[i], 1);
    const cJSON *fp8 = cJSON_GetArrayItem(results, 1);
    assert_non_null(strstr(text(fp8, "fp8_input_scales"), "calibrated"));
    assert_true(number(cJSON_GetObjectItem(fp8, "precision"), "fp8_tensor") > 0);
    assert_null(cJSON_GetObjectItem(fp8, "ops")); /* only with --profile */
    cJSON_Delete(root);
    cli_result_free(&r);
}

static void test_cli_bench_the_denoise_loop_alone(void **state)
{
    (void)state;
    const char *path = in_dir("alone.json");
    cli_result r = CLI("bench", SMALL, "--steps-run", "2", "--denoise-only", "--load-format",
                       "dummy", "--quantization", "fp8", "--fp8-act", "dynamic", "--json", path);
    assert_int_equal(r.status, 0);
    cJSON *root = json_of(path);
    assert_int_equal(number(cJSON_GetObjectItem(root, "wall_s"), "text"), 0);
    assert_int_equal(number(cJSON_GetObjectItem(root, "wall_s"), "decode"), 0);
    assert_int_equal(number(root, "steps_measured"), 2);
    assert_string_equal(text(root, "fp8_input_scales"), "dynamic");
    cJSON_Delete(root);
    cli_result_free(&r);
}

static void test_cli_bench_clocks_of_the_measured_steps(void **state)
{
    (void)state;
    const char *path = in_dir("clocks.json");
    setenv("VGEN_NVML_LIBRARY", VG_FAKE_NVML, 1);
    setenv("VGEN_GAUGE_PCI", "0000:17:00.0", 1);
    setenv("FAKE_NVML_POWER", "500000", 1); /* mW */
    cli_result r =
        CLI("bench", "--device", "cpu", "--steps-run", "5", "--denoise-only", "--json", path);
    unsetenv("VGEN_GAUGE_PCI");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "SM clock, MHz"));
    cJSON *root = json_of(path);
    const cJSON *power = cJSON_GetObjectItem(cJSON_GetObjectItem(root, "clocks"), "power_w");
    assert_float_equal(number(power, "median"), 500, 0);
    assert_float_equal(number(power, "max"), 500, 0);
    /* The counter's 652.5 W, not the readings'. */
    double watts = number(root, "joules_per_it") /
                   number(cJSON_GetObjectItem(root, "denoise_s_per_it"), "median");
    assert_true(watts > 600 && watts < 700);
    assert_string_equal(cJSON_GetObjectItem(root, "joules_per_it_from")->valuestring,
                        "energy counter");
    assert_non_null(strstr(r.out, "(energy counter)"));
    cJSON_Delete(root);
    cli_result_free(&r);
    /* A board without a counter. */
    setenv("VGEN_GAUGE_PCI", "0000:17:00.0", 1);
    setenv("FAKE_NVML_ENERGY", "fail", 1);
    r = CLI("bench", "--device", "cpu", "--steps-run", "5", "--denoise-only", "--json", path);
    unsetenv("VGEN_GAUGE_PCI");
    unsetenv("FAKE_NVML_ENERGY");
    assert_int_equal(r.status, 0);
    root = json_of(path);
    watts = number(root, "joules_per_it") /
            number(cJSON_GetObjectItem(root, "denoise_s_per_it"), "median");
    assert_true(watts > 499 && watts < 501);
    assert_string_equal(cJSON_GetObjectItem(root, "joules_per_it_from")->valuestring,
                        "power readings");
    cJSON_Delete(root);
    cli_result_free(&r);
}

static void test_cli_bench_waits_for_nobody(void **state)
{
    (void)state;
    int lock = -1;
    vg_err err;
    char *path = vg_device_lock_path("cpu", &err);
    assert_non_null(path);
    char note[32];
    snprintf(note, sizeof note, "process %ld", (long)getpid());
    CHECK_OK(vg_lock_take(path, note, &lock, &err), err);
    cli_result r = CLI("bench", SMALL, "--steps-run", "1");
    assert_int_equal(r.status, 1);
    assert_int_equal(cli_lines(r.err), 1);
    assert_non_null(strstr(r.err, note));
    cli_result_free(&r);
    vg_lock_release(lock);
    free(path);
}

static void test_cli_bench_operations(void **state)
{
    (void)state;
    const char *path = in_dir("ops.json");
    cli_result r = CLI("bench", "--ops", "--device", "cpu", "--only", "480p", "--scale", "0.0005",
                       "--row-seconds", "0.001", "--json", path);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "TFLOP/s"));
    cJSON *root = json_of(path);
    const cJSON *row, *rows = cJSON_GetObjectItem(root, "ops");
    assert_true(cJSON_GetArraySize(rows) > 20);
    cJSON_ArrayForEach(row, rows)
    {
        assert_true(number(row, "bytes") > 0);
        assert_true(number(row, "ms") > 0);
    }
    cJSON_Delete(root);
    cli_result_free(&r);
}

static void test_cli_bench_mistakes_are_one_line(void **state)
{
    (void)state;
    const struct {
        int status;
        const char *argv[8], *word;
    } cases[] = {
        {2, {"bench", "--case", "wan22"}, "wan22-t2v-a14b-480p"},
        {2, {"bench", "--steps-run", "0"}, "1 to 1000"},
        {2, {"bench", "--warm-up", "x"}, "0 to 1000"},
        {2, {"bench", "--steps-run", "500", "--device", "cpu"}, "20 steps"},
        {2, {"bench", "--ops", "--scale", "-1"}, "above 0"},
        {2, {"bench", "--ops", "--device", "cpu", "--only", "nothing like it"}, "no row"},
        {1, {"bench", "--model", "/nonexistent"}, NULL},
        {1, {"bench", "--device", "cpu", "--vram-limit", "0.001"}, "does not fit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cli_result r = cli_run(cases[i].argv);
        if (r.status != cases[i].status || cli_lines(r.err) != 1 ||
            (cases[i].word && !strstr(r.err, cases[i].word)))
            fail_msg("%s %s: exit %d\n%s%s", cases[i].argv[1], cases[i].argv[2], r.status, r.out,
                     r.err);
        cli_result_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_bench_one_scheme_is_one_object),
        cmocka_unit_test(test_cli_bench_several_schemes_are_a_list),
        cmocka_unit_test(test_cli_bench_the_denoise_loop_alone),
        cmocka_unit_test(test_cli_bench_clocks_of_the_measured_steps),
        cmocka_unit_test(test_cli_bench_waits_for_nobody),
        cmocka_unit_test(test_cli_bench_operations),
        cmocka_unit_test(test_cli_bench_mistakes_are_one_line),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
